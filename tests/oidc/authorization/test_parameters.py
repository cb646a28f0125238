"""The parameters of `/authorize` one by one: which are demanded, which ignored, which refused."""

import json
from collections.abc import Callable
from urllib.parse import unquote

import pytest
from sqlalchemy import func, select

from gateway.audit.models import NoiseRow
from gateway.directory.oauth import OAuthSettings
from gateway.oidc.claims_request import ClaimAsked, ClaimsRequest
from tests.kit.oidc_world import Answer, OidcWorld
from tests.oidc.authorization.asking import answer_of, authorization_of, error_of

THUMBPRINT = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"


def without_pkce(**changes: object) -> dict[str, object]:
    return {"code_challenge": None, "code_challenge_method": None} | changes


def test_a_client_exempt_by_name_may_do_without_pkce_if_it_sends_a_nonce(world: OidcWorld) -> None:
    exempt = world.relying_party(oauth=OAuthSettings(pkce_exempt=True))
    browser = world.signed_in(world.officer())
    answer = answer_of(browser.get(exempt.request(**without_pkce())[0]))
    assert exempt.redeem(answer["code"], None).status_code == 200
    for asked in (
        without_pkce(nonce=None),
        without_pkce(scope="profile", resource=world.sharing),  # without an ID token, a nonce comes back to nobody
        without_pkce(code_challenge_method="S256"),
        {"code_challenge_method": "plain"},
        {"code_challenge_method": None},
    ):
        assert error_of(browser.get(exempt.request(**asked)[0])) == "invalid_request", asked


def test_a_client_that_is_not_exempt_may_not_do_without_pkce(world: OidcWorld) -> None:
    browser = world.signed_in(world.officer())
    assert error_of(browser.get(world.relying_party().request(**without_pkce())[0])) == "invalid_request"


def test_an_exempt_client_that_uses_pkce_is_held_to_it(world: OidcWorld) -> None:
    exempt = world.relying_party(oauth=OAuthSettings(pkce_exempt=True))
    browser = world.signed_in(world.officer())
    for verifier in (None, "x" * 43):
        answer = answer_of(browser.get(exempt.request()[0]))
        assert exempt.redeem(answer["code"], verifier).json()["error"] in {"invalid_grant", "invalid_request"}


def test_a_verifier_for_a_code_without_a_challenge_is_refused(world: OidcWorld) -> None:
    # RFC 9700 §4.8.2: who sends a verifier believes that a challenge was sent; somebody has taken it away.
    exempt = world.relying_party(oauth=OAuthSettings(pkce_exempt=True))
    answer = answer_of(world.signed_in(world.officer()).get(exempt.request(**without_pkce())[0]))
    assert exempt.redeem(answer["code"], "v" * 43).json()["error"] in {"invalid_grant", "invalid_request"}


def test_without_openid_it_is_plain_oauth_for_a_resource_of_the_client(world: OidcWorld) -> None:
    rp = world.relying_party()
    browser = world.signed_in(world.officer())
    for asked in ({"scope": None}, {"scope": "email"}, {"scope": None, "resource": world.sharing}):
        address, verifier = rp.request(**asked)
        tokens = rp.redeem(answer_of(browser.get(address))["code"], verifier).json()
        assert "access_token" in tokens
        assert "id_token" not in tokens
        assert rp.userinfo(tokens["access_token"]).status_code in {401, 403}


def test_plain_oauth_for_nothing_in_particular_is_refused(world: OidcWorld) -> None:
    browser = world.signed_in(world.officer())
    nothing = world.relying_party(resources=())
    assert error_of(browser.get(nothing.request(scope=None)[0])) == "invalid_scope"
    several = world.relying_party(resources=(world.sharing, "https://api.council.example/"))
    assert error_of(browser.get(several.request(scope=None)[0])) == "invalid_target"
    userinfo = {"scope": None, "resource": f"{world.issuer}/userinfo"}
    assert error_of(browser.get(several.request(**userinfo)[0])) == "invalid_target"


@pytest.mark.parametrize("scope", ['openid "quoted"', "openid back\\slash", " openid", "openid ünïcode"])
def test_a_scope_that_is_not_well_formed_is_refused(world: OidcWorld, scope: str) -> None:
    browser = world.signed_in(world.officer())
    assert error_of(browser.get(world.relying_party().request(scope=scope)[0])) == "invalid_scope"


def test_the_key_to_which_a_code_is_bound_is_kept_with_it(world: OidcWorld) -> None:
    rp, browser = world.relying_party(), world.signed_in(world.officer())
    code = answer_of(browser.get(rp.request(dpop_jkt=THUMBPRINT)[0]))["code"]
    assert authorization_of(world, code).dpop_jkt == THUMBPRINT
    for wrong in ("short", THUMBPRINT + "=", THUMBPRINT[:-1] + "+"):
        assert error_of(browser.get(rp.request(dpop_jkt=wrong)[0])) == "invalid_request"


def test_what_was_asked_by_name_is_kept_as_it_was_understood(world: OidcWorld) -> None:
    rp, browser = world.relying_party(), world.signed_in(world.officer())
    asked = {
        "userinfo": {"email": {"essential": True, "unheard_of": 1}, "birthdate": None},
        "id_token": {"acr": {"value": "AAL2"}, "given_name": {"values": []}},
        "unheard_of": {"x": 1},
    }
    code = answer_of(browser.get(rp.request(claims=json.dumps(asked))[0]))["code"]
    understood = ClaimsRequest.from_stored(authorization_of(world, code).claims)
    assert understood == ClaimsRequest(
        userinfo={"email": ClaimAsked(essential=True), "birthdate": ClaimAsked()},
        id_token={"acr": ClaimAsked(values=("AAL2",)), "given_name": ClaimAsked()},
    )
    code = answer_of(browser.get(rp.request(claims='{"userinfo": null}')[0]))["code"]
    assert authorization_of(world, code).claims is None


@pytest.mark.parametrize(
    "claims",
    [
        "not json",
        "[]",
        '{"userinfo": []}',
        '{"userinfo": {"email": true}}',
        '{"id_token": {"acr": {"essential": "yes"}}}',
        '{"id_token": {"acr": {"values": "AAL2"}}}',
        '{"userinfo": {}, "userinfo": {"email": null}}',
        '{"userinfo": {"a": NaN}}',
        '{"userinfo": ' * 600,
        json.dumps({"userinfo": {f"c{number}": None for number in range(101)}}),
    ],
    ids=lambda text: text[:30],
)
def test_claims_that_cannot_be_read_are_refused(world: OidcWorld, claims: str) -> None:
    rp, browser = world.relying_party(), world.signed_in(world.officer())
    fields = Answer(address=rp.request(claims=claims)[0]).parameters
    assert error_of(browser.post("/authorize", fields)) == "invalid_request"


def test_wishes_about_the_pages_are_accepted_and_unknown_ones_ignored(world: OidcWorld) -> None:
    rp, browser = world.relying_party(), world.signed_in(world.officer())
    for asked in (
        *({"display": value} for value in ("page", "popup", "touch", "wap", "hologram")),
        {"ui_locales": "cy en-GB fr", "claims_locales": "cy", "unheard_of": "x", "display": ""},
        {"ui_locales": "../../etc"},
    ):
        assert "code" in answer_of(browser.get(rp.request(**asked)[0])), asked


REPEATABLE_ELSEWHERE = (
    *("response_type", "scope", "state", "nonce", "code_challenge", "code_challenge_method", "prompt"),
    *("max_age", "id_token_hint", "login_hint", "acr_values", "claims", "display", "ui_locales", "response_mode"),
    *("dpop_jkt", "unheard_of"),
)


@pytest.mark.parametrize("name", REPEATABLE_ELSEWHERE)
@pytest.mark.parametrize("method", ["get", "post"])
def test_a_repeated_parameter_is_refused(world: OidcWorld, name: str, method: str) -> None:
    rp, browser = world.relying_party(), world.browser()
    address, _ = rp.request()
    given = Answer(address=address).parameters
    value = given.get(name, "x")
    if method == "get":
        separator = "" if name in given else f"&{name}={value}"
        response = browser.get(f"{address}{separator}&{name}={value}")
    else:
        pairs = [*(pair for pair in given.items() if pair[0] != name), (name, value), (name, value)]
        response = browser.post("/authorize", pairs)  # type: ignore[arg-type]
    assert error_of(response) == "invalid_request"


@pytest.mark.parametrize("name", ["client_id", "redirect_uri"])
def test_a_repeated_name_or_address_of_the_asker_is_a_page(world: OidcWorld, name: str) -> None:
    rp, browser = world.relying_party(), world.browser()
    address, _ = rp.request()
    page = browser.get(f"{address}&{name}={Answer(address=address).parameters[name]}")
    assert page.status_code == 400
    assert "Location" not in page.headers


def test_a_request_that_nobody_signed_is_counted_and_no_event_of_anybody(world: OidcWorld) -> None:
    rp, browser = world.relying_party(scopes=("openid",)), world.signed_in(world.officer())

    def counted() -> int:
        with world.gateway.database.read() as session:
            seen = select(func.sum(NoiseRow.count)).where(NoiseRow.code == "oidc.authorization.invalid_scope")
            return session.scalar(seen) or 0

    before = counted()
    assert error_of(browser.get(rp.request(scope="openid email")[0])) == "invalid_scope"
    assert counted() == before + 1
    assert world.events("oidc.authorization.refused") == []


def test_several_resources_may_be_asked_for(world: OidcWorld) -> None:
    rp, browser = world.relying_party(), world.signed_in(world.officer())
    both = [world.sharing, f"{world.issuer}/userinfo", world.sharing]
    code = answer_of(browser.get(rp.request(resource=both)[0]))["code"]
    assert authorization_of(world, code).resources == both[:2]


@pytest.mark.parametrize("max_age", ["-1", "1.5", "soon", "9" * 10, "٣"])
def test_a_max_age_that_is_no_number_of_seconds_is_refused(world: OidcWorld, max_age: str) -> None:
    browser = world.signed_in(world.officer())
    assert error_of(browser.get(world.relying_party().request(max_age=max_age)[0])) == "invalid_request"


def test_a_request_that_fits_into_no_address_is_refused_and_told_what_to_do(world: OidcWorld) -> None:
    rp, browser = world.relying_party(), world.browser()
    hard_to_pack = "".join(f"{number:x}-{number * 7919:o}." for number in range(600))
    fields = Answer(address=rp.request()[0]).parameters | {"ui_locales": hard_to_pack[:8000]}
    answer = answer_of(browser.post("/authorize", fields | {"claims_locales": hard_to_pack[::-1][:8000]}))
    assert answer["error"] == "invalid_request"
    assert "push" in answer["error_description"]


def test_our_own_address_holds_nothing_of_what_was_asked(world: OidcWorld) -> None:
    rp = world.relying_party()
    page = world.browser().get(rp.request(state="state-to-keep", login_hint="olive.sample@council.example")[0])
    assert page.status_code == 200
    for secret in ("state-to-keep", "olive.sample", rp.client.client_id):
        assert secret not in unquote(page.url)


def damaged(ticket: str) -> str:
    return ticket[:-1] + ("A" if ticket[-1] != "A" else "B")


@pytest.mark.parametrize(
    "change", [damaged, lambda _: "", lambda _: "x", lambda ticket: ticket[:20], lambda ticket: "A" * len(ticket)]
)
def test_a_ticket_that_is_not_ours_is_a_page(world: OidcWorld, change: Callable[[str], str]) -> None:
    browser = world.browser()
    page = browser.get(world.relying_party().request()[0])
    ticket = unquote(page.url).partition("ticket=")[2]
    answer = browser.session.get(
        f"{world.issuer}/authorize/continue", params={"ticket": change(ticket)}, allow_redirects=False, timeout=10
    )
    assert answer.status_code == 400
    assert "not begun here" in answer.text
