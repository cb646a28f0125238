"""RFC 8705 over TLS of the gateway's own: who may come in, who they are then, and what a bound token is worth."""

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.clock import SystemClock
from gateway.sdk.consumer import Answer, Consumer, NotAnswered, Refusal
from gateway.sdk.possession import ClientCertificate
from gateway.wire.contracts import EXCHANGE_TAG
from gateway.wire.jws import unverified_claims
from gateway.wire.message_signatures import HttpRequest, sign_request
from tests.kit.client_certificates import Holder, self_signed
from tests.kit.mutual_tls import CertificateWorld, over_tls
from tests.kit.oidc_world import RelyingParty
from tests.kit.processes import processes
from tests.kit.tls import TestAuthority

SUBJECT = "CN=portal,O=Specimen Council,C=GB"
BY_NAME = {"token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_subject_dn": SUBJECT}
BY_KEY = "self_signed_tls_client_auth"
KNOWN_WITHIN_SECONDS = 20


@pytest.fixture(scope="module")
def over(
    _databases: Callable[[], AbstractContextManager[str]],
    tmp_path_factory: pytest.TempPathFactory,
    test_authority: TestAuthority,
) -> Iterator[CertificateWorld]:
    folder = tmp_path_factory.mktemp("mutual")
    now = SystemClock().now()
    authority = self_signed("Test authority of clients", folder=folder, now=now, authority=True, days=(-30, 30))
    with (
        _databases() as url,
        processes(folder / "logs") as group,
        over_tls(group, database_url=url, folder=folder, tls=test_authority, authority=authority) as made,
    ):
        yield made


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """Clients that registered certificates of their own, and these."""

    plain: tuple[RelyingParty, Holder]
    authority: tuple[RelyingParty, Holder]
    """Whose certificate may issue others, as `openssl req -x509` makes them."""
    namesake: tuple[RelyingParty, Holder]
    """Whose certificate may too, and has the name of the authority of clients."""


@pytest.fixture(scope="module")
def registered(over: CertificateWorld) -> Registered:
    """Registered while the gateway runs, and let in since."""

    def client_of(holder: Holder) -> tuple[RelyingParty, Holder]:
        return over.client(token_endpoint_auth_method=BY_KEY, keys=[holder.jwk()]), holder

    folder, now = over.authority.folder, SystemClock().now()
    made = Registered(
        plain=client_of(own_certificate(over)),
        authority=client_of(own_certificate(over, authority=True)),
        namesake=client_of(self_signed("Test authority of clients", folder=folder, now=now, authority=True)),
    )
    for rp, holder in (made.plain, made.authority, made.namesake):
        assert known(over, rp, holder).status_code == 200
    return made


@pytest.fixture
def portal(over: CertificateWorld) -> Holder:
    return over.authority.issue("portal", now=SystemClock().now())


def own_certificate(over: CertificateWorld, *, authority: bool = False, days: tuple[int, int] = (-1, 1)) -> Holder:
    return self_signed("own", folder=over.authority.folder, now=SystemClock().now(), authority=authority, days=days)


def known(over: CertificateWorld, rp: RelyingParty, shown: Holder) -> requests.Response:
    """Ask as soon as the gateway lets a newly registered certificate in."""
    deadline = time.monotonic() + KNOWN_WITHIN_SECONDS
    while True:
        try:
            return over.token(rp, shown=shown)
        except requests.ConnectionError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def kept_out(over: CertificateWorld, rp: RelyingParty, shown: Holder) -> bool:
    """Whether TLS itself refuses the certificate."""
    try:
        over.token(rp, shown=shown)
    except requests.ConnectionError:
        return True
    return False


def refused(answer: requests.Response) -> bool:
    return (answer.status_code, answer.json().get("error")) == (401, "invalid_client")


def test_a_certificate_of_the_authority_names_its_client_and_no_other(over: CertificateWorld, portal: Holder) -> None:
    rp = over.client(**BY_NAME)
    assert over.token(rp, shown=portal).status_code == 200
    assert refused(over.token(rp, shown=over.authority.issue("another", now=SystemClock().now())))
    assert refused(over.token(rp))


def test_a_newly_registered_certificate_is_let_in_without_a_restart(
    over: CertificateWorld, registered: Registered
) -> None:
    rp, own = registered.plain
    stranger = own_certificate(over)
    assert over.token(rp, shown=own).status_code == 200
    assert kept_out(over, rp, stranger)
    assert all(refused(over.token(other, shown=own)) for other, _ in (registered.authority, registered.namesake))
    # Taken out of the registration, it is worth nothing at once, whether TLS still knows it or not.
    over.world.change_client(replace(rp.client, keys=(stranger.jwk(),)))
    assert kept_out(over, rp, own) or refused(over.token(rp, shown=own))


def test_a_registered_certificate_cannot_make_others_up(over: CertificateWorld, registered: Registered) -> None:
    victim = over.client(**BY_NAME)
    itself, own = registered.authority
    forged = own.issue("portal", now=SystemClock().now())
    assert refused(over.token(victim, shown=forged))
    assert refused(over.token(itself, shown=forged))
    # Nor by a name that is the authority's own.
    imitated = registered.namesake[1].issue("portal", now=SystemClock().now())
    assert kept_out(over, victim, imitated) or refused(over.token(victim, shown=imitated))


def test_nobody_is_let_in_by_a_certificate_that_is_unknown_or_over(over: CertificateWorld) -> None:
    rp = over.client(**BY_NAME)
    now = SystemClock().now()
    impostor = self_signed(
        "Test authority of clients", folder=over.authority.folder, now=now, authority=True, days=(-2, 2)
    )
    stolen = Holder(
        certificate=over.authority.issue("portal", now=now).certificate,
        key=ec.generate_private_key(ec.SECP256R1()),
        folder=over.authority.folder,
    )
    assert kept_out(over, rp, impostor.issue("portal", now=now))
    assert kept_out(over, rp, over.authority.issue("portal", days=(-3, -1), now=now))
    assert kept_out(over, rp, own_certificate(over))
    # The public half alone is no certificate of one's own: `requests` cannot even load it.
    with pytest.raises((requests.ConnectionError, OSError)):
        over.token(rp, shown=stolen)


def test_at_the_issuers_own_address_no_certificate_is_asked_for_or_believed(
    over: CertificateWorld, portal: Holder
) -> None:
    rp = over.client(**BY_NAME)
    spoofed = {"Client-Cert": portal.pem.replace("\n", " "), "X-SSL-Client-Cert": portal.pem.replace("\n", " ")}
    for at in (over.world.issuer, over.mtls):
        assert refused(over.token(rp, at=at, headers=spoofed))
    # The handshake there does not ask, so nothing is shown, and people's browsers ask them nothing.
    assert refused(over.token(rp, at=over.world.issuer, shown=portal))


def test_a_bound_token_is_worth_nothing_without_its_certificate(over: CertificateWorld, portal: Holder) -> None:
    rp = over.client(**BY_NAME, tls_client_certificate_bound_access_tokens=True)
    world = over.world
    person = world.officer()
    browser = world.signed_in(person)
    browser.session.verify = str(over.ca_file)
    code, verifier = rp.code(browser)
    pairs = [
        ("grant_type", "authorization_code"),
        ("client_id", rp.client.client_id),
        ("code", code),
        ("redirect_uri", rp.client.redirect_uris[0]),
        ("code_verifier", verifier),
    ]
    answer = over.call("POST", "/token", data=pairs, shown=portal)
    assert (answer.status_code, answer.json()["token_type"]) == (200, "Bearer"), answer.text
    token = answer.json()["access_token"]
    assert unverified_claims(token)["cnf"] == {"x5t#S256": portal.x5t_s256}
    bearer = {"Authorization": f"Bearer {token}"}
    # A certificate of the same name is another certificate.
    renewed = over.authority.issue("portal", now=SystemClock().now())
    assert over.call("GET", "/userinfo", shown=portal, headers=bearer).status_code == 200
    for shown, at in ((renewed, over.mtls), (None, over.mtls), (portal, world.issuer)):
        stolen = over.call("GET", "/userinfo", shown=shown, at=at, headers=bearer)
        assert stolen.status_code == 401
        assert 'error="invalid_token"' in stolen.headers["WWW-Authenticate"]


def test_at_the_exchange_too_a_bound_token_needs_its_certificate_and_the_address_that_was_signed(
    over: CertificateWorld, portal: Holder
) -> None:
    rp = over.client(**BY_NAME, tls_client_certificate_bound_access_tokens=True)
    token = over.token(rp, shown=portal).json()["access_token"]

    def ask(signed_for: str, at: str, shown: Holder | None) -> tuple[int, str]:
        request = sign_request(
            HttpRequest(
                method="POST",
                target_uri=f"{signed_for}/sharing/v1/exchanges",
                headers={
                    "Content-Type": "application/json",
                    "Authorization": f"Bearer {token}",
                    "Idempotency-Key": str(uuid.uuid4()),
                },
                body=b"{}",
            ),
            signer=rp.signer,
            client_id=rp.client.client_id,
            nonce=uuid.uuid4().hex,
            created=SystemClock().now(),
            tag=EXCHANGE_TAG,
        )
        answer = over.call(
            "POST", "/sharing/v1/exchanges", at=at, shown=shown, headers=dict(request.headers), data=request.body
        )
        return answer.status_code, answer.json()["code"]

    issuer = over.world.issuer
    # Past token and signature, the empty question itself is what is wrong.
    assert ask(over.mtls, over.mtls, portal) == (422, "invalid_request")
    assert ask(issuer, over.mtls, portal) == (401, "invalid_request_signature")
    assert ask(over.mtls, over.mtls, None) == (401, "invalid_token")
    assert ask(issuer, issuer, portal) == (401, "invalid_token")


def test_discovery_says_where_certificates_are_asked_for(over: CertificateWorld, portal: Holder) -> None:
    said = over.call("GET", "/.well-known/oauth-authorization-server", at=over.world.issuer).json()
    aliases = said["mtls_endpoint_aliases"]
    assert aliases["token_endpoint"] == f"{over.mtls}/token"
    for name, alias in aliases.items():
        assert said[name].removeprefix(over.world.issuer) == alias.removeprefix(over.mtls)
        method = "GET" if name == "userinfo_endpoint" else "POST"
        answer = over.call(method, alias.removeprefix(over.mtls), shown=portal)
        assert answer.status_code in {400, 401}, (name, answer.status_code)


def test_the_members_kit_shows_its_certificate_where_that_is_asked_for(over: CertificateWorld) -> None:
    rp = over.client(tls_client_certificate_bound_access_tokens=True)
    certificate, key = map(Path, over.authority.issue("Specimen system", now=SystemClock().now()).files())

    def ask(shown: ClientCertificate | None) -> Answer | Refusal:
        consumer = Consumer(over.world.issuer, rp.client.client_id, rp.signer, certificate=shown, ca_file=over.ca_file)
        return consumer.ask(
            service="dwp/free-school-meals/v1",
            purpose="free-school-meals",
            subject={"sub": "somebody"},
            fields=["eligible"],
        )

    # In its own name nobody is answered: a verified refusal shows that token, certificate and signature were accepted.
    assert isinstance(ask(ClientCertificate(certificate=certificate, key=key)), Refusal)
    with pytest.raises(NotAnswered) as turned_away:
        ask(None)
    assert turned_away.value.code == "invalid_request"
