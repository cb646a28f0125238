"""A certificate in a header counts where a proxy of ours passes it on, and from nobody else (RFC 9440 §4)."""

import base64
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from ipaddress import ip_address
from urllib.parse import quote

import pytest
from cryptography import x509

from gateway.errors import SettingsError
from gateway.settings import Settings
from gateway.wire.jws import unverified_claims
from tests.kit.client_certificates import Holder, self_signed
from tests.kit.clock import FrozenClock
from tests.kit.mutual_tls import HEADER, PROXY, STRANGER, CertificateWorld, behind_a_proxy

SUBJECT = "CN=portal,O=Specimen Council,C=GB"
NOW = FrozenClock().now()

FORMS: dict[str, Callable[[Holder], str]] = {
    "RFC 9440": lambda holder: f":{base64.b64encode(holder.der).decode()}:",
    "nginx": lambda holder: quote(holder.pem, safe=""),
    "Apache": lambda holder: holder.pem.replace("\n", " "),
    "HAProxy": lambda holder: base64.b64encode(holder.der).decode(),
}
rfc9440 = FORMS["RFC 9440"]


@pytest.fixture(scope="module")
def proxied(
    _databases: Callable[[], AbstractContextManager[str]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[CertificateWorld]:
    folder = tmp_path_factory.mktemp("proxied")
    authority = self_signed("Test authority of clients", folder=folder, now=NOW, authority=True, days=(-1, 30))
    with (
        _databases() as url,
        behind_a_proxy(database_url=url, folder=folder, clock=FrozenClock(), authority=authority) as made,
    ):
        yield made


def passed_on(holder: Holder, form: str = "RFC 9440") -> dict[str, str]:
    return {HEADER: FORMS[form](holder)}


@pytest.mark.parametrize("form", FORMS)
def test_a_proxy_passes_on_a_certificate_in_any_usual_form(proxied: CertificateWorld, form: str) -> None:
    rp = proxied.client(token_endpoint_auth_method="tls_client_auth", tls_client_auth_subject_dn=SUBJECT)
    portal = proxied.authority.issue("portal", now=NOW)
    good = proxied.token(rp, source=PROXY, headers=passed_on(portal, form))
    assert (good.status_code, good.json()["token_type"]) == (200, "Bearer"), good.text
    other = proxied.token(rp, source=PROXY, headers=passed_on(proxied.authority.issue("other", now=NOW), form))
    assert (other.status_code, other.json()["error"]) == (401, "invalid_client")


@pytest.mark.parametrize("form", FORMS)
def test_nobody_else_can_show_a_certificate_in_a_header(proxied: CertificateWorld, form: str) -> None:
    rp = proxied.client(token_endpoint_auth_method="tls_client_auth", tls_client_auth_subject_dn=SUBJECT)
    portal = proxied.authority.issue("portal", now=NOW)
    for more in (
        {},
        {"X-Forwarded-For": PROXY},
        {"X-Forwarded-For": f"{PROXY}, {PROXY}"},
        {"Forwarded": f"for={PROXY}"},
    ):
        answer = proxied.token(rp, source=STRANGER, headers=passed_on(portal, form) | more)
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client"), more
    # Behind the proxy, a visitor's own address does not take the proxy's word away.
    visited = passed_on(portal, form) | {"X-Forwarded-For": "198.51.100.4"}
    assert proxied.token(rp, source=PROXY, headers=visited).status_code == 200


@pytest.mark.parametrize(
    "value",
    ["", ":", "::", ":!!:", "x" * 3000, "-----BEGIN CERTIFICATE-----", "%2D%2D", ":AAAA:", "é"],
)
def test_what_is_no_certificate_is_none(proxied: CertificateWorld, value: str) -> None:
    rp = proxied.client(token_endpoint_auth_method="tls_client_auth", tls_client_auth_subject_dn=SUBJECT)
    answer = proxied.token(rp, source=PROXY, headers={HEADER: value.encode("latin-1")})
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


def test_two_certificates_are_none(proxied: CertificateWorld) -> None:
    rp = proxied.client(token_endpoint_auth_method="tls_client_auth", tls_client_auth_subject_dn=SUBJECT)
    portal, other = (proxied.authority.issue(name, now=NOW) for name in ("portal", "other"))
    joined = {HEADER: f"{rfc9440(portal)}, {rfc9440(other)}"}
    assert proxied.token(rp, source=PROXY, headers=joined).status_code == 401


NAMES: dict[str, tuple[str, x509.GeneralName, str]] = {
    "tls_client_auth_san_dns": ("Portal.council.example", x509.DNSName("portal.council.example"), "portal.example"),
    "tls_client_auth_san_uri": (
        "https://portal.example/a",
        x509.UniformResourceIdentifier("https://portal.example/a"),
        "https://portal.example/A",
    ),
    "tls_client_auth_san_ip": ("2001:db8::1", x509.IPAddress(ip_address("2001:db8:0::1")), "2001:db8::2"),
    "tls_client_auth_san_email": ("portal@council.example", x509.RFC822Name("portal@council.example"), "x@y.example"),
}


@pytest.mark.parametrize("setting", NAMES)
def test_each_kind_of_name_is_looked_for_where_it_is_registered(proxied: CertificateWorld, setting: str) -> None:
    registered, alternative, another = NAMES[setting]
    holder = proxied.authority.issue("irrelevant", alternatives=(alternative,), now=NOW)
    for value, status in ((registered, 200), (another, 401)):
        rp = proxied.client(token_endpoint_auth_method="tls_client_auth", **{setting: value})
        assert proxied.token(rp, source=PROXY, headers=passed_on(holder)).status_code == status, value
    # The same text as a subject's common name is not that name.
    rp = proxied.client(token_endpoint_auth_method="tls_client_auth", **{setting: registered})
    as_subject = proxied.authority.issue(registered, now=NOW)
    assert proxied.token(rp, source=PROXY, headers=passed_on(as_subject)).status_code == 401


@pytest.mark.parametrize(
    ("registered", "status"),
    [
        (SUBJECT, 200),
        ("2.5.4.3=portal,O=Specimen Council,C=GB", 200),
        ("C=GB,O=Specimen Council,CN=portal", 401),
        ("CN=portal", 401),
        # RFC 2253 allowed blanks there, and RFC 4514 does not.
        ("CN=portal, O=Specimen Council, C=GB", 401),
        ("CN=Portal,O=Specimen Council,C=GB", 401),
        ("CN=portal,O=Specimen Council,C=GB,OU=x", 401),
        ("portal", 401),
    ],
)
def test_the_subject_is_compared_as_a_name_and_whole(proxied: CertificateWorld, registered: str, status: int) -> None:
    rp = proxied.client(token_endpoint_auth_method="tls_client_auth", tls_client_auth_subject_dn=registered)
    portal = proxied.authority.issue("portal", now=NOW)
    assert proxied.token(rp, source=PROXY, headers=passed_on(portal)).status_code == status


def test_an_authority_of_ours_issued_it_itself(proxied: CertificateWorld) -> None:
    rp = proxied.client(token_endpoint_auth_method="tls_client_auth", tls_client_auth_subject_dn=SUBJECT)
    folder = proxied.authority.folder
    impostor = self_signed("Test authority of clients", folder=folder, now=NOW, authority=True)
    colleague = proxied.authority.issue("someone", now=NOW)
    for holder in (
        impostor.issue("portal", now=NOW),
        self_signed("portal", folder=folder, now=NOW),
        # A client that was certified itself certifies nobody, and a subordinate authority has to be named.
        colleague.issue("portal", now=NOW),
        proxied.authority.issue("Subordinate", authority=True, now=NOW).issue("portal", now=NOW),
        proxied.authority.issue("portal", days=(-3, -1), now=NOW),
        proxied.authority.issue("portal", days=(1, 3), now=NOW),
    ):
        answer = proxied.token(rp, source=PROXY, headers=passed_on(holder))
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client"), holder.certificate.issuer


def test_a_self_signed_certificate_is_known_by_its_registered_key(proxied: CertificateWorld) -> None:
    method = "self_signed_tls_client_auth"
    own = self_signed("anything", folder=proxied.authority.folder, now=NOW)
    with_certificate = proxied.client(token_endpoint_auth_method=method, keys=[own.jwk()])
    with_key = proxied.client(token_endpoint_auth_method=method, keys=[own.jwk(with_certificate=False)])
    again = self_signed("anything", folder=proxied.authority.folder, now=NOW, key=own.key)
    stranger = self_signed("anything", folder=proxied.authority.folder, now=NOW)
    statuses = {
        (rp.client.client_id, holder.x5t_s256): proxied.token(rp, source=PROXY, headers=passed_on(holder)).status_code
        for rp in (with_certificate, with_key)
        for holder in (own, again, stranger)
    }
    # The same key in another certificate is that key, but not that certificate.
    assert list(statuses.values()) == [200, 401, 401, 200, 200, 401]
    over = self_signed("anything", folder=proxied.authority.folder, now=NOW, key=own.key, days=(-2, -1))
    assert proxied.token(with_key, source=PROXY, headers=passed_on(over)).status_code == 401


def test_one_clients_certificate_is_not_anothers(proxied: CertificateWorld) -> None:
    method = "self_signed_tls_client_auth"
    mine, yours = (self_signed("same", folder=proxied.authority.folder, now=NOW) for _ in range(2))
    first = proxied.client(token_endpoint_auth_method=method, keys=[mine.jwk()])
    second = proxied.client(token_endpoint_auth_method=method, keys=[yours.jwk()])
    assert proxied.token(first, source=PROXY, headers=passed_on(mine)).status_code == 200
    assert proxied.token(second, source=PROXY, headers=passed_on(mine)).status_code == 401
    # Nor does a certificate stand in for a method that was not registered.
    assert proxied.token(proxied.client(keys=[mine.jwk()]), source=PROXY, headers=passed_on(mine)).status_code == 401


@pytest.mark.parametrize("oauth", [{"tls_client_certificate_bound_access_tokens": True}, {"fapi2": True}])
def test_a_token_bound_to_a_certificate_opens_nothing_without_it(
    proxied: CertificateWorld, oauth: dict[str, bool]
) -> None:
    world, folder = proxied.world, proxied.authority.folder
    own, other = self_signed("own", folder=folder, now=NOW), self_signed("other", folder=folder, now=NOW)
    rp = proxied.client(token_endpoint_auth_method="self_signed_tls_client_auth", keys=[own.jwk()], **oauth)
    if not rp.client.oauth.fapi2:
        code, verifier = rp.code(world.signed_in(world.officer()))
        pairs = [
            ("grant_type", "authorization_code"),
            ("client_id", rp.client.client_id),
            ("code", code),
            ("redirect_uri", rp.client.redirect_uris[0]),
            ("code_verifier", verifier),
        ]
        answer = proxied.call("POST", "/token", data=pairs, source=PROXY, headers=passed_on(own))
        assert (answer.status_code, answer.json()["token_type"]) == (200, "Bearer"), answer.text
        bearer = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        shown = {"own": passed_on(own), "other": passed_on(other), "none": {}}
        statuses = {
            name: proxied.call("GET", "/userinfo", source=PROXY, headers=bearer | certificate).status_code
            for name, certificate in shown.items()
        }
        assert statuses == {"own": 200, "other": 401, "none": 401}
        assert proxied.call("GET", "/userinfo", source=STRANGER, headers=bearer | passed_on(own)).status_code == 401
    token = proxied.token(rp, source=PROXY, headers=passed_on(own)).json()["access_token"]
    assert unverified_claims(token)["cnf"] == {"x5t#S256": own.x5t_s256}


def test_a_client_of_bound_tokens_needs_its_certificate_whatever_it_authenticates_with(
    proxied: CertificateWorld,
) -> None:
    rp = proxied.client(tls_client_certificate_bound_access_tokens=True)
    own = self_signed("own", folder=proxied.authority.folder, now=NOW)
    without = rp.ask(grant_type="client_credentials")
    assert (without.status_code, without.json()["error"]) == (400, "invalid_request")
    pairs = [
        ("grant_type", "client_credentials"),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ("client_assertion", rp.assertion()),
    ]
    assert proxied.call("POST", "/token", data=pairs, source=PROXY, headers=passed_on(own)).status_code == 200


def test_discovery_offers_what_works_here(proxied: CertificateWorld) -> None:
    said = proxied.call("GET", "/.well-known/openid-configuration").json()
    methods = said["token_endpoint_auth_methods_supported"]
    assert {"tls_client_auth", "self_signed_tls_client_auth"} <= set(methods)
    assert said["tls_client_certificate_bound_access_tokens"] is True
    assert "mtls_endpoint_aliases" not in said


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"client_certificate_header": HEADER, "trusted_proxies": ()}, "GATEWAY_TRUSTED_PROXIES"),
        ({"client_certificate_header": "X Y"}, "GATEWAY_CLIENT_CERTIFICATE_HEADER"),
        ({"client_certificate_header": "Client_Cert"}, "GATEWAY_CLIENT_CERTIFICATE_HEADER"),
        ({"mtls_listen": "127.0.0.1:8443"}, "GATEWAY_MTLS_ADDRESS"),
        ({"mtls_address": "http://localhost:1"}, "GATEWAY_MTLS_ADDRESS"),
        ({"mtls_address": "https://localhost/x"}, "GATEWAY_MTLS_ADDRESS"),
        ({"client_certificate_header": None, "mtls_address": "https://localhost:1"}, "GATEWAY_MTLS_LISTEN"),
    ],
)
def test_settings_that_could_not_be_believed_are_refused(
    proxied: CertificateWorld, changes: dict[str, object], names: str
) -> None:
    settings: Settings = proxied.world.gateway.settings
    with pytest.raises(SettingsError, match=names):
        replace(settings, **changes)  # type: ignore[arg-type]
