"""Unknown, withheld, restricted, never heard of: the consumer cannot tell which, by anything it sees or measures."""

import json
import time
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from gateway.clock import SystemClock
from gateway.demo.layout import DWP
from gateway.identity.accounts import AccountKind, find_account_by_email
from gateway.sharing.exchange.people.restrictions import record_restriction
from gateway.sharing.exchange.views import REFUSAL_SECONDS
from gateway.wire.encoding import b64url_encode
from tests.conformance.expectations import problem_of, receipt_in
from tests.conformance.others import another_citizen
from tests.conformance.told_apart import (
    ask_all,
    assert_alike,
    assert_same_time,
    dated_after,
    reason_in_details,
    shape_of,
    shape_of_leaf,
    shape_of_receipt,
    shown,
)
from tests.kit.world import ADA_MATCH, ANSWER_SECONDS, NOBODY_MATCH, WITHHELD_MATCH, Asking, World


def restricted_citizen(world: World, asking: Asking) -> str:
    """A citizen known to the council, about whom the gateway itself lets nothing out; the council's `sub` for them."""
    sub = another_citizen(world)
    people = world.gateway.people
    with world.gateway.database.write() as session:
        account = people.pairwise.find_account(session, sub, sector="E06000008")
        assert account is not None
        reference = people.references.reference_of_account(account)
        record_restriction(session, subject=reference, service=asking.service, at=SystemClock().now())
    return sub


def made_up_sub() -> str:
    return b64url_encode(uuid.uuid4().bytes * 2)[:43]


def test_people_without_a_record_are_told_apart_by_nothing(world: World) -> None:
    asking = world.asking(answer_seconds=ANSWER_SECONDS)
    by_match = ask_all(
        world,
        asking,
        {"unknown": {"match": NOBODY_MATCH}, "withheld": {"match": WITHHELD_MATCH}},
    )
    by_sub = ask_all(
        world,
        asking,
        {
            "never heard of": {"sub": made_up_sub()},
            "unknown to the department": {"sub": another_citizen(world)},
            "restricted at the gateway": {"sub": restricted_citizen(world, asking)},
        },
    )
    for seen in (by_match, by_sub):
        receipts = {name: shown(world, asking, each) for name, each in seen.items()}
        assert_alike({name: shape_of(each.response) for name, each in seen.items()})
        assert_alike({name: shape_of_receipt(receipt) for name, receipt in receipts.items()})
        assert_alike({name: shape_of_leaf(world, receipt) for name, receipt in receipts.items()})
        assert_alike({name: len(each.response.body) for name, each in seen.items()})
    everyone = {**by_match, **by_sub}
    assert_same_time({name: each.seconds for name, each in everyone.items()})
    # The dates of the outcome tell no more than the moment of the answer does.
    assert_same_time({name: dated_after(world, each, "receipt") for name, each in everyone.items()})
    assert_same_time({name: dated_after(world, each, "leaf") for name, each in everyone.items()})
    # Only the encrypted details know.
    reasons = {name: reason_in_details(world, each) for name, each in everyone.items()}
    assert reasons == {
        "unknown": ["subject_unknown"],
        "withheld": ["subject_withheld"],
        "never heard of": ["subject_unknown"],
        "unknown to the department": ["subject_unknown"],
        "restricted at the gateway": ["subject_withheld"],
    }
    world.assert_log_verifies()


def test_whether_the_gateway_asked_anybody_is_not_shown_by_an_early_retry(world: World) -> None:
    """Until the fixed time every exchange is still running, also where there was nobody to ask."""
    asking = world.asking(answer_seconds=2 * ANSWER_SECONDS)
    subjects = {
        "never heard of": {"sub": made_up_sub()},
        "restricted at the gateway": {"sub": restricted_citizen(world, asking)},
        "unknown to the department": {"sub": another_citizen(world)},
        "withheld by the department": {"match": WITHHELD_MATCH},
    }
    world.officer_token()

    def ask_and_retry_early(subject: Mapping[str, Any]) -> tuple[int, tuple[int, str], tuple[int, bool]]:
        body, key = world.body(asking, subject=subject), str(uuid.uuid4())
        with ThreadPoolExecutor(1) as sender:
            first = sender.submit(world.send, world.signed(body, key=key))
            time.sleep(ANSWER_SECONDS)
            early = world.send(world.signed(body, key=key))
            answer = first.result()
        late = world.send(world.signed(body, key=key))
        return answer.status, (early.status, json.loads(early.body)["code"]), (late.status, late.body == answer.body)

    with ThreadPoolExecutor(len(subjects)) as askers:
        seen = dict(zip(subjects, askers.map(ask_and_retry_early, subjects.values()), strict=True))
    assert seen == dict.fromkeys(subjects, (403, (409, "still_running"), (403, True)))


def test_the_log_of_outsiders_gains_nothing_before_the_answer_leaves(world: World) -> None:
    asking = world.asking(answer_seconds=ANSWER_SECONDS)
    world.officer_token()
    with ThreadPoolExecutor(1) as sender:
        answer = sender.submit(world.send, world.signed(world.body(asking, subject={"sub": made_up_sub()})))
        time.sleep(ANSWER_SECONDS / 2)
        before = {event.event_id for event in world.events()}
        exchange = json.loads(answer.result().body)["exchange"]
    assert all(event.event_id not in before for event in world.events(reference=exchange))


def test_nobody_can_tell_by_time_whether_somebody_was_ever_asked_about(world: World) -> None:
    """The key of a person new to the log is made before the times at which answers leave, never after."""
    keys = world.settings.subject_keys_dir
    request = world.signed(world.body(world.asking(answer_seconds=ANSWER_SECONDS), subject={"sub": made_up_sub()}))
    with ThreadPoolExecutor(1) as sender:
        before = set(keys.rglob("*"))
        answer = sender.submit(world.send, request)
        time.sleep(ANSWER_SECONDS / 2)
        half_way = set(keys.rglob("*"))
        assert answer.result().status == 403
    assert half_way > before
    assert set(keys.rglob("*")) == half_way
    refused = world.asking(conditions__roles=["another-role"])
    for _ in range(2):
        seen = ask_all(world, refused, {"new": {"match": {**NOBODY_MATCH, "family_name": f"N{uuid.uuid4().hex}"}}})
        assert seen["new"].seconds >= REFUSAL_SECONDS


def test_an_officer_is_not_asked_about_as_a_citizen(world: World) -> None:
    officer, people = world.officer(), world.gateway.people
    with world.gateway.database.write() as session:
        account = find_account_by_email(session, AccountKind.OFFICER, officer.email)
        assert account is not None
        sub = people.pairwise.sub_for(session, account.account_id, "E06000008", at=SystemClock().now())
    asking = world.asking(answer_seconds=ANSWER_SECONDS)
    seen = ask_all(world, asking, {"officer": {"sub": sub}})["officer"]
    receipt = shown(world, asking, seen)
    told = world.asked_of_department(receipt.exchange)
    assert told is not None
    with world.gateway.database.read() as session:
        assert people.pairwise.find_account(session, told["subject"]["sub"], sector=DWP) is None


@pytest.mark.parametrize("behaviour", ["error", "unsigned", "slow", "schema-violation", "missing-field"])
def test_a_failing_department_fails_alike_for_people_about_whom_it_need_not_be_asked(
    world: World, behaviour: str
) -> None:
    asking = world.asking(behaviour, answer_seconds=ANSWER_SECONDS)
    restricted = restricted_citizen(world, asking)
    seen = ask_all(
        world,
        asking,
        {
            "known": {"sub": world.citizen_sub()},
            "never heard of": {"sub": made_up_sub()},
            "restricted at the gateway": {"sub": restricted},
        },
    )
    problems = {name: problem_of(world, each.request, each.response) for name, each in seen.items()}
    receipts = {name: receipt_in(world, each.request, problems[name]) for name, each in seen.items()}
    assert {receipt.outcome for receipt in receipts.values()} == {"failed"}
    assert_alike({name: shape_of(each.response) for name, each in seen.items()})
    assert_alike({name: shape_of_receipt(receipt) for name, receipt in receipts.items()})
    assert_alike({name: shape_of_leaf(world, receipt) for name, receipt in receipts.items()})
    # Whoever needs not be asked about is not named to the department, not even by its own name for them.
    for name in ("never heard of", "restricted at the gateway"):
        told = world.asked_of_department(receipts[name].exchange)
        assert told is not None
        assert told["subject"].keys() == {"sub"}
        with world.gateway.database.read() as session:
            assert world.gateway.people.pairwise.find_account(session, told["subject"]["sub"], sector=DWP) is None


@pytest.mark.parametrize("match", [ADA_MATCH, NOBODY_MATCH, WITHHELD_MATCH], ids=["known", "unknown", "withheld"])
def test_a_caller_who_may_not_ask_learns_nothing_about_anybody(world: World, match: Mapping[str, str]) -> None:
    """Beside a rule that the caller broke, what is true of the person is not told, nor does it take time."""
    asking = world.asking(conditions__roles=["another-role"], answer_seconds=10 * ANSWER_SECONDS)
    seen = ask_all(world, asking, {"one": {"match": match}})["one"]
    problem = problem_of(world, seen.request, seen.response)
    assert [rule["code"] for rule in problem["rules"]] == ["role_not_covered"]
    assert seen.seconds < 5 * ANSWER_SECONDS
