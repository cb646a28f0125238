"""A consumer's own evidence: a folder with one file for each exchange, which `settling` checks years later.

A file holds the question, the receipt and, where something was disclosed, the record: what is in it is about a person,
and is kept as long and as safely as the case it belongs to. A file is written whole or not at all, for its owner alone.
"""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from gateway.sdk.answers import Answer, NotAnswered, Refusal
from gateway.wire.encoding import parse_json_object
from gateway.wire.errors import MalformedInput
from gateway.wire.keys import Jwk

FORMAT = "gateway-kept-answer/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptAnswer:
    """One exchange as its consumer kept it, unverified until `settling.verify_kept` has looked at it.

    `request` is the body that was sent. `record` and `provider_jwk` (the key it verified with) are there where
    something was disclosed, `checks` where the gateway computed some of it.
    """

    exchange: str
    request: str = field(repr=False)
    receipt: str = field(repr=False)
    record: str | None = field(default=None, repr=False)
    provider_jwk: Jwk | None = None
    checks: str | None = field(default=None, repr=False)


class ReceiptFolder:
    """Keeps answers and refusals, and finds them again; safe in threads and processes."""

    def __init__(self, folder: Path) -> None:
        """Take a folder, made if it is missing. Raises `OSError` when nothing could be written to it."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(13, "Permission denied", str(folder))
        self._folder = folder

    def keep(self, request: bytes, answer: Answer | Refusal) -> Path:
        """Write one exchange and return the file; raises `OSError` when it cannot be written."""
        disclosed = answer if isinstance(answer, Answer) else None
        return self._write(
            KeptAnswer(
                exchange=answer.exchange,
                request=request.decode(),
                receipt=answer.receipt_jws,
                record=disclosed.record if disclosed else None,
                provider_jwk=disclosed.provider_jwk if disclosed else None,
                checks=disclosed.checks if disclosed else None,
            )
        )

    def keep_failure(self, request: bytes, error: NotAnswered) -> Path | None:
        """Write an exchange that failed or came too late, where there is a receipt of it."""
        exchange, receipt = error.problem.get("exchange"), error.problem.get("receipt")
        if not isinstance(exchange, str) or not isinstance(receipt, str):
            return None
        return self._write(KeptAnswer(exchange=exchange, request=request.decode(), receipt=receipt))

    def exchanges(self) -> Iterator[str]:
        """Give the ids of the exchanges kept, the oldest first."""
        yield from sorted(path.stem for path in self._folder.glob("*.json"))

    def load(self, exchange: str) -> KeptAnswer:
        """Read one; raises `OSError` when it is not there, `MalformedInput` when it is none."""
        return parse_kept(self._path(exchange).read_bytes())

    def _path(self, exchange: str) -> Path:
        # The gateway chose this name: only an id may become a file's.
        try:
            return self._folder / f"{UUID(exchange)}.json"
        except ValueError as error:
            raise MalformedInput("this is not the id of an exchange") from error

    def _write(self, kept: KeptAnswer) -> Path:
        path = self._path(kept.exchange)
        members = {
            "format": FORMAT,
            "exchange": kept.exchange,
            "request": kept.request,
            "receipt": kept.receipt,
            "record": kept.record,
            "provider_jwk": dict(kept.provider_jwk) if kept.provider_jwk is not None else None,
            "checks": kept.checks,
        }
        # Whole or not at all: a file of another name takes this one's place once it is on the disk.
        descriptor, temporary = tempfile.mkstemp(dir=self._folder, prefix=".", suffix=".part")  # for the owner only
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(members, file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(path)
        except BaseException:
            with suppress(OSError):
                Path(temporary).unlink()
            raise
        return path


def is_kept(data: bytes) -> bool:
    """Tell whether this is what a `ReceiptFolder` writes, whole or not."""
    try:
        return parse_json_object(data).get("format") == FORMAT
    except MalformedInput:
        return False


def parse_kept(data: bytes) -> KeptAnswer:
    """Read a kept answer, still unverified; raises `MalformedInput`."""
    members = parse_json_object(data)
    if members.get("format") != FORMAT:
        raise MalformedInput(f"its format is not {FORMAT}")
    texts = {name: members.get(name) for name in ("exchange", "request", "receipt")}
    record, jwk, checks = (members.get(name) for name in ("record", "provider_jwk", "checks"))
    if not all(isinstance(value, str) for value in texts.values()):
        raise MalformedInput("exchange, request or receipt is missing")
    if not isinstance(record, str | None) or not isinstance(jwk, dict | None) or not isinstance(checks, str | None):
        raise MalformedInput("record, provider_jwk or checks cannot be read")
    known = {name: str(value) for name, value in texts.items()}
    return KeptAnswer(**known, record=record, provider_jwk=jwk, checks=checks)
