"""What a log asks a witness and what it answers: the bodies of `add-checkpoint` (C2SP tlog-witness)."""

import re
from dataclasses import dataclass

from gateway.wire.cosignatures import CosignatureKey, check_cosignature
from gateway.wire.encoding import b64_decode, b64_encode
from gateway.wire.errors import InvalidNote, MalformedInput
from gateway.wire.merkle import HASH_BYTES
from gateway.wire.notes import MAX_SIGNATURES, SignatureLine, parse_signature_line

ADD_CHECKPOINT = "add-checkpoint"
"""What follows a witness's submission prefix."""
SIZE_TYPE = "text/x.tlog.size"
"""The media type of a 409 that tells which size the witness cosigned last."""

MAX_PROOF_LINES = 63
MAX_REQUEST_BYTES = 256_000
"""Room for a checkpoint of 16 signatures (signed-note) of 5 kB each and a full proof, and then some."""
MAX_REPLY_BYTES = 64_000

_DECIMAL = re.compile(r"0|[1-9][0-9]{0,18}")


@dataclass(frozen=True, slots=True, kw_only=True)
class AddCheckpoint:
    """A log's request: sign this checkpoint (a signed note), which grew from the tree of `old_size` as proved."""

    old_size: int
    proof: tuple[bytes, ...]
    checkpoint: bytes

    def encode(self) -> bytes:
        """Return the request's body; raises `MalformedInput` for one that no witness would read."""
        lines = [f"old {self.old_size}", *(b64_encode(item) for item in self.proof)]
        body = "".join(f"{line}\n" for line in lines).encode() + b"\n" + self.checkpoint
        parse_add_checkpoint(body)
        return body


def parse_add_checkpoint(body: bytes) -> AddCheckpoint:
    """Read a request's body; its checkpoint stays an unverified note. Raises `MalformedInput`."""
    if len(body) > MAX_REQUEST_BYTES:
        raise MalformedInput("the request is too large")
    head, divider, checkpoint = body.partition(b"\n\n")
    old, *proof = head.decode("utf-8", "replace").split("\n")
    if not divider or not old.startswith("old ") or not _DECIMAL.fullmatch(old.removeprefix("old ")):
        raise MalformedInput("a request begins with `old <size>`; an empty line ends its proof")
    if len(proof) > MAX_PROOF_LINES:
        raise MalformedInput("a consistency proof has at most 63 lines")
    return AddCheckpoint(
        old_size=int(old.removeprefix("old ")), proof=tuple(_hash(line) for line in proof), checkpoint=checkpoint
    )


def encode_size(size: int) -> bytes:
    """Return the body of a 409: the size of the last checkpoint cosigned."""
    return f"{size}\n".encode()


def parse_size(body: bytes) -> int:
    """Read the body of a 409; raises `MalformedInput`."""
    text = body[:32].decode("utf-8", "replace")
    if not text.endswith("\n") or not _DECIMAL.fullmatch(text[:-1]) or len(body) != len(text):
        raise MalformedInput("a witness tells the size it knows as one decimal number and a newline")
    return int(text)


def accepted_cosignatures(reply: bytes, *, text: str, key: CosignatureKey) -> tuple[SignatureLine, ...]:
    """Return the lines of a witness's 200 that are cosignatures by `key` over the checkpoint's text.

    Lines by other keys are left out. Raises `InvalidNote` when the reply is malformed, when a line by the key is false,
    or when there is none by it.
    """
    if len(reply) > MAX_REPLY_BYTES or not reply.endswith(b"\n"):
        raise InvalidNote("a witness answers with signature lines, each ending in a newline")
    try:
        lines = [parse_signature_line(line) for line in reply[:-1].decode("utf-8").split("\n")]
    except UnicodeDecodeError as error:
        raise InvalidNote("a signature line is UTF-8 text") from error
    if len(lines) > MAX_SIGNATURES:
        raise InvalidNote("a witness answers with at most 100 lines")
    own = tuple(line for line in lines if (line.name, line.key_id) == (key.name, key.key_id))
    for line in own:
        check_cosignature(text, line, key)
    if not own:
        raise InvalidNote("the witness did not answer with a cosignature by its key")
    return own


def _hash(line: str) -> bytes:
    data = b64_decode(line)
    if len(data) != HASH_BYTES:
        raise MalformedInput("a line of the proof is a 32-byte hash in base64")
    return data
