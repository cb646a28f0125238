"""Access tokens that did not open the door they were shown at: which of them the log hears of, and how.

A good token that is shown at another resource than its own, without the key it is bound to, or without the scope it
would need, was stolen or is being tried out: an event says which token of which client it was. Anything else was shown
by nobody we know, and is counted.
"""

from dataclasses import dataclass
from datetime import datetime

from gateway.audit.append import AuditLog, Event
from gateway.audit.events import REFUSED
from gateway.errors import GatewayError
from gateway.oidc.errors import TokenRefused
from gateway.oidc.possession import NonceNeeded


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedTokens:
    """Accounts for what resources refuse, for one gateway."""

    audit: AuditLog

    def account_for(self, error: GatewayError, *, resource: str, source: str, now: datetime) -> None:
        """Record or count one refusal; outside any transaction. `resource` is the audience that was needed."""
        if error.code == NonceNeeded.code:
            # RFC 9449 §8: how every client begins that has no nonce yet. It was refused nothing.
            return
        if not isinstance(error, TokenRefused) or error.claims is None:
            self.audit.count_stranger(source=source, code=error.code, at=now)
            return
        details = {
            "client": error.claims["client_id"],
            "token": error.claims["jti"],
            "resource": [resource],
            "code": error.code,
            # Of a proof, what is public: all of it is ours.
            "reason": error.detail if error.detail and error.code == TokenRefused.code else error.public,
            "source": source,
        }
        # Whoever stole a token has not proved to be its client: of this, too, only so much is told a minute, and no
        # member is named in public for it.
        event = Event(name="oidc.access_token.refused", outcome=REFUSED, members=(), details=details)
        self.audit.record_noise(event, source=source, code="oidc.token_misused", at=now)
