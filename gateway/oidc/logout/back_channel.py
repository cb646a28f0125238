"""Back-channel notices (OIDC Back-Channel Logout 1.0): a signed logout token, posted to each client's own address.

The outbox holds the client's names for session and person, nothing else. The token is made at each attempt, with a
`jti` of its own: a receiver that took the first, and whose answer was lost, must not refuse the second as a replay.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlencode

from gateway.clock import Clock
from gateway.db import Database
from gateway.directory.members import Client, find_client
from gateway.oidc.tokens.response_signing import response_signer
from gateway.outbox.deliveries import Delivered, Delivery, NoLongerNeeded, Outcome, TryAgain, Undeliverable
from gateway.outgoing.http_client import AddressForbidden, HttpClient, TooSlow, Unreachable
from gateway.signing.signing_keys import SigningKeys
from gateway.wire.jws import issue_jwt

KIND = "oidc.back_channel_logout"
TYP = "logout+jwt"
EVENT = "http://schemas.openid.net/event/backchannel-logout"
LIFETIME = timedelta(minutes=2)
"""§2.4 recommends two minutes at most."""
TIMEOUT_SECONDS = 5.0
MAX_ANSWER_BYTES = 16 * 1024
TAKEN = (200, 204)
"""§2.8 asks for 200, and to understand 204."""
REFUSED = 400
"""§2.8: the request was malformed or the token not valid. The same would be refused again."""
DOWN = (429, 502, 503, 504)


@dataclass(frozen=True, slots=True, kw_only=True)
class BackChannel:
    """Sends logout tokens."""

    issuer: str
    database: Database
    http: HttpClient
    keys: SigningKeys
    clock: Clock

    def deliver(self, delivery: Delivery) -> Outcome:
        """Make one attempt: the outbox's handler for notices of this kind."""
        with self.database.read() as session:
            client = find_client(session, delivery.recipient)
        address = client.oauth.backchannel_logout_uri if client is not None else None
        if client is None or address is None:
            return NoLongerNeeded("the client is gone, or wants no notices any more")
        names = delivery.payload
        token = self.logout_token(client, sid=names["sid"], sub=names["sub"], now=self.clock.now())
        try:
            answer = self.http.request(
                "POST",
                address,
                headers={"Content-Type": "application/x-www-form-urlencoded", "Accept": "*/*"},
                body=urlencode({"logout_token": token}).encode(),
                timeout_seconds=TIMEOUT_SECONDS,
                max_bytes=MAX_ANSWER_BYTES,
            )
        except (TooSlow, Unreachable) as error:
            return TryAgain(error.code, recipient_down=True)
        except AddressForbidden as error:
            # For the operator, who alone can allow it.
            return TryAgain(f"{error.code}: {error.detail}")
        if answer.status in TAKEN:
            return Delivered()
        said = f"the client answered {answer.status}"
        if answer.status == REFUSED:
            return Undeliverable(said)
        return TryAgain(said, recipient_down=answer.status in DOWN)

    def logout_token(self, client: Client, *, sid: str, sub: str, now: datetime) -> str:
        """Return a signed logout token (§2.4). It has no `nonce`, so that it cannot be taken for an ID token."""
        issued = int(now.timestamp())
        claims = {
            "iss": self.issuer,
            "aud": client.client_id,
            "iat": issued,
            "exp": issued + int(LIFETIME.total_seconds()),
            "jti": secrets.token_urlsafe(16),
            "events": {EVENT: {}},
            "sub": sub,
            "sid": sid,
        }
        # §2.4 and §2.6: signed as the client's ID tokens are.
        signer = response_signer(self.keys, client, client.oauth.id_token_signed_response_alg)
        return issue_jwt(claims, typ=TYP, signer=signer)
