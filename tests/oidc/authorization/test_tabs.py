"""Several tabs of one browser sign in at once, in any order, and every one of them succeeds."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import permutations

import pytest
import requests

from tests.kit.oidc_world import Browser, OidcWorld, Person, hidden_fields
from tests.oidc.authorization.asking import answer_of


def password_of(person: Person) -> dict[str, str]:
    return {"email": person.email, "password": person.password}


def submit_until_answered(
    world: OidcWorld, browser: Browser, page: requests.Response, person: Person
) -> requests.Response:
    """Fill in whatever page the tab shows until it is sent back to its service, as a person would."""
    for _ in range(3):
        if "Location" in page.headers:
            return page
        assert page.status_code == 200, page.text
        fields = {"code": person.code(world.clock)} if "/sign-in/code" in page.url else password_of(person)
        page = browser.submit(page, fields)
    return page


@pytest.mark.parametrize("order", list(permutations(range(3))), ids=str)
def test_tabs_finish_in_any_order(world: OidcWorld, order: Sequence[int]) -> None:
    officer, browser = world.officer(), world.browser()
    services = [world.relying_party() for _ in order]
    asked = [rp.request() for rp in services]
    pages = [browser.get(address) for address, _ in asked]
    for tab in order:
        answer = answer_of(submit_until_answered(world, browser, pages[tab], officer))
        assert services[tab].redeem(answer["code"], asked[tab][1]).status_code == 200


def test_every_tab_gives_its_password_before_any_gives_its_code(world: OidcWorld) -> None:
    rp, officer, browser = world.relying_party(), world.officer(), world.browser()
    asked = [rp.request() for _ in range(4)]
    pages = [browser.get(address) for address, _ in asked]
    pages = [browser.submit(page, password_of(officer)) for page in pages]
    for (_, verifier), page in zip(asked, reversed(pages), strict=True):
        answer = answer_of(submit_until_answered(world, browser, page, officer))
        assert answer["code"]
        del verifier


def test_tabs_that_each_demand_a_sign_in_are_served_by_one(world: OidcWorld) -> None:
    rp, officer, browser = world.relying_party(), world.officer(), world.signed_in(world.officer())
    world.advance(minutes=3)
    asked = [rp.request(prompt="login") for _ in range(3)]
    pages = [browser.get(address) for address, _ in asked]
    answers = [answer_of(submit_until_answered(world, browser, page, officer)) for page in pages]
    for answer, (_, verifier) in zip(answers, asked, strict=True):
        assert rp.redeem(answer["code"], verifier).status_code == 200
    assert len(world.events("identity.officer.signed_in")) == 1


def test_tabs_that_opened_at_the_same_moment_share_one_cookie_and_all_succeed(world: OidcWorld) -> None:
    rp, officer, browser = world.relying_party(), world.officer(), world.browser()
    asked, pages = [rp.request() for _ in range(3)], []
    for address, _ in asked:
        browser.session.cookies.clear()  # each was asked for before any answer had come
        pages.append(browser.get(address))
    browser.session.headers["Sec-Fetch-Site"] = "same-origin"  # as browsers say of a page's own form
    for page, (_, verifier) in zip(pages, asked, strict=True):
        answer = answer_of(submit_until_answered(world, browser, page, officer))
        assert rp.redeem(answer["code"], verifier).status_code == 200


@pytest.mark.parametrize("said", ["cross-site", "same-site", "none", "", "same-origin, cross-site"])
def test_a_form_without_its_token_is_not_believed_for_what_a_browser_says_of_others(
    world: OidcWorld, said: str
) -> None:
    officer, browser = world.officer(), world.browser()
    page = browser.get("/sign-in")
    browser.session.cookies.clear()
    browser.session.headers["Sec-Fetch-Site"] = said
    assert browser.submit(page, password_of(officer)).status_code == 400


def test_a_form_of_an_older_tab_is_shown_afresh_when_its_token_is_no_longer_good(world: OidcWorld) -> None:
    rp, officer, browser = world.relying_party(), world.officer(), world.browser()
    address, verifier = rp.request()
    page = browser.get(address)
    browser.session.cookies.clear()  # as when a tab that opened meanwhile took the browser's form cookie for itself
    browser.get(rp.request()[0])
    again = browser.submit(page, password_of(officer))
    assert again.status_code == 400
    assert "Password" in again.text
    assert officer.email in again.text
    answer = answer_of(browser.sign_in(officer, world.clock, _as_shown(again)))
    assert rp.redeem(answer["code"], verifier).status_code == 200


def test_tabs_that_post_at_the_same_moment_all_succeed(world: OidcWorld) -> None:
    rp, officer, browser = world.relying_party(), world.officer(), world.browser()
    asked = [rp.request() for _ in range(5)]
    pages = [browser.get(address) for address, _ in asked]
    code_pages = _at_once(browser, pages, password_of(officer))
    # One browser, one cookie: whichever answer came last is what every tab has from here on.
    answers = _at_once(browser, code_pages, {"code": officer.code(world.clock)})
    for answer, (_, verifier) in zip(answers, asked, strict=True):
        if "Location" not in answer.headers:
            answer = browser.get(answer.url)  # noqa: PLW2901 - a person reloads the page, being signed in by then
        assert rp.redeem(answer_of(answer)["code"], verifier).status_code == 200


def _at_once(browser: Browser, pages: Sequence[requests.Response], fields: dict[str, str]) -> list[requests.Response]:
    """Post every page's form with the cookies as they are now, then follow as one browser does."""
    cookies = browser.session.cookies.get_dict()

    def post(page: requests.Response) -> requests.Response:
        return requests.post(
            page.url,
            data={**hidden_fields(page.text), **fields},
            cookies=cookies,
            headers={"Accept": "text/html"},
            allow_redirects=False,
            timeout=20,
        )

    with ThreadPoolExecutor(len(pages)) as pool:
        posted = list(pool.map(post, pages))
    for response in posted:
        for cookie in response.cookies:
            browser.session.cookies.set_cookie(cookie)
    return [browser.follow(response) for response in posted]


def _as_shown(page: requests.Response) -> requests.Response:
    page.status_code = 200
    return page
