"""How an exchange ends, once and for good: normal completion and recovery share this path.

`conclude` moves an open exchange to its outcome by compare-and-set, appends the log's entry, signs the receipt and
keeps the answer for an honest retry, all in the caller's transaction. Whoever loses the compare-and-set discloses
nothing.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, cast
from uuid import UUID

from sqlalchemy import Table, bindparam, select, update
from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import set_committed_value

from gateway.audit.append import AuditLog, Event
from gateway.clock import rfc3339
from gateway.once.expired import BATCH, is_one_of, lock_oldest
from gateway.policy.decision import DecisionInputs, Reason
from gateway.sharing.exchange.documents.attachments import Attachment
from gateway.sharing.exchange.documents.spool import Spool
from gateway.sharing.exchange.minimise import MinimisedRecord
from gateway.sharing.exchange.models import AttachmentRow, ExchangeRow
from gateway.sharing.exchange.provider_call import ProviderFailed
from gateway.sharing.exchange.retry import ANSWER_KEPT, RetryKeys
from gateway.wire.canonical import digest_b64
from gateway.wire.contracts import NO_RECORD
from gateway.wire.encoding import b64_encode
from gateway.wire.keys import thumbprint
from gateway.wire.receipts import FailedRule, Receipt, issue_receipt
from gateway.wire.sealed_disclosures import as_json
from gateway.wire.signer import Signer

Outcome = Literal["disclosed", "refused", "failed", "abandoned"]
EVENTS: dict[Outcome, str] = {
    "disclosed": "sharing.record.disclosed",
    "refused": "sharing.record.refused",
    "failed": "sharing.exchange.failed",
    "abandoned": "sharing.exchange.abandoned",
}
NO_RECORD_RULE = FailedRule(code=NO_RECORD, title="There is no record that can be shared", rule=NO_RECORD)
TIMEOUT_STATUS, UNAVAILABLE_STATUS, UPSTREAM_STATUS = 504, 503, 502
CONFLICT_STATUS, REFUSED_STATUS, OK_STATUS = 409, 403, 200
FAILURE_STATUS = {
    "provider_timeout": TIMEOUT_STATUS,
    "provider_unavailable": UNAVAILABLE_STATUS,
    "provider_busy": UNAVAILABLE_STATUS,
    "encryption_key_missing": CONFLICT_STATUS,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """What is to be made of an open exchange."""

    outcome: Outcome
    decision: Literal["permit", "deny"]
    reasons: tuple[Reason, ...] = ()
    record: MinimisedRecord | None = None
    failure: ProviderFailed | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A committed answer: status, body, and whether it must leave at the service's fixed time."""

    status: int
    body: bytes
    hides_the_reason: bool = False
    retry_after: int | None = None
    """For a failure: when it is worth asking anew, in whole seconds. A repeated answer has none: that time is past."""


class Registrar:
    """Writes outcomes: the log's entry, the receipt, the kept answer."""

    def __init__(
        self, *, audit: AuditLog, signer: Callable[[], Signer], issuer: str, retry_keys: RetryKeys, spool: Spool
    ) -> None:
        self._audit = audit
        self._spool = spool
        self._signer = signer
        self._issuer = issuer
        self._retry_keys = retry_keys

    def conclude(
        self, session: Session, row: ExchangeRow, ending: Ending, *, idempotency_key: str | None, at: datetime
    ) -> Reply | None:
        """Close the exchange and return its answer, or `None` when somebody closed it first.

        `idempotency_key` is None in recovery, when there is no answer to keep.
        """
        # What changes in the row is written once, at the end: every statement costs as much as a signature or two.
        with session.no_autoflush:
            return self._conclude(session, row, ending, idempotency_key=idempotency_key, at=at)

    def _conclude(
        self, session: Session, row: ExchangeRow, ending: Ending, *, idempotency_key: str | None, at: datetime
    ) -> Reply | None:
        if not _closed_by_us(session, row, ending.outcome):
            return None
        row.decision = ending.decision
        row.rules = [asdict(rule) for rule in public_rules(ending)]
        row.fields_disclosed = list(ending.record.disclosed) if ending.record else []
        row.fields_withheld = list(ending.record.withheld) if ending.record else []
        row.closed_at = at
        if ending.record is not None:
            row.provider_jwt = ending.record.provider_jwt
            row.provider_jwk = dict(ending.record.provider_key)
            row.checks_jwt = ending.record.checks_jwt
            session.add_all(self._attachment_rows(ending.record, at=at))
        row.receipt = self._issue(
            session, row, ending, event=EVENTS[ending.outcome], decision_inputs=row.decision_record, at=at
        )
        reply = _reply(row, ending)
        if idempotency_key is not None:
            row.answer_status = reply.status
            row.answer = self._retry_keys.seal(reply.body, exchange=row.id, idempotency_key=idempotency_key)
            row.answer_until = at + ANSWER_KEPT
        session.flush()
        return reply

    def _attachment_rows(self, record: MinimisedRecord, *, at: datetime) -> list[AttachmentRow]:
        """Return what makes the spooled documents fetchable: without its row none is, and its file is removed."""
        return [
            AttachmentRow(
                exchange=attachment.place.exchange,
                number=attachment.place.number,
                field=attachment.field,
                digest=self._spool.seal_digest(attachment.place, attachment.digest),
                size=attachment.size,
                media_type=attachment.media_type,
                expires_at=at + ANSWER_KEPT,
            )
            for attachment in record.attachments
        ]

    def _issue(
        self,
        session: Session,
        row: ExchangeRow,
        ending: Ending,
        *,
        event: str,
        decision_inputs: Mapping[str, Any],
        at: datetime,
    ) -> str:
        """Append the entry and return the signed receipt that names it."""
        entry = self._audit.append(
            session,
            Event(
                name=event,
                outcome=ending.outcome,
                members=tuple(code for code in (row.consumer, row.provider) if code),
                subject=row.subject,
                reference=str(row.id),
                details={**_details_of(row, ending), "decision_inputs": decision_inputs},
            ),
            at=at,
        )
        receipt = Receipt(
            exchange=str(row.id),
            issued_at=rfc3339(at),
            issuer=self._issuer,
            consumer=row.consumer,
            provider=row.provider,
            client=row.client_id,
            service=row.service,
            agreement=row.agreement,
            agreement_version=row.agreement_version,
            policy_digest=row.policy_digest,
            purpose=row.purpose,
            legal_gateway=row.legal_gateway,
            decision=ending.decision,
            outcome=ending.outcome,
            rules=public_rules(ending),
            subject=_subject_of(row, ending),
            handle=row.handle,
            request_digest=row.request_digest,
            provider_jwt_digest=ending.record.provider_jwt_digest if ending.record else None,
            fields_disclosed=tuple(ending.record.disclosed) if ending.record else (),
            fields_withheld=tuple(ending.record.withheld) if ending.record else (),
            log_entry=b64_encode(entry.leaf_hash),
            provider_key=thumbprint(ending.record.provider_key) if ending.record else None,
            checks_digest=digest_b64(row.checks_jwt.encode()) if ending.record and row.checks_jwt else None,
            client_key=row.client_key,
            agreement_digest=(decision_inputs.get("agreement") or {}).get("digest") or None,
        )
        return issue_receipt(receipt, signer=self._signer())

    def refuse_retry(
        self,
        session: Session,
        row: ExchangeRow,
        ending: Ending,
        *,
        inputs: DecisionInputs,
        at: datetime,
        event: str = "sharing.retry.refused",
    ) -> Reply:
        """Answer a retry that is no longer permitted: nothing is released, and the refusal has its own entry.

        The exchange itself stays as it ended: what was disclosed then was disclosed.
        """
        document = inputs.to_document()
        receipt = self._issue(session, row, ending, event=event, decision_inputs=document, at=at)
        return _refusal(str(row.id), receipt, public_rules(ending))

    def record_repeat(self, session: Session, row: ExchangeRow, *, at: datetime) -> None:
        """Account for an answer that is about to be given once more."""
        self._audit.append(
            session,
            Event(
                name="sharing.answer.repeated",
                outcome="repeated",
                members=tuple(code for code in (row.consumer, row.provider) if code),
                subject=row.subject,
                reference=str(row.id),
                details={"client": row.client_id},
            ),
            at=at,
        )


def public_rules(ending: Ending) -> tuple[FailedRule, ...]:
    """Return the rules that may be told.

    Rules about the person collapse to one `no_record`; beside any other failing rule they are not told at all, since
    a caller who may not ask must not learn from their presence that there is something to know.
    """
    if ending.failure is not None:
        return (FailedRule(code=ending.failure.code, title=ending.failure.title, rule=ending.failure.code),)
    told = tuple(
        FailedRule(code=reason.code, title=reason.title, rule=reason.rule)
        for reason in ending.reasons
        if not reason.about_subject
    )
    return told or ((NO_RECORD_RULE,) if ending.reasons else ())


def close_abandoned(session: Session, registrar: Registrar, *, now: datetime, limit: int = 100) -> int:
    """Close at most `limit` exchanges whose lease is over; returns how many."""
    overdue = (
        select(ExchangeRow)
        .where(ExchangeRow.state == "open", ExchangeRow.lease_until < now)
        .order_by(ExchangeRow.lease_until)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    rows = session.scalars(overdue).all()
    return sum(abandon(session, registrar, row, now=now) for row in rows)


def abandon(session: Session, registrar: Registrar, row: ExchangeRow, *, now: datetime) -> bool:
    """Close one exchange that did not end in time; tells whether it was still open."""
    ending = Ending(outcome="abandoned", decision="permit")
    return registrar.conclude(session, row, ending, idempotency_key=None, at=now) is not None


def forget_answers(session: Session, *, now: datetime, limit: int = BATCH) -> int:
    """Delete at most `limit` kept answers whose time is over; returns how many."""
    over = (ExchangeRow.answer.is_not(None), ExchangeRow.answer_until < now)
    found = lock_oldest(session, ExchangeRow, *over, by=ExchangeRow.answer_until, limit=limit)
    if found:
        table = cast("Table", ExchangeRow.__table__)
        session.execute(update(table).where(is_one_of(table, found)).values(answer=None))
    return len(found)


def receipt_of(session: Session, exchange: UUID) -> str | None:
    """Return the receipt of a closed exchange."""
    return session.scalar(select(ExchangeRow.receipt).where(ExchangeRow.id == exchange))


def _closed_by_us(session: Session, row: ExchangeRow, outcome: Outcome) -> bool:
    won = session.connection().execute(_CLOSE_IF_OPEN, {"exchange": row.id, "outcome": outcome}).rowcount == 1
    if won:
        set_committed_value(row, "state", outcome)
    return won


_EXCHANGES = cast("Table", ExchangeRow.__table__)
_CLOSE_IF_OPEN = (
    update(_EXCHANGES)
    .where(_EXCHANGES.c.id == bindparam("exchange"), _EXCHANGES.c.state == "open")
    .values(state=bindparam("outcome"))
)


def _details_of(row: ExchangeRow, ending: Ending) -> dict[str, Any]:
    """Return what only the encrypted details say: every reason, the person's included."""
    return {
        "client": row.client_id,
        "consumer": row.consumer,
        "provider": row.provider,
        "officer": str(row.officer_account) if row.officer_account else None,
        "service": row.service,
        "purpose": row.purpose,
        "agreement": row.agreement,
        "agreement_version": row.agreement_version,
        "legal_gateway": row.legal_gateway,
        "policy_digest": row.policy_digest,
        "decision": ending.decision,
        "rules": [{"code": reason.code, "rule": reason.rule} for reason in ending.reasons],
        "reason": f"{ending.failure.code}: {ending.failure.detail}" if ending.failure else None,
        "fields_requested": row.requested_fields,
        "fields_disclosed": list(ending.record.disclosed) if ending.record else [],
        "fields_withheld": list(ending.record.withheld) if ending.record else [],
        "request_digest": row.request_digest,
        "provider_jwt_digest": ending.record.provider_jwt_digest if ending.record else None,
    }


def _subject_of(row: ExchangeRow, ending: Ending) -> dict[str, Any] | None:
    if row.subject_sub is not None:
        return {"sub": row.subject_sub}  # what the consumer sent: its own name for the person, known to us or not
    if ending.outcome != "disclosed":
        return None
    return {"matched": True, **({"level": row.match_level} if row.match_level else {})}


def _reply(row: ExchangeRow, ending: Ending) -> Reply:
    exchange, receipt = str(row.id), row.receipt or ""
    if ending.record is not None:
        body: dict[str, Any] = {"exchange": exchange, "record": ending.record.sd_jwt, "receipt": receipt}
        if ending.record.checks is not None:
            body["checks"] = ending.record.checks
        if ending.record.encrypted:
            body["encrypted"] = as_json(ending.record.encrypted)
        if ending.record.attachments:
            body["attachments"] = [_link(attachment) for attachment in ending.record.attachments]
        return Reply(status=OK_STATUS, body=json.dumps(body).encode())
    if ending.failure is not None:
        return _failure(exchange, receipt, ending.failure)
    return _refusal(exchange, receipt, public_rules(ending))


def _link(attachment: Attachment) -> dict[str, Any]:
    # RFC 3986 §4.2: relative to the address that was asked, which is another for clients that show a certificate.
    href = f"exchanges/{attachment.place.exchange}/attachments/{attachment.place.number}"
    return {"field": attachment.field, "href": href, **attachment.stated}


def _refusal(exchange: str, receipt: str, rules: tuple[FailedRule, ...]) -> Reply:
    only_no_record = rules == (NO_RECORD_RULE,)
    problem = {
        "type": f"urn:gateway:problem:{NO_RECORD if only_no_record else 'refused'}",
        "title": NO_RECORD_RULE.title if only_no_record else "The request was refused",
        "status": REFUSED_STATUS,
        "code": NO_RECORD if only_no_record else "refused",
        "rules": [asdict(rule) for rule in rules],
        "exchange": exchange,
        "receipt": receipt,
    }
    return Reply(status=REFUSED_STATUS, body=json.dumps(problem).encode(), hides_the_reason=only_no_record)


def _failure(exchange: str, receipt: str, failure: ProviderFailed) -> Reply:
    status = FAILURE_STATUS.get(failure.code, UPSTREAM_STATUS)
    problem = {
        "type": f"urn:gateway:problem:{failure.code}",
        "title": failure.title,
        "status": status,
        "code": failure.code,
        "detail": "Nothing was disclosed. Ask again with a new Idempotency-Key.",
        "exchange": exchange,
        "receipt": receipt,
    }
    return Reply(status=status, body=json.dumps(problem).encode(), retry_after=failure.retry_after)


def lease_end(opened_at: datetime, lease_seconds: float) -> datetime:
    """Return when an exchange opened now may be closed by recovery."""
    return opened_at + timedelta(seconds=lease_seconds)
