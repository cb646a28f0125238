"""The auditors' pages over real HTTP: who is let in, what is recorded of each look, what an edited address gets."""

import json
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pyotp
import pytest
import requests
from sqlalchemy import select, update

from gateway.app import create_app
from gateway.audit.append import AuditLog
from gateway.audit.merge_delay import MergeDelay
from gateway.audit.models import EventRow
from gateway.clock import SystemClock
from gateway.demo.browser import Browser
from gateway.demo.layout import BLACKBURN, DWP, OVERSIGHT
from gateway.demo.world import DemoAccount
from gateway.errors import Unavailable
from gateway.identity.accounts import AccountKind, NewAccount, find_account_by_email, record_account, suspend_account
from gateway.identity.passwords import generate_password
from gateway.sdk.verify import verify
from gateway.wire.jws import unverified_claims
from tests.kit.endings import disclosed, failed, refused
from tests.kit.world import World

EXCHANGES = "/auditor/exchanges"
LOOKS = ("oversight.exchanges.viewed", "oversight.proof.downloaded")
HTML = {"Accept": "text/html"}


def fresh() -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    return session


def signed_in(world: World, account: DemoAccount) -> requests.Session:
    """The session of a browser in which this account signed in."""
    session = fresh()
    browser = Browser(session=session)
    browser.open(f"{world.issuer}/sign-in")
    browser.submit({"email": account.email, "password": account.password})
    if account.code_secret:
        browser.submit({"code": pyotp.TOTP(account.code_secret).at(SystemClock().now())})
    assert browser.address.endswith("/account"), browser.text
    return session


@pytest.fixture(scope="module")
def account(world: World) -> DemoAccount:
    return world.officer(member=OVERSIGHT, roles=("auditor",))


@pytest.fixture(scope="module")
def auditor(world: World, account: DemoAccount) -> Iterator[requests.Session]:
    with signed_in(world, account) as session:
        yield session


@pytest.fixture(scope="module")
def exchange(world: World) -> str:
    return disclosed(world)


def looks(world: World) -> int:
    return len(world.events(names=LOOKS))


# --- Who is let in


@pytest.mark.parametrize("path", ["", "?outcome=refused&page=1", "/{exchange}", "/{exchange}/proof.json"])
def test_a_stranger_is_led_to_sign_in_and_back(path: str, world: World, exchange: str) -> None:
    wanted = EXCHANGES + path.format(exchange=exchange)
    answer = fresh().get(world.issuer + wanted, headers=HTML, allow_redirects=False, timeout=10)
    assert answer.status_code == 303
    assert answer.headers["Location"].startswith("/sign-in?next=")
    session = fresh()
    browser = Browser(session=session)
    browser.open(world.issuer + wanted)
    world.sign_in(browser, world.officer(member=OVERSIGHT, roles=("auditor",)))
    assert browser.address == world.issuer + wanted


def test_a_program_without_a_session_is_told_so_and_not_led_about(world: World) -> None:
    answer = fresh().get(world.issuer + EXCHANGES, allow_redirects=False, timeout=10)
    assert (answer.status_code, answer.json()["code"]) == (401, "sign_in_required")


def citizen(world: World) -> DemoAccount:
    return world.accounts["citizen"]


def officer_without_role(world: World) -> DemoAccount:
    return world.officer(roles=("benefits-officer",))


def officer_with_similar_role(world: World) -> DemoAccount:
    return world.officer(member=OVERSIGHT, roles=("auditors", "Auditor", "auditor "))


def councils_own_auditor(world: World) -> DemoAccount:
    return world.officer(roles=("auditor",))


def auditor_by_password_alone(world: World) -> DemoAccount:
    people = world.gateway.people
    account = DemoAccount(email=f"p.{uuid4().hex}@oversight.example", password=generate_password(), code_secret="")
    new = NewAccount(
        kind=AccountKind.OFFICER,
        email=account.email,
        given_name="Pat",
        family_name="Specimen",
        password=account.password,
        member_code=OVERSIGHT,
        roles=("auditor",),
    )
    with world.gateway.database.write() as session:
        record_account(
            session,
            new,
            passwords=people.passwords,
            sealing=people.sealing,
            at=SystemClock().now(),
        )
    return account


@pytest.mark.parametrize(
    "who",
    [citizen, officer_without_role, officer_with_similar_role, councils_own_auditor, auditor_by_password_alone],
    ids=lambda f: f.__name__,
)
def test_whoever_is_no_auditor_sees_nothing_of_any_page(who: object, world: World, exchange: str) -> None:
    assert callable(who)
    session = signed_in(world, who(world))
    before = looks(world)
    for path in ("", f"/{exchange}", f"/{exchange}/proof.json", f"/{exchange}/receipt.jwt", f"/{uuid4()}"):
        answer = session.get(world.issuer + EXCHANGES + path, headers=HTML, timeout=10)
        assert answer.status_code == 403, path
        assert "You do not have permission to see this page" in answer.text
        assert exchange not in answer.text
    assert looks(world) == before


def test_an_auditor_who_signed_out_is_a_stranger_again(world: World, exchange: str) -> None:
    session = signed_in(world, world.officer(member=OVERSIGHT, roles=("auditor",)))
    kept = dict(session.cookies)
    browser = Browser(session=session)
    browser.open(f"{world.issuer}/account")
    browser.submit({})  # the first form of the page is the way out
    for cookies in (dict(session.cookies), kept):
        again = fresh().get(
            f"{world.issuer}{EXCHANGES}/{exchange}", headers=HTML, cookies=cookies, allow_redirects=False, timeout=10
        )
        assert again.status_code == 303


# --- What is recorded of a look


def test_every_look_is_recorded_with_who_and_at_what(
    world: World, auditor: requests.Session, account: DemoAccount, exchange: str
) -> None:
    with world.gateway.database.read() as session:
        looker = find_account_by_email(session, AccountKind.OFFICER, account.email)
    assert looker is not None
    for path, name, told in (
        ("?outcome=disclosed", LOOKS[0], {"search": {"outcome": "disclosed", "consumer": None, "page": 1}}),
        (f"/{exchange}", LOOKS[0], {"exchange": exchange, "count": 1}),
        (f"/{exchange}/proof.json", LOOKS[1], {"exchange": exchange}),
        (f"/{exchange}/receipt.jwt", LOOKS[1], {"exchange": exchange}),
    ):
        world.assert_log_verifies()
        before = looks(world)
        assert auditor.get(world.issuer + EXCHANGES + path, timeout=10).status_code == 200
        assert looks(world) == before + 1
        newest = world.events(names=LOOKS)[0]
        assert (newest.name, newest.members) == (name, (OVERSIGHT,))
        details = world.details(newest)
        assert details["account"] == str(looker.account_id)
        assert details["member"] == OVERSIGHT
        assert details["roles"] == ["auditor"]
        assert {key: details[key] for key in told} == told
    world.assert_log_verifies()


# --- What is shown


def test_an_exchange_is_shown_with_its_evidence_and_none_of_its_values(
    world: World, auditor: requests.Session, exchange: str, tmp_path: Path
) -> None:
    world.assert_log_verifies()
    page = auditor.get(f"{world.issuer}{EXCHANGES}/{exchange}", timeout=10).text
    receipt = auditor.get(f"{world.issuer}{EXCHANGES}/{exchange}/receipt.jwt", timeout=10)
    claims = unverified_claims(receipt.text)
    for name in ("exchange", "provider_jwt_digest", "log_entry", "request_digest", "policy_digest"):
        assert str(claims[name]) in page, name
    for name in ("Blackburn with Darwen Borough Council", "Department for Work and Pensions", "Test Specimen"):
        assert name in page
    assert "targeted" not in page
    assert "QQ123456C" not in page
    proof = auditor.get(f"{world.issuer}{EXCHANGES}/{exchange}/proof.json", timeout=10)
    assert proof.headers["Content-Disposition"] == f'attachment; filename="proof-{exchange}.json"'
    path = tmp_path / "proof.json"
    path.write_bytes(proof.content)
    assert verify(path, world.public_keys_file()).receipt.exchange == exchange


def test_the_list_can_be_narrowed_to_an_outcome_and_to_who_asked(world: World, auditor: requests.Session) -> None:
    made = {"refused": refused(world), "failed": failed(world), "disclosed": disclosed(world)}
    for outcome, mine in made.items():
        page = auditor.get(f"{world.issuer}{EXCHANGES}?outcome={outcome}&consumer={BLACKBURN}", timeout=10).text
        assert mine in page
        assert not [other for other in made.values() if other != mine and other in page]
    nothing = auditor.get(f"{world.issuer}{EXCHANGES}?consumer={DWP}", timeout=10).text
    assert "No exchange matches these filters" in nothing
    assert not [mine for mine in made.values() if mine in nothing]


def test_an_officer_who_was_suspended_since_is_still_named(world: World, auditor: requests.Session) -> None:
    officer = world.officer(roles=("benefits-officer",))
    token = world.tokens(officer)["access_token"]
    asked = world.send(world.signed(world.body(world.asking(answer_seconds=10.0)), token=token))
    exchange = json.loads(asked.body)["exchange"]
    with world.gateway.database.write() as session:
        account = find_account_by_email(session, AccountKind.OFFICER, officer.email)
        assert account is not None
        suspend_account(session, account.account_id, at=SystemClock().now())
    page = auditor.get(f"{world.issuer}{EXCHANGES}/{exchange}", timeout=10).text
    assert officer.email in page
    assert "a system asked by itself" not in page


# --- Addresses that somebody edited


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("outcome=everything", 400),
        ("outcome=disclosed%00", 400),
        ("outcome=DISCLOSED", 400),
        ("consumer=nobody", 400),
        ("consumer=E06000008'--", 400),
        ("consumer=%00", 400),
        ("page=999999", 404),
        ("page=0", 404),
        ("page=-1", 404),
        ("page=1.5", 404),
        ("page=%D9%A1", 404),
        ("page=99999999999999999999999999", 404),
        ("page=", 200),
        ("outcome=&consumer=&page=1", 200),
        ("sort=anything", 200),
    ],
)
def test_an_edited_address_is_refused_in_words_and_recorded_only_if_shown(
    query: str, status: int, world: World, auditor: requests.Session
) -> None:
    before = looks(world)
    answer = auditor.get(f"{world.issuer}{EXCHANGES}?{query}", headers=HTML, timeout=10)
    assert answer.status_code == status
    assert looks(world) == before + (status == 200)
    title = {200: "Exchanges", 400: "We cannot accept what was sent", 404: "Page not found"}[status]
    assert f"<title>{title} – Gateway</title>" in " ".join(answer.text.split())


@pytest.mark.parametrize("path", ["", "/proof.json", "/receipt.jwt"])
def test_an_exchange_that_does_not_exist_is_not_found(path: str, world: World, auditor: requests.Session) -> None:
    before = looks(world)
    for name in (str(uuid4()), "018f0000-0000-7000-8000-000000000000", "not-a-uuid", "..%2f..%2fkeys"):
        answer = auditor.get(f"{world.issuer}{EXCHANGES}/{name}{path}", headers=HTML, timeout=10)
        assert answer.status_code == 404, name
        assert "Page not found" in answer.text
    assert looks(world) == before


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_nothing_can_be_changed_here(method: str, world: World, auditor: requests.Session, exchange: str) -> None:
    for path in (EXCHANGES, f"{EXCHANGES}/{exchange}", f"{EXCHANGES}/{exchange}/proof.json"):
        answer = auditor.request(method, world.issuer + path, headers=HTML, timeout=10)
        assert answer.status_code == 405
        assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}


# --- Headers


def test_every_page_and_every_error_carries_the_strict_policy(
    world: World, auditor: requests.Session, exchange: str
) -> None:
    nonces = set()
    stranger = fresh()
    for session, path, status in (
        (stranger, "/", 200),
        (stranger, "/sign-in", 200),
        (stranger, "/signed-out", 200),
        (stranger, "/no-such-page", 404),
        (stranger, "/authorize", 400),
        (auditor, EXCHANGES, 200),
        (auditor, f"{EXCHANGES}/{exchange}", 200),
        (auditor, f"{EXCHANGES}/{uuid4()}", 404),
        (auditor, f"{EXCHANGES}?outcome=what", 400),
        (auditor, "/account", 200),
    ):
        answer = session.get(world.issuer + path, headers=HTML, timeout=10)
        assert answer.status_code == status, path
        policy = dict(part.split(" ", 1) for part in answer.headers["Content-Security-Policy"].split("; "))
        nonce = policy.pop("script-src").removeprefix("'nonce-").removesuffix("'")
        nonces.add(nonce)
        assert policy == {
            "default-src": "'none'",
            "style-src": "'self'",
            "img-src": "'self'",
            "font-src": "'self'",
            "form-action": "'self'",
            "base-uri": "'none'",
            "frame-ancestors": "'none'",
        }, path
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert answer.headers["X-Request-Id"]
        for inline in ("<style", " style=", "onclick=", "onload=", "javascript:"):
            assert inline not in answer.text, path
        assert answer.text.count("<script") == answer.text.count(f'nonce="{nonce}"'), path
    assert len(nonces) == 10  # a nonce is used once


# --- The log's details


def test_the_details_are_shown_only_after_the_look_is_recorded(
    world: World, auditor: requests.Session, exchange: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = looks(world)
    page = auditor.get(f"{world.issuer}{EXCHANGES}/{exchange}", timeout=10).text
    assert "What the log’s details say" in page
    assert "fields_disclosed" in page
    assert looks(world) == before + 1

    # Where the look cannot be recorded, nothing is seen: in this process, so that the log can be made to fail.
    def fails(*_arguments: object, **_named: object) -> None:
        raise Unavailable

    client = create_app(world.gateway).test_client()
    for cookie in auditor.cookies:
        client.set_cookie(cookie.name, str(cookie.value), domain="localhost")
    address = f"{world.issuer}{EXCHANGES}/{exchange}"
    assert b"fields_disclosed" in client.get(address, headers=HTML).data
    monkeypatch.setattr(AuditLog, "record", fails)
    answer = client.get(address, headers=HTML)
    assert answer.status_code == 503
    assert b"fields_disclosed" not in answer.data


def test_over_an_old_copy_of_the_database_nobody_sees_anything(
    world: World, auditor: requests.Session, exchange: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its sessions and officers are those of then: some were ended or suspended since."""
    monkeypatch.setattr(MergeDelay, "_published_size", lambda _self: 1_000_000_000)
    client = create_app(world.gateway).test_client()
    for cookie in auditor.cookies:
        client.set_cookie(cookie.name, str(cookie.value), domain="localhost")
    before = looks(world)
    for page in ("", f"/{exchange}", f"/{exchange}/proof.json", f"/{exchange}/receipt.jwt"):
        answer = client.get(f"{world.issuer}{EXCHANGES}{page}")
        assert (answer.status_code, answer.get_json()["code"]) == (503, "database_older_than_log")
    assert looks(world) == before


def test_erased_and_forgotten_details_are_said_to_be_so(world: World, auditor: requests.Session) -> None:
    erased, forgotten = disclosed(world), disclosed(world)
    with world.gateway.database.write() as session:
        session.execute(update(EventRow).where(EventRow.reference == forgotten).values(details=b""))
    with world.gateway.database.read() as session:
        row = session.scalars(select(EventRow).where(EventRow.reference == erased)).one()
    assert world.gateway.audit.subject_keys.destroy_key(row.subject_tag, row.key_id)
    for exchange, words in ((erased, "They were erased"), (forgotten, "then forgotten")):
        page = auditor.get(f"{world.issuer}{EXCHANGES}/{exchange}", timeout=10).text
        assert words in page
        assert "fields_disclosed" not in page
    world.assert_log_verifies()
