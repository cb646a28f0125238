"""Finding out who there is, guessing passwords and codes, using a code twice."""

from concurrent.futures import ThreadPoolExecutor

import requests

from gateway.identity.models import AccountRow
from gateway.identity.passwords import Passwords
from gateway.identity.throttling import CODE_LIMIT, PASSWORD_LIMIT
from tests.kit.oidc_world import OidcWorld, hidden_fields


def test_an_unknown_person_and_a_wrong_password_look_the_same(world: OidcWorld) -> None:
    def try_as(email: str) -> tuple[int, str]:
        browser = world.browser()
        answer = browser.submit(browser.get("/sign-in"), {"email": email, "password": "wrong password"})
        page = answer.text.replace(hidden_fields(answer.text)["csrf_token"], "").replace(email, "")
        nonce = answer.headers["Content-Security-Policy"].partition("'nonce-")[2].partition("'")[0]
        return answer.status_code, page.replace(nonce, "")

    assert try_as(world.officer().email) == try_as("nobody.specimen@council.example")


def test_guessing_at_one_address_is_throttled_whether_it_is_known_or_not(world: OidcWorld) -> None:
    officer, browser = world.officer(), world.browser()
    page = browser.get("/sign-in")
    for email in (officer.email, "somebody.sample@council.example"):
        answers = [
            browser.submit(page, {"email": email, "password": f"guess {number}"}).status_code
            for number in range(PASSWORD_LIMIT.attempts + 1)
        ]
        assert answers == [400] * PASSWORD_LIMIT.attempts + [429]
    # Even the right password has to wait now; or the twelfth guess would be as good as the first.
    blocked = browser.submit(page, {"email": officer.email, "password": officer.password})
    assert blocked.status_code == 429
    assert "You have tried too many times" in blocked.text


def test_guesses_sent_at_once_are_counted_each(world: OidcWorld) -> None:
    email = world.officer().email
    browser = world.browser()
    page = browser.get("/sign-in")
    token, cookies = hidden_fields(page.text), browser.session.cookies.get_dict()

    def guess(number: int) -> int:
        return requests.post(
            f"{world.issuer}/sign-in",
            data={**token, "email": email, "password": f"guess {number}"},
            cookies=cookies,
            headers={"Accept": "text/html"},
            allow_redirects=False,
            timeout=30,
        ).status_code

    with ThreadPoolExecutor(20) as pool:
        answers = sorted(pool.map(guess, range(20)))
    assert answers == [400] * PASSWORD_LIMIT.attempts + [429] * (20 - PASSWORD_LIMIT.attempts)


def test_a_security_code_works_once(world: OidcWorld) -> None:
    officer = world.officer()
    password = {"email": officer.email, "password": officer.password}
    first, second = world.browser(), world.browser()
    pages = [browser.submit(browser.get("/sign-in"), password) for browser in (first, second)]
    code = {"code": officer.code(world.clock)}
    assert first.submit(pages[0], code).url.endswith("/account")
    replayed = second.submit(pages[1], code)
    assert replayed.status_code == 400
    assert "Each code works once" in replayed.text


def test_guessing_security_codes_is_throttled(world: OidcWorld) -> None:
    officer, browser = world.officer(), world.browser()
    page = browser.submit(browser.get("/sign-in"), {"email": officer.email, "password": officer.password})
    right = officer.code(world.clock)
    wrong = f"{(int(right) + 500_000) % 1_000_000:06d}"
    answers = [browser.submit(page, {"code": wrong}).status_code for _ in range(CODE_LIMIT.attempts + 1)]
    assert answers == [400] * CODE_LIMIT.attempts + [429]
    assert browser.submit(page, {"code": officer.code(world.clock)}).status_code == 429


def test_what_a_deployment_keeps_of_a_password_costs_what_it_should_to_guess(world: OidcWorld) -> None:
    # Kept at too little cost, whoever did it: the server, started as a deployment starts it, mends it by itself.
    citizen, database = world.citizen(with_code=False), world.gateway.database
    with database.write() as session:
        row = session.get_one(AccountRow, citizen.account.account_id)
        row.password_hash = Passwords(memory_kib=8, passes=1).hash(citizen.password)
    assert world.browser().sign_in(citizen, world.clock).url.endswith("/account")
    with database.read() as session:
        kept = session.get_one(AccountRow, citizen.account.account_id).password_hash
    assert kept.startswith("$argon2id$v=19$m=19456,t=2,p=1$")


def test_failures_of_known_people_are_in_the_log_by_account(world: OidcWorld) -> None:
    officer, browser = world.officer(), world.browser()
    browser.submit(browser.get("/sign-in"), {"email": officer.email, "password": "wrong password"})
    failed = [
        event
        for event in world.events("identity.sign_in.failed")
        if event.get("account") == str(officer.account.account_id)
    ]
    assert [event["reason"] for event in failed] == ["password"]
