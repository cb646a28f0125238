"""Signed notes and checkpoints: C2SP signed-note and tlog-checkpoint, with Ed25519 signatures (type 0x01).

A verifier key is written `<name>+<key id>+<key>`. A note may carry lines by keys we do not know (witnesses, a rotated
key, plain junk): they are ignored, whatever bytes they hold. A line by a key we do know must verify, or the whole note
is refused.
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
MAX_SIGNATURES = 100  # signed-note: a verifier limits their number, and accepts at least 16

ED25519 = b"\x01"
ED25519_KEY_BYTES = 32

_KEY_ID_BYTES = 4
_DASH = "— "  # the em dash and space that begin a signature line


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifierKey:
    """A public key that may sign notes: its name and the 32 raw bytes of an Ed25519 key."""

    name: str
    public_key: bytes

    def __post_init__(self) -> None:
        check_key_name(self.name)
        if len(self.public_key) != ED25519_KEY_BYTES:
            raise InvalidNote("an Ed25519 public key has 32 bytes")

    @property
    def key_id(self) -> bytes:
        """The four bytes that, with the name, tell whose a signature line is."""
        return key_id_of(self.name, ED25519 + self.public_key)

    def encode(self) -> str:
        """Return the key as text, `<name>+<hex key id>+<base64 of 0x01 ‖ public key>`."""
        return encode_vkey(self.name, ED25519 + self.public_key)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureLine:
    """One signature line of a note, not verified: who claims to have signed, and the bytes behind the key id."""

    name: str
    key_id: bytes
    signature: bytes

    def encode(self) -> str:
        """Return the line without its newline."""
        return f"{_DASH}{self.name} {b64_encode(self.key_id + self.signature)}"


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


def key_id_of(name: str, typed_key: bytes) -> bytes:
    """Return the first four bytes of SHA-256(name ‖ 0x0A ‖ signature type ‖ public key)."""
    return hashlib.sha256(name.encode() + b"\n" + typed_key).digest()[:_KEY_ID_BYTES]


def encode_vkey(name: str, typed_key: bytes) -> str:
    """Return `<name>+<hex key id>+<base64>` for a key behind its signature type byte."""
    return f"{name}+{key_id_of(name, typed_key).hex()}+{b64_encode(typed_key)}"


def decode_vkey(vkey: str) -> tuple[str, bytes]:
    """Return a verifier key's name, and its key behind the signature type byte; raises `InvalidNote`.

    The key id must be the one that signed-note recommends for this name and key.
    """
    try:
        name, key_id, encoded = vkey.strip().split("+", 2)
        typed_key = b64_decode(encoded)
    except (ValueError, MalformedInput) as error:
        raise InvalidNote("a verifier key is <name>+<key id>+<base64>") from error
    check_key_name(name)
    if key_id_of(name, typed_key).hex() != key_id:
        raise InvalidNote("the key id does not belong to this key")
    return name, typed_key


def parse_verifier_key(vkey: str) -> VerifierKey:
    """Read a verifier key; raises `InvalidNote` unless it is an Ed25519 key with the key id it should have."""
    name, typed_key = decode_vkey(vkey)
    if not typed_key.startswith(ED25519):
        raise InvalidNote("only Ed25519 verifier keys are accepted")
    return VerifierKey(name=name, public_key=typed_key[1:])


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


def sign_note(text: str, signer: Signer, name: str, *, also_by: Sequence[Signer] = ()) -> bytes:
    """Return the note: the text and one signature line under `name` for each signer.

    `also_by` are further keys of the same name: while a log's key is rotated, the old and the new one both sign.
    Raises `InvalidNote` or `UnusableKey`.
    """
    _check_text(text)
    signed = []
    for each in (signer, *also_by):
        key = verifier_key_of(each, name)
        signed.append(SignatureLine(name=name, key_id=key.key_id, signature=each.sign(text.encode())).encode())
    return _joined(text, signed)


def add_signatures(note: bytes, lines: Sequence[str]) -> bytes:
    """Return the note with these signature lines (without newlines) behind its own, each line once.

    They are held to their form, not verified. Raises `InvalidNote`.
    """
    text, own = split_note(note)
    added = [parse_signature_line(line).encode() for line in lines]
    return _joined(text, [line.encode() for line in own] + added)


def open_note(note: bytes, verifier_keys: Sequence[VerifierKey]) -> OpenedNote:
    """Check a note against the keys the caller trusts; lines by other keys are ignored.

    Raises `InvalidNote` when it is malformed, when no trusted key signed it, or when a trusted key's line is false.
    """
    text, lines = split_note(note)
    trusted = {(key.name, key.key_id): key for key in verifier_keys}
    signed_by: list[VerifierKey] = []
    for line in lines:
        key = trusted.get((line.name, line.key_id))
        if key is None:
            continue
        check_ed25519(key.public_key, line.signature, text.encode())
        if key not in signed_by:
            signed_by.append(key)
    if not signed_by:
        raise InvalidNote("no known key has signed this note")
    return OpenedNote(text=text, signed_by=tuple(signed_by))


def split_note(note: bytes) -> tuple[str, tuple[SignatureLine, ...]]:
    """Return a note's text and its signature lines, none of them verified; raises `InvalidNote`."""
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
    return text + "\n", tuple(parse_signature_line(line) for line in lines)


def parse_signature_line(line: str) -> SignatureLine:
    """Read one signature line, without its newline and whoever it is by; raises `InvalidNote`."""
    parts = line.removeprefix(_DASH).split(" ")
    if not line.startswith(_DASH) or len(parts) != 2:  # noqa: PLR2004 - name and signature
        raise InvalidNote("a signature line is a dash, a key name and a signature")
    name, encoded = parts
    # Others may bear names that we would not give a key: only what signed-note forbids is refused.
    if not name or "+" in name or any(character.isspace() for character in name):
        raise InvalidNote("a key name is not empty and holds neither spaces nor plus signs")
    try:
        blob = b64_decode(encoded)
    except MalformedInput as error:
        raise InvalidNote("a signature line ends in base64") from error
    if len(blob) <= _KEY_ID_BYTES:
        raise InvalidNote("a signature line holds a key id and a signature")
    return SignatureLine(name=name, key_id=blob[:_KEY_ID_BYTES], signature=blob[_KEY_ID_BYTES:])


def check_ed25519(public_key: bytes, signature: bytes, message: bytes) -> None:
    """Raise `InvalidNote` unless the Ed25519 signature (RFC 8032) verifies over the message."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (BadSignature, ValueError) as error:
        raise InvalidNote("the signature of a known key does not verify") from error


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


def _joined(text: str, lines: Sequence[str]) -> bytes:
    # One line once: a witness asked twice answers with another time, and that is another line.
    unique = list(dict.fromkeys(lines))
    note = (text + "\n" + "".join(f"{line}\n" for line in unique)).encode()
    if len(unique) > MAX_SIGNATURES or len(note) > MAX_NOTE_BYTES:
        raise InvalidNote("the note would hold more than 100 signatures or be too large")
    return note
