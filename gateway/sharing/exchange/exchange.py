"""The procedure: a request for a record, from its claim on a nonce to a committed answer.

Two transactions with the provider's answer between them. The first decides and commits the intent; the second locks
the agreement, decides again, and commits outcome, entry and receipt together. A refusal is a value until it is
committed: raising it earlier would roll back its own entry.
"""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from secrets import token_urlsafe
from typing import cast

from sqlalchemy import Table, bindparam, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, make_transient_to_detached

from gateway.audit.append import AuditLog
from gateway.clock import Clock
from gateway.db import Database, insert_rows, new_id
from gateway.directory.members import Client, Jwk, find_client
from gateway.errors import GatewayError
from gateway.identity.caller import Caller
from gateway.policy.decision import Deny, SubjectFacts
from gateway.policy.engine import PolicyEngine
from gateway.policy.kept_texts import KeptTexts
from gateway.sharing.agreements.agreements import Agreement, agreement_for
from gateway.sharing.catalogue.services import Service, find_service
from gateway.sharing.exchange.about import demands_of
from gateway.sharing.exchange.asked import Asked, TurnedAway, claim_nonce, rejection
from gateway.sharing.exchange.asking import Asker, Fetched, Told
from gateway.sharing.exchange.checks import plan_for
from gateway.sharing.exchange.decisions import Judged, judge, may_ask
from gateway.sharing.exchange.encryption import is_readable_again, key_to_encrypt_to, still_readable
from gateway.sharing.exchange.errors import (
    AnswerExpired,
    AnswerWithdrawn,
    ExchangeAbandoned,
    IdempotencyKeyReused,
    NonceReplayed,
    StillRunning,
)
from gateway.sharing.exchange.first_decision import FirstDecision
from gateway.sharing.exchange.limits.budgets import CountedQuery, forget_query
from gateway.sharing.exchange.limits.quotas import QuotaExceeded, Quotas, Standing
from gateway.sharing.exchange.limits.tallies import Tally
from gateway.sharing.exchange.minimise import MinimisedRecord
from gateway.sharing.exchange.models import ExchangeRow
from gateway.sharing.exchange.outcomes import OK_STATUS, Ending, Registrar, Reply, abandon, lease_end
from gateway.sharing.exchange.people.subjects import TranslatedSubject, Translator, nobody
from gateway.sharing.exchange.provider_call import NoRecord, ProviderFailed, Question, failed
from gateway.sharing.exchange.retry import RetryKeys
from gateway.sharing.exchange.schemas import RecordRequest, SubjectByMatch
from gateway.sharing.exchange.standing import is_withdrawn, locked, still_believed

_EXCHANGES = cast("Table", ExchangeRow.__table__)
_LATER = (
    "match_level",
    "provider_jwt",
    "provider_jwk",
    "checks_jwt",
    "closed_at",
    "receipt",
    "answer_status",
    "answer",
    "answer_until",
)
"""What a new exchange does not have yet."""
_EARLIER = select(_EXCHANGES.c.id).where(_EXCHANGES.c.retry_mac == bindparam("retry_mac"))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Intent:
    """A committed, open exchange, and what to ask the provider.

    Where it is settled already that there is no record, the provider is asked about nobody, and everything else goes
    on just as for others: nothing shows who knew.
    """

    exchange: ExchangeRow
    provider: Client
    question: Question
    settled: NoRecord | None
    query: CountedQuery


class Broker:
    """Answers requests for records. Assembles only."""

    def __init__(
        self,
        *,
        database: Database,
        audit: AuditLog,
        policy: PolicyEngine,
        registrar: Registrar,
        translator: Translator,
        retry_keys: RetryKeys,
        asker: Asker,
        clock: Clock,
        lease: float,
        quotas: Quotas,
    ) -> None:
        self._database = database
        self._audit = audit
        self._policy = policy
        self._registrar = registrar
        self._translator = translator
        self._retry_keys = retry_keys
        self._asker = asker
        self._clock = clock
        self._lease = lease
        self._quotas = quotas
        self._kept = KeptTexts()

    def request_record(self, asked: Asked) -> Reply | TurnedAway:
        """Answer one request; raises `DatabaseUnavailable` when nothing could be committed."""
        try:
            begun = self._begin(asked)
        except IntegrityError:
            # Another process opened an exchange under the same key in this moment: now it can be seen.
            begun = self._begin(asked)
        if not isinstance(begun, _Intent):
            return begun
        told = self._asker.ask(begun.question, provider=begun.provider, settled=begun.settled)
        if isinstance(told.fetched, NoRecord):
            # Receipt and log are dated, and a retry sees whether an exchange is open: so the outcome itself waits for
            # the fixed time of the service, and the answer with it.
            time.sleep(max(0.0, asked.leaves_at - time.monotonic()))
        reply = self._complete(begun, told, asked)
        if not (isinstance(reply, Reply) and reply.status == OK_STATUS):
            self._asker.discard(told.fetched)
        return reply

    def record_rejection(self, caller: Caller, error: GatewayError) -> None:
        """Account for an authenticated request that was turned away at the door."""
        self._audit.record(rejection(caller, error), at=self._clock.now())

    def _begin(self, asked: Asked) -> _Intent | Reply | TurnedAway:
        """Claim the nonce, decide, and commit either the intent to ask the provider or the refusal."""
        retry_mac = self._retry_keys.scope_mac(
            client_id=asked.caller.client.client_id,
            officer=asked.caller.officer.account_id if asked.caller.officer else None,
            target=asked.target,
            idempotency_key=asked.idempotency_key,
        )
        with self._database.write() as session:
            now = self._clock.now()
            if not claim_nonce(session, asked.caller, key_id=asked.key_id, nonce=asked.nonce, now=now):
                return self._turn_away(session, asked, NonceReplayed(), at=now)
            earlier = session.connection().scalar(_EARLIER, {"retry_mac": retry_mac})
            if earlier is not None:
                row = session.get_one(ExchangeRow, earlier, with_for_update=True)
                return self._retry(session, row, asked, now=now)
            return self._open(session, asked, retry_mac=retry_mac, now=now)

    def _open(self, session: Session, asked: Asked, *, retry_mac: bytes, now: datetime) -> _Intent | Reply | TurnedAway:
        request = asked.request
        service = find_service(session, request.service)
        provider = find_client(session, service.provider_client) if service else None
        agreement = agreement_for(
            session, consumer=asked.caller.member_code, service=request.service, purpose=request.purpose, now=now
        )
        subject = self._translator.translate(session, request.subject, caller=asked.caller)
        # Before the fixed times of the door, or they would tell whether anybody ever asked about this person.
        self._audit.prepare(subject.reference)
        spent = self._spend(session, asked, agreement, at=now)
        if spent is not None:
            return spent
        tally = Tally.of(session, agreement, subject, now=now)
        judged = judge(
            session,
            self._policy,
            caller=asked.caller,
            request=request,
            signed_with=asked.signed_with,
            agreement=agreement,
            service=service,
            subject=SubjectFacts(known=subject.known, withheld=False, references=subject.references),
            before=tally.before,
            now=now,
        )
        self._keep_texts(session, agreement, at=now)
        decision = judged.decision
        row = self._record_open(
            session, asked, judged, retry_mac=retry_mac, agreement=agreement, service=service, subject=subject, now=now
        )
        if not may_ask(decision) or service is None or agreement is None or provider is None:
            tally.give_back(session)
            ending = _failure("provider_unreachable", "the provider's client is not active")
            if isinstance(decision, Deny):
                ending = Ending(outcome="refused", decision="deny", reasons=decision.reasons)
            return self._concluded(session, row, ending, asked, at=now)
        settled = _settled(judged.inputs.subject) if isinstance(decision, Deny) else None
        encrypt_to, sealed = None, agreement.terms.end_to_end
        if sealed is not None:
            encrypt_to = key_to_encrypt_to(find_client(session, row.client_id), sealed)
            if encrypt_to is None:
                # By the client alone, whoever is asked about; and before anybody is asked.
                tally.give_back(session)
                ending = _failure("encryption_key_missing", "before the provider was asked")
                return self._concluded(session, row, ending, asked, at=now)
        question = Question(
            exchange=row.id,
            service=service,
            purpose=request.purpose,
            agreement=agreement.reference,
            agreement_version=agreement.version,
            consumer=row.consumer,
            # A provider that is down would otherwise fail for everybody but those about whom nobody has to be asked.
            subject=nobody(like=request.subject)
            if settled
            else self._translator.for_provider(session, subject, provider=provider, at=now),
            handle=row.handle,
            plan=plan_for(request.fields, agreement.terms.checks),
            encrypt_to=encrypt_to,
            demands=demands_of(agreement, request),
        )
        query = tally.record_query(session, now=now)
        return _Intent(exchange=row, provider=provider, question=question, settled=settled, query=query)

    def _complete(self, intent: _Intent, told: Told, asked: Asked) -> Reply | TurnedAway:
        """Decide again and commit the outcome: what was true before the provider was asked may no longer be."""
        with self._database.write() as session:
            now = self._clock.now()
            # As we opened it: whether it is open still is asked where it is closed, by compare-and-set.
            row = intent.exchange
            session.add(row)
            in_doubt = self._translator.references_in_doubt(asked.request.subject)
            agreement = locked(session, row, provider_client=intent.provider.client_id, in_doubt=in_doubt)
            fetched = still_readable(
                session,
                row.client_id,
                still_believed(session, intent.provider, told),
                encrypted_to=intent.question.encrypt_to,
            )
            judged = self._judged(
                session,
                row,
                caller=asked.caller,
                request=asked.request,
                signed_with=asked.signed_with,
                agreement=agreement,
                fetched=fetched,
                now=now,
            )
            row.decision_record = judged.inputs.to_document()
            row.policy_digest = self._policy.digest
            if isinstance(fetched, ProviderFailed) and may_ask(judged.decision):
                ending = Ending(outcome="failed", decision="permit", failure=fetched)
            elif isinstance(judged.decision, Deny):
                ending = Ending(outcome="refused", decision="deny", reasons=judged.decision.reasons)
            elif isinstance(fetched, MinimisedRecord):
                row.match_level = (
                    fetched.about.match_level if isinstance(asked.request.subject, SubjectByMatch) else None
                )
                ending = Ending(outcome="disclosed", decision="permit", record=fetched)
            else:
                # Rules that permit a record that there is not: still nothing is disclosed.
                ending = _failure("provider_answer_invalid", "permitted, but there is no record")
            if ending.failure is not None and ending.failure.is_unanswered:
                forget_query(session, intent.query)
            reply = self._concluded(session, row, ending, asked, at=now)
        # Committed: from here the outcome is accounted for, and its answer may leave.
        return reply  # noqa: RET504 - after the transaction, not in it

    def judge_again(
        self,
        session: Session,
        row: ExchangeRow,
        *,
        caller: Caller,
        request: RecordRequest,
        signed_with: Jwk | None,
        now: datetime,
    ) -> Judged:
        """Decide about a record that there is, with all that permits it locked: see `standing.locked`."""
        agreement = locked(session, row)
        return self._judged(
            session,
            row,
            caller=caller,
            request=request,
            signed_with=signed_with,
            agreement=agreement,
            fetched=None,
            now=now,
        )

    def _judged(
        self,
        session: Session,
        row: ExchangeRow,
        *,
        caller: Caller,
        request: RecordRequest,
        signed_with: Jwk | None,
        agreement: Agreement | None,
        fetched: Fetched | None,
        now: datetime,
    ) -> Judged:
        self._keep_texts(session, agreement, at=now)
        first = FirstDecision.of(row)
        return judge(
            session,
            self._policy,
            caller=caller,
            request=request,
            signed_with=signed_with,
            agreement=agreement,
            service=find_service(session, row.service),
            subject=first.subject_after(
                fetched, asked=request.subject, in_doubt=self._translator.references_in_doubt(request.subject)
            ),
            before=first.before,
            now=now,
        )

    def _spend(self, session: Session, asked: Asked, agreement: Agreement | None, *, at: datetime) -> TurnedAway | None:
        """Take this request from the agreement's quota, which none but the systems that it names can spend."""
        client_id = asked.caller.client.client_id
        if agreement is None or client_id not in agreement.terms.conditions.clients:
            return None  # refused by policy
        quota = self._quotas.agreement
        taken = self._quotas.take(quota, agreement.reference, now=at, session=session)
        if isinstance(taken, Standing):
            asked.standings.append(taken)
            return None
        asked.standings.append(taken.standing)
        error = QuotaExceeded(taken)
        # Once in a minute and process: a flood must not become a log.
        return TurnedAway(error=error) if taken.told_before else self._turn_away(session, asked, error, at=at)

    def _retry(self, session: Session, row: ExchangeRow, asked: Asked, *, now: datetime) -> Reply | TurnedAway:
        """Give the original answer again, if it may still be given."""
        if row.request_digest != asked.request_digest:
            return self._turn_away(session, asked, IdempotencyKeyReused(), at=now)
        if row.state == "open" and row.lease_until >= now:
            soon = max(1, math.ceil((row.lease_until - now).total_seconds() / 10))
            return self._turn_away(session, asked, StillRunning(retry_after=soon), at=now)
        if row.state == "open":
            abandon(session, self._registrar, row, now=now)
        evidence = {"exchange": str(row.id), "receipt": row.receipt}
        if row.state == "abandoned":
            return self._turn_away(session, asked, ExchangeAbandoned(extensions=evidence), at=now)
        body = None
        if row.answer is not None and row.answer_until is not None and row.answer_until >= now:
            body = self._retry_keys.unseal(row.answer, exchange=row.id, idempotency_key=asked.idempotency_key)
        if body is None or row.answer_status is None:
            return self._turn_away(session, asked, AnswerExpired(extensions=evidence), at=now)
        refused = None
        if row.state == "disclosed":
            refused = self._refused_again(session, row, asked, evidence, kept=body, now=now)
        if refused is not None:
            return refused
        self._registrar.record_repeat(session, row, at=now)
        return Reply(status=row.answer_status, body=body)

    def _refused_again(
        self,
        session: Session,
        row: ExchangeRow,
        asked: Asked,
        evidence: Mapping[str, object],
        *,
        kept: bytes,
        now: datetime,
    ) -> Reply | TurnedAway | None:
        """Refuse to give once more what may be given no longer; None when it still may."""
        judged = self.judge_again(
            session, row, caller=asked.caller, request=asked.request, signed_with=asked.signed_with, now=now
        )
        if isinstance(judged.decision, Deny):
            ending = Ending(outcome="refused", decision="deny", reasons=judged.decision.reasons)
            return self._registrar.refuse_retry(session, row, ending, inputs=judged.inputs, at=now)
        if is_withdrawn(session, row) or not is_readable_again(find_client(session, row.client_id), kept):
            return self._turn_away(session, asked, AnswerWithdrawn(extensions=evidence), at=now)
        return None

    def _concluded(
        self, session: Session, row: ExchangeRow, ending: Ending, asked: Asked, *, at: datetime
    ) -> Reply | TurnedAway:
        reply = self._registrar.conclude(session, row, ending, idempotency_key=asked.idempotency_key, at=at)
        if reply is None:
            session.expire(row)  # what we would have written is forgotten, and how it was closed is read
            return _closed_before(row)
        return reply

    def _record_open(
        self,
        session: Session,
        asked: Asked,
        judged: Judged,
        *,
        retry_mac: bytes,
        agreement: Agreement | None,
        service: Service | None,
        subject: TranslatedSubject,
        now: datetime,
    ) -> ExchangeRow:
        request = asked.request
        values = {
            "id": new_id(),
            "state": "open",
            "retry_mac": retry_mac,
            "request_digest": asked.request_digest,
            "client_id": asked.caller.client.client_id,
            "consumer": asked.caller.member_code,
            "provider": service.provider if service else None,
            "officer_account": asked.caller.officer.account_id if asked.caller.officer else None,
            "service": request.service,
            "purpose": request.purpose,
            "agreement": agreement.reference if agreement else None,
            "agreement_version": agreement.version if agreement else None,
            "legal_gateway": agreement.legal_gateway if agreement else None,
            "policy_digest": self._policy.digest,
            "subject": subject.reference,
            "subject_sub": subject.consumer_sub,
            "handle": token_urlsafe(24),
            "client_key": asked.key_thumbprint,
            "requested_fields": list(request.fields),
            "decision": "permit",
            "decision_record": judged.inputs.to_document(),
            "rules": [],
            "fields_disclosed": [],
            "fields_withheld": [],
            "opened_at": now,
            # A service's fixed time may be long; its exchanges must not be given up before it.
            "lease_until": lease_end(now, max(self._lease, 2 * service.answer_seconds if service else 0.0)),
        }
        # Most exchanges are written once here and once at their end: a plain statement costs a third of the session's.
        insert_rows(session.connection(), _EXCHANGES, [values])
        row = ExchangeRow(**dict.fromkeys(_LATER), **values)
        make_transient_to_detached(row)
        session.add(row)
        return row

    def _keep_texts(self, session: Session, agreement: Agreement | None, *, at: datetime) -> None:
        """Keep what is decided by: receipts name it, and evidence shows it."""
        self._kept.keep(session, self._policy.digest, lambda: self._policy.texts, at=at)
        if agreement is not None:
            self._kept.keep(session, agreement.signed.digest, lambda: agreement.texts, at=at)

    def _turn_away(self, session: Session, asked: Asked, error: GatewayError, *, at: datetime) -> TurnedAway:
        self._audit.append(session, rejection(asked.caller, error), at=at)
        return TurnedAway(error=error)


def _failure(code: str, detail: str) -> Ending:
    return Ending(outcome="failed", decision="permit", failure=failed(code, detail))


def _closed_before(row: ExchangeRow) -> TurnedAway:
    """Recovery closed it first: a slow worker may no longer disclose, nor touch what was recorded."""
    return TurnedAway(error=ExchangeAbandoned(extensions={"exchange": str(row.id), "receipt": row.receipt}))


def _settled(subject: SubjectFacts) -> NoRecord:
    """Why there is no record, where that needs no provider to know."""
    if subject.withheld:
        return NoRecord(reason="withheld")
    return NoRecord(reason="objected" if subject.known else "unknown")
