"""What is counted when an exchange is opened: the agreement's day, and the questions about one person."""

from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy.orm import Session

from gateway.sharing.agreements.agreements import Agreement
from gateway.sharing.exchange.decisions import Before
from gateway.sharing.exchange.limits.budgets import CountedQuery, earlier_queries, record_query
from gateway.sharing.exchange.limits.volumes import CountedExchange, count_back, count_exchange
from gateway.sharing.exchange.people.subjects import TranslatedSubject


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """The counts of one opening transaction: the exchange is counted already, the question only once it may be put."""

    agreement: Agreement | None
    subjects: tuple[str, ...] = field(repr=False)
    exchange: CountedExchange
    queries: int

    @classmethod
    def of(cls, session: Session, agreement: Agreement | None, subject: TranslatedSubject, *, now: datetime) -> "Tally":
        """Count this exchange, and the questions before it; needs a write transaction."""
        if agreement is None:
            return cls(agreement=None, subjects=(), exchange=CountedExchange(before=0), queries=0)
        budget, queries = agreement.terms.conditions.queries_per_subject, 0
        if budget is not None:
            queries = earlier_queries(
                session, agreement=agreement.reference, subjects=subject.counted, days=budget.days, now=now
            )
        exchange = count_exchange(
            session, agreement=agreement.reference, volume=agreement.terms.volume_per_day, now=now
        )
        return cls(agreement=agreement, subjects=subject.counted, exchange=exchange, queries=queries)

    @property
    def before(self) -> Before:
        """What there was before this request."""
        return Before(exchanges_today=self.exchange.before, earlier_queries=self.queries)

    def give_back(self, session: Session) -> None:
        """Count the exchange no more: it was refused, and asked nobody."""
        count_back(session, self.exchange)

    def record_query(self, session: Session, *, now: datetime) -> CountedQuery:
        """Count the question, which may be put."""
        budget = self.agreement.terms.conditions.queries_per_subject if self.agreement else None
        if budget is None or self.agreement is None:
            return CountedQuery()
        return record_query(
            session, agreement=self.agreement.reference, subjects=self.subjects, days=budget.days, now=now
        )
