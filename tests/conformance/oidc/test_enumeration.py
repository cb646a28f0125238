"""Finding out who there is, by words or by work: clients where they authenticate, people where they sign in.

That a `client_id` exists is no secret: the authorization endpoint has to tell an unknown one from a wrong address (RFC
6749 §4.1.2.1), and every browser that is sent there shows it. What a client has registered, and who has an account, is.
"""

import re
from collections.abc import Callable
from dataclasses import replace

import pytest
import requests

from gateway.directory.oauth import OAuthSettings
from gateway.identity.accounts import suspend_account
from gateway.identity.passwords import Passwords
from gateway.wire.signer import PrivateKeySigner
from tests.kit.oidc_world import OidcWorld, Person, RelyingParty, hidden_fields
from tests.kit.pushing import fapi_party
from tests.kit.tokens import post, refresh

pytestmark = pytest.mark.any_database


def words_of(answer: requests.Response) -> tuple[int, str, dict[str, str]]:
    """All that an answer says, but for what differs in every answer."""
    volatile = {"date", "x-request-id", "content-security-policy", "server", "set-cookie", "content-length"}
    headers = {name.lower(): value for name, value in answer.headers.items() if name.lower() not in volatile}
    return answer.status_code, answer.text, headers


def disabled(provider: OidcWorld) -> RelyingParty:
    rp = provider.relying_party()
    provider.change_client(replace(rp.client, active=False))
    return rp


def stranger(provider: OidcWorld) -> RelyingParty:
    rp = provider.relying_party()
    return replace(rp, client=replace(rp.client, client_id="client-nobody"))


def impostor(provider: OidcWorld) -> RelyingParty:
    rp = provider.relying_party()
    return replace(rp, signer=PrivateKeySigner.generate("ES256", key_id=rp.client.keys[0]["kid"]))


def without_keys(provider: OidcWorld) -> RelyingParty:
    return provider.relying_party(keys=())


def of_another_method(provider: OidcWorld) -> RelyingParty:
    return provider.relying_party(oauth=OAuthSettings(token_endpoint_auth_method="client_secret_basic"))


def under_fapi_and_weak(provider: OidcWorld) -> RelyingParty:
    weak = PrivateKeySigner.generate("RS256")
    return fapi_party(provider, signer=weak)


def with_unreachable_keys(provider: OidcWorld) -> RelyingParty:
    return provider.relying_party(keys=(), oauth=OAuthSettings(jwks_uri="https://10.0.0.1/jwks.json"))


CLIENTS: tuple[Callable[[OidcWorld], RelyingParty], ...] = (
    impostor,
    disabled,
    without_keys,
    of_another_method,
    under_fapi_and_weak,
    with_unreachable_keys,
)


@pytest.mark.parametrize("path", ["/token", "/par", "/introspect", "/revoke"])
@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.__name__)
def test_enumeration_of_clients_by_words(
    provider: OidcWorld, client: Callable[[OidcWorld], RelyingParty], path: str
) -> None:
    unknown, known = (
        words_of(post(rp, path, grant_type="client_credentials", token="x"))
        for rp in (stranger(provider), client(provider))
    )
    assert known == unknown
    assert known[0] == 401


def test_enumeration_of_codes_and_refresh_tokens_by_words(provider: OidcWorld) -> None:
    """Another client's, a used one and one that never was are the same."""
    rp, thief = provider.relying_party(), provider.relying_party()
    browser = provider.signed_in(provider.officer())
    code, verifier = rp.code(browser, scope="openid offline_access")
    guessed = words_of(thief.redeem("A" * len(code), verifier))
    assert words_of(thief.redeem(code, verifier)) == guessed
    tokens = rp.redeem(code, verifier).json()
    assert words_of(thief.redeem(code, verifier)) == guessed
    token = tokens["refresh_token"]
    assert words_of(refresh(thief, token)) == words_of(refresh(thief, "A" * len(token)))
    for path in ("/introspect", "/revoke"):
        told = [words_of(post(thief, path, token=each)) for each in (token, tokens["access_token"], "A" * 43, "a.b.c")]
        assert told == [told[0]] * 4


def test_enumeration_of_registered_addresses_by_words(provider: OidcWorld) -> None:
    """An address of another client, one like a registered one, and one of nobody are the same page."""
    rp = provider.relying_party(redirect_uris=("https://rp.council.example/callback",))
    other = provider.relying_party(redirect_uris=("https://other.council.example/callback",))
    pages = {
        (answer.status_code, without_nonces(answer))
        for address in (
            other.client.redirect_uris[0],
            "https://rp.council.example/callback/",
            "https://nobody.example/callback",
        )
        for answer in [provider.browser().get(rp.request(redirect_uri=address)[0])]
    }
    assert len(pages) == 1
    assert "council.example" not in next(iter(pages))[1]


def test_enumeration_of_registrations_by_words(provider: OidcWorld) -> None:
    known = provider.relying_party().client.client_id
    headers = {"Authorization": "Bearer guess"}
    for method in ("GET", "PUT", "DELETE"):
        told = [
            words_of(requests.request(method, f"{provider.issuer}/register/{name}", headers=headers, timeout=10))
            for name in (known, "nobody")
        ]
        assert told[0] == told[1]


def without_nonces(page: requests.Response, *but_for: str) -> str:
    """A page without what differs in every page, and without words that the test itself sent."""
    text = page.text
    nonce = re.search(r"'nonce-([^']*)'", page.headers["Content-Security-Policy"])
    found = [*but_for, *hidden_fields(text).values(), page.headers["X-Request-Id"], *([nonce[1]] if nonce else [])]
    for each in found:
        text = text.replace(each, "")
    return re.sub(r"ticket(=|%3D)[A-Za-z0-9_-]*", "", text)


def suspended(provider: OidcWorld) -> Person:
    person = provider.citizen()
    with provider.gateway.database.write() as session:
        suspend_account(session, person.account.account_id, at=provider.clock.now())
    return person


@pytest.mark.parametrize("hinted", [True, False], ids=["with login_hint", "typed"])
def test_enumeration_of_people_by_words_and_by_work(
    provider: OidcWorld, monkeypatch: pytest.MonkeyPatch, *, hinted: bool
) -> None:
    """Unknown, known with either kind of account, taken by no such service, suspended: one page, and as many hashes."""
    rp = provider.relying_party(account_kinds=("citizen",))
    hashed = 0
    matches = Passwords.matches

    def counting(self: Passwords, stored: str | None, password: str) -> bool:
        nonlocal hashed
        hashed += 1
        return matches(self, stored, password)

    monkeypatch.setattr(Passwords, "matches", counting)
    seen = set()
    emails = [
        "nobody.specimen@council.example",
        provider.citizen().email,
        provider.citizen(with_code=False).email,
        provider.officer().email,
        suspended(provider).email,
    ]
    for email in emails:
        hashed = 0
        browser = provider.browser()
        first = browser.get(rp.request(login_hint=email if hinted else None)[0])
        assert (email in first.text) == hinted
        refused = browser.submit(first, {"email": email, "password": "wrong password"})
        pages = tuple(without_nonces(page, email) for page in (first, refused))
        seen.add((first.status_code, refused.status_code, *pages, tuple(sorted(refused.headers)), hashed))
    assert len(seen) == 1
