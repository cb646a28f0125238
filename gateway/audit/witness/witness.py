"""The decision to cosign: the checks of C2SP tlog-witness in its order, then remember, then sign."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import structlog

from gateway.audit.witness.errors import (
    NotSignedByLog,
    OtherCheckpointKnown,
    ProofRefused,
    UnknownLog,
    WitnessNotUsable,
)
from gateway.audit.witness.state import Remembered, WitnessFolder
from gateway.clock import Clock
from gateway.errors import GatewayError
from gateway.web.alerts import Alert, Alerts
from gateway.wire.cosignatures import CosignatureKey, cosign, cosignature_key_of
from gateway.wire.errors import InvalidNote, InvalidTree, MalformedInput
from gateway.wire.merkle import empty_root, verify_consistency
from gateway.wire.notes import Checkpoint, OpenedNote, VerifierKey, open_note, parse_checkpoint, split_note
from gateway.wire.trust_policy import parse_policy
from gateway.wire.witness_requests import AddCheckpoint, parse_add_checkpoint

log = structlog.get_logger("gateway.witness")


class Witness:
    """Cosigns checkpoints of the logs it knows. Several, in threads and processes, may stand over one folder."""

    def __init__(self, directory: Path, *, logs: Iterable[VerifierKey], clock: Clock, alerts: Alerts) -> None:
        """Load key and name; several keys may bear one origin. Raises `WitnessNotUsable`, `WitnessStateDamaged`."""
        self._folder = WitnessFolder(directory)
        self._signer = self._folder.signer()
        self._name = self._folder.read().name
        self._keys: dict[str, tuple[VerifierKey, ...]] = {}
        for key in logs:
            self._keys[key.name] = (*self._keys.get(key.name, ()), key)
        self._clock = clock
        self._alerts = alerts

    @property
    def key(self) -> CosignatureKey:
        """The witness's public key."""
        return cosignature_key_of(self._signer, self._name)

    def add_checkpoint(self, body: bytes) -> str:
        """Return the cosignature lines over the checkpoint in an add-checkpoint body, each with its newline.

        Raises, in this order: `MalformedInput`, `UnknownLog`, `NotSignedByLog`, `MalformedInput` for an old size above
        the new one, `OtherCheckpointKnown`, `ProofRefused`; `WitnessBusy` or `WitnessStateDamaged` at any time.
        """
        # 1. The request has its form, and a key we trust for this log has signed the checkpoint.
        asked = parse_add_checkpoint(body)
        checkpoint = _unverified_checkpoint(asked.checkpoint)
        signed = self._check_signed(asked.checkpoint, checkpoint.origin)
        if asked.old_size > checkpoint.size:
            raise MalformedInput("the old size is larger than the checkpoint's")

        with self._folder.alone():
            # 2. It continues the last one cosigned. Nobody else can cosign between this and the end of the block.
            state = self._folder.read()
            self._check_continues(asked, checkpoint, state)

            # 3. Remember, durably. Written again even when it is the same: an earlier write may have failed half way.
            self._folder.replace(state.replaced(checkpoint.origin, _without_others_lines(asked.checkpoint, signed)))

        # Remembered: from here nothing that contradicts this checkpoint is ever cosigned.
        return cosign(signed.text, self._signer, self._name, at=self._clock.now()) + "\n"

    def _check_signed(self, note: bytes, origin: str) -> OpenedNote:
        keys = self._keys.get(origin)
        if keys is None:
            raise UnknownLog
        try:
            return open_note(note, keys)
        except InvalidNote as error:
            raise NotSignedByLog(detail=error.public) from error

    def _check_continues(self, asked: AddCheckpoint, checkpoint: Checkpoint, state: Remembered) -> None:
        last = state.last(checkpoint.origin) or Checkpoint(origin=checkpoint.origin, size=0, root=empty_root())
        if checkpoint.size == last.size and checkpoint.root != last.root:
            # Signed twice, at one size, with two roots: whoever holds both notes can prove that the log forked.
            self._tell_of_fork(asked, checkpoint, state)
            raise OtherCheckpointKnown(last.size)
        if asked.old_size != last.size:
            raise OtherCheckpointKnown(last.size)
        try:
            verify_consistency(
                old_size=last.size,
                old_root=last.root,
                new_size=checkpoint.size,
                new_root=checkpoint.root,
                proof=asked.proof,
            )
        except InvalidTree as error:
            log.warning("a proof was refused", origin=checkpoint.origin, old_size=last.size, size=checkpoint.size)
            raise ProofRefused(detail=error.public) from error

    def _tell_of_fork(self, asked: AddCheckpoint, checkpoint: Checkpoint, state: Remembered) -> None:
        self._alerts.raised(
            Alert.WITNESSED_FORK,
            about=checkpoint.origin,
            size=checkpoint.size,
            cosigned=state.notes.get(checkpoint.origin),
            refused=asked.checkpoint.decode(),
        )


def load_logs(path: Path) -> Sequence[VerifierKey]:
    """Return the keys of the logs to witness: the `log` lines of a tlog-policy file. Raises `WitnessNotUsable`."""
    try:
        logs = parse_policy(path.read_bytes()).logs
    except OSError as error:
        raise WitnessNotUsable(f"the list of logs cannot be read: {error.strerror}") from error
    except GatewayError as error:
        raise WitnessNotUsable(f"the list of logs cannot be used: {error.public}") from error
    if not logs:
        raise WitnessNotUsable("the list of logs names none")
    return [known.key for known in logs]


def _without_others_lines(note: bytes, signed: OpenedNote) -> bytes:
    # Anybody may add lines to what a log has signed and send it here: they would fill the memory, which is written anew
    # for each checkpoint of every log. The log's own are the evidence.
    own = {(key.name, key.key_id) for key in signed.signed_by}
    lines = [line.encode() for line in split_note(note)[1] if (line.name, line.key_id) in own]
    return "\n".join([signed.text, *lines, ""]).encode()


def _unverified_checkpoint(note: bytes) -> Checkpoint:
    try:
        return parse_checkpoint(split_note(note)[0])
    except InvalidNote as error:
        raise MalformedInput(f"the checkpoint is malformed: {error.public}") from error
