"""One witness asked once: `add-checkpoint` of C2SP tlog-witness, and every way in which it can end."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from gateway.errors import GatewayError
from gateway.outgoing.http_client import HttpClient
from gateway.wire.cosignatures import CosignatureKey, check_cosignature
from gateway.wire.errors import InvalidNote, MalformedInput
from gateway.wire.notes import Checkpoint, SignatureLine
from gateway.wire.witness_requests import (
    ADD_CHECKPOINT,
    MAX_REPLY_BYTES,
    AddCheckpoint,
    accepted_cosignatures,
    parse_size,
)

CLOCKS_APART = timedelta(days=1)
"""How far a cosignature's time may be from ours: more than clocks go wrong by, less than would mislead an outsider."""

_CALLS = 3  # the first, one from the size it told, and one more if another node was faster
_OK, _CONFLICT, _INCONSISTENT = 200, 409, 422


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What every witness is asked. `deadline` is on the scale of `monotonic`; `prove` is for sizes of our own tree."""

    note: bytes
    checkpoint: Checkpoint
    prove: Callable[[int, int], list[bytes]]
    published_size: int
    now: datetime
    deadline: float
    monotonic: Callable[[], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cosigned:
    """The witness cosigned the checkpoint whose text this is: lines of its key, verified."""

    key: CosignatureKey
    text: str
    size: int
    lines: tuple[SignatureLine, ...]
    told: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Absent:
    """No answer, too late an answer, or one that says that the witness cannot answer now."""

    reason: str
    state: str = "absent"

    @property
    def told(self) -> str:
        """The reason in words."""
        return self.reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Lying:
    """An answer that no honest witness gives: a false signature, an impossible time, something else than asked."""

    reason: str
    state: str = "lying"

    @property
    def told(self) -> str:
        """The reason in words."""
        return self.reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Contradicted:
    """The witness has cosigned `size` entries, more than we have or not ours: `first` is the first that may be lost."""

    size: int
    first: int
    state: str = "lying"

    @property
    def told(self) -> str:
        """What it says, in words."""
        return f"it says that it has cosigned {self.size} entries that are not these"


Outcome = Cosigned | Absent | Lying | Contradicted


def ask(http: HttpClient, url: str, key: CosignatureKey, call: Call, *, old_size: int) -> Outcome:
    """Ask the witness below the submission prefix `url`, from the size it is thought to know; raises nothing."""
    try:
        return _asked(http, url, key, call, old_size)
    except GatewayError as error:
        return Absent(reason=error.code)
    except Exception as error:  # noqa: BLE001 - whatever one witness causes must not reach the others
        return Absent(reason=type(error).__name__)


def _asked(http: HttpClient, url: str, key: CosignatureKey, call: Call, old_size: int) -> Outcome:
    size = call.checkpoint.size
    for _ in range(_CALLS):
        proof = call.prove(old_size, size)
        body = AddCheckpoint(old_size=old_size, proof=tuple(proof), checkpoint=call.note).encode()
        left = call.deadline - call.monotonic()
        if left <= 0:
            return Absent(reason="no time left")
        answer = http.request(
            "POST",
            f"{url.rstrip('/')}/{ADD_CHECKPOINT}",
            headers={"Content-Type": "application/octet-stream"},
            body=body,
            timeout_seconds=left,
            max_bytes=MAX_REPLY_BYTES,
        )
        if answer.status == _OK:
            return _cosigned(answer.body, key, call)
        if answer.status != _CONFLICT:
            return _refused(answer.status, call, old_size)
        known = _known_size(answer.body, old_size)
        if known > size:
            return Contradicted(size=known, first=call.published_size)
        if known == old_size:
            # A conflict though the sizes agree: the same size, another root.
            return Contradicted(size=known, first=min(call.published_size, known))
        old_size = known
    return Lying(reason="it told another size each time")


def _refused(status: int, call: Call, old_size: int) -> Outcome:
    if status == _INCONSISTENT:
        # It holds another tree of the old size than ours.
        return Contradicted(size=old_size, first=min(call.published_size, old_size))
    # One that does not know our log, or our key, is of no use, but says nothing false.
    return Absent(reason=f"it answered {status}")


def _known_size(body: bytes, old_size: int) -> int:
    try:
        return parse_size(body)
    except MalformedInput:
        return old_size


def _cosigned(reply: bytes, key: CosignatureKey, call: Call) -> Outcome:
    text = call.checkpoint.encode()
    try:
        lines = accepted_cosignatures(reply, text=text, key=key)
        times = [check_cosignature(text, line, key) for line in lines]
    except InvalidNote as error:
        return Lying(reason=error.public)
    ours = call.now.timestamp()
    if any(abs(at - ours) > CLOCKS_APART.total_seconds() for at in times):
        return Lying(reason="its cosignature bears a time more than a day from ours")
    # One line is enough, and what a witness sends beyond it is not ours to publish.
    return Cosigned(key=key, text=text, size=call.checkpoint.size, lines=lines[:1])
