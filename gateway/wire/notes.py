"""Signed notes and checkpoints: C2SP signed-note and tlog-checkpoint, with Ed25519 signatures (type 0x01).

A verifier key is written `<name>+<key id>+<key>`. A note may carry lines by keys we do not know (witnesses, a rotated
key): they are ignored. A line by a key we do know must verify, or the whole note is refused.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature as BadSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from gateway.wire.encoding import b64_decode, b64_encode, b64url_decode
from gateway.wire.errors import InvalidNote, MalformedInput, UnusableKey
from gateway.wire.merkle import HASH_BYTES
from gateway.wire.signer import Signer

MAX_NOTE_BYTES = 1_000_000
MAX_SIGNATURES = 100

_ED25519 = b"\x01"
_KEY_BYTES = 32
_KEY_ID_BYTES = 4
_DASH = "— "  # the em dash and space that begin a signature line


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifierKey:
    """A public key that may sign notes: its name and the 32 raw bytes of an Ed25519 key."""

    name: str
    public_key: bytes

    def __post_init__(self) -> None:
        check_key_name(self.name)
        if len(self.public_key) != _KEY_BYTES:
            raise InvalidNote("an Ed25519 public key has 32 bytes")

    @property
    def key_id(self) -> bytes:
        """The first four bytes of SHA-256(name ‖ 0x0A ‖ 0x01 ‖ public key)."""
        return hashlib.sha256(self.name.encode() + b"\n" + _ED25519 + self.public_key).digest()[:_KEY_ID_BYTES]

    def encode(self) -> str:
        """Return the key as text, `<name>+<hex key id>+<base64 of 0x01 ‖ public key>`."""
        return f"{self.name}+{self.key_id.hex()}+{b64_encode(_ED25519 + self.public_key)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedNote:
    """A note's text, final newline included, and the keys whose signatures over it verified: never none."""

    text: str
    signed_by: tuple[VerifierKey, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A log at one moment: its origin, how many leaves it has, and its 32-byte root hash."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def encode(self) -> str:
        """Return the checkpoint as the text of a note (C2SP tlog-checkpoint); raises `InvalidNote`."""
        lines = (self.origin, str(self.size), b64_encode(self.root), *self.extensions)
        if self.size < 0 or len(self.root) != HASH_BYTES or any(not line or "\n" in line for line in lines):
            raise InvalidNote("these values make no checkpoint")
        return "".join(f"{line}\n" for line in lines)


def parse_verifier_key(vkey: str) -> VerifierKey:
    """Read a verifier key; raises `InvalidNote` unless it is an Ed25519 key with the key id it should have."""
    try:
        name, key_id, encoded = vkey.strip().split("+", 2)
        typed_key = b64_decode(encoded)
    except (ValueError, MalformedInput) as error:
        raise InvalidNote("a verifier key is <name>+<key id>+<base64>") from error
    if not typed_key.startswith(_ED25519):
        raise InvalidNote("only Ed25519 verifier keys are accepted")
    key = VerifierKey(name=name, public_key=typed_key[1:])
    if key.key_id.hex() != key_id:
        raise InvalidNote("the key id does not belong to this key")
    return key


def verifier_key_of(signer: Signer, name: str) -> VerifierKey:
    """Return the verifier key of a signer under this name; raises `UnusableKey` unless it is an Ed25519 one."""
    # C2SP tlog-tiles: a public log's checkpoints carry an Ed25519 signature, so the log's key is of that type.
    if signer.algorithm != "Ed25519":
        raise UnusableKey("notes are signed with Ed25519 keys")
    return VerifierKey(name=name, public_key=b64url_decode(signer.public_jwk()["x"]))


def check_key_name(name: str) -> None:
    """Raise `InvalidNote` unless `name` may name a key: no spaces, no plus, no control characters."""
    if not name or "+" in name or any(character.isspace() or not character.isprintable() for character in name):
        raise InvalidNote("a key name is not empty and holds neither spaces nor plus signs")


def sign_note(text: str, signer: Signer, name: str) -> bytes:
    """Return the note: the text and one signature line under `name`; raises `InvalidNote` or `UnusableKey`."""
    key = verifier_key_of(signer, name)
    signature = b64_encode(key.key_id + signer.sign(text.encode()))
    note = f"{text}\n{_DASH}{name} {signature}\n".encode()
    _check_text(text)
    return note


def open_note(note: bytes, verifier_keys: Sequence[VerifierKey]) -> OpenedNote:
    """Check a note against the keys the caller trusts; lines by other keys are ignored.

    Raises `InvalidNote` when it is malformed, when no trusted key signed it, or when a trusted key's line is false.
    """
    text, lines = _split(note)
    trusted = {(key.name, key.key_id): key for key in verifier_keys}
    signed_by: list[VerifierKey] = []
    for line in lines:
        name, key_id, signature = _signature_line(line)
        key = trusted.get((name, key_id))
        if key is None:
            continue
        try:
            Ed25519PublicKey.from_public_bytes(key.public_key).verify(signature, text.encode())
        except (BadSignature, ValueError) as error:
            raise InvalidNote("the signature of a known key does not verify") from error
        if key not in signed_by:
            signed_by.append(key)
    if not signed_by:
        raise InvalidNote("no known key has signed this note")
    return OpenedNote(text=text, signed_by=tuple(signed_by))


def parse_checkpoint(text: str) -> Checkpoint:
    """Read the text of an opened note as a checkpoint (C2SP tlog-checkpoint); raises `InvalidNote`."""
    lines = text.split("\n")
    # The text ends in a newline, so the last piece is empty, and no other may be.
    if len(lines) < 4 or lines.pop() or not all(lines):  # noqa: PLR2004 - origin, size, root, and the empty piece
        raise InvalidNote("a checkpoint has an origin, a size and a root hash")
    origin, size, root, *extensions = lines
    if not (size.isascii() and size.isdecimal()) or str(int(size[:20])) != size:
        raise InvalidNote("the size of a checkpoint is a plain decimal number")
    try:
        root_hash = b64_decode(root)
    except MalformedInput as error:
        raise InvalidNote("the root hash of a checkpoint is base64") from error
    if len(root_hash) != HASH_BYTES:
        raise InvalidNote("the root hash of a checkpoint has 32 bytes")
    return Checkpoint(origin=origin, size=int(size), root=root_hash, extensions=tuple(extensions))


def open_checkpoint(note: bytes, verifier_keys: Sequence[VerifierKey]) -> Checkpoint:
    """Open a note and read it as a checkpoint of the log it was signed for; raises `InvalidNote`.

    One of the signing keys must bear the checkpoint's origin as its name: another log's key proves nothing here.
    """
    opened = open_note(note, verifier_keys)
    checkpoint = parse_checkpoint(opened.text)
    if checkpoint.origin not in {key.name for key in opened.signed_by}:
        raise InvalidNote("the checkpoint belongs to another log than the key")
    return checkpoint


def _check_text(text: str) -> None:
    if not text.endswith("\n") or any(character < " " and character != "\n" for character in text):
        raise InvalidNote("a note's text ends in a newline and holds no other control characters")


def _split(note: bytes) -> tuple[str, list[str]]:
    if len(note) > MAX_NOTE_BYTES:
        raise InvalidNote("the note is too large")
    try:
        whole = note.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidNote("a note is UTF-8 text") from error
    _check_text(whole)
    # The last empty line divides text from signatures: the text itself may hold empty lines.
    text, divider, signatures = whole.rpartition("\n\n")
    lines = signatures.removesuffix("\n").split("\n")
    if not divider or not signatures or len(lines) > MAX_SIGNATURES:
        raise InvalidNote("a note has a text, an empty line, and 1 to 100 signature lines")
    return text + "\n", lines


def _signature_line(line: str) -> tuple[str, bytes, bytes]:
    parts = line.removeprefix(_DASH).split(" ")
    if not line.startswith(_DASH) or len(parts) != 2:  # noqa: PLR2004 - name and signature
        raise InvalidNote("a signature line is a dash, a key name and a signature")
    check_key_name(parts[0])
    try:
        blob = b64_decode(parts[1])
    except MalformedInput as error:
        raise InvalidNote("a signature line ends in base64") from error
    if len(blob) <= _KEY_ID_BYTES:
        raise InvalidNote("a signature line holds a key id and a signature")
    return parts[0], blob[:_KEY_ID_BYTES], blob[_KEY_ID_BYTES:]
