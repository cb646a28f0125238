"""Documents that a provider's function returns: kept in a folder until the gateway fetches them, each for one exchange.

A record says which documents there are, and under which digest; the gateway comes for them at once, at the service's
own address. Several processes that answer for one provider share the folder.
"""

import contextlib
import hashlib
import json
import os
import re
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from gateway.wire.attachments import value_of
from gateway.wire.encoding import b64url_encode
from gateway.wire.errors import MalformedInput

KEPT = timedelta(minutes=2)
"""As long as an exchange may stay open at the gateway."""
ATTACHMENT_PATH = re.compile(r"/attachments/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/([A-Za-z0-9_-]{43})\Z")
"""What follows a service's address: the exchange, and the document's digest."""
_EXCHANGE = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_PIECE = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """The value of a field that is a document: its bytes, the path of its file, or a function that opens it.

    `media_type` is one that the service allows for the field, such as `application/pdf`.
    """

    content: bytes | Path | Callable[[], BinaryIO] = field(repr=False)
    media_type: str


class KeptDocument:
    """A document on its way to the gateway: iterated once, deleted once it was sent whole."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path = path
        self._file = file
        self.media_type: str = json.loads(file.readline())["type"]
        self.size = os.fstat(file.fileno()).st_size - file.tell()

    def __iter__(self) -> Iterator[bytes]:
        """Give the content in pieces."""
        while piece := self._file.read(_PIECE):
            yield piece
        self._path.unlink(missing_ok=True)

    def close(self) -> None:
        """Be done; called by the server however it ended (PEP 3333)."""
        self._file.close()


class AttachmentFolder:
    """Documents in files that only this user may read; safe in threads and processes that share the folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, attachment: Attachment, *, exchange: str, now: datetime) -> dict[str, Any]:
        """Keep a document for this exchange and return the field's value.

        Raises `MalformedInput` for an exchange that is none, and `OSError`.
        """
        if not _EXCHANGE.fullmatch(exchange):
            raise MalformedInput("the question's exchange is not a UUID")
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._forget_old(now)
        unfinished = self._folder / f"{secrets.token_hex(8)}.part"
        digest, size = hashlib.sha256(), 0
        try:
            descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file, _opened(attachment) as content:
                file.write(json.dumps({"type": attachment.media_type}).encode() + b"\n")
                while piece := content.read(_PIECE):
                    digest.update(piece)
                    size += len(piece)
                    file.write(piece)
            until = int((now + KEPT).timestamp())
            name = f"{exchange}.{b64url_encode(digest.digest())}.{until}.{secrets.token_hex(4)}"
            unfinished.rename(self._folder / name)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise
        return value_of(digest.digest(), size=size, media_type=attachment.media_type)

    def find(self, exchange: str, digest: str, *, now: datetime) -> KeptDocument | None:
        """Open a document that waits for the gateway; whoever gets it closes it."""
        self._forget_old(now)
        # Two fields may hold the same document: each is a file of its own.
        for path in sorted(self._folder.glob(f"{exchange}.{digest}.*")):
            with contextlib.suppress(FileNotFoundError):
                return KeptDocument(path, path.open("rb"))
        return None

    def _forget_old(self, now: datetime) -> None:
        for path in self._folder.glob("*.*.*.*"):
            if int(path.name.split(".")[2]) < now.timestamp():
                path.unlink(missing_ok=True)
        for path in self._folder.glob("*.part"):  # of a process that was killed
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_mtime < (now - KEPT).timestamp():
                    path.unlink()


def _opened(attachment: Attachment) -> BinaryIO:
    content = attachment.content
    if isinstance(content, bytes):
        return BytesIO(content)
    return content.open("rb") if isinstance(content, Path) else content()
