"""Quotas at the exchange's door: what every answer says of them, who spends whose, and what a flood leaves behind."""

import json
from datetime import timedelta
from typing import Any

import http_sf
import pytest
from sqlalchemy import delete

from gateway.clock import SystemClock
from gateway.sharing.exchange.models import QuotaRow
from gateway.wire.message_signatures import HttpResponse
from gateway.wire.signer import PrivateKeySigner
from tests.conformance.expectations import problem_of, watching
from tests.conformance.others import Other, another_client, another_member, officer_token_of, token_of_its_own
from tests.kit.world import World

A_MINUTE = timedelta(minutes=1)


def spend_all(world: World, scope: str, *, used: int) -> None:
    """Spend a quota of which no worker has anything in hand, for this minute and the next ones."""
    now = SystemClock().now().replace(second=0, microsecond=0)
    with world.gateway.database.write() as session:
        session.execute(delete(QuotaRow).where(QuotaRow.scope == scope))
        for minutes in range(4):
            starts_at = now + minutes * A_MINUTE
            session.add(QuotaRow(scope=scope, starts_at=starts_at, used=used, expires_at=starts_at + 5 * A_MINUTE))


def standing(response: HttpResponse, field: str = "RateLimit") -> dict[str, dict[str, int]]:
    """What a field says of each policy, read as a structured field."""
    text = response.headers.get(field)
    members: Any = http_sf.parse(text.encode(), tltype="list") if text else []
    return dict(members)


@pytest.fixture(scope="module")
def council(world: World) -> Other:
    """A system of another council."""
    return another_client(world, member=another_member(world))


def test_every_answer_says_what_is_allowed_and_what_is_left(world: World) -> None:
    asking = world.asking()
    answered = world.send(world.signed(world.body(asking)))
    refused = world.send(world.signed(world.body(asking, purpose="blue-badge")))
    malformed = world.send(world.signed(b"{"))
    for response in (answered, refused, malformed):
        policies = standing(response, "RateLimit-Policy")
        assert policies == {"member": {"q": 6000, "w": 60}, "agreement": {"q": 3000, "w": 60}}
        assert 0 < standing(response)["member"]["r"] < 6000
        assert 0 < standing(response)["member"]["t"] <= 60
    assert 0 < standing(answered)["agreement"]["r"] < 3000
    assert "agreement" not in standing(malformed)
    # Who is not proved to ask learns the policies, and how nobody stands.
    stranger = world.send(world.signed(world.body(asking), token="nothing"))
    assert (stranger.status, standing(stranger)) == (401, {})
    assert "RateLimit-Policy" in stranger.headers


def test_over_a_members_quota_nothing_is_looked_at_and_the_log_says_so_once_a_process(
    world: World, council: Other
) -> None:
    token = officer_token_of(world, council)
    spend_all(world, f"member {council.client.member_code}", used=6000)
    request = world.signed(b"{", token=token, signer=council.signer, client_id=council.client_id)
    with watching(world) as watched:
        answers = [
            world.send(world.signed(b"{", token=token, signer=council.signer, client_id=council.client_id))
            for _ in range(5)
        ]
        response = world.send(request)
    problem = problem_of(world, request, response)
    assert (problem["status"], problem["code"]) == (429, "quota_exceeded")
    assert problem["type"] == "https://iana.org/assignments/http-problem-types#quota-exceeded"
    assert problem["violated-policies"] == ["member"]
    assert {answer.status for answer in answers} == {429}
    assert 0 < int(response.headers["Retry-After"]) <= 60
    assert standing(response)["member"]["r"] == 0
    assert watched.changed == set()
    # One entry for each worker and minute, of which at most two are touched here, however many requests came.
    assert {event.name for event in watched.events} == {"sharing.request.rejected"}
    assert 1 <= len(watched.events) <= 2 * world.settings.workers
    # Others are not held up.
    assert world.send(world.signed(world.body(world.asking()))).status == 200


def test_over_an_agreements_quota_the_same_key_may_be_used_later(world: World) -> None:
    asking = world.asking()
    spend_all(world, f"agreement {asking.reference}", used=3000)
    request = world.signed(world.body(asking))
    problem = problem_of(world, request, world.send(request))
    assert (problem["status"], problem["violated-policies"]) == (429, ["agreement"])
    with world.gateway.database.write() as session:
        session.execute(delete(QuotaRow).where(QuotaRow.scope == f"agreement {asking.reference}"))
    assert world.send(world.signed(world.body(world.asking()))).status == 200


def test_whoever_took_a_token_and_has_no_key_cannot_spend_the_members_quota(world: World) -> None:
    thief = PrivateKeySigner.generate("ES256")
    owner = another_client(world, member=another_member(world))
    token = token_of_its_own(world, owner.client_id, owner.signer)
    body = world.body(world.asking())
    stolen = world.send(world.signed(body, token=token, signer=thief, client_id=owner.client_id))
    assert stolen.status == 401
    assert used_by(world, f"unproved {owner.client_id}") > 0
    assert used_by(world, f"member {owner.client.member_code}") == 0
    # Once that is spent the thief hears no more of signatures, and the owner is heard as before.
    spent = another_client(world)
    spend_all(world, f"unproved {spent.client_id}", used=6000)
    token = token_of_its_own(world, spent.client_id, spent.signer)
    answer = world.send(world.signed(body, token=token, signer=thief, client_id=spent.client_id))
    assert (answer.status, json.loads(answer.body)["violated-policies"]) == (429, ["unproved"])
    proved = world.send(world.signed(body, token=token, signer=spent.signer, client_id=spent.client_id))
    assert proved.status == 403


def test_an_agreement_s_quota_is_not_spent_by_systems_that_it_does_not_name(world: World) -> None:
    other = another_client(world)
    asking = world.asking()
    request = world.signed(
        world.body(asking), token=officer_token_of(world, other), signer=other.signer, client_id=other.client_id
    )
    answer = world.send(request)
    assert answer.status == 403
    assert "agreement" not in standing(answer)
    assert used_by(world, f"agreement {asking.reference}") == 0


def used_by(world: World, scope: str) -> int:
    """How much of a quota was taken by all workers in the minutes that are kept."""
    with world.gateway.database.read() as session:
        return sum(row.used for row in session.query(QuotaRow).filter(QuotaRow.scope == scope))
