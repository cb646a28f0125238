"""Between the two transactions: ask the provider, verify, keep only what is permitted. No database is open."""

from collections.abc import Callable
from dataclasses import dataclass

from gateway.clock import Clock
from gateway.directory.members import Client
from gateway.outgoing.http_client import HttpClient
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

    def ask(self, question: Question, *, provider: Client, settled: NoRecord | None) -> Fetched:
        """Ask once. Where no record is settled already, nobody was asked about, and that remains the answer."""
        service = question.service
        answer = ask_provider(
            question,
            provider=provider,
            http=self.http,
            signer=self.signer(),
            issuer=self.issuer,
            clock=self.clock,
            timeout=min(self.timeout, SHARE_OF_FIXED_TIME * service.answer_seconds),
        )
        fetched: Fetched = (
            minimise(answer.record, permitted=question.fields, service=service)
            if isinstance(answer, Answered)
            else answer
        )
        # Where the answer is settled already, the provider's failure alone is shared: it must look the same for all.
        return fetched if settled is None or isinstance(fetched, ProviderFailed) else settled
