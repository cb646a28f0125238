"""Systems that register themselves with a member's token, and then look after their registration (RFC 7591, 7592)."""

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
import requests

from gateway.directory.members import ClientKind, Member, find_registration, record_client, record_member
from gateway.directory.oauth import OAuthSettings
from gateway.oidc.clients.limits import Limits
from gateway.oidc.clients.registration_tokens import issue_initial_token, purge_initial_tokens
from gateway.wire.signer import PrivateKeySigner
from tests.kit.oidc_world import COUNCIL, OidcWorld, RelyingParty

CALLBACK = "http://localhost:9/registered"
LIMITS = Limits(
    member_code=COUNCIL,
    kinds=(ClientKind.RELYING_PARTY,),
    scopes=("openid", "email", "offline_access"),
    account_kinds=("officer",),
)
SIGNER = PrivateKeySigner.generate("ES256")
METADATA: dict[str, Any] = {
    "client_name": "Specimen planning",
    "redirect_uris": [CALLBACK],
    "grant_types": ["authorization_code", "refresh_token"],
    "jwks": {"keys": [SIGNER.public_jwk()]},
    "scope": "openid email offline_access",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Office:
    """Registers at one gateway."""

    world: OidcWorld

    def token(self, limits: Limits = LIMITS, *, uses: int = 1, days: int = 1) -> str:
        now = self.world.clock.now()
        with self.world.gateway.database.write() as session:
            return issue_initial_token(
                session, limits, uses=uses, expires_at=now + timedelta(days=days), by="test", now=now
            ).token

    def send(
        self,
        method: str,
        address: str = "",
        *,
        token: str | None,
        body: Any = None,
        raw: bytes | None = None,
        **headers: str,
    ) -> requests.Response:
        given = {"Content-Type": "application/json", **headers} if body is not None or raw is not None else headers
        if token is not None:
            given["Authorization"] = f"Bearer {token}"
        data = raw if raw is not None else json.dumps(body) if body is not None else None
        url = address or f"{self.world.issuer}/register"
        return requests.request(method, url, data=data, headers=given, timeout=10, allow_redirects=False)

    def register(self, token: str | None, metadata: Mapping[str, Any] = METADATA) -> requests.Response:
        return self.send("POST", token=token, body=dict(metadata))

    def registered(self, metadata: Mapping[str, Any] = METADATA, *, limits: Limits = LIMITS) -> dict[str, Any]:
        answer = self.register(self.token(limits), metadata)
        assert answer.status_code == 201, answer.text
        told: dict[str, Any] = answer.json()
        return told

    def relying_party(self, told: Mapping[str, Any]) -> RelyingParty:
        with self.world.gateway.database.read() as session:
            found = find_registration(session, told["client_id"])
        assert found is not None
        return RelyingParty(issuer=self.world.issuer, clock=self.world.clock, client=found[0], signer=SIGNER)


@pytest.fixture
def office(provider: OidcWorld) -> Office:
    return Office(world=provider)


def what_it_sent(told: Mapping[str, Any]) -> dict[str, Any]:
    """What a client sends back when it changes its registration: all it was told, but what the gateway states."""
    stated = ("registration_access_token", "registration_client_uri", "client_id_issued_at", "client_secret_expires_at")
    return {name: value for name, value in told.items() if name not in (*stated, "client_secret")}


def test_a_system_registers_itself_and_signs_somebody_in_at_once(office: Office) -> None:
    told = office.registered()
    assert told["client_id_issued_at"] == int(office.world.clock.now().timestamp())
    assert {name: told[name] for name in METADATA} == METADATA
    assert (told["token_endpoint_auth_method"], told["subject_type"]) == ("private_key_jwt", "pairwise")
    assert told["registration_client_uri"] == f"{office.world.issuer}/register/{told['client_id']}"
    assert len(told["registration_access_token"]) >= 43
    assert "client_secret" not in told
    officer = office.world.officer()
    tokens = office.relying_party(told).tokens(office.world.signed_in(officer), officer, scope="openid email")
    assert tokens["id_token"]
    assert [event["client"] for event in office.world.events("directory.client.registered")] == [told["client_id"]]


def test_discovery_says_where(office: Office) -> None:
    document = requests.get(f"{office.world.issuer}/.well-known/openid-configuration", timeout=10).json()
    assert document["registration_endpoint"] == f"{office.world.issuer}/register"


@pytest.mark.parametrize("token", [None, "", "guess", "a" * 5000])
def test_nobody_registers_without_a_token(office: Office, token: str | None) -> None:
    answer = office.register(token)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer ")
    assert answer.headers["Cache-Control"] == "no-store"
    assert office.world.events("directory.client.registered") == []


def test_a_token_is_used_as_often_as_it_says_and_until_then(office: Office) -> None:
    twice = office.token(uses=2)
    assert [office.register(twice).status_code for _ in range(3)] == [201, 201, 401]
    short = office.token(days=1)
    office.world.advance(days=1)
    assert office.register(short).status_code == 401


def test_one_use_taken_twenty_times_at_once_is_one_registration(office: Office) -> None:
    token = office.token()
    with ThreadPoolExecutor(20) as pool:
        answers = sorted(answer.status_code for answer in pool.map(office.register, [token] * 20))
    assert answers == [201] + [401] * 19
    assert len(office.world.events("directory.client.registered")) == 1


def test_a_token_of_a_member_that_left_registers_nothing(office: Office) -> None:
    gone = Member(code="gone", name="Former agency", kind="agency")
    with office.world.gateway.database.write() as session:
        record_member(session, gone, at=office.world.clock.now())
    token = office.token(replace(LIMITS, member_code="gone"))
    with office.world.gateway.database.write() as session:
        record_member(session, replace(gone, active=False), at=office.world.clock.now())
    assert office.register(token).status_code == 401


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"redirect_uris": ["https://a.example/*"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["http://a.example/"]}, "invalid_redirect_uri"),
        ({"scope": "openid profile"}, "invalid_client_metadata"),
        ({"kinds": ["relying_party", "provider"]}, "invalid_client_metadata"),
        ({"account_kinds": ["citizen"]}, "invalid_client_metadata"),
        ({"pkce_exempt": True}, "invalid_client_metadata"),
        ({"serves_resources": ["https://a.example/"]}, "invalid_client_metadata"),
        ({"token_endpoint_auth_method": "client_secret_basic"}, "invalid_client_metadata"),
        ({"fapi2": True, "id_token_signed_response_alg": "RS256"}, "invalid_client_metadata"),
        ({"jwks": {"keys": [{**SIGNER.public_jwk(), "d": "AAAA"}]}}, "invalid_client_metadata"),
    ],
)
def test_what_the_token_does_not_hold_is_refused_and_takes_no_use(
    office: Office, changes: dict[str, Any], error: str
) -> None:
    token = office.token()
    answer = office.register(token, METADATA | changes)
    assert (answer.status_code, answer.json()["error"]) == (400, error)
    assert answer.json()["error_description"]
    [refused] = office.world.events("directory.registration.refused")
    assert (refused["member"], refused["code"]) == (COUNCIL, error)
    assert office.register(token).status_code == 201


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (b"", "application/json"),
        (b"[]", "application/json"),
        (b'{"client_name": "a", "client_name": "b"}', "application/json"),
        (b'{"client_name": ', "application/json"),
        (b"\xff\xfe", "application/json"),
        (b"[" * 60_000, "application/json"),
        (json.dumps(METADATA).encode(), "application/x-www-form-urlencoded"),
        (json.dumps(METADATA).encode(), "text/plain"),
    ],
)
def test_a_body_that_is_no_metadata_is_refused_plainly(office: Office, raw: bytes, kind: str) -> None:
    answer = office.send("POST", token=office.token(), raw=raw, **{"Content-Type": kind})
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_client_metadata")


def test_a_body_without_end_is_not_read(office: Office) -> None:
    body = json.dumps({**METADATA, "padding": "a" * 100_000}).encode()
    assert office.send("POST", token=office.token(), raw=body).status_code in {400, 413}
    assert office.world.events("directory.client.registered") == []


def test_a_token_that_asks_too_often_waits(office: Office) -> None:
    token = office.token()
    answers = [office.register(token, {}).status_code for _ in range(61)]
    assert answers == [400] * 60 + [429]
    assert int(office.register(token).headers["Retry-After"]) <= 3600
    assert len(office.world.events("directory.registration.refused")) == 60
    office.world.advance(hours=1)
    assert office.register(token).status_code == 201


def test_a_secret_is_made_only_where_the_token_allows_it_and_told_once(office: Office) -> None:
    metadata = {**METADATA, "token_endpoint_auth_method": "client_secret_basic", "jwks": None}
    told = office.registered(metadata, limits=replace(LIMITS, secrets=True))
    year = timedelta(days=365)
    assert told["client_secret_expires_at"] == int((office.world.clock.now() + year).timestamp())
    assert len(told["client_secret"]) >= 43
    again = office.send("GET", told["registration_client_uri"], token=told["registration_access_token"]).json()
    assert "client_secret" not in again
    assert again["client_secret_expires_at"] == told["client_secret_expires_at"]
    with requests.Session() as session:
        session.auth = (told["client_id"], told["client_secret"])
        grant = {"grant_type": "authorization_code", "code": "guess", "redirect_uri": CALLBACK}
        asked = session.post(f"{office.world.issuer}/token", data=grant, timeout=10)
        assert asked.json()["error"] == "invalid_grant", "the client was authenticated"
    secrets, now = office.world.gateway.provider.client_authentication.secrets, office.world.clock.now()
    with office.world.gateway.database.read() as reading:
        for after, works in ((year - timedelta(seconds=1), True), (year, False)):
            assert secrets.matches(reading, told["client_id"], told["client_secret"], now=now + after) is works


def test_a_registration_is_read_changed_and_ended_by_its_own_token_alone(office: Office) -> None:
    told, other = office.registered(), office.registered()
    for method in ("GET", "PUT", "DELETE"):
        for token in (None, "guess", other["registration_access_token"], office.token()):
            answer = office.send(method, told["registration_client_uri"], token=token, body=what_it_sent(told))
            assert answer.status_code == 401, (method, token)
        unknown = office.send(method, f"{office.world.issuer}/register/nobody", token="guess", body={})
        assert unknown.status_code == 401
    assert office.world.events("directory.client.disabled") == []


@pytest.mark.parametrize("name", ["%00", "a%00b", "%ED%A0%80", "%0A", "a" * 5000, "..%2f..%2fadmin"])
def test_an_address_that_names_no_client_is_nobodys(office: Office, name: str) -> None:
    for method in ("GET", "PUT", "DELETE"):
        answer = office.send(method, f"{office.world.issuer}/register/{name}", token="guess", body={})
        assert answer.status_code in {401, 404}, (method, answer.text)


def test_a_client_that_named_its_algorithm_is_held_to_it(office: Office) -> None:
    for signer, named, status in (("ES256", "ES256", 200), ("ES256", "PS256", 401), ("Ed25519", "EdDSA", 200)):
        oauth = OAuthSettings(token_endpoint_auth_signing_alg=named)
        rp = office.world.relying_party(signer=PrivateKeySigner.generate(signer), oauth=oauth)
        assert rp.ask(grant_type="client_credentials").status_code == status, (signer, named)


def test_rs256_is_for_a_key_registered_for_it_and_never_under_fapi(office: Office) -> None:
    weak = PrivateKeySigner.generate("RS256")
    assert office.world.relying_party(signer=weak).ask(grant_type="client_credentials").status_code == 200
    other = {**weak.public_jwk(), "alg": "PS256"}
    rp = office.world.relying_party(signer=weak, keys=(other,))
    assert rp.ask(grant_type="client_credentials").status_code == 401
    fapi = OAuthSettings(fapi2=True, id_token_signed_response_alg="PS256")
    rp = office.world.relying_party(signer=weak, oauth=fapi)
    assert rp.ask(grant_type="client_credentials").status_code == 401


def test_a_change_replaces_everything_and_brings_another_token(office: Office) -> None:
    told = office.registered()
    first = told["registration_access_token"]
    moved = what_it_sent(told) | {"redirect_uris": ["http://localhost:9/moved"], "client_uri": None}
    answer = office.send("PUT", told["registration_client_uri"], token=first, body=moved)
    assert answer.status_code == 200, answer.text
    changed = answer.json()
    assert changed["redirect_uris"] == ["http://localhost:9/moved"]
    assert changed["client_id_issued_at"] == told["client_id_issued_at"]
    second = changed["registration_access_token"]
    assert second != first
    address = told["registration_client_uri"]
    assert office.send("GET", address, token=first).status_code == 200, "the answer may have been lost"
    assert office.send("GET", address, token=second).json()["redirect_uris"] == ["http://localhost:9/moved"]
    assert office.send("GET", address, token=first).status_code == 401, "the new one arrived"
    assert office.relying_party(told).client.redirect_uris == ("http://localhost:9/moved",)


def test_however_many_answers_are_lost_the_token_a_client_has_works(office: Office) -> None:
    told = office.registered()
    address, first = told["registration_client_uri"], told["registration_access_token"]
    lost = [office.send("PUT", address, token=first, body=what_it_sent(told)) for _ in range(3)]
    assert [answer.status_code for answer in lost] == [200, 200, 200]
    # Of the answers the newest alone counts: whoever kept one that got lost has nothing.
    *older, newest = [answer.json()["registration_access_token"] for answer in lost]
    assert [office.send("GET", address, token=token).status_code for token in older] == [401, 401]
    assert office.send("GET", address, token=newest).status_code == 200
    assert office.send("GET", address, token=first).status_code == 401


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": "another"},
        {"client_id": None},
        {"registration_access_token": "mine"},
        {"client_id_issued_at": 1},
        {"client_secret": "mine"},
        {"redirect_uris": ["https://a.example/#"]},
        {"scope": "openid profile"},
        {"account_kinds": ["citizen"]},
        {"sector_identifier_uri": "https://127.0.0.1/sector.json"},
        {"may_act_through": ["another"]},
    ],
)
def test_a_change_that_is_not_allowed_changes_nothing(office: Office, changes: dict[str, Any]) -> None:
    told = office.registered()
    address, token = told["registration_client_uri"], told["registration_access_token"]
    answer = office.send("PUT", address, token=token, body=what_it_sent(told) | changes)
    assert (answer.status_code, answer.json()["error"]) in {
        (400, "invalid_client_metadata"),
        (400, "invalid_redirect_uri"),
    }
    assert what_it_sent(office.send("GET", address, token=token).json()) == what_it_sent(told)
    [refused] = office.world.events("directory.registration.refused")
    assert refused["client"] == told["client_id"]


def test_what_an_operator_granted_by_name_survives_a_change_and_is_not_widened(office: Office) -> None:
    told = office.registered()
    client = office.relying_party(told).client
    granted = replace(client, oauth=replace(client.oauth, pkce_exempt=True, may_act_through=("portal",)))
    with office.world.gateway.database.write() as session:
        record_client(session, granted, at=office.world.clock.now())
    address, token = told["registration_client_uri"], told["registration_access_token"]
    seen = office.send("GET", address, token=token).json()
    assert seen["may_act_through"] == ["portal"]
    assert office.send("PUT", address, token=token, body=what_it_sent(seen)).status_code == 200
    wider = what_it_sent(seen) | {"may_act_through": ["portal", "another"]}
    assert office.send("PUT", address, token=token, body=wider).status_code == 400
    assert office.relying_party(told).client.oauth.may_act_through == ("portal",)


def test_a_registration_that_is_ended_leaves_its_rows_and_none_of_its_tokens_alive(office: Office) -> None:
    told, officer = office.registered(), office.world.officer()
    rp = office.relying_party(told)
    tokens = rp.tokens(office.world.signed_in(officer), officer, scope="openid email")
    address, token = told["registration_client_uri"], told["registration_access_token"]
    assert rp.userinfo(tokens["access_token"]).status_code == 200
    ended = office.send("DELETE", address, token=token)
    assert (ended.status_code, ended.content) == (204, b"")
    assert rp.userinfo(tokens["access_token"]).status_code == 401
    refreshed = rp.ask(grant_type="client_credentials")
    assert (refreshed.status_code, refreshed.json()["error"]) == (401, "invalid_client")
    assert office.send("GET", address, token=token).status_code == 401
    assert office.send("DELETE", address, token=token).status_code == 401
    [event] = office.world.events("directory.client.disabled")
    assert (event["client"], event["reason"]) == (told["client_id"], "deregistered")
    assert not office.relying_party(told).client.active, "the row is evidence, and stays"
    with office.world.gateway.database.write() as session:
        registrar = office.world.gateway.provider.registrations.registrar
        registrar.enable(session, told["client_id"], by="test", now=office.world.clock.now())
    assert rp.ask(grant_type="client_credentials").json()["error"] != "invalid_client"
    assert rp.userinfo(tokens["access_token"]).status_code == 401, "what it had stays dead"
    assert office.send("GET", address, token=token).status_code == 401


def test_tokens_that_are_over_are_purged(office: Office) -> None:
    office.token(days=1)
    over = office.world.clock.now() + timedelta(days=2)
    with office.world.gateway.database.write() as session:
        assert purge_initial_tokens(session, now=over) >= 1
        assert purge_initial_tokens(session, now=over) == 0
