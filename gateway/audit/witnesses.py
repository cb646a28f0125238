"""Witnesses asked: who else has seen that the log only grew, before outsiders are shown it (C2SP tlog-witness).

All are asked at once, and within one bounded time. The policy (C2SP tlog-policy) says how many must have cosigned;
whoever answers soon after that is included as well. A witness that is absent, slow or lying counts nothing and holds up
nobody: it is told of by an alert, recorded once, and asked again after growing pauses, or at once where the quorum
needs it.

A witness may also contradict us: it has cosigned more entries than we have, or others. It is overruled when the
policy's quorum has cosigned all the same, or when it cosigned what we had since we started; otherwise it may well be
right, our database and our files are both old, and nothing is signed.
"""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from gateway.audit.append import AuditLog, Event
from gateway.audit.errors import LogForked, QuorumMissed
from gateway.audit.events import DONE
from gateway.audit.witness_calls import Absent, Call, Contradicted, Cosigned, Outcome, ask
from gateway.clock import Clock
from gateway.errors import GatewayError, SettingsError
from gateway.outgoing.http_client import HttpClient
from gateway.web.alerts import Alert, Alerts
from gateway.wire.cosignatures import CosignatureKey, cosignatures_of
from gateway.wire.errors import InvalidNote, MalformedInput
from gateway.wire.notes import Checkpoint, add_signatures
from gateway.wire.trust_policy import TrustPolicy, parse_policy

log = structlog.get_logger("gateway.audit.witnesses")

GRACE = 0.25
"""Seconds for which further cosignatures are waited for once the quorum has cosigned."""
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
RECORDED_AFTER = 60.0
"""Seconds between two entries about one witness: one that comes and goes must not fill the log."""

_STRAGGLERS = 0.5  # seconds beyond the time given in which a call may still end by itself

Prove = Callable[[int, int], list[bytes]]
"""Returns the consistency proof between two sizes of our tree."""


@dataclass(slots=True, kw_only=True)
class _Witness:
    """What is known of one witness since this process started. One thread uses it; its calls hold `lock` for `size`."""

    key: CosignatureKey
    url: str
    lock: threading.Lock = field(default_factory=threading.Lock)
    size: int | None = None
    """How many entries it cosigned last, as far as we know."""
    call: "Future[Outcome] | None" = None
    answered: bool = False
    cosigned: bool = False
    contradiction: Contradicted | None = None
    failures: int = 0
    rests_until: float = 0.0
    alert: Alert | None = None
    last: Outcome | None = None
    recorded: str = "well"
    recorded_at: float = float("-inf")

    @property
    def busy(self) -> bool:
        return self.call is not None and not self.call.done()


class Witnesses:
    """The witnesses of one log. One thread at a time may ask."""

    def __init__(
        self,
        policy: TrustPolicy,
        *,
        http: HttpClient,
        timeout: float,
        audit: AuditLog,
        alerts: Alerts,
        clock: Clock,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._policy = policy
        self._witnesses = [_Witness(key=item.key, url=item.url) for item in policy.witnesses if item.url is not None]
        self._http = http
        self._timeout = timeout
        self._audit = audit
        self._alerts = alerts
        self._clock = clock
        self._monotonic = monotonic
        # Twice: where the quorum needs a witness whose last call has not ended, the next one waits behind it.
        self._calls = ThreadPoolExecutor(2 * len(self._witnesses) or 1, thread_name_prefix="witness")

    def cosign(self, note: bytes, checkpoint: Checkpoint, *, published_size: int, prove: Prove) -> bytes:
        """Return the note with the cosignatures that the policy asks for, and those that came as soon.

        `published_size` is how far outsiders have seen the log; a witness not heard of yet is taken to be there. Raises
        `QuorumMissed`, or `LogForked` when what a witness has seen cannot be what we have.
        """
        self._harvest()
        asked = self._due()
        call = Call(
            note=note,
            checkpoint=checkpoint,
            prove=prove,
            published_size=published_size,
            now=self._clock.now(),
            deadline=self._monotonic() + self._timeout,
            monotonic=self._monotonic,
        )
        for witness in asked:
            witness.call = self._calls.submit(self._call, witness, call)
        return self._judged(note, checkpoint, self._answers(asked))

    def satisfied_by(self, note: bytes) -> bool:
        """Return whether the quorum has cosigned this checkpoint."""
        try:
            cosigned = cosignatures_of(note, [witness.key for witness in self._policy.witnesses])
        except InvalidNote:
            return False
        return self._policy.satisfied_by({cosignature.key for cosignature in cosigned})

    def late(self, checkpoint: Checkpoint) -> tuple[str, ...]:
        """Return cosignatures of this checkpoint that came after it was published, each once."""
        self._record_changes()
        return tuple(
            line.encode()
            for outcome in self._harvest()
            if isinstance(outcome, Cosigned) and outcome.text == checkpoint.encode()
            for line in outcome.lines
        )

    def close(self) -> None:
        """Wait for no more answers."""
        self._calls.shutdown(wait=False, cancel_futures=True)

    def _due(self) -> list[_Witness]:
        """Return whom to ask: those who neither rest nor are being asked, unless the quorum needs the others too."""
        now = self._monotonic()
        rested = [witness for witness in self._witnesses if not witness.busy and witness.rests_until <= now]
        return rested if self._policy.satisfied_by({witness.key for witness in rested}) else self._witnesses

    def _call(self, witness: _Witness, call: Call) -> Outcome:
        # One call at a time, for each leaves behind how far the witness has come.
        if not witness.lock.acquire(timeout=max(0.0, call.deadline - self._monotonic())):
            return Absent(reason="the call before has not ended")
        try:
            old_size = call.published_size if witness.size is None else witness.size
            outcome = ask(self._http, witness.url, witness.key, call, old_size=min(old_size, call.checkpoint.size))
            witness.size = outcome.size if isinstance(outcome, Cosigned) else None
            return outcome
        finally:
            witness.lock.release()

    def _answers(self, asked: Sequence[_Witness]) -> list[tuple[_Witness, Outcome]]:
        """Wait as long as the policy and the time allow; returns what has come."""
        calls = {witness.call: witness for witness in asked if witness.call is not None}
        ends = self._monotonic() + self._timeout + _STRAGGLERS
        # All are waited for once, when one was not heard of yet: a backup restored before we started shows in any.
        patient = any(not witness.answered or witness.contradiction for witness in asked)
        enough = False
        while waiting := {call for call in calls if not call.done()}:
            if not enough and not patient and self._quorum_in(calls.keys() - waiting):
                enough = True
                ends = min(ends, self._monotonic() + GRACE)
            if (left := ends - self._monotonic()) <= 0:
                break
            wait(waiting, timeout=left, return_when=FIRST_COMPLETED)
        came: list[tuple[_Witness, Outcome]] = []
        for call, witness in calls.items():
            if call.done():
                witness.call = None
                came.append((witness, call.result()))
            elif not enough:
                came.append((witness, Absent(reason="no answer in time")))
        return came

    def _quorum_in(self, calls: "Iterable[Future[Outcome]]") -> bool:
        cosigned = {outcome.key for call in calls if isinstance(outcome := call.result(), Cosigned)}
        return self._policy.satisfied_by(cosigned)

    def _harvest(self) -> list[Outcome]:
        """Take note of answers that came after they were waited for."""
        came = []
        for witness in self._witnesses:
            if witness.call is not None and witness.call.done():
                outcome = witness.call.result()
                witness.call = None
                self._note(witness, outcome)
                came.append(outcome)
        return came

    def _judged(self, note: bytes, checkpoint: Checkpoint, outcomes: Sequence[tuple[_Witness, Outcome]]) -> bytes:
        cosigned = [outcome for _witness, outcome in outcomes if isinstance(outcome, Cosigned)]
        enough = self._policy.satisfied_by({outcome.key for outcome in cosigned})
        overruled = enough and bool(cosigned)
        for witness, outcome in outcomes:
            if isinstance(outcome, Contradicted) and not witness.cosigned and not overruled:
                witness.answered, witness.contradiction = True, outcome
            else:
                self._note(witness, outcome)
        for witness in self._witnesses:
            # What a witness has said stands, whether or not it can be asked again.
            if witness.contradiction is not None and not overruled:
                raise _contradicted(witness, witness.contradiction, checkpoint)
        if not enough:
            missing = "; ".join(f"{witness.key.name}: {outcome.told}" for witness, outcome in outcomes if outcome.told)
            raise QuorumMissed(detail=missing or "no witness was heard of")
        return add_signatures(note, [line.encode() for outcome in cosigned for line in outcome.lines])

    def _note(self, witness: _Witness, outcome: Outcome) -> None:
        """Remember how a call ended; say and record what changed."""
        witness.answered = True
        name = witness.key.name
        now = self._monotonic()
        alert = None
        if isinstance(outcome, Cosigned):
            witness.cosigned, witness.failures, witness.rests_until = True, 0, 0.0
            witness.contradiction = None
        else:
            alert = Alert.WITNESS_ABSENT if isinstance(outcome, Absent) else Alert.WITNESS_LYING
            witness.rests_until = now + min(FIRST_PAUSE * 2**witness.failures, LONGEST_PAUSE)
            witness.failures = min(witness.failures + 1, 10)
        if witness.alert not in {None, alert}:
            self._alerts.ended(witness.alert or Alert.WITNESS_ABSENT, about=name)
        if alert is not None:
            self._alerts.raised(alert, about=name, reason=outcome.told)
        witness.alert = alert
        witness.last = outcome
        self._record_changes()

    def _record_changes(self) -> None:
        """Record how each witness does, where that is not what was recorded last."""
        now = self._monotonic()
        for witness in self._witnesses:
            if witness.last is None or now - witness.recorded_at < RECORDED_AFTER:
                continue
            state = "well" if isinstance(witness.last, Cosigned) else witness.last.state
            if state != witness.recorded:
                witness.recorded, witness.recorded_at = state, now
                self._record(witness.key.name, witness.last)

    def _record(self, name: str, outcome: Outcome) -> None:
        if isinstance(outcome, Cosigned):
            event = Event(name="audit.witness.recovered", outcome=DONE, members=(), details={"witness": name})
        else:
            details = {"witness": name, "state": outcome.state, "reason": outcome.told}
            event = Event(name="audit.witness.failed", outcome=DONE, members=(), details=details)
        try:
            self._audit.record(event, at=self._clock.now())
        except GatewayError as error:
            # What is at hand is the log itself: it is published all the same.
            log.warning("a witness's state was not recorded", witness=name, code=error.code)


def load_policy(path: Path) -> TrustPolicy:
    """Read a policy file (C2SP tlog-policy); raises `SettingsError` saying what is wrong with it."""
    try:
        policy = parse_policy(path.read_bytes())
    except OSError as error:
        raise SettingsError("GATEWAY_WITNESS_POLICY names a file that cannot be read.", detail=str(error)) from error
    except MalformedInput as error:
        raise SettingsError(f"GATEWAY_WITNESS_POLICY: {error.public}.") from error
    if not policy.satisfied_by({witness.key for witness in policy.witnesses if witness.url is not None}):
        raise SettingsError("GATEWAY_WITNESS_POLICY: the quorum needs witnesses whose URL it does not say.")
    return policy


def _contradicted(witness: _Witness, outcome: Contradicted, checkpoint: Checkpoint) -> LogForked:
    name = witness.key.name
    if outcome.size > checkpoint.size:
        return LogForked(
            f"the witness {name} has cosigned {outcome.size} entries, but the database holds only {checkpoint.size}: "
            f"entry {outcome.first} is the first that it may have lost; nothing is signed",
            index=outcome.first,
        )
    return LogForked(
        f"the witness {name} has cosigned other entries than the database holds, below entry {outcome.size} and from "
        f"entry {outcome.first} on; nothing is signed",
        index=outcome.first,
    )
