"""What the gateway's keys are for, with which algorithms, and how long each is published before and after it signs."""

from datetime import timedelta
from enum import StrEnum

PUBLISHED_AHEAD = timedelta(hours=1)
"""How long a key is published before it signs: for caches that keep our keys longer than the 5 minutes we ask for."""
KEPT_AFTER = timedelta(hours=1)
"""How long a key of the tokens is published after its last signature: longer than anything lives that it signed."""


class Purpose(StrEnum):
    """What a key may sign: one purpose a key, so that a signature made for one is worthless for another."""

    TOKENS = "tokens"  # ID tokens, access tokens, and whatever else a relying party verifies by the provider's JWKS
    EXCHANGE = "exchange"  # messages to members, and receipts
    LOG = "log"  # the log's checkpoints


ALGORITHMS: dict[Purpose, tuple[str, ...]] = {
    Purpose.TOKENS: ("ES256", "RS256", "PS256"),
    Purpose.EXCHANGE: ("ES256",),
    Purpose.LOG: ("Ed25519",),
}
"""By purpose, the first being the one that signs where nobody asks for another."""
