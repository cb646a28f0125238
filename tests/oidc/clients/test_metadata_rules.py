"""Which registrations there can be: every rule alike for the command line, for dynamic registration and for `check`."""

from typing import Any

import pytest

from gateway.directory.members import Client, ClientKind
from gateway.errors import GatewayError
from gateway.oidc.clients.addresses import AddressRules
from gateway.oidc.clients.limits import Limits
from gateway.oidc.clients.metadata_names import metadata_of, unknown_names
from gateway.oidc.clients.metadata_rules import CHECKS, checked_client, problems_of
from gateway.oidc.clients.registrar import fapi_rule
from gateway.oidc.clients.submission import RegistrationRefused, Surroundings, submission_of
from gateway.wire.sealed_disclosures import DecryptionKey
from gateway.wire.signer import PrivateKeySigner

KEY = PrivateKeySigner.generate("ES256").public_jwk()
SEALING = DecryptionKey.generate().public_jwk()
ISSUER = "https://gateway.example"
HTTPS = "https://library.example/callback"
METHODS = (
    *("private_key_jwt", "client_secret_basic", "client_secret_post"),
    *("tls_client_auth", "self_signed_tls_client_auth"),
)
SECTORS: dict[str, Any] = {"https://sector.example/uris.json": [HTTPS], "https://sector.example/object.json": {}}
EVERYTHING = Limits(
    member_code="E06000008",
    kinds=tuple(ClientKind),
    scopes=("openid", "profile", "email", "offline_access"),
    resources=("https://gateway.example/sharing/v1",),
    account_kinds=("citizen", "officer"),
    secrets=True,
    by_operator=True,
)
BY_TOKEN = Limits(
    member_code="E06000008",
    kinds=(ClientKind.RELYING_PARTY,),
    scopes=("openid", "email"),
    account_kinds=("citizen",),
)
GOOD: dict[str, Any] = {
    "client_name": "Specimen library",
    "redirect_uris": [HTTPS],
    "jwks": {"keys": [KEY]},
    "kinds": ["relying_party"],
    "account_kinds": ["citizen"],
}


def surroundings(*, plain_http: bool = False) -> Surroundings:
    def fetch(uri: str) -> object:
        if uri not in SECTORS:
            raise GatewayError("It did not answer")
        return SECTORS[uri]

    rules = AddressRules(allow_loopback_http=plain_http, issuer=ISSUER)
    return Surroundings(addresses=rules, fetch_sector=fetch, auth_methods=METHODS)


def registered(limits: Limits = EVERYTHING, *, plain_http: bool = False, **changes: Any) -> Client:
    submission = submission_of(GOOD | changes, limits, surroundings(plain_http=plain_http))
    return checked_client(submission, client_id="library")


def refused(limits: Limits = EVERYTHING, **changes: Any) -> RegistrationRefused:
    with pytest.raises(RegistrationRefused) as caught:
        registered(limits, **changes)
    return caught.value


def test_what_is_asked_for_is_what_is_registered() -> None:
    client = registered(
        scope="openid email", backchannel_logout_uri="https://library.example/logout", default_max_age=60
    )
    assert (client.member_code, client.name, client.redirect_uris) == ("E06000008", "Specimen library", (HTTPS,))
    assert (client.grant_types, client.scopes) == (("authorization_code",), ("openid", "email"))
    assert (client.account_kinds, client.resources, client.sector) == (("citizen",), (), "E06000008")
    assert client.oauth.token_endpoint_auth_method == "private_key_jwt"
    assert (client.oauth.backchannel_logout_uri, client.oauth.default_max_age) == ("https://library.example/logout", 60)


def test_what_was_registered_can_be_registered_again_and_is_the_same() -> None:
    client = registered(scope="openid email", contacts=["team@library.example"], dpop_bound_access_tokens=True)
    again = checked_client(submission_of(metadata_of(client), EVERYTHING, surroundings()), client_id="library")
    assert again == client


@pytest.mark.parametrize(
    "address",
    [
        "http://library.example/callback",
        "http://localhost:5000/callback",
        "HTTPS://library.example/callback",
        "//library.example/callback",
        "/callback",
        "library.example/callback",
        "javascript:alert(1)",
        "data:text/html,x",
        "com.example.library:/callback",
        "urn:ietf:wg:oauth:2.0:oob",
        "https://library.example/callback#fragment",
        "https://library.example/callback#",
        "https://*.library.example/callback",
        "https://library.example/*",
        "https://user@library.example/callback",
        "https://library.example@attacker.example/callback",
        "https://library.example\\@attacker.example/callback",
        "https://library.example/../callback",
        "https://library.example/a/./callback",
        "https://library.example/%2e%2e/callback",
        "https://library.example/a%2Fb",
        "https://library.example/a%5cb",
        "https://library.example/a%00b",
        "https://library.example/a%0d%0aSet-Cookie:x",
        "https://library.example/a%252fb",
        "https://library.example/%zz",
        "https://library.example/call back",
        "https://library.example/callback\n",
        "https://library.example/cäll",
        "https://bücher.example/callback",
        "https://LIBRARY.example/callback",
        "https://library.example:/callback",
        "https://library.example:0/callback",
        "https://library.example:99999/callback",
        "https://library.example:80x/callback",
        "https:///callback",
        "https://.example/callback",
        "https://2130706433/callback",
        "https://0x7f.1/callback",
        "https://127.1/callback",
        "https://[::1/callback",
        "https://[nonsense]/callback",
        f"{ISSUER}/authorize",
        f"{ISSUER}:443/log-out",
        "https://library.example/callback?code=1",
        "https://library.example/callback?a=b&state=",
        "https://library.example/callback?iss=x",
        "https://library.example/" + "a" * 2000,
        "",
        7,
        None,
    ],
)
def test_an_address_that_can_be_read_in_two_ways_is_no_redirect_uri(address: object) -> None:
    problem = refused(redirect_uris=[address])
    assert problem.code == "invalid_redirect_uri"
    assert problem.public.isascii()


@pytest.mark.parametrize(
    "address",
    [
        HTTPS,
        "https://library.example",
        "https://library.example:8443/callback",
        "https://library.example/callback?tenant=1&next=%C3%A4",
        "https://192.0.2.1/callback",
        "https://[2001:db8::1]:8443/callback",
        "https://xn--bcher-kva.example/callback",
        "https://library.example/a..b/.well-known/c",
    ],
)
def test_addresses_of_the_web_can_be_redirect_uris(address: str) -> None:
    assert registered(redirect_uris=[address]).redirect_uris == (address,)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_plain_http_is_for_this_machine_where_the_gateway_itself_has_it(host: str) -> None:
    address = f"http://{host}:5000/callback"
    assert registered(plain_http=True, redirect_uris=[address]).redirect_uris == (address,)
    assert "does not allow http://" in refused(redirect_uris=[address]).public
    with pytest.raises(RegistrationRefused, match="localhost and"):
        registered(plain_http=True, redirect_uris=[f"http://{host}.example/callback"])


def test_what_is_wrong_with_an_address_is_said_by_its_name() -> None:
    for address, told in (
        ("https://user@library.example/", "user name"),
        ("https://library.example/#a", "fragment"),
        ("https://*.library.example/", "wildcard"),
        ("https://library.example/../a", "path"),
    ):
        assert told in refused(redirect_uris=[address]).public


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"client_name": None}, "client_name"),
        ({"client_name": "  "}, "client_name"),
        ({"client_name": "a\u202eb"}, "client_name"),
        ({"client_name": "a" * 201}, "client_name"),
        ({"kinds": ["everything"]}, "kinds"),
        ({"kinds": "relying_party"}, "kinds"),
        ({"fapi2": "true"}, "fapi2"),
        ({"redirect_uris": None}, "redirect_uris is missing"),
        ({"redirect_uris": [HTTPS] * 21}, "redirect_uris"),
        ({"grant_types": ["implicit"]}, "grant_types"),
        ({"grant_types": ["password"]}, "grant_types"),
        ({"grant_types": ["refresh_token"]}, "without authorization_code"),
        ({"grant_types": ["authorization_code"], "response_types": ["code id_token"]}, "response_types"),
        ({"grant_types": ["client_credentials"], "response_types": ["code"]}, "response_types"),
        ({"grant_types": ["authorization_code"], "kinds": ["consumer"]}, "relying_party"),
        ({"application_type": "native"}, "application_type"),
        ({"token_endpoint_auth_method": "none"}, "token_endpoint_auth_method"),
        ({"token_endpoint_auth_method": "client_secret_jwt"}, "token_endpoint_auth_method"),
        ({"token_endpoint_auth_method": "tls_client_auth"}, "exactly one"),
        ({"tls_client_auth_san_dns": "library.example"}, "tls_client_auth alone"),
        ({"token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_subject_dn": "portal"}, "distinguished"),
        ({"token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_san_ip": "1.2.3"}, "IPv4"),
        ({"jwks": None}, "jwks or jwks_uri is missing"),
        ({"jwks_uri": "https://library.example/jwks"}, "exclude"),
        ({"jwks": None, "jwks_uri": "http://library.example/jwks"}, "jwks_uri"),
        ({"jwks": None, "jwks_uri": "https://library.example/jwks", "kinds": ["relying_party", "consumer"]}, "jwks"),
        ({"jwks": [KEY]}, "jwks"),
        ({"jwks": {"keys": []}}, "no key"),
        ({"jwks": {"keys": [KEY | {"d": "AAAA"}]}}, "private member d"),
        ({"jwks": {"keys": [{"kty": "oct", "kid": "a", "k": "AAAA"}]}}, "private member k"),
        ({"jwks": {"keys": [{name: value for name, value in KEY.items() if name != "kid"}]}}, "kid"),
        ({"jwks": {"keys": [KEY, KEY]}}, "same kid"),
        ({"jwks": {"keys": [KEY | {"use": "enc"}]}}, "use"),
        ({"jwks": {"keys": [KEY | {"use": "both"}]}}, "use"),
        ({"jwks": {"keys": [SEALING]}}, "no key that can sign"),
        ({"jwks": {"keys": [KEY, SEALING | {"d": "AAAA"}]}}, "private member d"),
        ({"jwks": {"keys": [KEY, SEALING | {"kid": ""}]}}, "kid"),
        ({"jwks": {"keys": [KEY, SEALING | {"kid": KEY["kid"]}]}}, "same kid"),
        ({"jwks": {"keys": [KEY, SEALING | {"alg": "RSA-OAEP"}]}}, "alg"),
        ({"jwks": {"keys": [KEY, KEY | {"use": "enc", "alg": "ECDH-ES", "kid": "other"}]}}, "signs as well"),
        ({"jwks": {"keys": [KEY | {"x5c": "MII"}]}}, "x5c"),
        ({"jwks": {"keys": [KEY | {"x5c": ["\x00"]}]}}, "x5c"),
        ({"jwks": {"keys": [KEY | {"x5c": [{}]}]}}, "x5c"),
        ({"jwks": {"keys": [KEY | {"alg": "HS256"}]}}, "alg"),
        ({"jwks": {"keys": [KEY | {"alg": "PS256"}]}}, "alg"),
        ({"jwks": {"keys": [KEY | {"x": "AAAA"}]}}, "Accepted are"),
        ({"jwks": {"keys": [{"kty": "RSA", "kid": "small", "n": "AQAB" * 40, "e": "AQAB"}]}}, "2048"),
        ({"jwks": {"keys": [{"kty": "RSA", "kid": "huge", "n": "f" * 2000, "e": "AQAB"}]}}, "8192"),
        ({"id_token_signed_response_alg": "none"}, "id_token_signed_response_alg"),
        ({"id_token_signed_response_alg": "HS256"}, "id_token_signed_response_alg"),
        ({"request_object_signing_alg": "none"}, "request_object_signing_alg"),
        ({"token_endpoint_auth_signing_alg": "HS256"}, "token_endpoint_auth_signing_alg"),
        ({"userinfo_encrypted_response_alg": "RSA-OAEP"}, "nothing is encrypted"),
        ({"scope": "openid everything"}, "scope"),
        ({"scope": "email"}, "openid"),
        ({"account_kinds": None}, "account_kinds is missing"),
        ({"account_kinds": ["robot"]}, "account_kinds"),
        ({"resources": ["https://elsewhere.example/"]}, "resources"),
        ({"default_acr_values": ["urn:mace:incommon:iap:silver"]}, "default_acr_values"),
        ({"default_max_age": -1}, "default_max_age"),
        ({"default_max_age": True}, "default_max_age"),
        ({"subject_type": "public"}, "pairwise"),
        ({"post_logout_redirect_uris": ["http://library.example/"]}, "post_logout_redirect_uris"),
        ({"backchannel_logout_uri": "http://library.example/logout"}, "backchannel_logout_uri"),
        ({"backchannel_logout_session_required": True}, "backchannel_logout_uri is missing"),
        ({"frontchannel_logout_uri": "https://other.example/logout"}, "frontchannel_logout_uri"),
        ({"frontchannel_logout_uri": "https://library.example:8443/logout"}, "frontchannel_logout_uri"),
        ({"logo_uri": "http://library.example/logo.png"}, "logo_uri"),
        ({"contacts": ["nobody"]}, "contacts"),
        ({"sector_identifier_uri": "http://sector.example/uris.json"}, "sector_identifier_uri"),
        ({"sector_identifier_uri": "https://silent.example/uris.json"}, "did not answer"),
        ({"sector_identifier_uri": "https://sector.example/object.json"}, "JSON list"),
    ],
)
def test_each_rule_refuses_by_itself_and_says_what_to_change(changes: dict[str, Any], told: str) -> None:
    problem = refused(**changes)
    assert problem.code == ("invalid_redirect_uri" if "redirect_uris" in changes else "invalid_client_metadata")
    assert told in problem.public
    assert problem.public.isascii()


def test_a_sector_is_shared_by_those_whom_its_address_lists_and_never_beyond_a_member() -> None:
    client = registered(sector_identifier_uri="https://sector.example/uris.json")
    assert client.sector == "E06000008 sector.example"
    not_listed = refused(
        sector_identifier_uri="https://sector.example/uris.json", redirect_uris=[HTTPS, "https://library.example/other"]
    )
    assert "does not hold https://library.example/other" in not_listed.public


def test_a_token_gives_no_more_than_it_holds_and_all_of_it_where_nothing_is_said() -> None:
    client = registered(BY_TOKEN, kinds=None, account_kinds=None)
    assert (client.kinds, client.account_kinds) == ((ClientKind.RELYING_PARTY,), ("citizen",))
    assert (client.scopes, client.resources) == (("openid", "email"), ())
    for changes in (
        {"kinds": ["relying_party", "consumer"]},
        {"account_kinds": ["citizen", "officer"]},
        {"scope": "openid profile"},
        {"resources": ["https://gateway.example/sharing/v1"]},
        {"token_endpoint_auth_method": "client_secret_basic", "jwks": None},
        {"pkce_exempt": True},
        {"may_act_through": ["another-client"]},
    ):
        assert refused(BY_TOKEN, **changes).code == "invalid_client_metadata"
    assert refused(Limits(member_code="E06000008"), kinds=None).rule == "kinds", "a token for nothing gives nothing"


def test_every_mistake_is_told_at_once_to_whoever_only_tries() -> None:
    wrong = {
        "client_name": "",
        "redirect_uris": ["http://a.example"],
        "subject_type": "public",
        "account_kinds": ["citizen"],
    }
    rules = [problem.rule for problem in problems_of(submission_of(GOOD | wrong, EVERYTHING, surroundings()))]
    assert rules == ["types"], "what is of the wrong type is told first"
    wrong["client_name"] = "Library"
    rules = [problem.rule for problem in problems_of(submission_of(GOOD | wrong, EVERYTHING, surroundings()))]
    assert rules == ["redirect_uris", "subject_type"]
    assert len(CHECKS) == len(set(CHECKS))


def test_every_fault_of_one_member_is_told_and_so_is_what_fapi_adds() -> None:
    """By `check` one by one, and in the one description of a refusal."""
    given = {
        "redirect_uris": ["http://a.example/../cb", "https://*.a.example/cb#x"],
        "grant_types": ["authorization_code", "implicit"],
        "response_types": ["token"],
        "account_kinds": None,
        "fapi2": True,
        "id_token_signed_response_alg": "RS256",
        "backchannel_logout_uri": "nonsense",
        "frontchannel_logout_uri": "https://[::1/",
    }
    fapi = fapi_rule(plain_http=False)
    submission = submission_of(GOOD | given, EVERYTHING, surroundings())
    problems = problems_of(submission, client_rules=(fapi,))
    assert [problem.rule for problem in problems] == [
        *("grant_types", "grant_types", "redirect_uris", "redirect_uris", "scopes"),
        *("logout_addresses", "logout_addresses", "fapi2"),
    ]
    with pytest.raises(RegistrationRefused) as caught:
        checked_client(submission, client_id="library", client_rules=(fapi,))
    told = caught.value.public
    assert told == "; ".join(problem.public for problem in problems)
    for fault in ("begin with https://", "part of its path", "wildcard", "fragment", "implicit", "response_types"):
        assert told.count(fault) >= 1, fault
    assert "id_token_signed_response_alg must be one of" in told
    assert caught.value.code == problems[0].code


def test_a_refusal_ends_however_much_is_wrong() -> None:
    address = "http://" + "a" * 1900
    names = ("redirect_uris", "post_logout_redirect_uris")
    problem = refused(EVERYTHING, **dict.fromkeys(names, [address] * 20))
    assert "and 20 more" in problem.public
    assert len(problem.public) < 8000


def test_a_fapi_client_that_names_no_algorithm_is_given_one_it_may_have() -> None:
    fapi = fapi_rule(plain_http=False)
    submission = submission_of(GOOD | {"fapi2": True}, EVERYTHING, surroundings())
    client = checked_client(submission, client_id="library", client_rules=(fapi,))
    assert client.oauth.id_token_signed_response_alg == "PS256"
    assert registered().oauth.id_token_signed_response_alg == "RS256"


def test_names_that_mean_nothing_are_told_with_what_they_may_have_meant() -> None:
    given = {"redirect_uri": "x", "client_name#fr": "Bibliothèque", "software_version": "1", "post_logout_uris": []}
    assert unknown_names(GOOD | given) == {
        "redirect_uri": "redirect_uris",
        "software_version": None,
        "post_logout_uris": "post_logout_redirect_uris",
    }


def test_a_key_for_encryption_is_kept_apart_from_those_that_sign() -> None:
    client = registered(jwks={"keys": [KEY, SEALING]})
    assert [key["kid"] for key in client.keys] == [KEY["kid"]]
    assert [key["kid"] for key in client.encryption_keys] == [SEALING["kid"]]
    assert client.key(SEALING["kid"]) is None, "it verifies nothing"
