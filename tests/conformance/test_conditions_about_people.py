"""Objections, the council's own area, how surely somebody was found: nobody outside can tell them from no record."""

import json
from collections.abc import Mapping
from secrets import token_hex
from typing import Any

from gateway.clock import SystemClock
from gateway.demo.people import PEOPLE
from gateway.sharing.exchange.people.objections import record_objections, remove_objections
from gateway.sharing.exchange.people.subjects import Translator
from tests.conformance.expectations import exchange_row, problem_of, receipt_in
from tests.conformance.told_apart import (
    Seen,
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
from tests.conformance.while_answering import asked_and_waiting, gated
from tests.kit.world import ADA_MATCH, ANSWER_SECONDS, NOBODY_MATCH, World

HERE = "E06000008"


def match_of(number: int) -> dict[str, str]:
    person = PEOPLE[number]
    return {"family_name": person.family_name, "birthdate": person.birthdate.isoformat(), "nino": person.nino}


def a_list_with(world: World, description: Mapping[str, str]) -> str:
    """A list of objections of a test's own, with this person on it."""
    name = f"list-{token_hex(6)}"
    with world.gateway.database.write() as session:
        record_objections(session, name, references_of(world, description), at=SystemClock().now())
    return name


def references_of(world: World, description: Mapping[str, str]) -> tuple[str, ...]:
    people = world.gateway.people
    translator = Translator(pairwise=people.pairwise, references=people.references)
    return translator.references_kept(description=description)


def test_whoever_objected_lives_elsewhere_or_is_a_guess_cannot_be_told_from_nobody(world: World) -> None:
    objecting = {**NOBODY_MATCH, "family_name": "Objector", "nino": "QQ888888C"}
    asking = world.asking(
        "located",
        answer_seconds=ANSWER_SECONDS,
        conditions__own_area_only=True,
        conditions__minimum_match="strong",
        conditions__objection_lists=[a_list_with(world, objecting)],
    )
    seen = ask_all(
        world,
        asking,
        {
            "unknown": {"match": NOBODY_MATCH},
            "objecting": {"match": objecting},
            "living elsewhere": {"match": match_of(1)},
            "hardly found": {"match": match_of(2)},
        },
    )
    receipts = {name: shown(world, asking, each) for name, each in seen.items()}
    assert_alike({name: shape_of(each.response) for name, each in seen.items()})
    assert_alike({name: shape_of_receipt(receipt) for name, receipt in receipts.items()})
    assert_alike({name: shape_of_leaf(world, receipt) for name, receipt in receipts.items()})
    assert_alike({name: len(each.response.body) for name, each in seen.items()})
    assert_same_time({name: each.seconds for name, each in seen.items()})
    assert_same_time({name: dated_after(world, each, "receipt") for name, each in seen.items()})
    assert_same_time({name: dated_after(world, each, "leaf") for name, each in seen.items()})
    # Only the encrypted details know, and the department only of those about whom it was asked.
    assert {name: reason_in_details(world, each) for name, each in seen.items()} == {
        "unknown": ["subject_unknown"],
        "objecting": ["subject_objected"],
        "living elsewhere": ["subject_out_of_area"],
        "hardly found": ["subject_unknown", "match_too_weak"],
    }
    asked = {name: world.asked_of_department(receipt.exchange) for name, receipt in receipts.items()}
    matches = {name: question["subject"]["match"] for name, question in asked.items() if question}
    assert {name for name, match in matches.items() if match == seen_match(name, objecting)} == matches.keys() - {
        "objecting"
    }
    # About nobody is asked by the same attributes, none of which is the objector's.
    assert matches["objecting"].keys() == objecting.keys()
    assert all(matches["objecting"][name] != value for name, value in objecting.items())


def seen_match(name: str, objecting: Mapping[str, str]) -> Mapping[str, str]:
    asked: dict[str, Mapping[str, str]] = {
        "unknown": NOBODY_MATCH,
        "objecting": objecting,
        "living elsewhere": match_of(1),
        "hardly found": match_of(2),
    }
    return asked[name]


def test_an_invented_number_walks_around_no_objection(world: World) -> None:
    """A department that says nothing of how surely it found somebody, and one that found them without the number."""
    name = a_list_with(world, {**ADA_MATCH, "nino": "QQ777777C"})
    silent = world.asking(answer_seconds=ANSWER_SECONDS, conditions__objection_lists=[name])
    seen = ask_all(world, silent, {"Ada": {"match": ADA_MATCH}})["Ada"]
    shown(world, silent, seen)
    assert reason_in_details(world, seen) == ["subject_objected"]
    by_names = world.asking("located", answer_seconds=ANSWER_SECONDS)
    seen = ask_all(world, by_names, {"Cleo": {"match": match_of(2)}})["Cleo"]
    shown(world, by_names, seen)
    assert reason_in_details(world, seen) == ["subject_unknown"]


def test_who_meets_every_demand_is_told_of_and_the_receipt_says_how_surely_they_were_found(world: World) -> None:
    asking = world.asking("located", conditions__own_area_only=True, conditions__minimum_match="exact")
    request = world.signed(world.body(asking))
    response = world.send(request)
    assert response.status == 200, response.body
    receipt = receipt_in(world, request, json.loads(response.body))
    assert receipt.subject == {"matched": True, "level": "exact"}
    assert exchange_row(world, receipt.exchange).match_level == "exact"
    # Where somebody lives is told to the gateway alone.
    assert HERE not in response.body.decode().replace(f'"consumer": "{HERE}"', "")
    by_sub = world.send(world.signed(world.body(asking, subject={"sub": world.citizen_sub()})))
    assert by_sub.status == 200, "who is named by a sub needs no match"


def test_whoever_objects_while_the_department_answers_is_not_told_of(world: World) -> None:
    name = a_list_with(world, {**NOBODY_MATCH, "nino": "QQ777777C"})
    asking = gated(world, conditions__objection_lists=[name])
    with asked_and_waiting(world, asking, world.signed(world.body(asking))) as waiting:
        with world.gateway.database.write() as session:
            record_objections(session, name, references_of(world, ADA_MATCH), at=SystemClock().now())
        response = waiting.let_answer()
    assert (response.status, json.loads(response.body)["code"]) == (403, "no_record")


def test_a_department_that_does_not_say_where_somebody_lives_meets_no_demand(world: World) -> None:
    for terms, reason in (
        ({"conditions__own_area_only": True}, "subject_out_of_area"),
        ({"conditions__minimum_match": "weak"}, "match_too_weak"),
    ):
        asking = world.asking("good", answer_seconds=ANSWER_SECONDS, **terms)
        seen = ask_all(world, asking, {"Ada": {"match": ADA_MATCH}})["Ada"]
        shown(world, asking, seen)
        assert seen.seconds >= ANSWER_SECONDS - 0.005
        assert reason_in_details(world, seen) == [reason]


def test_nonsense_about_a_person_is_a_failure_of_the_department(world: World) -> None:
    request = world.signed(world.body(world.asking("about-nonsense")))
    problem = problem_of(world, request, world.send(request))
    assert (problem["status"], problem["code"]) == (502, "provider_answer_invalid")


def test_another_spelling_or_one_attribute_less_walks_around_no_objection(world: World) -> None:
    recorded = {**ADA_MATCH, "given_name": "Ada", "postcode": "ZZ1 1AA"}
    name = a_list_with(world, recorded)
    asking = world.asking(answer_seconds=ANSWER_SECONDS, conditions__objection_lists=[name])
    spelt: Mapping[str, Mapping[str, Any]] = {
        "as she is": {"match": ADA_MATCH},
        "in capitals": {"match": {**ADA_MATCH, "family_name": "TESTCASE"}},
        "misspelt": {"match": {**ADA_MATCH, "family_name": "Testkase"}},
        "with another last letter of the number": {"match": {**ADA_MATCH, "nino": "QQ123456D"}},
    }
    seen: Mapping[str, Seen] = ask_all(world, asking, spelt)
    for each in seen.values():
        shown(world, asking, each)
        assert reason_in_details(world, each) == ["subject_objected"]
    with world.gateway.database.write() as session:
        remove_objections(session, name, references_of(world, recorded))
    assert world.send(world.signed(world.body(asking))).status == 200
