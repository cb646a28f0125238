"""The decisions by which exchanges ended, read for `gateway policy explain` and `diff`."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from sqlalchemy import Select, and_, func, or_, select
from sqlalchemy.orm import Session

from gateway.db import Database
from gateway.policy.past import PastDecision, Span, Told
from gateway.sharing.exchange.models import ExchangeRow

BATCH = 500
_COLUMNS = (
    ExchangeRow.id,
    ExchangeRow.opened_at,
    ExchangeRow.state,
    ExchangeRow.agreement,
    ExchangeRow.agreement_version,
    ExchangeRow.policy_digest,
    ExchangeRow.decision_record,
    ExchangeRow.requested_fields,
    ExchangeRow.rules,
)


class ExchangeDecisions:
    """The decisions in the table of exchanges, where each was written in the exchange's own transaction."""

    def find(self, session: Session, exchange: UUID) -> PastDecision | None:
        """Return the decision of one exchange."""
        row = session.execute(select(*_COLUMNS).where(ExchangeRow.id == exchange)).one_or_none()
        return _decision(row) if row is not None else None

    def count(self, database: Database, span: Span) -> int:
        """Return how many `newest_first` gives."""
        with database.read() as session:
            found = session.scalar(_within(select(func.count(ExchangeRow.id)), span)) or 0
        return found if span.limit is None else min(found, span.limit)

    def newest_first(self, database: Database, span: Span) -> Iterator[PastDecision]:
        """Give decisions, the newest first, a few in memory at a time and in no transaction that lasts."""
        left = span.limit
        newest_first = (ExchangeRow.opened_at.desc(), ExchangeRow.id.desc())
        after: Any = None
        while left is None or left > 0:
            query = _within(select(*_COLUMNS), span).order_by(*newest_first)
            if after is not None:
                # In the order of an index, so that the last page costs as much as the first.
                same_moment = and_(ExchangeRow.opened_at == after.opened_at, ExchangeRow.id < after.id)
                query = query.where(ExchangeRow.opened_at <= after.opened_at)
                query = query.where(or_(ExchangeRow.opened_at < after.opened_at, same_moment))
            with database.read() as session:
                rows = session.execute(query.limit(BATCH if left is None else min(BATCH, left))).all()
            yield from (_decision(row) for row in rows)
            if len(rows) < BATCH:
                return
            after = rows[-1]
            left = None if left is None else left - len(rows)


def _within(query: Select[Any], span: Span) -> Select[Any]:
    if span.since is not None:
        query = query.where(ExchangeRow.opened_at >= span.since)
    if span.until is not None:
        query = query.where(ExchangeRow.opened_at < span.until)
    return query


def _decision(row: Any) -> PastDecision:
    told = None
    if row.state == "disclosed":
        told = Told(fields=tuple(dict.fromkeys(row.requested_fields)))
    elif row.state == "refused":
        told = Told(codes=tuple(sorted(rule["code"] for rule in row.rules)))
    return PastDecision(
        exchange=row.id,
        at=row.opened_at,
        outcome=row.state,
        agreement=None if row.agreement is None else f"{row.agreement}.{row.agreement_version}",
        policy_digest=row.policy_digest,
        document=row.decision_record,
        told=told,
    )
