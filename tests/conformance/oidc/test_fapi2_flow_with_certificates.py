"""FAPI 2.0 with certificates (RFC 8705): the client says who it is by one, and its tokens are bound to it."""

import base64
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from gateway.wire.jws import unverified_claims
from tests.kit.client_certificates import Holder, self_signed
from tests.kit.clock import FrozenClock
from tests.kit.mutual_tls import HEADER, PROXY, CertificateWorld, behind_a_proxy
from tests.kit.oidc_world import RelyingParty
from tests.kit.pushing import address_of, request_object

NOW = FrozenClock().now()


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


def call(
    proxied: CertificateWorld,
    path: str,
    shown: Holder | None,
    *,
    bearer: str | None = None,
    method: str = "POST",
    **form: str,
) -> requests.Response:
    """Call by way of the proxy, with this certificate."""
    headers = {HEADER: f":{base64.b64encode(shown.der).decode()}:"} if shown is not None else {}
    if bearer is not None:
        headers["Authorization"] = f"Bearer {bearer}"
    return proxied.call(method, path, source=PROXY, headers=headers, data=list(form.items()))


def of_the_portal(proxied: CertificateWorld, name: str) -> tuple[RelyingParty, Holder]:
    rp = proxied.client(
        fapi2=True,
        token_endpoint_auth_method="tls_client_auth",
        tls_client_auth_subject_dn=f"CN={name},O=Specimen Council,C=GB",
        tls_client_certificate_bound_access_tokens=True,
        id_token_signed_response_alg="PS256",
        authorization_signed_response_alg="PS256",
        require_signed_request_object=True,
    )
    return rp, proxied.authority.issue(name, now=NOW)


def code_of(proxied: CertificateWorld, rp: RelyingParty, shown: Holder) -> dict[str, str]:
    """The parameters of a token request, up to a code."""
    request, verifier = request_object(rp, response_mode="jwt", scope="openid offline_access")
    pushed = call(proxied, "/par", shown, client_id=rp.client.client_id, request=request)
    assert pushed.status_code == 201, pushed.text
    browser = proxied.world.signed_in(proxied.world.officer())
    answer = browser.get(address_of(rp, pushed.json()["request_uri"]))
    [response] = parse_qs(urlsplit(answer.headers["Location"]).query)["response"]
    return {
        "grant_type": "authorization_code",
        "client_id": rp.client.client_id,
        "code": unverified_claims(response)["code"],
        "code_verifier": verifier,
        "redirect_uri": rp.client.redirect_uris[0],
    }


def test_the_whole_flow(proxied: CertificateWorld) -> None:
    rp, own = of_the_portal(proxied, "portal")
    other = proxied.authority.issue("portal", now=NOW)
    answer = call(proxied, "/token", own, **code_of(proxied, rp, own))
    assert answer.status_code == 200, answer.text
    tokens = answer.json()
    assert tokens["token_type"] == "Bearer"
    assert unverified_claims(tokens["access_token"])["cnf"] == {"x5t#S256": own.x5t_s256}
    assert call(proxied, "/userinfo", own, bearer=tokens["access_token"], method="GET").status_code == 200
    # Without the certificate, and with another of the same name, the token opens nothing.
    for shown in (None, other):
        assert call(proxied, "/userinfo", shown, bearer=tokens["access_token"], method="GET").status_code == 401
    refresh = {
        "grant_type": "refresh_token",
        "client_id": rp.client.client_id,
        "refresh_token": tokens["refresh_token"],
    }
    for _ in range(2):
        refreshed = call(proxied, "/token", own, **refresh)
        assert refreshed.status_code == 200, refreshed.text
        assert refreshed.json().get("refresh_token", tokens["refresh_token"]) == tokens["refresh_token"]
    assert call(proxied, "/token", None, **refresh).json()["error"] == "invalid_client"


@pytest.mark.parametrize("shown", ["none", "another client's"])
def test_nobody_pushes_or_redeems_without_the_clients_certificate(proxied: CertificateWorld, shown: str) -> None:
    rp, own = of_the_portal(proxied, "portal")
    thief = proxied.authority.issue("thief", now=NOW) if shown != "none" else None
    request, _ = request_object(rp)
    pushed = call(proxied, "/par", thief, client_id=rp.client.client_id, request=request)
    assert (pushed.status_code, pushed.json()["error"]) == (401, "invalid_client")
    redeem = code_of(proxied, rp, own)
    refused = call(proxied, "/token", thief, **redeem)
    assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")
    assert call(proxied, "/token", own, **redeem).status_code == 200


def test_a_code_of_another_client(proxied: CertificateWorld) -> None:
    (rp, own), (thief, stolen_by) = of_the_portal(proxied, "portal"), of_the_portal(proxied, "thief")
    redeem = code_of(proxied, rp, own)
    refused = call(proxied, "/token", stolen_by, **(redeem | {"client_id": thief.client.client_id}))
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")


def test_a_certificate_does_not_sign_a_request_for_another_client(proxied: CertificateWorld) -> None:
    (rp, _), (thief, own) = of_the_portal(proxied, "portal"), of_the_portal(proxied, "thief")
    request, _verifier = request_object(rp)
    refused = call(proxied, "/par", own, client_id=thief.client.client_id, request=request)
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_request_object")
