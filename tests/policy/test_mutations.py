"""Changing any one clause of any shipped agreement flips exactly the decisions that the clause governs.

Every agreement in the folder is walked, leaf by leaf, with nothing to be said here about a new one. A leaf of a new
kind fails until somebody says what it governs.
"""

from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from gateway.policy.documents import load_document
from gateway.policy.engine import PolicyEngine
from gateway.policy.tables import describe
from gateway.sharing.agreements.policy_bases import load_policy_bases
from tests.kit.policies import POLICIES
from tests.policy.circumstances import Circumstance, Document, circumstances, facts_in_force, inputs
from tests.policy.clauses import GOVERNING, SILENT, Mutation, additions, leaves, mutations, silently_changed

SHIPPED = sorted(path.stem for path in (POLICIES / "agreements").glob("*.yaml"))


@pytest.fixture(scope="module")
def engine() -> PolicyEngine:
    return PolicyEngine.load(POLICIES)


@cache
def document_of(name: str) -> Document:
    document: Document = load_document(POLICIES / "agreements" / f"{name}.yaml")
    return document


@cache
def service_fields_of(name: str) -> tuple[str, ...]:
    return load_policy_bases(POLICIES)[name].service_fields


def around(engine: PolicyEngine, name: str) -> list[Circumstance]:
    purposes = document_of(name)["purposes"]
    another = next(purpose for purpose in engine.registers.purposes if purpose not in purposes)
    return circumstances(document_of(name), fields=service_fields_of(name), purposes=[*purposes, another])


def decided(engine: PolicyEngine, name: str, mutated: Document, all_of: list[Circumstance]) -> list[str]:
    facts = facts_in_force(mutated)
    fields = service_fields_of(name)
    return [describe(engine.decide(inputs(one, facts, of=document_of(name), service_fields=fields))) for one in all_of]


@pytest.mark.parametrize("name", SHIPPED)
def test_each_clause_governs_what_it_says_and_nothing_else(engine: PolicyEngine, name: str) -> None:
    document = document_of(name)
    all_of = around(engine, name)
    before = decided(engine, name, document, all_of)
    assert before[0].startswith("permit"), f"the request from which all others start is refused: {before[0]}"
    changed = [
        mutation
        for path, value in leaves(document)
        if not SILENT.fullmatch(path)
        for mutation in mutations(document, path, value)
    ]
    for mutation in [*changed, *additions(document)]:
        check(mutation, all_of, before, decided(engine, name, mutation.document, all_of))


def check(mutation: Mutation, all_of: list[Circumstance], before: list[str], after: list[str]) -> None:
    flipped = {one for one, was, now in zip(all_of, before, after, strict=True) if was != now}
    governed = {one for one in all_of if mutation.governs(one)}
    assert governed, f"no case shows {mutation.clause}"
    missed, beyond = governed - flipped, flipped - governed
    assert not missed, f"{mutation.clause} changed, and is decided as before: {next(iter(missed))}"
    assert not beyond, f"{mutation.clause} changed, and it does not govern: {next(iter(beyond))}"


@pytest.mark.parametrize("name", SHIPPED)
def test_what_is_said_to_people_alone_reaches_no_decision(name: str) -> None:
    document = document_of(name)
    facts = facts_in_force(document)
    for path, value in leaves(document):
        if SILENT.fullmatch(path):
            after = facts_in_force(silently_changed(document, path, value))
            # Equal facts are decided alike; reference and version name the agreement, and decide nothing.
            assert replace(after, id=facts.id, version=facts.version) == facts, path


def test_a_clause_of_which_nobody_said_what_it_governs_is_found() -> None:
    document: dict[str, Any] = {**document_of("DSA-003.1"), "a_new_clause": "some value"}
    assert not SILENT.fullmatch("a_new_clause")
    with pytest.raises(LookupError, match="a_new_clause"):
        mutations(document, "a_new_clause", document["a_new_clause"])


def test_every_kind_of_clause_is_shipped_or_added_somewhere() -> None:
    walked = {path for name in SHIPPED for path, _value in leaves(document_of(name))}
    walked |= {f"conditions.{mutation.clause}" for name in SHIPPED for mutation in additions(document_of(name))}
    unseen = {
        form
        for form in GOVERNING
        if not any(path.startswith(form.split(r"\.\d")[0].replace("\\", "").split(".(")[0]) for path in walked)
    }
    assert not unseen
