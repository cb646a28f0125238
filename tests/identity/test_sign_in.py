"""The two steps, the session they make, and what the log says of them."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from sqlalchemy import select

from gateway.identity.accounts import NewAccount, find_account, reinstate_account, suspend_account
from gateway.identity.errors import RoleRequired, SignInRequired, TooManyAttempts
from gateway.identity.guards import signed_in_officer
from gateway.identity.models import AccountRow, AttemptsRow, SessionRow
from gateway.identity.passwords import Passwords
from gateway.identity.sessions import session_cookie
from gateway.identity.sign_in import EVERY_KIND, SignIn, StepRefused, StepTaken
from gateway.identity.throttling import (
    PASSWORD_DAY_LIMIT,
    PASSWORD_LIMIT,
    SOURCE_LIMIT,
    purge_attempts,
)
from tests.kit.clock import FrozenClock
from tests.kit.oidc_world import OidcWorld, Person

SOURCE = "192.0.2.7"
Step = StepTaken | StepRefused


@pytest.fixture
def sign_in(world: OidcWorld) -> SignIn:
    return world.gateway.people.sign_in


@pytest.fixture
def password_step(sign_in: SignIn, clock: FrozenClock) -> Callable[..., Step]:
    def step(person: Person, *, password: str | None = None, secret: str | None = None, source: str = SOURCE) -> Step:
        return sign_in.offer_password(
            person.email,
            person.password if password is None else password,
            kinds=EVERY_KIND,
            browser_secret=secret,
            source=source,
            now=clock.now(),
        )

    return step


@pytest.fixture
def signed_in_secret(
    sign_in: SignIn, clock: FrozenClock, password_step: Callable[..., Step]
) -> Callable[[Person], str]:
    def both_steps(person: Person) -> str:
        first = password_step(person)
        assert isinstance(first, StepTaken)
        if not first.awaiting_code:
            return first.secret
        second = sign_in.offer_code(person.code(clock), browser_secret=first.secret, source=SOURCE, now=clock.now())
        assert isinstance(second, StepTaken)
        return second.secret

    return both_steps


def test_nobody_is_signed_in_before_the_code(
    world: OidcWorld, sign_in: SignIn, clock: FrozenClock, password_step: Callable[..., Step]
) -> None:
    first = password_step(world.officer())
    assert isinstance(first, StepTaken)
    assert first.awaiting_code
    assert sign_in.signed_in(first.secret, now=clock.now()) is None
    assert world.events("identity.officer.signed_in") == []


def test_a_session_says_who_how_and_when(
    world: OidcWorld, sign_in: SignIn, clock: FrozenClock, signed_in_secret: Callable[[Person], str]
) -> None:
    officer = world.officer()
    signed_in = sign_in.signed_in(signed_in_secret(officer), now=clock.now())
    assert signed_in is not None
    assert signed_in.account.account_id == officer.account.account_id
    assert (signed_in.acr, signed_in.methods, signed_in.auth_time) == ("AAL2", ("pwd", "otp"), clock.now())
    (event,) = world.events("identity.officer.signed_in")
    assert (event["acr"], event["source"]) == ("AAL2", SOURCE)


@pytest.mark.own_provider
def test_the_cookies_secret_is_not_in_the_database(world: OidcWorld, signed_in_secret: Callable[[Person], str]) -> None:
    secret = signed_in_secret(world.officer())
    with world.gateway.database.read() as session:
        (row,) = session.scalars(select(SessionRow))
        assert secret.encode() not in row.secret_hash
        assert secret not in str(vars(row))
    assert len(secret) >= 43  # 256 bits in base64url


def test_the_authenticators_secret_is_sealed_to_its_account(world: OidcWorld) -> None:
    one, other = world.officer(), world.officer()
    with world.gateway.database.write() as session:
        rows = [session.get_one(AccountRow, person.account.account_id) for person in (one, other)]
        assert all(
            (person.code_secret or "").encode() not in (row.sealed_code_secret or b"")
            for person, row in zip((one, other), rows, strict=True)
        )
        # Moving a sealed secret to another account opens nothing.
        rows[0].sealed_code_secret = rows[1].sealed_code_secret
    browser = world.browser()
    page = browser.submit(browser.get("/sign-in"), {"email": one.email, "password": one.password})
    assert browser.submit(page, {"code": other.code(world.clock)}).status_code == 500
    assert "Sign in" in browser.get("/account").text


@pytest.mark.parametrize("kind", ["officer", "citizen"])
def test_an_idle_session_ends(
    world: OidcWorld, sign_in: SignIn, clock: FrozenClock, signed_in_secret: Callable[[Person], str], kind: str
) -> None:
    idle = {"officer": timedelta(minutes=30), "citizen": timedelta(minutes=60)}[kind]
    secret = signed_in_secret(getattr(world, kind)())
    clock.advance(seconds=idle.total_seconds() - 1)
    assert sign_in.signed_in(secret, now=clock.now()) is not None
    clock.advance(seconds=idle.total_seconds() - 1)
    # The look above was activity.
    assert sign_in.signed_in(secret, now=clock.now()) is not None
    clock.advance(seconds=idle.total_seconds())
    assert sign_in.signed_in(secret, now=clock.now()) is None


def test_a_session_ends_after_twelve_hours_however_busy(
    world: OidcWorld, sign_in: SignIn, clock: FrozenClock, signed_in_secret: Callable[[Person], str]
) -> None:
    secret = signed_in_secret(world.officer())
    for _ in range(12 * 3 - 1):
        clock.advance(minutes=20)
        assert sign_in.signed_in(secret, now=clock.now()) is not None
    clock.advance(minutes=20)
    assert sign_in.signed_in(secret, now=clock.now()) is None


def test_a_code_must_come_within_ten_minutes_of_the_password(
    world: OidcWorld, sign_in: SignIn, clock: FrozenClock, password_step: Callable[..., Step]
) -> None:
    officer = world.officer()
    first = password_step(officer)
    assert isinstance(first, StepTaken)
    clock.advance(minutes=10)
    late = sign_in.offer_code(officer.code(clock), browser_secret=first.secret, source=SOURCE, now=clock.now())
    assert late is None


@pytest.mark.parametrize(("steps", "right"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
def test_a_code_may_be_one_step_early_or_late(
    world: OidcWorld,
    sign_in: SignIn,
    clock: FrozenClock,
    password_step: Callable[..., Step],
    steps: int,
    *,
    right: bool,
) -> None:
    officer = world.officer()
    first = password_step(officer)
    assert isinstance(first, StepTaken)
    code = officer.code(FrozenClock(clock.now() + timedelta(seconds=30 * steps)))
    taken = sign_in.offer_code(code, browser_secret=first.secret, source=SOURCE, now=clock.now())
    assert isinstance(taken, StepTaken) == right


def test_a_code_older_than_the_last_accepted_one_is_refused(
    world: OidcWorld, sign_in: SignIn, clock: FrozenClock, password_step: Callable[..., Step]
) -> None:
    officer = world.officer()
    older, newer = officer.code(clock), officer.code(FrozenClock(clock.now() + timedelta(seconds=30)))
    for code, accepted in ((newer, True), (older, False), (newer, False)):
        first = password_step(officer)
        assert isinstance(first, StepTaken)
        taken = sign_in.offer_code(code, browser_secret=first.secret, source=SOURCE, now=clock.now())
        assert isinstance(taken, StepTaken) == accepted


def test_suspending_ends_sessions_at_once_and_refuses_like_a_wrong_password(
    world: OidcWorld,
    sign_in: SignIn,
    clock: FrozenClock,
    signed_in_secret: Callable[[Person], str],
    password_step: Callable[..., Step],
) -> None:
    officer = world.officer()
    secret = signed_in_secret(officer)
    with world.gateway.database.write() as session:
        suspend_account(session, officer.account.account_id, at=clock.now())
        assert find_account(session, officer.account.account_id) is None
    assert sign_in.signed_in(secret, now=clock.now()) is None
    assert password_step(officer) == StepRefused()
    failed = [event["reason"] for event in world.events("identity.sign_in.failed") if "account" in event]
    assert failed == ["suspended"]
    with world.gateway.database.write() as session:
        reinstate_account(session, officer.account.account_id, at=clock.now())
    assert isinstance(password_step(officer), StepTaken)


def test_an_unknown_person_costs_as_many_hashes_as_a_known_one(
    world: OidcWorld, sign_in: SignIn, clock: FrozenClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[bool] = []
    matches = Passwords.matches

    def counting(self: Passwords, stored: str | None, password: str) -> bool:
        counted.append(stored is not None)
        return matches(self, stored, password)

    monkeypatch.setattr(Passwords, "matches", counting)
    for email in (world.officer().email, "nobody.specimen@council.example"):
        sign_in.offer_password(
            email, "wrong password", kinds=EVERY_KIND, browser_secret=None, source=SOURCE, now=clock.now()
        )
    assert counted == [True, False, False, False]


def test_one_address_may_have_an_account_of_each_kind(
    world: OidcWorld, sign_in: SignIn, clock: FrozenClock, password_step: Callable[..., Step]
) -> None:
    officer, people = world.officer(with_code=False), world.gateway.people
    twin = world.citizen(with_code=False)
    with world.gateway.database.write() as session:
        session.get_one(AccountRow, twin.account.account_id).email = officer.email
    for person, kind in ((officer, "officer"), (twin, "citizen")):
        step = sign_in.offer_password(
            officer.email, person.password, kinds=EVERY_KIND, browser_secret=None, source=SOURCE, now=clock.now()
        )
        assert isinstance(step, StepTaken)
        signed_in = people.sign_in.signed_in(step.secret, now=clock.now())
        assert signed_in is not None
        assert signed_in.account.kind == kind


def test_attempts_are_forgotten_after_success_and_after_the_window(
    world: OidcWorld, clock: FrozenClock, password_step: Callable[..., Step]
) -> None:
    officer = world.officer()
    for _ in range(3):
        for _ in range(PASSWORD_LIMIT.attempts - 1):
            assert password_step(officer, password="wrong password") == StepRefused()
        assert isinstance(password_step(officer), StepTaken)
    for _ in range(PASSWORD_LIMIT.attempts):
        password_step(officer, password="wrong password")
    with pytest.raises(TooManyAttempts) as blocked:
        password_step(officer)
    assert blocked.value.retry_after is not None
    assert 0 < blocked.value.retry_after <= PASSWORD_LIMIT.window.total_seconds() + 1
    clock.advance(seconds=blocked.value.retry_after)
    assert isinstance(password_step(officer), StepTaken)


def test_a_patient_guesser_is_stopped_for_the_day(
    world: OidcWorld, clock: FrozenClock, password_step: Callable[..., Step], monkeypatch: pytest.MonkeyPatch
) -> None:
    officer = world.officer()
    monkeypatch.setattr(Passwords, "matches", lambda *_: False)
    looked_at = 0
    for _ in range(24 * 4 - 1):
        for _ in range(PASSWORD_LIMIT.attempts):
            try:
                password_step(officer, password="wrong password")
            except TooManyAttempts:
                break
            looked_at += 1
        clock.advance(minutes=15)
    assert looked_at == PASSWORD_DAY_LIMIT.attempts
    with pytest.raises(TooManyAttempts, match="You can try again in 15 minutes"):
        password_step(officer)
    clock.advance(minutes=16)
    monkeypatch.undo()
    assert isinstance(password_step(officer), StepTaken)


def test_a_source_is_charged_for_failures_over_every_address(
    world: OidcWorld, sign_in: SignIn, clock: FrozenClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Passwords, "matches", lambda *_: False)

    def spray(number: int, source: str) -> None:
        sign_in.offer_password(
            f"person{number}@council.example",
            "Spring2026!",
            kinds=EVERY_KIND,
            browser_secret=None,
            source=source,
            now=clock.now(),
        )

    for number in range(SOURCE_LIMIT.attempts):
        spray(number, SOURCE)
    with pytest.raises(TooManyAttempts):
        spray(0, SOURCE)
    spray(1, "198.51.100.1")
    # One IPv6 subscriber commands 2**64 addresses, and is one source all the same.
    for number in range(SOURCE_LIMIT.attempts):
        spray(number + 1000, f"2001:db8::{number:x}")
    with pytest.raises(TooManyAttempts):
        spray(0, "2001:db8::ffff")


@pytest.mark.own_provider
def test_the_table_of_attempts_names_nobody_and_is_purged(
    world: OidcWorld, clock: FrozenClock, password_step: Callable[..., Step]
) -> None:
    officer = world.officer()
    password_step(officer, password="wrong password")
    database = world.gateway.database
    with database.read() as session:
        for row in session.scalars(select(AttemptsRow)):
            assert officer.email.encode() not in row.key
            assert SOURCE.encode() not in row.key
    clock.advance(seconds=PASSWORD_LIMIT.window.total_seconds() + 1)
    with database.write() as session:
        assert purge_attempts(session, now=clock.now(), limit=1) == 1
        assert purge_attempts(session, now=clock.now()) == 1
        # What counts for the day stays for the day.
        assert purge_attempts(session, now=clock.now()) == 0
        assert purge_attempts(session, now=clock.now() + PASSWORD_DAY_LIMIT.window) == 1


@pytest.mark.own_provider
def test_sessions_that_are_over_end_in_bounded_batches_and_living_ones_go_on(
    world: OidcWorld, sign_in: SignIn, clock: FrozenClock, signed_in_secret: Callable[[Person], str]
) -> None:
    for _ in range(3):
        signed_in_secret(world.officer())
    clock.advance(minutes=31)
    kept = signed_in_secret(world.officer())
    ends = world.gateway.people.ends
    with world.gateway.database.write() as session:
        assert [ends.end_overdue(session, now=clock.now(), limit=2) for _ in range(3)] == [2, 1, 0]
    assert sign_in.signed_in(kept, now=clock.now()) is not None
    assert [event["reason"] for event in world.events("identity.session.ended")] == ["over"] * 3


def test_a_password_kept_at_old_costs_is_hashed_anew_when_it_is_next_used(
    world: OidcWorld, sign_in: SignIn, clock: FrozenClock
) -> None:
    officer = world.officer()
    database = world.gateway.database
    with database.read() as session:
        # The world keeps invented passwords at the least cost there is; a deployment does not.
        assert "m=8,t=1" in session.get_one(AccountRow, officer.account.account_id).password_hash
    step = replace(sign_in, passwords=Passwords()).offer_password(
        officer.email, officer.password, kinds=EVERY_KIND, browser_secret=None, source=SOURCE, now=clock.now()
    )
    assert isinstance(step, StepTaken)
    with database.read() as session:
        assert "m=19456,t=2" in session.get_one(AccountRow, officer.account.account_id).password_hash


def test_a_role_counts_only_with_both_factors(
    world: OidcWorld, sign_in: SignIn, clock: FrozenClock, signed_in_secret: Callable[[Person], str]
) -> None:
    def guarded(secret: str | None, now: datetime) -> str:
        return signed_in_officer(sign_in, secret, role="auditor", now=now).account.email

    auditor = world.officer(roles=("auditor",))
    assert guarded(signed_in_secret(auditor), clock.now()) == auditor.email
    for other in (world.officer(), world.officer(roles=("auditor",), with_code=False), world.citizen()):
        with pytest.raises(RoleRequired):
            guarded(signed_in_secret(other), clock.now())
    for nobody in (None, "", "guess"):
        with pytest.raises(SignInRequired):
            guarded(nobody, clock.now())


def test_on_https_the_cookie_is_bound_to_this_host() -> None:
    cookie = session_cookie(secure=True)
    assert cookie.name.startswith("__Host-")
    assert cookie.attributes == {"secure": True, "httponly": True, "samesite": "Lax", "path": "/"}


def test_secrets_do_not_show(world: OidcWorld, password_step: Callable[..., Step]) -> None:
    officer = world.officer()
    step = password_step(officer)
    assert isinstance(step, StepTaken)
    assert step.secret not in repr(step)
    new = NewAccount(
        kind=officer.account.kind,
        email=officer.email,
        given_name="Olive",
        family_name="Testcase",
        password=officer.password,
        code_secret=officer.code_secret,
    )
    assert officer.password not in repr(new)
    assert (officer.code_secret or "?") not in repr(new)
    assert "references=" not in repr(world.gateway.people.sign_in.throttle)
