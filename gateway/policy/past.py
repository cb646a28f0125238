"""Decisions that were made, as the log's records hold them: what was decided on, and what was told of it.

Where they rest is another room's business: whoever puts the gateway together passes it in.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from sqlalchemy.orm import Session

from gateway.audit.append import AuditLog
from gateway.clock import Clock
from gateway.db import Database
from gateway.policy.decision import DecisionInputs, Deny, Permit
from gateway.wire.contracts import NO_RECORD


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A decision as its consumer was told it: the fields permitted, or the codes of the refusal; never both."""

    fields: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"deny {', '.join(self.codes)}" if self.codes else f"permit {', '.join(self.fields)}"


def told_of(decision: Permit | Deny) -> Told:
    """Return what is told of a decision: reasons about the person are one `no_record`, and beside others none."""
    if isinstance(decision, Permit):
        return Told(fields=decision.fields)
    codes = tuple(sorted(reason.code for reason in decision.reasons if not reason.about_subject))
    return Told(codes=codes or (NO_RECORD,))


@dataclass(frozen=True, slots=True, kw_only=True)
class PastDecision:
    """The decision by which one exchange ended: the one at its release, where it came so far.

    `told` is None where the outcome does not say what was decided: the exchange failed, was abandoned or is open.
    """

    exchange: UUID
    at: datetime
    outcome: str
    agreement: str | None
    """Reference and version, as people write them: `DSA-003.1`."""
    policy_digest: str
    document: Mapping[str, Any] = field(repr=False)
    """`DecisionInputs.to_document()` of then."""
    told: Told | None

    def inputs(self) -> DecisionInputs:
        """Read what was decided on; raises `KeyError`, `TypeError` or `ValueError` when it cannot be read."""
        return DecisionInputs.from_document(self.document)


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Which decisions: of exchanges opened from `since` to before `until`, at most `limit`, the newest."""

    since: datetime | None = None
    until: datetime | None = None
    limit: int | None = None


class PastDecisions(Protocol):
    """Where decisions rest."""

    def find(self, session: Session, exchange: UUID) -> PastDecision | None:
        """Return the decision of one exchange."""

    def count(self, database: Database, span: Span) -> int:
        """Return how many `newest_first` gives."""

    def newest_first(self, database: Database, span: Span) -> Iterator[PastDecision]:
        """Give decisions, the newest first, a few in memory at a time and in no transaction that lasts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyContext:
    """What the commands about past decisions work with."""

    database: Database
    audit: AuditLog
    clock: Clock
    past: PastDecisions


OpenGateway = Callable[[], PolicyContext]
"""Called only by the commands that need the gateway's own state."""
