"""Each rejection of whoever was authenticated is one entry of the log, which holds nothing of what they sent."""

import json
import re
import secrets
from typing import Any
from urllib.parse import urlencode

import pytest
import requests

from gateway.audit.events import EVENTS, REFUSED
from gateway.identity.accounts import suspend_account
from gateway.wire.signer import PrivateKeySigner
from tests.conformance.oidc.scenes import BOUND, Act, Scene, a_scene, details_of, refusals
from tests.kit.dpop import DPoPKey
from tests.kit.oidc_world import OidcWorld, hidden_fields
from tests.kit.pushing import asked, fapi_party, push, pushed, request_object
from tests.kit.tokens import EXCHANGE, exchange, post, refresh

pytestmark = pytest.mark.any_database
TOKENS, REQUEST, CLIENT = "oidc.tokens.refused", "oidc.request.refused", "oidc.client.rejected"
MISUSED, SIGN_IN, LOGOUT = "oidc.access_token.refused", "oidc.authorization.refused", "oidc.logout.refused"
REGISTRATION = "directory.registration.refused"


@pytest.fixture
def scene(provider: OidcWorld) -> Scene:
    return a_scene(provider)


def signed_for_another(path: str) -> Act:
    def act(scene: Scene) -> requests.Response:
        assertion = scene.rp.assertion(aud=f"https://{scene.word}.example", jti=scene.word)
        scene.sent.append(assertion)
        pairs = {"client_assertion": assertion, "token": scene.word, "grant_type": "client_credentials"}
        return post(scene.rp, path, **pairs)

    return act


def replayed_assertion(path: str) -> Act:
    def act(scene: Scene) -> requests.Response:
        assertion = scene.rp.assertion(jti=scene.word)
        scene.sent.append(assertion)
        assert scene.rp.ask(grant_type="client_credentials", assertion=assertion).status_code == 200
        pairs = {"client_assertion": assertion, "token": scene.word, "grant_type": "client_credentials"}
        return post(scene.rp, path, **pairs)

    return act


def code_of_another(scene: Scene) -> requests.Response:
    code, verifier = scene.rp.code(scene.browser)
    scene.sent += [code, verifier]
    return scene.another().redeem(code, verifier)


def code_without_its_verifier(scene: Scene) -> requests.Response:
    code, _ = scene.rp.code(scene.browser)
    wrong = secrets.token_urlsafe(48)
    scene.sent += [code, wrong]
    return scene.rp.redeem(code, wrong, redirect_uri=scene.rp.client.redirect_uris[0], state=scene.word)


def code_twice(scene: Scene) -> requests.Response:
    code, verifier = scene.rp.code(scene.browser)
    scene.sent += [code, verifier, scene.rp.redeem(code, verifier).json()["access_token"]]
    return scene.rp.redeem(code, verifier)


def refresh_token_twice(scene: Scene) -> requests.Response:
    token = scene.tokens(scope="openid offline_access")["refresh_token"]
    refresh(scene.rp, token)
    scene.provider.advance(seconds=31)
    return refresh(scene.rp, token)


def refresh_token_of_another(scene: Scene) -> requests.Response:
    return refresh(scene.another(), scene.tokens(scope="openid offline_access")["refresh_token"])


def without_its_proof(scene: Scene) -> requests.Response:
    return scene.another(oauth=BOUND).ask(grant_type="client_credentials", scope=scene.word)


def with_a_bad_proof(scene: Scene) -> requests.Response:
    proof = DPoPKey(clock=scene.provider.clock).proof("POST", f"https://{scene.word}.example/token", jti=scene.word)
    scene.sent.append(proof)
    return scene.rp.ask(grant_type="client_credentials", headers={"DPoP": proof})


def exchange_of_what_is_no_token(scene: Scene) -> requests.Response:
    return exchange(scene.another(grant_types=(EXCHANGE,)), scene.tokens()["id_token"])


def pushed_with_a_bad_object(scene: Scene) -> requests.Response:
    request, _ = request_object(scene.rp, state=scene.word, login_hint=scene.person.email, aud="https://x.example")
    scene.sent.append(request)
    return push(scene.rp, [("request", request)])


def weak_under_fapi(scene: Scene) -> requests.Response:
    rp = fapi_party(scene.provider)
    return push(rp, asked(rp, code_challenge_method="plain", state=scene.word, login_hint=scene.person.email)[0])


def introspecting_anothers(scene: Scene) -> requests.Response:
    return post(scene.another(), "/introspect", token=scene.tokens()["access_token"])


def revoking(kind: str) -> Act:
    def act(scene: Scene) -> requests.Response:
        return post(scene.another(), "/revoke", token=scene.tokens(scope="openid offline_access")[kind])

    return act


def for_another_resource(scene: Scene) -> requests.Response:
    token = scene.tokens(resource=scene.provider.sharing)["access_token"]
    return scene.show({"Authorization": f"Bearer {token}"})


def for_userinfo_at_the_exchange(scene: Scene) -> requests.Response:
    headers = {"Authorization": f"Bearer {scene.tokens()['access_token']}"}
    return requests.post(f"{scene.provider.sharing}/exchanges", headers=headers, timeout=10)


def without_the_scope(scene: Scene) -> requests.Response:
    rp = scene.another(resources=(f"{scene.rp.issuer}/userinfo",))
    token = scene.tokens(rp, scope="email", resource=f"{scene.rp.issuer}/userinfo")["access_token"]
    return scene.show({"Authorization": f"Bearer {token}"})


def bound_shown_as_a_bearers(scene: Scene) -> requests.Response:
    token, _ = scene.bound()
    return scene.show({"Authorization": f"Bearer {token}"})


def bound_shown_with_another_key(scene: Scene) -> requests.Response:
    token, _ = scene.bound()
    thief = DPoPKey(clock=scene.provider.clock)
    return scene.show(thief.showing(token, "GET", f"{scene.rp.issuer}/userinfo"))


def bound_shown_twice_with_one_proof(scene: Scene) -> requests.Response:
    token, key = scene.bound()
    headers = key.showing(token, "GET", f"{scene.rp.issuer}/userinfo")
    assert scene.show(headers).status_code == 200
    return scene.show(headers)


def of_somebody_suspended(scene: Scene) -> requests.Response:
    token = scene.tokens()["access_token"]
    with scene.provider.gateway.database.write() as session:
        suspend_account(session, scene.person.account.account_id, at=scene.provider.clock.now())
    return scene.show({"Authorization": f"Bearer {token}"})


def unsigned_at_the_exchange(scene: Scene) -> requests.Response:
    token = scene.tokens(resource=scene.provider.sharing)["access_token"]
    body = json.dumps({"subject": {"sub": scene.word}, "nino": "QQ123456C"})
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    return requests.post(f"{scene.provider.sharing}/exchanges", data=body, headers=headers, timeout=10)


def asking(**changes: Any) -> Act:
    def act(scene: Scene) -> requests.Response:
        more = {"state": scene.word, "nonce": scene.word, "login_hint": scene.person.email} | changes
        return scene.browser.get(scene.rp.request(**more)[0])

    return act


def asking_for_sharing_as_a_citizen(scene: Scene) -> requests.Response:
    browser = scene.provider.signed_in(citizen := scene.provider.citizen())
    return browser.get(scene.rp.request(resource=scene.provider.sharing, login_hint=citizen.email)[0])


def consent(**fields: str) -> Act:
    def act(scene: Scene) -> requests.Response:
        page = scene.browser.get(scene.rp.request(prompt="consent", state=scene.word)[0])
        token = hidden_fields(page.text)["csrf_token"]
        scene.sent.append(token)
        return scene.browser.post(page.url, {"csrf_token": token} | fields)

    return act


def hint_of_another(scene: Scene) -> requests.Response:
    return scene.browser.get(scene.another().request(id_token_hint=scene.tokens()["id_token"])[0])


def signing_out(**changes: str) -> Act:
    def act(scene: Scene) -> requests.Response:
        asks = {"id_token_hint": scene.tokens()["id_token"], "state": scene.word} | changes
        return scene.browser.get("/logout?" + urlencode(asks))

    return act


def signing_out_with_a_name_twice(scene: Scene) -> requests.Response:
    return scene.browser.get("/logout?" + urlencode([(scene.word, "1"), (scene.word, "2")]))


def sign_out_forged(scene: Scene) -> requests.Response:
    return scene.browser.post("/logout/confirm", {"csrf_token": scene.word, "ticket": scene.word})


def changing_a_registration(body: bytes) -> Act:
    def act(scene: Scene) -> requests.Response:
        metadata = {
            "client_name": "Specimen library",
            "redirect_uris": ["https://rp.example/callback"],
            "grant_types": ["authorization_code"],
            "jwks": {"keys": [PrivateKeySigner.generate("ES256").public_jwk()]},
        }
        told = scene.register(json.dumps(metadata).encode()).json()
        scene.sent.append(told["registration_access_token"])
        headers = {
            "Authorization": f"Bearer {told['registration_access_token']}",
            "Content-Type": "application/json",
        }
        return requests.put(told["registration_client_uri"], data=body, headers=headers, timeout=10)

    return act


REJECTIONS: dict[str, tuple[str, Act]] = {
    **{f"an assertion for another at {path}": (CLIENT, signed_for_another(path)) for path in ("/token", "/par")},
    "an assertion for another at /introspect": (CLIENT, signed_for_another("/introspect")),
    "an assertion for another at /revoke": (CLIENT, signed_for_another("/revoke")),
    "an assertion again at /token": (CLIENT, replayed_assertion("/token")),
    "an assertion again at /par": (CLIENT, replayed_assertion("/par")),
    "an assertion again at /introspect": (CLIENT, replayed_assertion("/introspect")),
    "an assertion again at /revoke": (CLIENT, replayed_assertion("/revoke")),
    "no grant": (TOKENS, lambda scene: scene.rp.ask(grant_type=scene.word)),
    "a grant it does not have": (TOKENS, lambda scene: exchange(scene.rp, scene.word)),
    "a guessed code": (TOKENS, lambda scene: scene.rp.redeem(scene.word, scene.word * 3)),
    "a code of another": (TOKENS, code_of_another),
    "a code without its verifier": (TOKENS, code_without_its_verifier),
    "a code again": ("oidc.code.replayed", code_twice),
    "a guessed refresh token": (TOKENS, lambda scene: refresh(scene.rp, scene.word)),
    "a refresh token of another": (TOKENS, refresh_token_of_another),
    "a refresh token again": ("oidc.refresh_token.replayed", refresh_token_twice),
    "a scope of nobody": (TOKENS, lambda scene: scene.rp.ask(grant_type="client_credentials", scope=scene.word)),
    "a resource of nobody": (
        TOKENS,
        lambda scene: scene.rp.ask(grant_type="client_credentials", resource=f"https://{scene.word}.example"),
    ),
    "no proof": (TOKENS, without_its_proof),
    "a bad proof": (TOKENS, with_a_bad_proof),
    "exchanging what is no token": (TOKENS, exchange_of_what_is_no_token),
    "pushing a request it may not make": (
        REQUEST,
        lambda scene: push(scene.rp, asked(scene.rp, scope=f"openid {scene.word}\u2028", state=scene.word)[0]),
    ),
    "pushing for an address of another": (
        REQUEST,
        lambda scene: push(scene.rp, asked(scene.rp, redirect_uri=f"https://{scene.word}.example")[0]),
    ),
    "pushing a reference": (
        REQUEST,
        lambda scene: push(scene.rp, asked(scene.rp, request_uri=pushed(scene.rp)[0])[0]),
    ),
    "pushing a bad object": (REQUEST, pushed_with_a_bad_object),
    "pushing something weak": (REQUEST, weak_under_fapi),
    "introspecting another's token": ("oidc.introspection.refused", introspecting_anothers),
    "revoking another's access token": ("oidc.revocation.refused", revoking("access_token")),
    "revoking another's refresh token": ("oidc.revocation.refused", revoking("refresh_token")),
    "a token of another resource at userinfo": (MISUSED, for_another_resource),
    "a token of userinfo at the exchange": (MISUSED, for_userinfo_at_the_exchange),
    "a token without the scope": (MISUSED, without_the_scope),
    "a bound token as a bearer's": (MISUSED, bound_shown_as_a_bearers),
    "a bound token with another key": (MISUSED, bound_shown_with_another_key),
    "a bound token with a proof again": (MISUSED, bound_shown_twice_with_one_proof),
    "a token of somebody suspended": (MISUSED, of_somebody_suspended),
    "a request to share that nobody signed": ("sharing.request.rejected", unsigned_at_the_exchange),
    "asking about somebody of another kind": (SIGN_IN, asking_for_sharing_as_a_citizen),
    "a level that cannot be reached": (
        SIGN_IN,
        asking(claims='{"id_token":{"acr":{"essential":true,"values":["AAL3"]}}}'),
    ),
    "a hint that is none": (SIGN_IN, asking(id_token_hint="x.y.z")),
    "a hint of another": (SIGN_IN, hint_of_another),
    "no consent": (SIGN_IN, consent(decision="no")),
    "a forged consent": (SIGN_IN, consent(decision="yes", csrf_token="forged")),
    "signing out to another's address": (LOGOUT, signing_out(post_logout_redirect_uri="https://attacker.example/")),
    "signing out with another's hint": (LOGOUT, signing_out(client_id="somebody-else")),
    "signing out with a hint that is none": (LOGOUT, signing_out(id_token_hint="x.y.z")),
    "signing out with a name twice": (LOGOUT, signing_out_with_a_name_twice),
    "a forged sign-out": (LOGOUT, sign_out_forged),
    "registering what is not allowed": (
        REGISTRATION,
        lambda scene: scene.register(json.dumps({"client_name": scene.word, "scope": scene.word}).encode()),
    ),
    "registering what is no metadata": (REGISTRATION, lambda scene: scene.register(scene.word.encode())),
    "registering in another form": (REGISTRATION, lambda scene: scene.register(b"{}", kind="text/plain")),
    "changing a registration to what is not allowed": (REGISTRATION, changing_a_registration(b'{"client_id":"x"}')),
    "changing a registration to what is no metadata": (REGISTRATION, changing_a_registration(b"[")),
}


@pytest.mark.parametrize("rejection", REJECTIONS)
def test_a_rejection_of_somebody_authenticated_is_one_entry_that_tells_no_secret(scene: Scene, rejection: str) -> None:
    name, act = REJECTIONS[rejection]
    answer = act(scene)
    # Turned away: by an error, or told no more than that there is nothing (RFC 7009 §2.2, RFC 7662 §2.2).
    told = answer.text + answer.headers.get("Location", "")
    assert "access_token" not in told
    assert "code=" not in told
    events = refusals(scene.provider)
    # A replay is two facts: the request was refused, and what came of the first use was taken back.
    facts = [name, TOKENS] if name.endswith(".replayed") else [name]
    assert sorted(event.name for event in events) == sorted(facts)
    details = " ".join(details_of(scene.provider, event) for event in events)
    for sent in (scene.word, scene.person.email, scene.person.password, "Testcase", "QQ123456C", *scene.sent):
        assert sent not in details
        assert not [part for part in sent.split(".") if len(part) > 20 and part in details]  # of a JWT
    # Nor anything that looks like a token, whoever made it.
    assert not re.search(r"eyJ|attacker\.example|forged", details)
    public = json.dumps([[event.members, event.reference, event.outcome] for event in events])
    assert scene.word not in public
    assert str(scene.person.account.account_id) not in public


def test_every_refusal_of_the_provider_that_can_be_recorded_is_among_these() -> None:
    mine = {name for name, event in EVENTS.items() if name.startswith("oidc.") and REFUSED in event.outcomes}
    assert mine | {REGISTRATION} <= {name for name, _ in REJECTIONS.values()}
