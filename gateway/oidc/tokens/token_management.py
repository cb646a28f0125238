"""Two endpoints at which clients ask about tokens, and give them back: authenticate, then answer in one transaction."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from sqlalchemy.orm import Session

from gateway.clock import Clock
from gateway.db import Database
from gateway.directory.members import Client
from gateway.identity.caller import Presented
from gateway.oidc.clients.authentication import ClientAuthentication, ClientRefused
from gateway.oidc.clients.rejection import ClientRejected
from gateway.oidc.parameters import Parameters
from gateway.oidc.tokens.endpoint import TokensRefused
from gateway.oidc.tokens.introspection import Introspected, Introspection
from gateway.oidc.tokens.revocation_requests import RevocationRequests

_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenManagement:
    """Answers introspection and revocation requests for one gateway."""

    database: Database
    authentication: ClientAuthentication
    introspection: Introspection
    revocation: RevocationRequests
    clock: Clock

    def introspect(
        self, form: Parameters, presented: Presented, *, signed: bool, source: str
    ) -> Introspected | TokensRefused | ClientRefused:
        """Say what a token is worth (RFC 7662 §2), as a JWT when `signed` (RFC 9701 §4)."""

        def answer(session: Session, client: Client, token: str, now: datetime) -> Introspected:
            return self.introspection.answer(session, client, token, signed=signed, source=source, now=now)

        return self._answered(form, presented, answer, source=source)

    def revoke(self, form: Parameters, presented: Presented, *, source: str) -> TokensRefused | ClientRefused | None:
        """Take a token back (RFC 7009 §2); None whatever became of it."""

        def answer(session: Session, client: Client, token: str, now: datetime) -> None:
            self.revocation.revoke(session, client, token, source=source, now=now)

        return self._answered(form, presented, answer, source=source)

    def _answered(
        self,
        form: Parameters,
        presented: Presented,
        answer: Callable[[Session, Client, str, datetime], _Answer],
        *,
        source: str,
    ) -> _Answer | TokensRefused | ClientRefused:
        if form.repeated:
            return TokensRefused(error="invalid_request", description="A parameter is repeated")
        token, now = form.one("token"), self.clock.now()
        if token is None:
            return TokensRefused(error="invalid_request", description="token is missing")
        authenticated = self.authentication.verify(form, presented, now=now)
        if isinstance(authenticated, ClientRejected):
            return self.authentication.refuse(authenticated, source=source, now=now)
        with self.database.write() as session:
            client = self.authentication.claim(session, authenticated, source=source, now=now)
            if isinstance(client, ClientRefused):
                return client
            return answer(session, client, token, now)
