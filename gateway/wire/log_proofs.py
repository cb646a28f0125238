"""A proof that something is in the log, in the format every tlog client reads (C2SP tlog-proof).

The file holds the entry's index, the inclusion proof, and the checkpoint with its cosignatures. What the entry says is
not in it: whoever checks the proof brings the entry. Files end in `.tlog-proof`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.wire.encoding import b64_decode, b64_encode
from gateway.wire.errors import MalformedInput
from gateway.wire.merkle import HASH_BYTES, leaf_hash, verify_inclusion
from gateway.wire.notes import Checkpoint, VerifierKey, open_checkpoint
from gateway.wire.trust_policy import TrustPolicy, open_checkpoint_under

LOG_PROOF_HEADER = "c2sp.org/tlog-proof@v1"
MAX_LOG_PROOF_BYTES = 2_000_000

_MAX_HASHES = 64
_INDEX = re.compile(r"index (0|[1-9][0-9]{0,18})")
_EXTRA = "extra "


@dataclass(frozen=True, slots=True, kw_only=True)
class LogProof:
    """A proof still to be checked. `checkpoint` is a signed note; nothing vouches for `extra` (None: no such line)."""

    index: int
    hashes: tuple[bytes, ...]
    checkpoint: bytes
    extra: bytes | None = None

    def encode(self) -> bytes:
        """Return the file's bytes; raises `MalformedInput` for values that no reader would accept."""
        lines = [
            LOG_PROOF_HEADER,
            *(() if self.extra is None else (_EXTRA + b64_encode(self.extra),)),
            f"index {self.index}",
            *(b64_encode(item) for item in self.hashes),
        ]
        file = "".join(f"{line}\n" for line in lines).encode() + b"\n" + self.checkpoint
        parse_log_proof(file)
        return file


def parse_log_proof(unverified: bytes) -> LogProof:
    """Read a proof file without checking what it proves; raises `MalformedInput`."""
    if len(unverified) > MAX_LOG_PROOF_BYTES:
        raise MalformedInput("a proof file is smaller than 2 MB")
    head, divider, checkpoint = unverified.partition(b"\n\n")
    header, *lines = head.decode("utf-8", "replace").split("\n")
    if header != LOG_PROOF_HEADER or not divider or not checkpoint:
        raise MalformedInput(f"a proof file begins with {LOG_PROOF_HEADER} and ends with a checkpoint")
    extra = None
    if lines and lines[0].startswith(_EXTRA):
        extra = b64_decode(lines.pop(0).removeprefix(_EXTRA))
    index = _INDEX.fullmatch(lines[0]) if lines else None
    if index is None:
        raise MalformedInput("a proof file gives the index of its entry")
    if len(lines) - 1 > _MAX_HASHES:
        raise MalformedInput("an inclusion proof has at most 64 hashes")
    return LogProof(
        index=int(index.group(1)), hashes=tuple(_hash(line) for line in lines[1:]), checkpoint=checkpoint, extra=extra
    )


def verify_log_proof(entry: bytes, proof: LogProof, trusted: TrustPolicy | Sequence[VerifierKey]) -> Checkpoint:
    """Check that the entry's bytes are in the log; returns the checkpoint that covers them.

    `trusted` are the log's keys, or a policy that also says which witnesses must have cosigned. Raises `InvalidNote`
    when the checkpoint is not trusted, `InvalidTree` when the entry is not in its tree.
    """
    if isinstance(trusted, TrustPolicy):
        checkpoint = open_checkpoint_under(trusted, proof.checkpoint).checkpoint
    else:
        checkpoint = open_checkpoint(proof.checkpoint, trusted)
    verify_inclusion(
        leaf_hash(entry), index=proof.index, size=checkpoint.size, proof=proof.hashes, root=checkpoint.root
    )
    return checkpoint


def _hash(line: str) -> bytes:
    data = b64_decode(line)
    if len(data) != HASH_BYTES:
        raise MalformedInput("a line of the inclusion proof is a 32-byte hash in base64")
    return data
