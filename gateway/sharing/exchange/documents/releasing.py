"""A document beside a record is given once: decided anew, claimed and entered in the log, and only then sent.

The first Idempotency-Key has it; the same key may come again, because an honest retry after a cut connection must get
it. What is no longer permitted is not sent, and what takes long to send is looked at again on the way.
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from typing import BinaryIO
from uuid import UUID

import structlog
from sqlalchemy.orm import Session

from gateway.audit.append import AuditLog, Event
from gateway.clock import Clock
from gateway.db import Database
from gateway.errors import GatewayError
from gateway.identity.caller import Caller
from gateway.policy.decision import Deny
from gateway.sharing.exchange.asked import TurnedAway, claim_nonce, rejection
from gateway.sharing.exchange.decisions import Judged
from gateway.sharing.exchange.documents.spool import Place, Spool, SpoolUnreadable
from gateway.sharing.exchange.errors import (
    AnswerWithdrawn,
    AttachmentAlreadyFetched,
    AttachmentExpired,
    AttachmentLost,
    AttachmentNotFound,
    NonceReplayed,
)
from gateway.sharing.exchange.exchange import Broker
from gateway.sharing.exchange.models import AttachmentRow, ExchangeRow
from gateway.sharing.exchange.outcomes import Ending, Registrar, Reply
from gateway.sharing.exchange.retry import ANSWER_KEPT, RetryKeys
from gateway.sharing.exchange.schemas import RecordRequest, Subject, SubjectByMatch, SubjectBySub
from gateway.sharing.exchange.standing import is_withdrawn

LOOK_EVERY = 1.0
"""Seconds after which what is still being sent must be permitted still."""
RELEASED, REFUSED = "sharing.attachment.released", "sharing.attachment.refused"

log = structlog.get_logger("gateway.exchange")


class NoLongerPermitted(Exception):
    """What is being sent was permitted and is no longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedAttachment:
    """One authenticated request for a document, as the door understood it."""

    caller: Caller
    exchange: UUID
    number: int
    idempotency_key: str
    target: str
    key_id: str
    nonce: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """A document whose release is committed: `pieces` may be sent. The digest has 32 bytes, the size is in bytes."""

    pieces: Iterator[bytes] = field(repr=False)
    digest: bytes
    size: int
    media_type: str


class Releases:
    """Gives documents. Assembles only."""

    def __init__(
        self,
        *,
        database: Database,
        audit: AuditLog,
        registrar: Registrar,
        broker: Broker,
        retry_keys: RetryKeys,
        spool: Spool,
        clock: Clock,
    ) -> None:
        self._database = database
        self._audit = audit
        self._registrar = registrar
        self._broker = broker
        self._retry_keys = retry_keys
        self._spool = spool
        self._clock = clock

    def release(self, asked: AskedAttachment) -> Released | Reply | TurnedAway:
        """Answer one request; raises `DatabaseUnavailable` when nothing could be committed."""
        with ExitStack() as opened:
            with self._database.write() as session:
                given = self._release(session, asked, opened, now=self._clock.now())
            # Committed: from here the release is accounted for, and the first byte may leave.
            if isinstance(given, Released):
                opened.pop_all()
        return given

    def _release(
        self, session: Session, asked: AskedAttachment, opened: ExitStack, *, now: datetime
    ) -> Released | Reply | TurnedAway:
        if not claim_nonce(session, asked.caller, key_id=asked.key_id, nonce=asked.nonce, now=now):
            return self._turn_away(session, asked, NonceReplayed(), at=now)
        found = self._waiting(session, asked, now=now)
        if isinstance(found, GatewayError):
            return self._turn_away(session, asked, found, at=now)
        row, attachment = found
        judged = self._judge(session, row, asked, now=now)
        if isinstance(judged.decision, Deny):
            return self._refuse(session, row, judged, at=now)
        if is_withdrawn(session, row):
            return self._turn_away(session, asked, AnswerWithdrawn(extensions=_evidence(row)), at=now)
        place = Place(exchange=row.id, number=attachment.number)
        try:
            digest = self._spool.unseal_digest(place, attachment.digest)
            file = opened.enter_context(self._spool.open(place, digest=digest))
        except SpoolUnreadable as error:
            log.error("an attachment is lost", exchange=str(row.id), detail=error.detail)  # noqa: TRY400 - the detail says all
            return self._turn_away(session, asked, AttachmentLost(extensions=_evidence(row)), at=now)
        again = attachment.claimed_by is not None
        attachment.claimed_by = self._mac(asked)
        attachment.claimed_at = attachment.claimed_at or now
        self._record(session, row, attachment, judged, again=again, at=now)
        return Released(
            pieces=self._pieces(file, place, digest, asked),
            digest=digest,
            size=attachment.size,
            media_type=attachment.media_type,
        )

    def _waiting(
        self, session: Session, asked: AskedAttachment, *, now: datetime
    ) -> tuple[ExchangeRow, AttachmentRow] | GatewayError:
        """Return the exchange and the row, which is locked, or why this key cannot have what they stand for."""
        row = session.get(ExchangeRow, asked.exchange)
        if row is None or not _asked_by(row, asked.caller):
            # Another's exchange is none: its number stands in the public log, and tells nobody else anything here.
            return AttachmentNotFound()
        key = {"exchange": row.id, "number": asked.number}
        found = session.get(AttachmentRow, key, with_for_update=True, populate_existing=True)
        if found is None or found.expires_at < now:
            if row.state == "disclosed" and row.closed_at is not None and row.closed_at + ANSWER_KEPT < now:
                return AttachmentExpired(extensions=_evidence(row))
            return AttachmentNotFound()
        if found.claimed_by is not None and found.claimed_by != self._mac(asked):
            return AttachmentAlreadyFetched(extensions=_evidence(row))
        return row, found

    def _pieces(self, file: BinaryIO, place: Place, digest: bytes, asked: AskedAttachment) -> Iterator[bytes]:
        """Give the document; raises `SpoolUnreadable`, or `NoLongerPermitted` when a later look says so."""
        looked = time.monotonic()
        for piece in self._spool.read(file, place, digest=digest):
            if time.monotonic() - looked > LOOK_EVERY:
                self._look_again(asked)
                looked = time.monotonic()
            yield piece

    def _look_again(self, asked: AskedAttachment) -> None:
        now = self._clock.now()
        with self._database.read() as session:
            row = session.get_one(ExchangeRow, asked.exchange)
            permitted = not isinstance(self._judge(session, row, asked, now=now).decision, Deny)
        if permitted:
            return
        with self._database.write() as session:
            row = session.get_one(ExchangeRow, asked.exchange)
            self._refuse(session, row, self._judge(session, row, asked, now=now), at=now)
        raise NoLongerPermitted

    def _judge(self, session: Session, row: ExchangeRow, asked: AskedAttachment, *, now: datetime) -> Judged:
        return self._broker.judge_again(
            session,
            row,
            caller=asked.caller,
            request=_request_of(row),
            signed_with=asked.caller.client.key(asked.key_id),
            now=now,
        )

    def _refuse(self, session: Session, row: ExchangeRow, judged: Judged, *, at: datetime) -> Reply:
        reasons = judged.decision.reasons if isinstance(judged.decision, Deny) else ()
        ending = Ending(outcome="refused", decision="deny", reasons=reasons)
        return self._registrar.refuse_retry(session, row, ending, inputs=judged.inputs, at=at, event=REFUSED)

    def _record(
        self,
        session: Session,
        row: ExchangeRow,
        attachment: AttachmentRow,
        judged: Judged,
        *,
        again: bool,
        at: datetime,
    ) -> None:
        details = {
            "client": row.client_id,
            "officer": str(row.officer_account) if row.officer_account else None,
            "consumer": row.consumer,
            "provider": row.provider,
            "service": row.service,
            "purpose": row.purpose,
            "agreement": row.agreement,
            "agreement_version": row.agreement_version,
            "fields_disclosed": [attachment.field],
            "decision_inputs": judged.inputs.to_document(),
        }
        event = Event(
            name=RELEASED,
            outcome="repeated" if again else "released",
            members=tuple(code for code in (row.consumer, row.provider) if code),
            subject=row.subject,
            reference=str(row.id),
            details=details,
        )
        self._audit.append(session, event, at=at)

    def _turn_away(self, session: Session, asked: AskedAttachment, error: GatewayError, *, at: datetime) -> TurnedAway:
        self._audit.append(session, rejection(asked.caller, error), at=at)
        return TurnedAway(error=error)

    def _mac(self, asked: AskedAttachment) -> bytes:
        return self._retry_keys.scope_mac(
            client_id=asked.caller.client.client_id,
            officer=asked.caller.officer.account_id if asked.caller.officer else None,
            target=asked.target,
            idempotency_key=asked.idempotency_key,
        )


def _asked_by(row: ExchangeRow, caller: Caller) -> bool:
    officer = caller.officer.account_id if caller.officer else None
    return row.client_id == caller.client.client_id and row.officer_account == officer


def _request_of(row: ExchangeRow) -> RecordRequest:
    """Return what was asked, as far as a decision goes by it: who was described, and how, is not kept."""
    subject: Subject = SubjectByMatch(attributes={})
    if row.subject_sub is not None:
        subject = SubjectBySub(sub=row.subject_sub)
    return RecordRequest(
        service=row.service,
        purpose=row.purpose,
        subject=subject,
        fields=tuple(row.requested_fields),
        case_reference=row.decision_record["request"]["case_reference"],
    )


def _evidence(row: ExchangeRow) -> dict[str, object]:
    return {"exchange": str(row.id), "receipt": row.receipt}
