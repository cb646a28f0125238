"""Between the two transactions: ask the provider, verify, keep only what is permitted. No database is open."""

import math
import time
from dataclasses import dataclass, replace

from gateway.directory.members import Client, Jwk
from gateway.errors import GatewayError
from gateway.outgoing.circuits import Circuits, Places
from gateway.sharing.catalogue.services import Service
from gateway.sharing.exchange.checks import compute_checks, state_checks
from gateway.sharing.exchange.documents.attachments import Collector, attachments_of
from gateway.sharing.exchange.minimise import MinimisedRecord, minimise, minimise_sealed
from gateway.sharing.exchange.provider_call import (
    Answered,
    Line,
    NoRecord,
    ProviderFailed,
    Question,
    ask_provider,
    failed,
)
from gateway.web.alerts import Alert, Alerts
from gateway.wire.contracts import CHECK_NOT_COMPUTED

SHARE_OF_FIXED_TIME = 0.8  # the provider must be done before the moment at which every "no record" leaves

BUSY_SECONDS = 1  # when a place may be free again

Fetched = MinimisedRecord | NoRecord | ProviderFailed
"""What came of asking a provider: a record that is permitted and valid, nothing to tell, or a failure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a provider told, and the keys of the provider's on which it rests."""

    fetched: Fetched
    keys: tuple[Jwk, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """Asks providers, as long as they answer. `timeout` is in seconds."""

    line: Line
    timeout: float
    collector: Collector
    circuits: Circuits
    places: Places
    alerts: Alerts

    def ask(self, question: Question, *, provider: Client, settled: NoRecord | None) -> Told:
        """Ask once. Where no record is settled already, nobody was asked about, and that remains the answer."""
        # Whether the provider is asked at all goes by the provider alone, never by the person.
        with self.places.one(provider.client_id) as has_place:
            if not has_place:
                busy = failed("provider_busy", "no place is free in this process", retry_after=BUSY_SECONDS)
                return Told(fetched=busy)
            service = question.service
            place = f"{service.id} {service.endpoint}"
            wait = self.circuits.wait_for(place)
            if wait > 0:
                self.alerts.raised(Alert.PROVIDER_UNAVAILABLE, about=service.id)
                skipped = failed("provider_unavailable", "its circuit is open", retry_after=math.ceil(wait))
                return Told(fetched=skipped)
            try:
                told = self._ask(question, provider=provider, settled=settled)
            except BaseException:
                self.circuits.give_up(place)
                raise
            self._note(told.fetched, service=service, place=place)
            return told

    def _ask(self, question: Question, *, provider: Client, settled: NoRecord | None) -> Told:
        service = question.service
        # One time for all that the provider has to send, documents included: how long somebody waits who is told of no
        # record, for whatever reason, must not tell that there is one.
        given = min(self.timeout, SHARE_OF_FIXED_TIME * service.answer_seconds)
        ends = time.monotonic() + given
        answer = ask_provider(question, provider=provider, line=self.line, timeout=given)
        if isinstance(answer, ProviderFailed):
            return Told(fetched=answer)
        if isinstance(answer, NoRecord):
            # Where the answer is settled already, all else is shared: it must look the same for everybody.
            return Told(fetched=settled or answer, keys=(answer.key,) if answer.key else ())
        if not question.demands.are_met_by(answer.about):
            # Like every other "no record" from here on. Before all else: what the record is worth is not told either.
            unsuited = settled or NoRecord(reason="unsuited", about=answer.about)
            return Told(fetched=unsuited, keys=(answer.key, answer.record.key))
        fetched: Fetched = self._kept(answer, question)
        if settled is None and isinstance(fetched, MinimisedRecord):
            fetched = replace(fetched, about=answer.about)
            if question.encrypt_to is None:
                fetched = self._with_attachments(fetched, answer, question, provider=provider, ends=ends)
        if settled is not None and not isinstance(fetched, ProviderFailed):
            fetched = settled
        return Told(fetched=fetched, keys=(answer.key, answer.record.key))

    def _note(self, fetched: Fetched, *, service: Service, place: str) -> None:
        failure = fetched if isinstance(fetched, ProviderFailed) and fetched.is_of_the_system else None
        change = self.circuits.note(place, failed=failure is not None)
        if change == "opened" and failure is not None:
            self.alerts.raised(Alert.PROVIDER_UNAVAILABLE, about=service.id, reason=failure.code)
        elif change == "closed":
            self.alerts.ended(Alert.PROVIDER_UNAVAILABLE, about=service.id)

    def discard(self, fetched: Fetched) -> None:
        """Forget what was fetched and will not be given."""
        if isinstance(fetched, MinimisedRecord):
            self.collector.spool.discard(attachment.place for attachment in fetched.attachments)

    def _kept(self, answer: Answered, question: Question) -> MinimisedRecord | ProviderFailed:
        if question.encrypt_to is not None:
            return minimise_sealed(answer.record, answer.sealed, plan=question.plan)
        record = minimise(answer.record, plan=question.plan, service=question.service)
        if isinstance(record, ProviderFailed) or not question.plan.here:
            return record
        try:
            results = compute_checks(question.plan, values=answer.record.fields, thresholds=question.service.thresholds)
        except GatewayError as error:
            return failed(CHECK_NOT_COMPUTED, error.code)
        claims = {
            "iss": self.line.issuer,
            "aud": question.consumer,
            "sub": question.handle,
            "jti": str(question.exchange),
            "basis": record.provider_jwt_digest,
            "agreement": f"{question.agreement}.{question.agreement_version}",
        }
        stated = state_checks(results, claims=claims, signer=self.line.signer(), now=self.line.clock.now())
        return replace(record, checks=stated)

    def _with_attachments(
        self, record: MinimisedRecord, answer: Answered, question: Question, *, provider: Client, ends: float
    ) -> MinimisedRecord | ProviderFailed:
        described = attachments_of(question, answer.record.fields, disclosed=record.disclosed)
        failure = self.collector.collect(described, question, provider=provider, ends=ends)
        return replace(record, attachments=tuple(described)) if failure is None else failure
