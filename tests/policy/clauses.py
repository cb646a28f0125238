"""Shipped agreements changed one clause at a time.

A *clause* is a leaf of the agreement's document. What it governs is said here by a predicate over circumstances, in
words of its own and without asking the engine.
"""

import copy
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

from gateway.policy.engine import WEEKDAYS
from tests.policy.circumstances import LEVELS, TODAY, Circumstance, Document

Predicate = Callable[[Circumstance], bool]


@dataclass(frozen=True, kw_only=True)
class Mutation:
    """One clause changed, and which circumstances that must decide otherwise."""

    clause: str
    document: Document
    governs: Predicate


# What says nothing to a decision: it is for people, for evidence, or for what is computed from an answer.
SILENT = re.compile(
    r"reference|version|title|benefits|data_subjects|review|method|frequency|classification|onward_sharing"
    r"|individual_rights|parties\.\w+\.data_protection_role|exclusions\..*|retention\..*|dpia\..*|contacts\..*"
    r"|decision\..*|legal_basis\.(article_6|article_9|schedule_1)|end_to_end\.keys\..*"
    r"|checks\.\d+\.(from\..*|computed_by|expression|gives|gives\..*|description)"
)
_OTHERWISE: Mapping[str, Callable[[Any], Any]] = {
    r"reference": lambda _: "DSA-CHANGED",
    r"version": lambda value: value + 1,
    r"review|dpia\.date|decision\.date": lambda value: _shifted(value, 1),
    r".*\.data_protection_role": lambda value: "processor" if value != "processor" else "controller",
    r"classification": lambda value: "OFFICIAL" if value != "OFFICIAL" else "OFFICIAL-SENSITIVE",
    r"contacts\.\d+\.purpose": lambda value: "incident" if value != "incident" else "agreement",
    r"contacts\.\d+\.email": lambda _: "other@sample.example",
    r"checks\.\d+\.computed_by": lambda value: "provider" if value == "gateway" else "gateway",
    r"checks\.\d+\.gives": lambda _: ["some", "other"],
    r"checks\.\d+\.from\.\d+": lambda _: "another_field",
    r"end_to_end\.keys\.\d+": lambda _: "A" * 43,
    r"method": lambda value: value,  # there is one only
}


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf of a document with its path: `conditions.roles.0`."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from leaves(item, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from leaves(item, f"{path}.{number}")
    else:
        yield path, value


def silently_changed(document: Document, path: str, value: Any) -> Document:
    """The document with a leaf changed that governs nothing."""
    change = next((change for form, change in _OTHERWISE.items() if re.fullmatch(form, path)), None)
    return _with(document, path, change(value) if change else f"{value or ''} changed")


def mutations(document: Document, path: str, value: Any) -> list[Mutation]:
    """The ways in which a clause is changed; raises `LookupError` for a leaf of which nobody said what it governs."""
    clauses = next((clauses for form, clauses in GOVERNING.items() if re.fullmatch(form, path)), None)
    if clauses is None:
        raise LookupError(path)
    return [Mutation(clause=path, document=changed, governs=governs) for changed, governs in clauses(document, value)]


def additions(document: Document) -> list[Mutation]:
    """The conditions that this agreement has not, each added."""
    conditions = document["conditions"]
    added: Mapping[str, tuple[Any, Predicate]] = {
        "own_area_only": (True, lambda one: not one.lives_here),
        "objection_lists": (["a-list-of-others"], lambda one: "a-list-of-others" in one.lists),
        "hours": (
            {"days": ["sat"], "from": "00:00", "until": "24:00"},
            lambda one: one.weekday != "sat",
        ),
        "queries_per_subject": ({"most": 3, "days": 30}, lambda one: one.asked(30) >= 3),
        "minimum_match": ("strong", lambda one: one.kind == "match" and one.level not in ("exact", "strong")),
    }
    return [
        Mutation(clause=name, document={**document, "conditions": {**conditions, name: value}}, governs=governs)
        for name, (value, governs) in added.items()
        if name not in conditions
    ]


Changes = Iterator[tuple[Document, Predicate]]


def _taken_out(path: str, holds: Callable[[Circumstance, Any], bool]) -> Callable[[Document, Any], Changes]:
    """One item of a list goes: exactly who rests on it is refused."""

    def changes(document: Document, value: Any) -> Changes:
        left = [item for item in _at_path(document, path) if item != value]
        yield _with(document, path, left), lambda one: holds(one, value)

    return changes


def _member(path: str) -> Callable[[Document, Any], Changes]:
    def changes(document: Document, _value: Any) -> Changes:
        yield _with(document, path, "someone-else"), lambda _one: True

    return changes


def _first_day(document: Document, value: str) -> Changes:
    day = date.fromisoformat(value)
    yield _with(document, "starts", _shifted(value, 1)), lambda one: one.day == day
    yield _with(document, "starts", _shifted(value, -1)), lambda one: one.day == day - timedelta(days=1)


def _last_day(document: Document, value: str) -> Changes:
    day = date.fromisoformat(value)
    yield _with(document, "ends", _shifted(value, -1)), lambda one: one.day == day
    yield _with(document, "ends", _shifted(value, 1)), lambda one: one.day == day + timedelta(days=1)


def _strength(document: Document, value: str) -> Changes:
    strengths = ("AAL1", "AAL2", "AAL3")
    place = strengths.index(value)
    if place < 2:
        yield _with(document, "conditions.minimum_acr", strengths[place + 1]), lambda one: one.acr == value
    if place > 0:
        weaker = strengths[place - 1]
        yield _with(document, "conditions.minimum_acr", weaker), lambda one: one.acr == weaker


def _case_reference(document: Document, value: bool) -> Changes:  # noqa: FBT001 - a leaf's value
    yield _with(document, "conditions.case_reference_required", not value), lambda one: not one.case_reference


def _own_area(document: Document, value: bool) -> Changes:  # noqa: FBT001 - a leaf's value
    yield _with(document, "conditions.own_area_only", not value), lambda one: not one.lives_here


def _objection_list(document: Document, value: str) -> Changes:
    yield (
        _without_item(document, "conditions.objection_lists", value),
        lambda one: value in one.lists,
    )


def _weekday(document: Document, value: str) -> Changes:
    hours = document["conditions"]["hours"]
    left = [day for day in hours["days"] if day != value] or [next(day for day in WEEKDAYS if day != value)]

    def within_hours(one: Circumstance) -> bool:
        return bool(hours["from"] <= one.clock < hours["until"])

    # A day that was the only one is replaced: then the other day is gained, as well as this one lost.
    gained = set(left) - set(hours["days"])
    yield (
        _with(document, "conditions.hours.days", left),
        lambda one: within_hours(one) and (one.weekday == value or one.weekday in gained),
    )


def _opening(document: Document, value: str) -> Changes:
    days = document["conditions"]["hours"]["days"]
    later = f"{datetime.combine(TODAY, time.fromisoformat(value)) + timedelta(minutes=1):%H:%M}"
    yield (
        _with(document, "conditions.hours.from", later),
        lambda one: one.clock == value and one.weekday in days,
    )


def _closing(document: Document, value: str) -> Changes:
    days = document["conditions"]["hours"]["days"]
    end = datetime.combine(TODAY, time.min) + timedelta(hours=int(value[:2]), minutes=int(value[3:]))
    earlier = f"{end - timedelta(minutes=1):%H:%M}"
    yield (
        _with(document, "conditions.hours.until", earlier),
        lambda one: one.clock == earlier and one.weekday in days,
    )


def _budget(document: Document, _value: int) -> Changes:
    budget = document["conditions"]["queries_per_subject"]
    for name in ("most", "days"):
        for change in (-1, 1):
            changed = {**budget, name: budget[name] + change}
            if changed[name] < 1:
                continue

            def governs(one: Circumstance, changed: Mapping[str, int] = changed) -> bool:
                before = one.asked(budget["days"]) >= budget["most"]
                return bool(before != (one.asked(changed["days"]) >= changed["most"]))

            yield _with(document, "conditions.queries_per_subject", changed), governs


def _match(document: Document, value: str) -> Changes:
    levels = LEVELS[:-1]
    place = levels.index(value)
    if place > 0:
        yield (
            _with(document, "conditions.minimum_match", levels[place - 1]),
            lambda one: one.kind == "match" and one.level == value,
        )
    if place < len(levels) - 1:
        weaker = levels[place + 1]
        yield (
            _with(document, "conditions.minimum_match", weaker),
            lambda one: one.kind == "match" and one.level == weaker,
        )


def _volume(document: Document, value: int) -> Changes:
    yield _with(document, "volume_per_day", value + 1), lambda one: one.today == value
    if value > 1:
        yield _with(document, "volume_per_day", value - 1), lambda one: one.today == value - 1


def _check_name(document: Document, value: str) -> Changes:
    number = next(number for number, check in enumerate(document["checks"]) if check["name"] == value)
    yield _with(document, f"checks.{number}.name", "another_name"), lambda one: one.field == value


GOVERNING: Mapping[str, Callable[[Document, Any], Changes]] = {
    r"parties\.consumer\.member": _member("parties.consumer.member"),
    r"parties\.provider\.member": _member("parties.provider.member"),
    r"service": _member("service"),
    r"legal_basis\.gateway": _member("legal_basis.gateway"),
    r"purposes\.\d+": _taken_out("purposes", lambda one, value: one.purpose == value),
    r"fields\.\d+": _taken_out("fields", lambda one, value: one.field == value),
    r"checks\.\d+\.name": _check_name,
    r"conditions\.clients\.\d+": _taken_out("conditions.clients", lambda one, value: one.client == value),
    r"conditions\.roles\.\d+": _taken_out("conditions.roles", lambda one, value: one.role == value),
    r"conditions\.subject_kinds\.\d+": _taken_out("conditions.subject_kinds", lambda one, value: one.kind == value),
    r"conditions\.minimum_acr": _strength,
    r"conditions\.case_reference_required": _case_reference,
    r"conditions\.own_area_only": _own_area,
    r"conditions\.objection_lists\.\d+": _objection_list,
    r"conditions\.hours\.days\.\d+": _weekday,
    r"conditions\.hours\.from": _opening,
    r"conditions\.hours\.until": _closing,
    r"conditions\.queries_per_subject\.(most|days)": _budget,
    r"conditions\.minimum_match": _match,
    r"volume_per_day": _volume,
    r"starts": _first_day,
    r"ends": _last_day,
}


def _shifted(day: str, days: int) -> str:
    return (date.fromisoformat(day) + timedelta(days=days)).isoformat()


def _at_path(document: Any, path: str) -> Any:
    for name in path.split("."):
        document = document[int(name)] if isinstance(document, list) else document[name]
    return document


def _with(document: Document, path: str, value: Any) -> Document:
    changed = copy.deepcopy(document)
    *outer, last = path.split(".")
    place = _at_path(changed, ".".join(outer)) if outer else changed
    if isinstance(place, list):
        place[int(last)] = value
    else:
        place[last] = value
    return changed


def _without_item(document: Document, path: str, item: Any) -> Document:
    left = [other for other in _at_path(document, path) if other != item]
    if left:
        return _with(document, path, left)
    changed = copy.deepcopy(document)
    *outer, last = path.split(".")
    del _at_path(changed, ".".join(outer))[last]
    return changed
