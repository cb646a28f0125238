"""The facts a decision is made from, and what it can be: plain values that know nothing of databases or the web.

Times are aware instants, days are UTC days. `DecisionInputs.to_document()` is kept with every decision, so that it can
be made again against other policies. Shapes only grow: a new fact has a default that denies nothing that was permitted
before.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import date, datetime
from typing import Any, Self, TypeVar

from gateway.clock import parse_rfc3339, rfc3339

Facts = TypeVar("Facts")


@dataclass(frozen=True, slots=True, kw_only=True)
class CallerFacts:
    """Who asks: a client of a member and, unless a system asks for nobody, an officer with how they signed in."""

    client_id: str
    member: str
    is_consumer: bool
    """Whether the client is registered to ask for records."""
    officer_id: str | None
    officer_member: str | None
    roles: tuple[str, ...]
    acr: str | None
    """`AAL1`, `AAL2` or `AAL3`; anything else counts as no strength at all."""
    key_registered: bool = True
    """Whether the key that signed the request is still registered for the client."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreementFacts:
    """One version of an agreement. Empty means no: an empty list allows nobody and nothing."""

    id: str
    version: int
    consumer: str
    provider: str
    service: str
    purposes: tuple[str, ...]
    fields: tuple[str, ...]
    legal_gateway: str
    starts_on: date
    """The first day on which it holds."""
    ends_on: date
    """The last day on which it holds."""
    status: str
    """Only `active` permits; `suspended` has a reason of its own."""
    consumer_signed: bool
    provider_signed: bool
    roles: tuple[str, ...]
    minimum_acr: str
    case_reference_required: bool
    clients: tuple[str, ...]
    subject_kinds: tuple[str, ...] = ("sub", "match")
    """How the consumer may name a person: by its own `sub`, or by attributes to `match`."""
    own_area_only: bool = False
    """Whether only people may be asked about who live in the consumer's own area."""
    objection_lists: tuple[str, ...] = ()
    """Nothing is told of a person on one of these lists."""
    hours_days: tuple[str, ...] = ()
    """`mon` to `sun`; read only where the agreement has hours."""
    hours_from: str | None = None
    """`HH:MM` in the United Kingdom's civil time, itself included; None where the agreement has no hours."""
    hours_until: str | None = None
    """`HH:MM`, itself not included; `24:00` is the end of the day."""
    volume_per_day: int | None = None
    """How many exchanges may be opened in one UTC day; None for no such limit."""
    queries_per_subject: int | None = None
    """How often may be asked about one person within `queries_days`; None for no such limit."""
    queries_days: int | None = None
    minimum_match: str | None = None
    """The weakest match level accepted where a person is described by attributes."""
    digest: str = ""
    """Of the text with the signatures that held, as evidence shows them; no rule looks at it."""

    def to_document(self) -> dict[str, Any]:
        """Return the facts as plain JSON, as they stand in `DecisionInputs.to_document()`."""
        return _plain(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestFacts:
    """What is asked: fields of a service, for a purpose."""

    service: str
    provider: str
    purpose: str
    fields: tuple[str, ...]
    case_reference: str | None
    service_active: bool
    service_fields: tuple[str, ...]
    """Every field the service has; empty for a service that does not exist."""
    subject_kind: str
    """`sub` or `match`."""
    exchanges_today: int = 0
    """How many exchanges were opened before this one under the agreement's reference in this UTC day."""
    earlier_queries: int = 0
    """How often was asked about this person before, within the agreement's days."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectFacts:
    """What is known of the person asked about."""

    known: bool
    withheld: bool
    objections: tuple[str, ...] = ()
    """Those of the agreement's lists of objections on which the person is."""
    in_consumer_area: bool = True
    """Whether the person lives in the consumer's own area; presumed until the provider was asked, which alone knows."""
    match_level: str | None = None
    """How surely the provider found whom the attributes describe; None while it is presumed to suffice."""
    references: tuple[str, ...] = ()
    """Under which opaque references the person was looked for on lists; no rule looks at it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why not: a stable code, a plain title, the @id of the rule, and whether it would tell something of the person."""

    code: str
    title: str
    rule: str
    about_subject: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Permit:
    """These fields may be fetched and disclosed, in the order asked."""

    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deny:
    """Nothing may be disclosed, for every one of these reasons; there is always at least one."""

    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionInputs:
    """All that a decision depends on, besides the policies."""

    caller: CallerFacts
    agreement: AgreementFacts | None
    request: RequestFacts
    subject: SubjectFacts
    now: datetime

    def to_document(self) -> dict[str, Any]:
        """Return the inputs as plain JSON; `from_document` reads them back."""
        return {
            "caller": _plain(self.caller),
            "agreement": None if self.agreement is None else self.agreement.to_document(),
            "request": _plain(self.request),
            "subject": _plain(self.subject),
            "now": rfc3339(self.now),
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Read what `to_document` wrote; raises `KeyError`, `TypeError` or `ValueError` for anything else."""
        agreement = document["agreement"]
        return cls(
            caller=_facts(CallerFacts, document["caller"]),
            agreement=None if agreement is None else _facts(AgreementFacts, agreement),
            request=_facts(RequestFacts, document["request"]),
            subject=_facts(SubjectFacts, document["subject"]),
            now=parse_rfc3339(document["now"]),
        )


def _plain(facts: CallerFacts | AgreementFacts | RequestFacts | SubjectFacts) -> dict[str, Any]:
    return {item.name: _plain_value(getattr(facts, item.name)) for item in fields(facts)}


def _plain_value(value: object) -> object:
    if isinstance(value, tuple):
        return list(value)
    return value.isoformat() if isinstance(value, date) else value


def _facts(kind: type[Facts], document: Mapping[str, Any]) -> Facts:
    return kind(**{name: _fact(name, value) for name, value in document.items()})


def _fact(name: str, value: object) -> object:
    if isinstance(value, list):
        return tuple(value)
    return date.fromisoformat(str(value)) if name in {"starts_on", "ends_on"} else value
