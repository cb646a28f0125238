"""Between the two transactions: ask the provider, verify, keep only what is permitted. No database is open."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from gateway.clock import Clock
from gateway.directory.members import Client
from gateway.outgoing.http_client import HttpClient
from gateway.sharing.exchange.attachments import Collector, attachments_of
from gateway.sharing.exchange.minimise import MinimisedRecord, minimise
from gateway.sharing.exchange.provider_call import Answered, NoRecord, ProviderFailed, Question, ask_provider
from gateway.wire.signer import Signer

SHARE_OF_FIXED_TIME = 0.8  # the provider must be done before the moment at which every "no record" leaves

Fetched = MinimisedRecord | NoRecord | ProviderFailed
"""What came of asking a provider: a record that is permitted and valid, nothing to tell, or a failure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """Asks providers. `timeout` is in seconds."""

    http: HttpClient
    signer: Callable[[], Signer]
    issuer: str
    clock: Clock
    timeout: float
    collector: Collector

    def ask(self, question: Question, *, provider: Client, settled: NoRecord | None) -> Fetched:
        """Ask once. Where no record is settled already, nobody was asked about, and that remains the answer."""
        service = question.service
        # One time for all that the provider has to send, documents included: how long somebody waits who is told of no
        # record, for whatever reason, must not tell that there is one.
        given = min(self.timeout, SHARE_OF_FIXED_TIME * service.answer_seconds)
        ends = time.monotonic() + given
        answer = ask_provider(
            question,
            provider=provider,
            http=self.http,
            signer=self.signer(),
            issuer=self.issuer,
            clock=self.clock,
            timeout=given,
        )
        fetched: Fetched = (
            minimise(answer.record, permitted=question.fields, service=service)
            if isinstance(answer, Answered)
            else answer
        )
        if settled is None and isinstance(answer, Answered) and isinstance(fetched, MinimisedRecord):
            fetched = self._with_attachments(fetched, answer, question, provider=provider, ends=ends)
        # Where the answer is settled already, the provider's failure alone is shared: it must look the same for all.
        return fetched if settled is None or isinstance(fetched, ProviderFailed) else settled

    def discard(self, fetched: Fetched) -> None:
        """Forget what was fetched and will not be given."""
        if isinstance(fetched, MinimisedRecord):
            self.collector.spool.discard(attachment.place for attachment in fetched.attachments)

    def _with_attachments(
        self, record: MinimisedRecord, answer: Answered, question: Question, *, provider: Client, ends: float
    ) -> MinimisedRecord | ProviderFailed:
        described = attachments_of(question, answer.record.fields, disclosed=record.disclosed)
        failure = self.collector.collect(described, question, provider=provider, ends=ends)
        return replace(record, attachments=tuple(described)) if failure is None else failure
