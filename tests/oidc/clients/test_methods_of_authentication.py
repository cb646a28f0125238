"""RFC 6749 §2.3: exactly the method a client registered, one alone; secrets as an exception, never for FAPI."""

import base64
import secrets
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import quote_plus

import pytest
import requests
from sqlalchemy import text

from gateway.directory.oauth import OAuthSettings
from tests.kit.oidc_world import ASSERTION_TYPE, OidcWorld, RelyingParty

GRANT = ("grant_type", "client_credentials")


def with_secret(world: OidcWorld, method: str, **changes: Any) -> tuple[RelyingParty, str]:
    """A client that authenticates with a secret, and the secret."""
    rp = world.relying_party(oauth=OAuthSettings(token_endpoint_auth_method=method, **changes))
    return rp, new_secret(world, rp)


def new_secret(world: OidcWorld, rp: RelyingParty, *, overlap: timedelta = timedelta(0)) -> str:
    kept = world.gateway.provider.client_authentication.secrets
    with world.gateway.database.write() as session:
        return kept.issue_secret(session, rp.client.client_id, now=world.clock.now(), overlap=overlap).secret


def basic(client_id: str, secret: str, *, scheme: str = "Basic") -> dict[str, str]:
    joined = f"{quote_plus(client_id)}:{quote_plus(secret)}".encode()
    return {"Authorization": f"{scheme} {base64.b64encode(joined).decode()}"}


def by_header(rp: RelyingParty, secret: str, **changes: str) -> requests.Response:
    return rp.post_token([GRANT, *changes.items()], headers=basic(rp.client.client_id, secret))


def by_form(rp: RelyingParty, secret: str) -> requests.Response:
    return rp.post_token([GRANT, ("client_id", rp.client.client_id), ("client_secret", secret)])


WAYS: dict[str, Callable[[RelyingParty, str], requests.Response]] = {
    "client_secret_basic": by_header,
    "client_secret_post": by_form,
}


def refused(answer: requests.Response) -> bool:
    return (answer.status_code, answer.json().get("error")) == (401, "invalid_client")


@pytest.mark.parametrize("method", WAYS)
def test_a_secret_works_by_the_registered_way_alone(world: OidcWorld, method: str) -> None:
    rp, secret = with_secret(world, method)
    for way, ask in WAYS.items():
        assert (ask(rp, secret).status_code == 200) == (way == method), way
    # Nor does its key, though it is registered.
    assert refused(rp.ask(grant_type="client_credentials"))
    by_key = world.relying_party()
    new_secret(world, by_key)
    assert all(refused(ask(by_key, new_secret(world, by_key))) for ask in WAYS.values())


@pytest.mark.parametrize("method", WAYS)
def test_a_wrong_secret_is_refused_and_in_the_log(world: OidcWorld, method: str) -> None:
    rp, secret = with_secret(world, method)
    other, secret_of_other = with_secret(world, method)
    for wrong in (secret[:-1], secret + "x", secrets.token_urlsafe(32), secret_of_other, "é" * 20, "%", "x" * 7000):
        assert refused(WAYS[method](rp, wrong)), wrong
    assert {event["reason"] for event in world.events("oidc.client.rejected")} == {"wrong_secret"}
    assert WAYS[method](rp, secret).status_code == 200
    assert WAYS[method](other, secret_of_other).status_code == 200


def test_a_client_that_tried_the_header_is_told_which_scheme(world: OidcWorld) -> None:
    rp, secret = with_secret(world, "client_secret_basic")
    for headers in (
        basic(rp.client.client_id, "wrong"),
        basic("nobody-we-know", secret),
        basic(rp.client.client_id, secret, scheme="Bearer"),
        {"Authorization": "Basic"},
        {"Authorization": "Basic !!!"},
        {"Authorization": "Basic " + base64.b64encode(b"no colon").decode()},
        {"Authorization": "Basic " + base64.b64encode(b"\xff\xfe:\xff").decode()},
        {"Authorization": "Basic " + base64.b64encode(f"{rp.client.client_id}:{secret}%00".encode()).decode()},
    ):
        answer = rp.post_token([GRANT], headers=headers)
        assert refused(answer), headers
        assert answer.headers["WWW-Authenticate"].startswith("Basic "), headers
    # Who tried otherwise is not asked for a password by a browser.
    assert "WWW-Authenticate" not in rp.post_token([GRANT]).headers


def test_both_halves_are_form_encoded(world: OidcWorld) -> None:
    client_id = f"a b+c:{secrets.token_hex(4)}%"
    rp = world.relying_party(client_id=client_id, oauth=OAuthSettings(token_endpoint_auth_method="client_secret_basic"))
    assert by_header(rp, new_secret(world, rp)).status_code == 200


def test_several_methods_at_once_are_refused(world: OidcWorld) -> None:
    rp, secret = with_secret(world, "client_secret_basic")
    keyed = world.relying_party()
    assertion = [("client_assertion_type", ASSERTION_TYPE), ("client_assertion", keyed.assertion())]
    for pairs, headers in (
        ([GRANT, ("client_secret", secret)], basic(rp.client.client_id, secret)),
        ([GRANT, *assertion], basic(rp.client.client_id, secret)),
        ([GRANT, *assertion, ("client_secret", secret)], {}),
        ([GRANT, *assertion], {"Authorization": "Bearer x"}),
    ):
        assert refused(rp.post_token(pairs, headers=headers))
    assert refused(by_header(rp, secret, client_id=keyed.client.client_id))
    assert by_header(rp, secret, client_id=rp.client.client_id).status_code == 200


def test_two_secrets_work_while_one_takes_over_from_the_other(world: OidcWorld) -> None:
    rp, old = with_secret(world, "client_secret_post")
    new = new_secret(world, rp, overlap=timedelta(minutes=10))
    assert [by_form(rp, secret).status_code for secret in (old, new)] == [200, 200]
    world.advance(minutes=11)
    assert [by_form(rp, secret).status_code for secret in (old, new)] == [401, 200]


def test_no_secret_is_in_the_database(world: OidcWorld) -> None:
    rp, secret = with_secret(world, "client_secret_post")
    assert by_form(rp, secret).status_code == 200
    with world.gateway.database.read() as session:
        rows = session.execute(
            text("SELECT * FROM client_secrets WHERE client_id = :client"), {"client": rp.client.client_id}
        ).all()
    assert rows
    assert secret not in str(rows)
    assert secret.encode() not in b"".join(bytes(value) for row in rows for value in row if isinstance(value, bytes))


@pytest.mark.parametrize("method", WAYS)
def test_a_client_under_fapi_never_authenticates_with_a_secret(world: OidcWorld, method: str) -> None:
    rp, secret = with_secret(world, method)
    assert WAYS[method](rp, secret).status_code == 200
    world.change_client(replace(rp.client, oauth=replace(rp.client.oauth, fapi2=True)))
    assert refused(WAYS[method](rp, secret))


def test_a_certificate_method_without_any_certificate_is_refused(world: OidcWorld) -> None:
    for method in ("tls_client_auth", "self_signed_tls_client_auth"):
        rp = world.relying_party(
            oauth=OAuthSettings(token_endpoint_auth_method=method, tls_client_auth_subject_dn="CN=specimen")
        )
        assert refused(rp.post_token([GRANT, ("client_id", rp.client.client_id)]))
        assert refused(rp.ask(grant_type="client_credentials"))
