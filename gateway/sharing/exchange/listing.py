"""Exchanges as others may see them: values for auditors' pages, never rows."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from gateway.sharing.exchange.models import ExchangeRow
from gateway.wire.jws import unverified_claims

OUTCOMES = ("disclosed", "refused", "failed", "abandoned", "open")


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedExchange:
    """One exchange: who asked whom about whom, for what, and how it ended. No value of any record."""

    id: UUID
    at: datetime
    completed_at: datetime | None
    consumer: str
    client: str
    officer: UUID | None
    acr: str | None
    case_reference: str | None
    subject: str
    provider: str | None
    service: str
    purpose: str
    legal_gateway: str | None
    agreement: str | None
    agreement_version: int | None
    decision: str
    outcome: str
    rules: tuple[Mapping[str, str], ...]
    fields_asked: tuple[str, ...]
    fields_disclosed: tuple[str, ...]
    fields_withheld: tuple[str, ...]
    policy_digest: str
    request_digest: str
    receipt: str | None
    provider_jwt_digest: str | None
    """Of the provider's signed answer, as the receipt names it."""
    log_entry: str | None
    """The leaf hash (base64) of the log's entry about the outcome, as the receipt names it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """What to list; `None` means any."""

    outcome: str | None = None
    consumer: str | None = None


def list_exchanges(session: Session, chosen: Filter, *, offset: int, limit: int) -> tuple[ListedExchange, ...]:
    """Return exchanges newest first."""
    query = _filtered(select(ExchangeRow), chosen).order_by(ExchangeRow.opened_at.desc(), ExchangeRow.id.desc())
    return tuple(_listed(row) for row in session.scalars(query.offset(offset).limit(limit)))


def count_exchanges(session: Session, chosen: Filter) -> int:
    """Return how many exchanges a filter lists."""
    return session.scalar(_filtered(select(func.count(ExchangeRow.id)), chosen)) or 0


def find_exchange(session: Session, exchange: UUID) -> ListedExchange | None:
    """Return one exchange."""
    row = session.get(ExchangeRow, exchange)
    return _listed(row) if row is not None else None


def _filtered(query: Select[Any], chosen: Filter) -> Select[Any]:
    if chosen.outcome is not None:
        query = query.where(ExchangeRow.state == chosen.outcome)
    if chosen.consumer is not None:
        query = query.where(ExchangeRow.consumer == chosen.consumer)
    return query


def _listed(row: ExchangeRow) -> ListedExchange:
    # Our own receipt from our own table: it is read, not trusted to prove anything here.
    told = unverified_claims(row.receipt) if row.receipt is not None else {}
    return ListedExchange(
        id=row.id,
        at=row.opened_at,
        completed_at=row.closed_at,
        consumer=row.consumer,
        client=row.client_id,
        officer=row.officer_account,
        acr=row.decision_record["caller"]["acr"],
        case_reference=row.decision_record["request"]["case_reference"],
        subject=row.subject,
        provider=row.provider,
        service=row.service,
        purpose=row.purpose,
        legal_gateway=row.legal_gateway,
        agreement=row.agreement,
        agreement_version=row.agreement_version,
        decision=row.decision,
        outcome=row.state,
        rules=tuple(row.rules),
        fields_asked=tuple(row.requested_fields),
        fields_disclosed=tuple(row.fields_disclosed),
        fields_withheld=tuple(row.fields_withheld),
        policy_digest=row.policy_digest,
        request_digest=row.request_digest,
        receipt=row.receipt,
        provider_jwt_digest=told.get("provider_jwt_digest"),
        log_entry=told.get("log_entry"),
    )
