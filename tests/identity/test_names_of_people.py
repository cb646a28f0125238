"""Pairwise subs, references, and accounts as they are made."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from click.testing import CliRunner

from gateway.identity.accounts import AccountKind, NewAccount, record_account
from gateway.identity.commands import AccountsContext, accounts_group
from gateway.identity.errors import AccountExists, AccountInvalid
from gateway.identity.pairwise import Pairwise
from gateway.identity.subjects import SubjectReferences
from tests.kit.clock import FrozenClock
from tests.kit.oidc_world import COUNCIL, OidcWorld

KEYS = {1: b"\x01" * 32}


def test_a_sub_is_translated_both_ways_within_its_sector_alone(world: OidcWorld, clock: FrozenClock) -> None:
    pairwise, account = Pairwise(KEYS), world.citizen().account.account_id
    with world.gateway.database.write() as session:
        sub = pairwise.sub_for(session, account, "dwp", at=clock.now())
        other = pairwise.sub_for(session, account, COUNCIL, at=clock.now())
        assert sub == pairwise.sub_for(session, account, "dwp", at=clock.now())
        assert sub != other
        assert pairwise.find_account(session, sub, "dwp") == account
        assert pairwise.find_account(session, sub, COUNCIL) is None
        assert pairwise.find_account(session, "guess", "dwp") is None
    # Without the key nobody can make it from what they know.
    assert Pairwise({1: b"\x02" * 32})._make(account, "dwp") != sub


def test_a_newer_key_makes_new_subs_and_changes_none(world: OidcWorld, clock: FrozenClock) -> None:
    one, other = world.citizen().account.account_id, world.citizen().account.account_id
    older, newer = Pairwise(KEYS), Pairwise({**KEYS, 2: b"\x02" * 32})
    with world.gateway.database.write() as session:
        known = older.sub_for(session, one, "dwp", at=clock.now())
        assert newer.sub_for(session, one, "dwp", at=clock.now()) == known
        assert newer.sub_for(session, other, "dwp", at=clock.now()) == newer._make(other, "dwp")
        assert newer.sub_for(session, other, "hmrc", at=clock.now()) != older._make(other, "hmrc")


def test_a_sub_made_by_many_at_once_is_one(world: OidcWorld, clock: FrozenClock) -> None:
    pairwise, account = Pairwise(KEYS), world.citizen().account.account_id

    def make(_: int) -> str:
        with world.gateway.database.write() as session:
            return pairwise.sub_for(session, account, "dwp", at=clock.now())

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(make, range(8)))) == 1


def test_references_are_opaque_stable_and_of_their_kind(world: OidcWorld) -> None:
    references, account = SubjectReferences(b"\x01" * 32), world.citizen().account.account_id
    reference = references.reference_of_account(account)
    assert reference == references.reference_of_account(account)
    assert reference != SubjectReferences(b"\x02" * 32).reference_of_account(account)
    attributes = {"nino": "QQ123456A", "family_name": "Testcase"}
    by_attributes = references.reference_of_attributes(attributes)
    assert by_attributes == references.reference_of_attributes(dict(reversed(attributes.items())))
    assert by_attributes != references.reference_of_attributes({**attributes, "nino": "QQ123456B"})
    assert len({reference, by_attributes}) == 2


def new(**changes: Any) -> NewAccount:
    officer = NewAccount(
        kind=AccountKind.OFFICER,
        email="Olive.Testcase@Council.example",
        given_name="Olive",
        family_name="Testcase",
        member_code=COUNCIL,
        roles=("auditor",),
        password="correct horse",
    )
    return replace(officer, **changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"member_code": None},
        {"member_code": "nobody"},
        {"kind": AccountKind.CITIZEN},
        {"kind": AccountKind.CITIZEN, "member_code": None},
        {"given_name": " "},
        {"email": "no address"},
    ],
)
def test_an_account_that_does_not_fit_its_kind_is_refused(
    world: OidcWorld, clock: FrozenClock, changes: dict[str, Any]
) -> None:
    people = world.gateway.people
    with world.gateway.database.write() as session, pytest.raises(AccountInvalid):
        record_account(session, new(**changes), passwords=people.passwords, sealing=people.sealing, at=clock.now())


def test_an_address_has_one_account_of_a_kind_however_it_is_typed(world: OidcWorld, clock: FrozenClock) -> None:
    people = world.gateway.people
    with world.gateway.database.write() as session:
        made = record_account(session, new(), passwords=people.passwords, sealing=people.sealing, at=clock.now())
        assert made.email == "olive.testcase@council.example"
        with pytest.raises(AccountExists):
            record_account(
                session,
                new(email=" OLIVE.testcase@council.example "),
                passwords=people.passwords,
                sealing=people.sealing,
                at=clock.now(),
            )


def test_operators_make_suspend_and_list_accounts(world: OidcWorld) -> None:
    gateway = world.gateway
    group = accounts_group(
        lambda: AccountsContext(
            database=gateway.database,
            people=gateway.people,
            audit=gateway.audit,
            clock=gateway.clock,
            issuer=world.issuer,
        )
    )

    def run(*arguments: str, status: int = 0) -> str:
        result = CliRunner().invoke(group, arguments)
        assert result.exit_code == status, result.output
        return result.output

    email = "odd.sample@council.example"
    names = ("--given-name", "Odd", "--family-name", "Sample")
    made = run("add-officer", email, *names, "--member", COUNCIL, "--role", "auditor")
    password = made.partition("Password: ")[2].splitlines()[0]
    assert "otpauth://totp/" in made
    browser = world.browser()
    page = browser.submit(browser.get("/sign-in"), {"email": email, "password": password})
    assert "Enter your security code" in page.text
    assert "already" in run("add-officer", email, *names, "--member", COUNCIL, status=1)
    assert "belongs to an active member" in run("add-officer", "x@y.example", *names, "--member", "no", status=1)
    run("add-citizen", email, *names, "--without-code", "--birthdate", "1990-01-01")
    assert "Suspended" in run("suspend", email, "--kind", "officer", "--reason", "left")
    assert ["officer", email, COUNCIL, "auditor", "suspended"] in [line.split() for line in run("list").splitlines()]
    assert {
        "kind": "officer",
        "email": email,
        "member": COUNCIL,
        "roles": ["auditor"],
        "state": "suspended",
    } in json.loads(run("list", "--json"))
    refused = browser.submit(browser.get("/sign-in"), {"email": email, "password": password})
    assert "Enter a correct email address and password" in refused.text
    run("reinstate", email, "--kind", "officer")
    assert "no such account" in run("suspend", "no@body.example", "--kind", "officer", "--reason", "x", status=1)
    assert [event["reason"] for event in world.events("identity.account.suspended")] == ["left"]
    assert len(world.events("identity.account.reinstated")) == 1
    assert len(world.events("identity.account.registered")) == 2
