r"""The log written out, a JSON object a line: with proofs for whoever checks, or as security tools expect events.

`jsonl` is a first line `{"format": "gateway-export/1", "origin", "first", "end", "checkpoint", "details"}` and then
`{"index", "leaf", "entry", "inclusion_proof"}` each: `leaf` are the entry's bytes and the proof's hashes lead from its
RFC 9162 leaf hash to the root of the one checkpoint, all in standard base64; `entry` is the leaf as JSON, to be read.
With details `details_state` and `details` are added. `ocsf` and `ecs` have no first line and no proofs.

Every line is ASCII: whatever could mislead a reader is written `\uXXXX`.
"""

import json
from collections.abc import Iterator
from enum import StrEnum
from typing import Any
from uuid import UUID

from gateway.audit.keeping.ecs import ecs_event
from gateway.audit.keeping.ocsf import ocsf_event
from gateway.audit.keeping.published import PublishedEntry, PublishedLog
from gateway.audit.keeping.reading import Details, Reader
from gateway.db import Database
from gateway.wire.encoding import b64_encode, parse_json_object

EXPORT_FORMAT = "gateway-export/1"


class Format(StrEnum):
    """What a line is."""

    JSONL = "jsonl"
    OCSF = "ocsf"
    ECS = "ecs"


def export_lines(
    published: PublishedLog,
    database: Database,
    *,
    form: Format,
    first: int,
    end: int,
    reader: Reader | None = None,
) -> Iterator[str]:
    """Yield the lines of the entries [first, end), each with its newline; with details where there is a `reader`.

    One entry is held at a time. Raises `LogNotVerified` or `LogUnreadable` where the published log does not hold, and
    `DetailsAltered`: what was yielded before that is sound.
    """
    origin = published.checkpoint.origin
    if form is Format.JSONL:
        yield _line(_heading(published, first=first, end=end, with_details=reader is not None))
    for entry in published.entries(first, end):
        details = _details(database, reader, entry) if reader is not None else None
        if form is Format.OCSF:
            yield _line(ocsf_event(entry, details, origin=origin))
        elif form is Format.ECS:
            yield _line(ecs_event(entry, details, origin=origin))
        else:
            yield _line(_proved(entry, details))


def _heading(published: PublishedLog, *, first: int, end: int, with_details: bool) -> dict[str, Any]:
    return {
        "format": EXPORT_FORMAT,
        "origin": published.checkpoint.origin,
        "first": first,
        "end": end,
        "checkpoint": published.note.decode(),
        "details": with_details,
    }


def _proved(entry: PublishedEntry, details: Details | None) -> dict[str, Any]:
    line: dict[str, Any] = {
        "index": entry.index,
        "leaf": b64_encode(entry.data),
        "entry": parse_json_object(entry.data),
        "inclusion_proof": [b64_encode(item) for item in entry.inclusion_proof],
    }
    if details is not None:
        line |= {"details_state": details.state, "details": dict(details.values)}
    return line


def _details(database: Database, reader: Reader, entry: PublishedEntry) -> Details:
    with database.read() as session:
        return reader.read(session, UUID(entry.leaf.event_id))


def _line(members: dict[str, Any]) -> str:
    return json.dumps(members, separators=(",", ":")) + "\n"
