"""Large parts of answers on their way, encrypted, in files: written once piece by piece, read piece by piece.

A file is sealed in chunks, each under its number and whether it is the last, so that a file which was cut, lengthened,
put in another order or in another's place does not open. Its key comes from three places, none of which opens it alone:
our secret (`retry.key`), a salt at its beginning, and the content's digest, which the database holds sealed.

The folder is shared by the nodes of one gateway, like the log; no backup holds it.
"""

import errno
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import disk_usage
from typing import BinaryIO
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.errors import GatewayError, Kind
from gateway.sharing.exchange.retry import RetryKeys
from gateway.wire.encoding import b64url_decode, b64url_encode
from gateway.wire.errors import MalformedInput

CHUNK = 64 * 1024
LEFT_FREE = 256 * 1024 * 1024
"""Bytes of the disk that are never used for this: the log and the embedded database may lie on the same one."""
_SALT_BYTES, _TAG_BYTES = 16, 16
_LAST, _NOT_LAST = b"\x01", b"\x00"
_NAME = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})-([0-9]{1,3})")


class SpoolUnreadable(GatewayError):
    """A file of the spool is gone, or not the one that was written."""

    kind = Kind.BROKEN
    code = "spool_unreadable"
    title = "A file of the spool cannot be read"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Which attachment of which exchange: the first of its record is number 1."""

    exchange: UUID
    number: int

    @property
    def name(self) -> str:
        """The file's name."""
        return f"{self.exchange}-{self.number}"

    @property
    def bound(self) -> bytes:
        """What every key and every sealed byte is bound to."""
        return self.exchange.bytes + self.number.to_bytes(4, "big")


class Spool:
    """Files under one folder, which is made when the first is written."""

    def __init__(self, folder: Path, keys: RetryKeys) -> None:
        self._folder = folder
        self._keys = keys

    def write(self, place: Place, pieces: Iterable[bytes], *, size: int, digest: bytes) -> None:
        """Seal what comes into a new file, when there is room for `size` bytes.

        `digest` is the SHA-256 that the content ought to have; whether it has is for the giver of the pieces to see. A
        file that was not written to its end is gone when this raises, whatever it raises. Raises `OSError`.
        """
        self._folder.mkdir(mode=0o700, exist_ok=True)
        if disk_usage(self._folder).free < size + LEFT_FREE:
            raise OSError(errno.ENOSPC, "too little of the disk is free")
        path = self._path(place)
        # Exclusively: of two workers that believe the same exchange to be theirs, one is wrong.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            # Not forced to the disk: what a machine loses here is asked for again, and has not been disclosed.
            with os.fdopen(descriptor, "wb") as file:
                salt = os.urandom(_SALT_BYTES)
                file.write(salt)
                cipher = self._cipher(place, salt=salt, digest=digest)
                for number, (chunk, last) in enumerate(_in_chunks(pieces)):
                    file.write(cipher.encrypt(_nonce(number, last=last), chunk, place.bound))
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    def open(self, place: Place, *, digest: bytes) -> BinaryIO:
        """Open a sealed file, for `read`, which closes it; raises `SpoolUnreadable` when it cannot be the one written.

        Once open it can be read to its end, even if it is deleted meanwhile.
        """
        try:
            file = self._path(place).open("rb")
        except OSError as error:
            raise SpoolUnreadable(detail=type(error).__name__) from error
        try:
            # Its first chunk, so that what cannot be opened at all is known before anything is promised.
            next(self._unsealed(file, place, digest=digest))
            file.seek(0)
        except BaseException:
            file.close()
            raise
        return file

    def read(self, file: BinaryIO, place: Place, *, digest: bytes) -> Iterator[bytes]:
        """Give the content in pieces and close the file; raises `SpoolUnreadable` where it is not what was written."""
        with file:
            yield from self._unsealed(file, place, digest=digest)

    def discard(self, places: Iterable[Place]) -> None:
        """Delete these files, where they are there."""
        for place in places:
            self._path(place).unlink(missing_ok=True)

    def places(self) -> Sequence[Place]:
        """Return what lies in the folder now."""
        if not self._folder.is_dir():
            return ()
        found = (_NAME.fullmatch(path.name) for path in self._folder.iterdir())
        return [Place(exchange=UUID(match[1]), number=int(match[2])) for match in found if match]

    def seal_digest(self, place: Place, digest: bytes) -> str:
        """Return a digest as the database may hold it: a digest alone would tell whoever has guessed the content."""
        return b64url_encode(self._digest_cipher(place).encrypt(_nonce(0, last=True), digest, place.bound))

    def unseal_digest(self, place: Place, sealed: str) -> bytes:
        """Return the 32 bytes of a sealed digest; raises `SpoolUnreadable`."""
        try:
            return self._digest_cipher(place).decrypt(_nonce(0, last=True), b64url_decode(sealed), place.bound)
        except (InvalidTag, MalformedInput) as error:
            raise SpoolUnreadable(detail="the digest does not open") from error

    def _path(self, place: Place) -> Path:
        return self._folder / place.name

    def _unsealed(self, file: BinaryIO, place: Place, *, digest: bytes) -> Iterator[bytes]:
        cipher = self._cipher(place, salt=file.read(_SALT_BYTES), digest=digest)
        sealed, number = file.read(CHUNK + _TAG_BYTES), 0
        while True:
            following = file.read(CHUNK + _TAG_BYTES)
            try:
                chunk = cipher.decrypt(_nonce(number, last=not following), sealed, place.bound)
            except InvalidTag as error:
                raise SpoolUnreadable(detail=f"chunk {number} does not open") from error
            yield chunk
            if not following:
                return
            sealed, number = following, number + 1

    def _cipher(self, place: Place, *, salt: bytes, digest: bytes) -> AESGCM:
        return AESGCM(self._keys.derive(b"gateway attachment\x00" + place.bound + digest, salt=salt))

    def _digest_cipher(self, place: Place) -> AESGCM:
        # One key for one digest: a fixed nonce is used once.
        return AESGCM(self._keys.derive(b"gateway attachment digest\x00" + place.bound))


def _nonce(number: int, *, last: bool) -> bytes:
    # A key is for one file, so that a count serves as nonce. What is last is part of it: Hoang, Reyhanitabar, Rogaway
    # and Vizár, "Online Authenticated-Encryption and its Nonce-Reuse Misuse-Resistance" (2015), call this STREAM.
    return number.to_bytes(11, "big") + (_LAST if last else _NOT_LAST)


def _in_chunks(pieces: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Give whole chunks and whether each is the last; nothing at all is one empty last chunk."""
    waiting = bytearray()
    for piece in pieces:
        waiting += piece
        while len(waiting) > CHUNK:
            chunk = bytes(waiting[:CHUNK])
            del waiting[:CHUNK]
            yield chunk, False
    yield bytes(waiting), True
