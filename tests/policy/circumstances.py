"""The requests by which a changed clause of an agreement is seen.

A *circumstance* is one request and all that is true around it. Around a request that an agreement permits, every
dimension on which an agreement can have a clause is varied, by itself, to both sides of each of its limits.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from gateway.policy.decision import AgreementFacts, CallerFacts, DecisionInputs, RequestFacts, SubjectFacts
from gateway.policy.engine import WEEKDAYS
from gateway.sharing.agreements.agreements import AgreementStatus, facts_of
from gateway.sharing.agreements.schemas import read_agreement
from gateway.sharing.exchange.limits.budgets import within

LONDON = ZoneInfo("Europe/London")
LEVELS = ("exact", "strong", "fair", "weak", "unsaid")
TODAY = date(2026, 11, 23)

Document = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Circumstance:
    """One request. `queries` are the ages of earlier questions about the person; `lists` those they stand on."""

    client: str
    role: str
    acr: str
    case_reference: bool
    kind: str
    purpose: str
    field: str
    now: datetime
    lives_here: bool
    lists: tuple[str, ...]
    level: str
    queries: tuple[timedelta, ...]
    today: int

    @property
    def day(self) -> date:
        return self.now.astimezone(UTC).date()

    @property
    def weekday(self) -> str:
        return WEEKDAYS[self.now.astimezone(LONDON).weekday()]

    @property
    def clock(self) -> str:
        return f"{self.now.astimezone(LONDON):%H:%M}"

    def asked(self, days: int) -> int:
        return sum(within(self.now - age, days=days, now=self.now) for age in self.queries)


def facts_in_force(document: Document) -> AgreementFacts:
    terms = read_agreement(document, source="a mutated agreement").terms
    return facts_of(
        terms, status=AgreementStatus.ACTIVE, ends_on=terms.ends, consumer_signed=True, provider_signed=True
    )


def inputs(
    circumstance: Circumstance, facts: AgreementFacts, *, of: Document, service_fields: tuple[str, ...]
) -> DecisionInputs:
    """The facts of one request to the service and by the consumer of the unchanged document."""
    consumer = of["parties"]["consumer"]["member"]
    return DecisionInputs(
        caller=CallerFacts(
            client_id=circumstance.client,
            member=consumer,
            is_consumer=True,
            officer_id="officer-sample",
            officer_member=consumer,
            roles=(circumstance.role,),
            acr=circumstance.acr,
        ),
        agreement=facts,
        request=RequestFacts(
            service=of["service"],
            provider=of["parties"]["provider"]["member"],
            purpose=circumstance.purpose,
            fields=(circumstance.field,),
            case_reference="CASE/1" if circumstance.case_reference else None,
            service_active=True,
            service_fields=service_fields,
            subject_kind=circumstance.kind,
            exchanges_today=circumstance.today,
            earlier_queries=circumstance.asked(facts.queries_days) if facts.queries_days is not None else 0,
        ),
        subject=SubjectFacts(
            known=True,
            withheld=False,
            objections=circumstance.lists,
            in_consumer_area=circumstance.lives_here,
            match_level=circumstance.level,
        ),
        now=circumstance.now,
    )


# --- Circumstances


def a_good_moment(document: Document) -> datetime:
    """A moment within days and hours of the agreement, away from its first and last day, today if that can be."""
    starts, ends = date.fromisoformat(document["starts"]), date.fromisoformat(document["ends"])
    day = min(max(TODAY, starts + timedelta(days=8)), ends - timedelta(days=8))
    hours = document["conditions"].get("hours", {"days": list(WEEKDAYS), "from": "12:00"})
    while WEEKDAYS[day.weekday()] not in hours["days"]:
        day += timedelta(days=1)
    return _at(day, hours["from"])


def circumstances(document: Document, *, fields: Iterable[str], purposes: Iterable[str]) -> list[Circumstance]:
    """The good request, and each dimension varied by itself."""
    conditions = document["conditions"]
    good = Circumstance(
        client=conditions["clients"][0],
        role=conditions["roles"][0],
        acr=conditions["minimum_acr"],
        case_reference=True,
        kind=conditions["subject_kinds"][0],
        purpose=document["purposes"][0],
        field=document["fields"][0] if document["fields"] else document["checks"][0]["name"],
        now=a_good_moment(document),
        lives_here=True,
        lists=(),
        level="exact",
        queries=(),
        today=0,
    )
    varied: dict[str, Iterable[Any]] = {
        "client": (*conditions["clients"], "nobodys-client"),
        "role": (*conditions["roles"], "another-role"),
        "acr": ("AAL1", "AAL2", "AAL3"),
        "case_reference": (False,),
        "kind": ("sub", "match"),
        "purpose": purposes,
        "field": fields,
        "now": _moments(document, good.now),
        "lives_here": (False,),
        "lists": (*((name,) for name in conditions.get("objection_lists", ())), ("a-list-of-others",)),
        "queries": _histories(conditions.get("queries_per_subject", {"most": 3, "days": 30})),
        "today": (document["volume_per_day"] - 1, document["volume_per_day"]),
    }
    found = [good, *(replace(good, **{name: value}) for name, values in varied.items() for value in values)]
    # A level is there only for who is described.
    found.extend(replace(good, kind="match", level=level) for level in LEVELS)
    found.append(replace(good, kind="sub", level="unsaid"))
    return list(dict.fromkeys(found))


def _moments(document: Document, good: datetime) -> Iterator[datetime]:
    for name in ("starts", "ends"):
        edge = date.fromisoformat(document[name])
        for days in (-1, 0, 1):
            yield datetime.combine(edge + timedelta(days=days), time(12), tzinfo=UTC)
    hours = document["conditions"].get("hours")
    for days in range(7 if hours is not None else 2):
        yield good + timedelta(days=days)
    if hours is not None:
        day = good.astimezone(LONDON).date()
        for edge_of_day in (hours["from"], hours["until"]):
            for minutes in (-1, 0):
                yield _at(day, edge_of_day) + timedelta(minutes=minutes)


def _histories(budget: Mapping[str, int]) -> Iterator[tuple[timedelta, ...]]:
    most, days = budget["most"], budget["days"]
    for number in (most - 1, most):
        yield (timedelta(hours=1),) * number
    for age in (timedelta(days=days - 1, hours=12), timedelta(days=days, hours=12)):
        yield (age,) * most


def _at(day: date, clock: str) -> datetime:
    if clock == "24:00":
        return _at(day + timedelta(days=1), "00:00")
    return datetime.combine(day, time.fromisoformat(clock), tzinfo=LONDON).astimezone(UTC)
