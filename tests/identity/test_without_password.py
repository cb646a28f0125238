"""People who are known here and have no password: in the log, in the lists, and let in by nobody's guess."""

import secrets
from collections.abc import Callable

import pytest
from argon2 import PasswordHasher

from gateway.identity.accounts import AccountKind, NewAccount, find_account_by_email
from gateway.identity.errors import AccountExists
from gateway.identity.passwords import NO_PASSWORD
from gateway.identity.registration import register_accounts
from gateway.identity.sign_in import EVERY_KIND, StepRefused
from tests.kit.clock import FrozenClock
from tests.kit.oidc_world import OidcWorld

Register = Callable[..., list[str]]


@pytest.fixture
def register(world: OidcWorld, clock: FrozenClock) -> Register:
    def several(number: int, *more: str) -> list[str]:
        emails = [*(f"staff.{secrets.token_hex(4)}@people.example" for _ in range(number)), *more]
        news = [
            NewAccount(kind=AccountKind.CITIZEN, email=email, given_name="Sam", family_name="Sample", password=None)
            for email in emails
        ]
        with world.gateway.database.write() as session:
            gateway = world.gateway
            register_accounts(session, news, people=gateway.people, audit=gateway.audit, by="test", at=clock.now())
        return emails

    return several


def is_known(world: OidcWorld, email: str) -> bool:
    with world.gateway.database.read() as session:
        return find_account_by_email(session, AccountKind.CITIZEN, email) is not None


@pytest.mark.parametrize("password", [NO_PASSWORD, "None", "correct horse battery staple"])
def test_no_password_lets_them_in_and_refusing_costs_whole_hashes(
    world: OidcWorld, clock: FrozenClock, register: Register, password: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    [email] = register(1)
    verified: list[str] = []
    verify = PasswordHasher.verify

    def watching(self: PasswordHasher, stored: str, given: bytes) -> bool:
        verified.append(stored)
        return verify(self, stored, given)

    monkeypatch.setattr(PasswordHasher, "verify", watching)
    step = world.gateway.people.sign_in.offer_password(
        email, password, kinds=EVERY_KIND, browser_secret=None, source="192.0.2.9", now=clock.now()
    )
    assert isinstance(step, StepRefused)
    assert len([stored for stored in verified if stored.startswith("$argon2id$")]) == len(EVERY_KIND)


def test_many_are_written_at_once_each_with_an_event_of_its_own(world: OidcWorld, register: Register) -> None:
    emails = register(7)
    assert all(is_known(world, email) for email in emails)
    events = world.events("identity.account.registered")
    assert len({event["account"] for event in events}) == len(events) == len(emails)


def test_one_who_is_there_already_or_twice_stops_them_all(world: OidcWorld, register: Register) -> None:
    [there] = register(1)
    for repeated in ((there.upper(),), ("twice@people.example", "Twice@people.example")):
        with pytest.raises(AccountExists):
            register(0, "new.sample@people.example", *repeated)
        assert not is_known(world, "new.sample@people.example")
    assert len(world.events("identity.account.registered")) == 1
