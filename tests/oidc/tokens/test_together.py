"""Grants that share a transaction are written only if what they were judged by is still so at that moment."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import func, select

from gateway.audit.models import EventRow
from gateway.identity.accounts import suspend_account
from gateway.oidc.models import AccessTokenRow, AuthorizationRow, RefreshTokenRow
from gateway.oidc.tokens.together import Grant, GrantsTogether
from gateway.once.models import UsedRow
from tests.kit.oidc_world import OidcWorld, Person, RelyingParty

Change = Callable[[OidcWorld, RelyingParty, Person], None]


def disable_client(world: OidcWorld, rp: RelyingParty, _person: Person) -> None:
    world.change_client(replace(rp.client, active=False))


def suspend_person(world: OidcWorld, _rp: RelyingParty, person: Person) -> None:
    with world.gateway.database.write() as session:
        suspend_account(session, person.account.account_id, at=world.clock.now())


def revoke_family(world: OidcWorld, rp: RelyingParty, _person: Person) -> None:
    with world.gateway.database.write() as session:
        for row in session.scalars(select(AuthorizationRow).where(AuthorizationRow.client_id == rp.client.client_id)):
            row.revoked_at = world.clock.now()


def use_token(world: OidcWorld, rp: RelyingParty, _person: Person) -> None:
    with world.gateway.database.write() as session:
        family = select(AuthorizationRow.authorization_id).where(AuthorizationRow.client_id == rp.client.client_id)
        for row in session.scalars(select(RefreshTokenRow).where(RefreshTokenRow.authorization_id.in_(family))):
            row.used_at = world.clock.now()


@contextmanager
def just_before_writing(monkeypatch: pytest.MonkeyPatch, change: Callable[[], None]) -> Any:
    """Let something happen after a grant was judged and signed, and before it is written."""
    write = GrantsTogether.write

    def changed_first(self: GrantsTogether, grant: Grant) -> bool:
        monkeypatch.undo()
        change()
        return write(self, grant)

    monkeypatch.setattr(GrantsTogether, "write", changed_first)
    yield
    monkeypatch.undo()


def rows(world: OidcWorld) -> list[int]:
    tables = (AccessTokenRow, RefreshTokenRow)
    with world.gateway.database.read() as session:
        return [session.scalar(select(func.count()).select_from(table)) or 0 for table in tables]


def issued_events(world: OidcWorld) -> int:
    names = ("oidc.tokens.issued", "oidc.tokens.refreshed")
    with world.gateway.database.read() as session:
        return session.scalar(select(func.count()).where(EventRow.name.in_(names))) or 0


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (disable_client, "invalid_client"),
        (suspend_person, "invalid_grant"),
        (revoke_family, "invalid_grant"),
        (use_token, "invalid_grant"),
    ],
)
def test_a_refresh_gives_nothing_when_something_changed_meanwhile(
    world: OidcWorld, monkeypatch: pytest.MonkeyPatch, change: Change, error: str
) -> None:
    rp, person = world.relying_party(), world.officer()
    first = rp.tokens(world.signed_in(person), person, scope="openid offline_access")
    before, told = rows(world), issued_events(world)
    with just_before_writing(monkeypatch, lambda: change(world, rp, person)):
        answer = rp.ask(grant_type="refresh_token", refresh_token=first["refresh_token"])
    assert answer.status_code in {400, 401}
    assert answer.json()["error"] == error
    assert rows(world) == before
    assert issued_events(world) == told


def test_a_client_disabled_meanwhile_gets_no_token(world: OidcWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    rp = world.relying_party()
    before = rows(world)
    with just_before_writing(monkeypatch, lambda: world.change_client(replace(rp.client, active=False))):
        answer = rp.ask(grant_type="client_credentials", resource=world.sharing)
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    assert rows(world) == before


def test_a_client_that_loses_a_resource_meanwhile_gets_no_token_for_it(
    world: OidcWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    rp = world.relying_party()
    before = rows(world)
    with just_before_writing(monkeypatch, lambda: world.change_client(replace(rp.client, resources=()))):
        answer = rp.ask(grant_type="client_credentials", resource=world.sharing)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_target")
    assert rows(world) == before


def test_a_refusal_that_was_first_tried_together_is_told_by_its_own_reason(
    world: OidcWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    rp, person = world.relying_party(), world.officer()
    first = rp.tokens(world.signed_in(person), person, scope="openid offline_access")
    with just_before_writing(monkeypatch, lambda: revoke_family(world, rp, person)):
        rp.ask(grant_type="refresh_token", refresh_token=first["refresh_token"])
    # The assertion was not used up by the attempt, or the log would say that it was sent twice.
    assert not world.events("oidc.client.rejected")
    assert [event["reason"] for event in world.events("oidc.tokens.refused")] == ["invalid_grant"]


def test_one_assertion_sent_many_times_at_once_gives_one_token(world: OidcWorld) -> None:
    rp = world.relying_party()
    assertion = rp.assertion()
    with ThreadPoolExecutor(8) as threads:
        asking = [
            threads.submit(rp.ask, assertion=assertion, grant_type="client_credentials", resource=world.sharing)
            for _ in range(8)
        ]
        statuses = sorted(asked.result().status_code for asked in asking)
    assert statuses == [200] + [401] * 7
    assert {event["reason"] for event in world.events("oidc.client.rejected")} == {"assertion_replayed"}
    with world.gateway.database.read() as session:
        assert session.scalar(select(func.count()).select_from(UsedRow).where(UsedRow.kind == "client_assertion"))


def test_many_refreshes_at_once_give_each_family_its_own(world: OidcWorld) -> None:
    rp = world.relying_party()
    people = [world.officer() for _ in range(8)]
    held = [rp.tokens(world.signed_in(person), person, scope="openid offline_access") for person in people]

    def refresh(tokens: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = rp.ask(grant_type="refresh_token", refresh_token=tokens["refresh_token"]).json()
        return answer

    with ThreadPoolExecutor(8) as threads:
        for _ in range(3):
            held = list(threads.map(refresh, held))
    subjects = [rp.userinfo(tokens["access_token"]).json()["sub"] for tokens in held]
    assert len(set(subjects)) == len(people)
    assert len({tokens["refresh_token"] for tokens in held}) == len(people)
