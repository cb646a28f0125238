"""The states of a key, from the times in the key files and the clock alone."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

from gateway.signing.key_files import Key
from gateway.signing.purposes import KEPT_AFTER, Purpose


class State(StrEnum):
    """What a key is good for at an instant."""

    NEXT = "next"  # published, so that it is known before it signs
    SIGNS = "signs"
    KEPT = "kept"  # published, because something it signed may still be verified
    OVER = "over"  # published no longer; `gateway work` sets it aside


def signing_key(keys: Sequence[Key], algorithm: str, *, now: datetime) -> Key | None:
    """Return the key that signs this algorithm: of those that have begun, the one with the highest number.

    `keys` are of one purpose, lowest number first. Where none has begun (a clock was set back), the first one signs.
    """
    able = [key for key in keys if key.algorithm == algorithm]
    begun = [key for key in able if _has_begun(key, now)]
    return begun[-1] if begun else next(iter(able), None)


def superseded_at(key: Key, keys: Sequence[Key]) -> datetime | None:
    """Return the instant from which a later key signs in this one's place; None when there is none, or nobody knows."""
    later = (other for other in keys if other.algorithm == key.algorithm and other.number > key.number)
    return min((other.signs_from for other in later if other.signs_from is not None), default=None)


def state_of(key: Key, keys: Sequence[Key], purpose: Purpose, *, now: datetime) -> State:
    """Return the state of one key among `keys`, all of its purpose, lowest number first."""
    # The log: every key that is not retired signs, so that whoever knows one of them can verify.
    if purpose is Purpose.LOG or signing_key(keys, key.algorithm, now=now) is key:
        return State.SIGNS
    if not _has_begun(key, now):
        return State.NEXT
    ended = superseded_at(key, keys)
    # Receipts are evidence: whoever holds one must be able to verify it in ten years' time.
    if purpose is not Purpose.TOKENS or ended is None or now < ended + KEPT_AFTER:
        return State.KEPT
    return State.OVER


def _has_begun(key: Key, now: datetime) -> bool:
    return key.signs_from is None or key.signs_from <= now
