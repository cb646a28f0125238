"""Hours, volume, budgets of questions: told to whoever asks, counted exactly, over HTTP by several workers."""

import json
import uuid
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

from gateway.clock import SystemClock
from gateway.policy.engine import WEEKDAYS
from tests.conformance.computed import computing
from tests.conformance.expectations import assert_refused, problem_of
from tests.kit.computing_department import UNREADABLE
from tests.kit.world import ADA, ADA_MATCH, ANSWER_SECONDS, NOBODY_MATCH, Asking, World


def codes(world: World, body: Mapping[str, Any]) -> list[str]:
    """Why this was refused; empty where it was answered."""
    request = world.signed(body)
    response = world.send(request)
    if response.status == 200:
        return []
    return [rule["code"] for rule in problem_of(world, request, response)["rules"]]


def asked_by_many(world: World, asking: Asking, number: int, **changes: Any) -> Counter[str]:
    """How so many questions at once ended."""
    world.officer_token()
    bodies = [world.body(asking, **changes) for _ in range(number)]
    with ThreadPoolExecutor(number) as askers:
        return Counter(",".join(ended) or "answered" for ended in askers.map(lambda one: codes(world, one), bodies))


def test_outside_the_hours_nobody_is_asked(world: World) -> None:
    today = SystemClock().now().astimezone(ZoneInfo("Europe/London"))
    # Two days away, so that no midnight comes between.
    another_day = WEEKDAYS[(today + timedelta(days=3)).weekday()]
    closed = world.asking(conditions__hours={"days": [another_day], "from": "00:00", "until": "24:00"})
    assert_refused(world, world.signed(world.body(closed)), "outside_hours")
    always = world.asking(conditions__hours={"days": list(WEEKDAYS), "from": "00:00", "until": "24:00"})
    assert codes(world, world.body(always)) == []


def test_of_many_at_once_no_more_are_answered_than_the_days_volume(world: World) -> None:
    asking = world.asking(volume_per_day=3)
    # What is refused for another reason is not counted, however often it is tried.
    for _ in range(4):
        assert codes(world, world.body(asking, fields=["award_amount"])) == ["field_not_covered"]
    assert asked_by_many(world, asking, 8) == {"answered": 3, "volume_exceeded": 5}
    # Every failing rule is named, this one too.
    assert set(codes(world, world.body(asking, fields=["award_amount"]))) == {"field_not_covered", "volume_exceeded"}


def test_an_honest_retry_is_no_second_exchange_and_no_second_question(world: World) -> None:
    asking = world.asking(volume_per_day=2, conditions__queries_per_subject={"most": 2, "days": 1})
    body, key = world.body(asking), str(uuid.uuid4())
    answers = {world.send(world.signed(body, key=key)).body for _ in range(4)}
    assert len(answers) == 1
    assert codes(world, world.body(asking)) == []
    assert set(codes(world, world.body(asking))) == {"volume_exceeded", "query_budget_spent"}


def test_of_many_at_once_no_more_ask_about_one_person_than_the_budget_has(world: World) -> None:
    asking = world.asking(conditions__queries_per_subject={"most": 2, "days": 30})
    assert asked_by_many(world, asking, 6) == {"answered": 2, "query_budget_spent": 4}
    # Another spelling is the same person; another person is not.
    spelt = {**ADA_MATCH, "family_name": "Testkase", "nino": "QQ123456D"}
    assert codes(world, world.body(asking, subject={"match": spelt})) == ["query_budget_spent"]
    assert codes(world, world.body(asking, subject={"sub": world.citizen_sub()})) == []


def test_a_spent_budget_does_not_tell_whom_a_sub_names(world: World) -> None:
    asking = world.asking(conditions__queries_per_subject={"most": 1, "days": 30})
    described = {"family_name": ADA.family_name, "birthdate": ADA.birthdate.isoformat(), "nino": "QQ123456C"}
    codes(world, world.body(asking, subject={"match": described}))
    assert codes(world, world.body(asking, subject={"match": described})) == ["query_budget_spent"]
    assert codes(world, world.body(asking, subject={"sub": world.citizen_sub()})) == []


def test_a_spent_budget_tells_nothing_of_whether_there_is_somebody(world: World) -> None:
    asking = world.asking(answer_seconds=ANSWER_SECONDS, conditions__queries_per_subject={"most": 1, "days": 30})
    ended = {}
    for name, match in (("known", ADA_MATCH), ("unknown", NOBODY_MATCH)):
        first = codes(world, world.body(asking, subject={"match": match}))
        request = world.signed(world.body(asking, subject={"match": match}))
        receipt = assert_refused(world, request, "query_budget_spent")
        assert receipt.subject is None
        ended[name] = first
    assert ended == {"known": [], "unknown": ["no_record"]}


def test_one_persons_unusable_record_closes_the_service_to_nobody_and_costs_the_budget(world: World) -> None:
    most = world.settings.workers * world.settings.provider_failures + 1
    asking = computing(world, "computed-unusable", conditions__queries_per_subject={"most": most, "days": 30})
    unreadable = {"match": {**NOBODY_MATCH, "family_name": UNREADABLE}}
    told = Counter(
        json.loads(world.send(world.signed(world.body(asking, subject=unreadable))).body)["code"] for _ in range(most)
    )
    assert told == {"provider_answer_invalid": most}
    # With that circuit open, it would be asked about nobody for a while.
    assert codes(world, world.body(asking)) == []
    assert codes(world, world.body(asking, subject=unreadable)) == ["query_budget_spent"]


def test_that_there_is_an_unusable_record_is_not_told_where_nothing_may_be(world: World) -> None:
    for demanded, told in (("strong", "provider_answer_invalid"), ("exact", "no_record")):
        asking = computing(
            world, "computed-unusable", answer_seconds=ANSWER_SECONDS, conditions__minimum_match=demanded
        )
        subject = {"match": {**ADA_MATCH, "family_name": UNREADABLE}}
        assert json.loads(world.send(world.signed(world.body(asking, subject=subject))).body)["code"] == told


def test_a_fault_that_the_department_signed_costs_the_budget(world: World) -> None:
    asking = world.asking("error", conditions__queries_per_subject={"most": 1, "days": 30})
    assert json.loads(world.send(world.signed(world.body(asking))).body)["code"] == "provider_error"
    assert codes(world, world.body(asking)) == ["query_budget_spent"]


def test_a_question_that_the_department_did_not_answer_is_given_back(world: World) -> None:
    asking = world.asking("unsigned", conditions__queries_per_subject={"most": 1, "days": 30})
    for _ in range(2):
        request = world.signed(world.body(asking))
        response = world.send(request)
        assert response.status in {502, 503}, json.loads(response.body)
