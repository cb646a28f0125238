"""Cosignatures: a witness's statement that a checkpoint continues all it saw of a log before (C2SP tlog-cosignature).

A cosignature is a signature line of the checkpoint's note. Both types are verified, Ed25519 (0x04) and ML-DSA-44
(0x06); ours are Ed25519. Times are POSIX seconds. Any other type is an unknown line, ignored like every unknown line.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography.exceptions import InvalidSignature as BadSignature
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey

from gateway.wire.encoding import b64url_decode
from gateway.wire.errors import InvalidNote, UnusableKey
from gateway.wire.notes import (
    ED25519_KEY_BYTES,
    SignatureLine,
    check_ed25519,
    check_key_name,
    decode_vkey,
    encode_vkey,
    key_id_of,
    parse_checkpoint,
    split_note,
)
from gateway.wire.signer import Signer

ED25519_COSIGNATURE = b"\x04"
ML_DSA_44_COSIGNATURE = b"\x06"

_KEY_BYTES = {ED25519_COSIGNATURE: ED25519_KEY_BYTES, ML_DSA_44_COSIGNATURE: 1312}
_TIME_BYTES = 8
_LAST_TIME = 2**63 - 1
_SIZES = 2**64
_LONGEST_VECTOR = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class CosignatureKey:
    """A witness's public key: its name, its signature type, and its raw bytes (32 for Ed25519, 1312 for ML-DSA-44)."""

    name: str
    public_key: bytes
    signature_type: bytes = ED25519_COSIGNATURE

    def __post_init__(self) -> None:
        check_key_name(self.name)
        if len(self.public_key) != _KEY_BYTES.get(self.signature_type):
            raise InvalidNote("a witness's key is an Ed25519 key (type 4) or an ML-DSA-44 key (type 6)")

    @property
    def key_id(self) -> bytes:
        """The four bytes that, with the name, tell whose a signature line is."""
        return key_id_of(self.name, self.signature_type + self.public_key)

    def encode(self) -> str:
        """Return the key as text, `<name>+<hex key id>+<base64 of type ‖ public key>`."""
        return encode_vkey(self.name, self.signature_type + self.public_key)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cosignature:
    """A verified cosignature: by which key, and when it was made, in POSIX seconds as the witness says."""

    key: CosignatureKey
    at: int


def parse_cosignature_key(vkey: str) -> CosignatureKey:
    """Read a witness's verifier key; raises `InvalidNote` unless its type is one of the two for cosignatures."""
    name, typed_key = decode_vkey(vkey)
    return CosignatureKey(name=name, signature_type=typed_key[:1], public_key=typed_key[1:])


def cosignature_key_of(signer: Signer, name: str) -> CosignatureKey:
    """Return the cosignature key of a signer under this name; raises `UnusableKey` unless it is an Ed25519 one."""
    if signer.algorithm != "Ed25519":
        raise UnusableKey("checkpoints are cosigned with Ed25519 keys")
    return CosignatureKey(name=name, public_key=b64url_decode(signer.public_jwk()["x"]))


def cosign(text: str, signer: Signer, name: str, *, at: datetime) -> str:
    """Return the signature line, without its newline, by which the witness `name` cosigns a checkpoint's text.

    Whoever calls this has made sure that the checkpoint continues the last one cosigned. Raises `InvalidNote` for a
    text that is no checkpoint, `UnusableKey`.
    """
    parse_checkpoint(text)
    key, seconds = cosignature_key_of(signer, name), int(at.timestamp())
    signature = seconds.to_bytes(_TIME_BYTES, "big") + signer.sign(_ed25519_message(text, seconds))
    return SignatureLine(name=name, key_id=key.key_id, signature=signature).encode()


def cosignatures_of(note: bytes, keys: Sequence[CosignatureKey]) -> tuple[Cosignature, ...]:
    """Return every cosignature of a checkpoint's note by one of `keys`, none when there is none.

    Lines by other keys are ignored. The log's own signature is not looked at. Raises `InvalidNote` when the note is
    malformed, when it is no checkpoint, or when a line by one of `keys` is false.
    """
    text, lines = split_note(note)
    known = {(key.name, key.key_id): key for key in keys}
    found = []
    for line in lines:
        key = known.get((line.name, line.key_id))
        if key is not None:
            found.append(Cosignature(key=key, at=check_cosignature(text, line, key)))
    return tuple(found)


def check_cosignature(text: str, line: SignatureLine, key: CosignatureKey) -> int:
    """Check a line that bears the key's name and id over a checkpoint's text; returns its time in POSIX seconds.

    Raises `InvalidNote`.
    """
    seconds = int.from_bytes(line.signature[:_TIME_BYTES], "big")
    if len(line.signature) <= _TIME_BYTES or seconds > _LAST_TIME:
        raise InvalidNote("a cosignature is a time and a signature")
    signature = line.signature[_TIME_BYTES:]
    if key.signature_type == ED25519_COSIGNATURE:
        parse_checkpoint(text)
        check_ed25519(key.public_key, signature, _ed25519_message(text, seconds))
        return seconds
    try:
        MLDSA44PublicKey.from_public_bytes(key.public_key).verify(signature, _ml_dsa_message(text, key.name, seconds))
    except (BadSignature, UnsupportedAlgorithm, ValueError) as error:
        raise InvalidNote("the signature of a known key does not verify") from error
    return seconds


def _ed25519_message(text: str, seconds: int) -> bytes:
    return f"cosignature/v1\ntime {seconds}\n{text}".encode()


def _ml_dsa_message(text: str, name: str, seconds: int) -> bytes:
    # Extension lines are not in it; a whole tree is the subtree that starts at leaf 0.
    checkpoint = parse_checkpoint(text)
    if checkpoint.size >= _SIZES:
        raise InvalidNote("the size of a checkpoint under an ML-DSA-44 cosignature has 64 bits")
    return b"".join(
        (
            b"subtree/v1\n\x00",
            _vector(name),
            seconds.to_bytes(_TIME_BYTES, "big"),
            _vector(checkpoint.origin),
            bytes(8),
            checkpoint.size.to_bytes(8, "big"),
            checkpoint.root,
        )
    )


def _vector(text: str) -> bytes:
    data = text.encode()
    if not 1 <= len(data) <= _LONGEST_VECTOR:
        raise InvalidNote("a name in an ML-DSA-44 cosignature has 1 to 255 bytes")
    return bytes([len(data)]) + data
