"""An event enters the log: without an index, with its details encrypted.

`append` writes it in the caller's transaction: the log never holds an event that did not happen, nor does anything
happen without its event, for both commit together or not at all. `record` is for an event that is all there is to
write (a refusal, a look at the details): it shares a transaction with others of its kind. The index comes later, from
the sequencer.
"""

import re
import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Connection, Table
from sqlalchemy.orm import Session

from gateway.audit.errors import (
    DetailsAltered,
    DetailsErased,
    DetailsExpired,
    DetailsLost,
    EntryTooLarge,
    EventNotFound,
    EventRefused,
)
from gateway.audit.events import check_registered
from gateway.audit.models import EventRow
from gateway.audit.noise import (
    ENTRIES_A_MINUTE,
    EVERYONE_ELSE,
    Noise,
    count_all,
    count_one,
    minute_of,
    network_of,
    take_finished,
)
from gateway.audit.recorded import is_erased
from gateway.audit.recording import GroupCommit
from gateway.audit.subject_keys import SubjectKeys
from gateway.clock import rfc3339
from gateway.db import Database, insert_rows, new_id
from gateway.wire.canonical import canonical_json
from gateway.wire.encoding import parse_json_object
from gateway.wire.errors import InvalidTree, MalformedInput
from gateway.wire.leaves import Leaf, commitment, commitment_to_json, parse_leaf
from gateway.wire.merkle import leaf_hash
from gateway.wire.tiles import MAX_ENTRY_BYTES

MAX_DETAILS_BYTES = 262_144
_SALT_BYTES = 16
_NONCE_BYTES = 12

# What stands in a leaf is public for ever and is read by many programs: plain ASCII without spaces, or nothing.
_PLAIN = re.compile(r"[!-~]{1,200}")
# Control characters, lone surrogates, line separators and the controls of text direction can make a line look like
# another one to whoever reads it.
_MISLEADING = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")

# The table, not the mapped class: rows that nobody reads back as objects need nothing of the ORM.
_EVENTS = cast("Table", EventRow.__table__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened.

    `members` are member codes and `reference` a public id (an exchange id): both stand in the public leaf, as do name
    and outcome. `details` are JSON without floating-point numbers and are never public; `subject` is the opaque
    internal reference of the person they are about, whose key encrypts them, or None.
    """

    name: str
    outcome: str
    members: tuple[str, ...]
    details: Mapping[str, Any] = field(repr=False)
    subject: str | None = field(default=None, repr=False)
    reference: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What was written: the event's id, the leaf's bytes, and the 32-byte leaf hash by which receipts name it."""

    event_id: UUID
    leaf: bytes
    leaf_hash: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedEntry:
    """An entry as it will be written: all that needs no transaction is done."""

    entry: Entry
    row: dict[str, Any] = field(repr=False)


class AuditLog:
    """The way into the log, and the way back to an event's details."""

    def __init__(self, *, database: Database, subject_keys: SubjectKeys) -> None:
        self._subject_keys = subject_keys
        self._events: GroupCommit[dict[str, Any]] = GroupCommit(database, _insert)
        self._noise: GroupCommit[Noise] = GroupCommit(database, count_all)
        self._database = database
        self._full: dict[str, datetime] = {}
        """By code, the minute of which this process knows that it has no room for entries any more."""

    @property
    def subject_keys(self) -> SubjectKeys:
        """The keys under which details are."""
        return self._subject_keys

    def append(self, session: Session, event: Event, *, at: datetime) -> Entry:
        r"""Write the event in the caller's transaction; it is recorded when, and only when, that commits.

        Characters that could mislead a reader are written as `\uXXXX` in the details. Raises `UnknownEvent` for what
        the registry does not hold, `EventRefused` for a public part that is not plain ASCII or details that are not
        JSON, `EntryTooLarge` for an entry over 65,535 bytes; nothing is written then.
        """
        prepared = self.prepared(event, at=at)
        self.append_all(session.connection(), (prepared,))
        return prepared.entry

    def append_all(self, connection: Connection, prepared: Sequence[PreparedEntry]) -> None:
        """Write prepared entries in the caller's transaction, as `append` does one."""
        _insert(connection, [one.row for one in prepared])

    def record(self, event: Event, *, at: datetime) -> Entry:
        """Write an event that belongs to no other change, and return once it is durable.

        It shares one transaction with what other threads of this process record meanwhile; never call it inside a
        transaction, whose end it would wait for. Refuses what `append` refuses; raises `DatabaseUnavailable` when it
        was not written, `CommitUnconfirmed` when nobody can tell.
        """
        prepared = self.prepared(event, at=at)
        self._events.write(prepared.row)
        return prepared.entry

    def prepared(self, event: Event, *, at: datetime) -> PreparedEntry:
        """Make the entry, for `append_all`; refuses what `append` refuses. Nothing is written."""
        check_registered(event.name, outcome=event.outcome, fields=frozenset(event.details))
        event_id = new_id()
        # Both in one call: each lets the process's other threads go first.
        random = secrets.token_bytes(_SALT_BYTES + _NONCE_BYTES)
        salt, nonce = random[:_SALT_BYTES], random[_SALT_BYTES:]
        details = _details_json(event.details)
        leaf = _leaf_of(event, event_id=event_id, at=at, committed=commitment_to_json(salt, details))
        hashed = leaf_hash(leaf)
        subject_key = self._subject_keys.key_for(event.subject)
        # The event's id is authenticated with the details: they cannot be moved to another event.
        encrypted = AESGCM(subject_key.key).encrypt(nonce, salt + details, event_id.bytes)
        row = {
            "id": event_id,
            "occurred_at": at,
            "name": event.name,
            "outcome": event.outcome,
            "reference": event.reference,
            "leaf": leaf,
            "leaf_hash": hashed,
            "subject_tag": subject_key.tag,
            "key_id": subject_key.key_id,
            "details": nonce + encrypted,
        }
        return PreparedEntry(entry=Entry(event_id=event_id, leaf=leaf, leaf_hash=hashed), row=row)

    def prepare(self, subject: str) -> None:
        """Make the subject's key if there is none: the one part of an entry that takes longer the first time.

        For callers whose answers must not show by their time whether anything was ever recorded about a person.
        """
        self._subject_keys.key_for(subject)

    def details_of(
        self, session: Session, event_id: UUID, *, erased: Collection[bytes] | None = None
    ) -> dict[str, Any]:
        """Return an event's details, checked against the commitment in its leaf.

        `erased` spares whoever asks about many events one question each: what `erased_among` said of their keys.
        Raises `EventNotFound`; `DetailsErased` when the subject's key was destroyed; `DetailsExpired` when they were
        kept for their time; `DetailsLost` when they went with an earlier database; `DetailsAltered`. Whoever shows what
        this returns accounts for it first (`keeping.reading`).
        """
        return self.opening_of(session, event_id, erased=erased)[1]

    def opening_of(
        self, session: Session, event_id: UUID, *, erased: Collection[bytes] | None = None
    ) -> tuple[bytes, dict[str, Any]]:
        """As `details_of`, with the salt before them: whoever has both can check the commitment in the leaf."""
        row = session.get(EventRow, event_id)
        if row is None:
            raise EventNotFound
        if not row.details:
            raise DetailsExpired if row.key_id else DetailsLost
        key = self._subject_keys.find_key(row.subject_tag, row.key_id)
        # A key that was destroyed and has come back with a copy of its folder opens nothing either.
        gone = is_erased(session, row.key_id) if erased is None else row.key_id in erased
        if key is None or gone:
            raise DetailsErased
        return _open_details(row, key)

    def count_noise(self, session: Session, *, source: str, code: str, at: datetime) -> bool:
        """Count one unauthenticated request; `source` is a network address, kept only as a keyed hash.

        `code` says what was wrong and is one of ours, never a word of the request's. Returns whether this minute has
        room for an entry about this very request, where the caller has more to tell than the count: `ENTRIES_A_MINUTE`
        of each code, so that strangers cannot make the log grow without bound.
        """
        return count_one(session, self._noise_of(source=source, code=code, at=at)) <= ENTRIES_A_MINUTE

    def count_stranger(self, *, source: str, code: str, at: datetime) -> None:
        """As `count_noise`, for a request of which nothing else is written; returns once it is durably counted.

        Requests that arrive together are counted in one transaction, so a flood cannot keep writers from their turn.
        """
        self._noise.write(self._noise_of(source=source, code=code, at=at))

    def record_noise(self, event: Event, *, source: str, code: str, at: datetime) -> None:
        """Count one request, and write an event about it while the minute has room; outside any transaction.

        Beyond that it is counted as a stranger's: a flood that names somebody known keeps writers no longer either.
        """
        if self._full.get(code) == minute_of(at):
            self.count_stranger(source=source, code=code, at=at)
            return
        with self._database.write() as session:
            if self.count_noise(session, source=source, code=code, at=at):
                self.append(session, event, at=at)
            else:
                self._full[code] = minute_of(at)

    def _noise_of(self, *, source: str, code: str, at: datetime) -> Noise:
        if not _PLAIN.fullmatch(code):
            raise EventRefused(detail="a code of noise is plain text")
        tag = self._subject_keys.tag(f"source\x00{network_of(source)}")
        return Noise(minute=minute_of(at), code=code, source_tag=tag)

    def flush_noise(self, session: Session, *, now: datetime, limit: int = 500) -> int:
        """Turn counts of minutes that are over into entries, at most `limit`; returns how many."""
        counts = take_finished(session, now=now, limit=limit)
        for noise in counts:
            details = {
                "minute": rfc3339(noise.minute),
                "code": noise.code,
                "source": noise.source if noise.source == EVERYONE_ELSE else noise.source[:16],
                "count": noise.count,
            }
            event = Event(name="audit.noise.counted", outcome="counted", members=(), details=details)
            self.append(session, event, at=now)
        return len(counts)


def _insert(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    insert_rows(connection, _EVENTS, rows)


def _leaf_of(event: Event, *, event_id: UUID, at: datetime, committed: str) -> bytes:
    public = (*event.members, *([] if event.reference is None else [event.reference]))
    if not all(_PLAIN.fullmatch(text) for text in public):
        raise EventRefused(detail="members and reference are plain ASCII of at most 200 characters")
    leaf = Leaf(
        event_id=str(event_id),
        event=event.name,
        at=rfc3339(at),
        members=event.members,
        outcome=event.outcome,
        reference=event.reference,
        commitment=committed,
    )
    try:
        return leaf.encode()
    except InvalidTree as error:
        raise EntryTooLarge(detail=f"an entry has at most {MAX_ENTRY_BYTES} bytes") from error


def _details_json(details: Mapping[str, Any]) -> bytes:
    try:
        encoded = canonical_json(_plainly(details))
    except MalformedInput as error:
        raise EventRefused(detail=error.detail) from error
    if len(encoded) > MAX_DETAILS_BYTES:
        raise EntryTooLarge(detail=f"details have at most {MAX_DETAILS_BYTES} bytes")
    return encoded


def _plainly(value: Any) -> Any:
    if isinstance(value, str):
        # What misleads is not printable, so the fast question spares nearly every text the slow one.
        return value if value.isprintable() else _MISLEADING.sub(lambda found: f"\\u{ord(found.group()):04x}", value)
    if isinstance(value, Mapping):
        return {_plainly(name): _plainly(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plainly(item) for item in value]
    return value


def _open_details(row: EventRow, key: bytes) -> tuple[bytes, dict[str, Any]]:
    nonce, encrypted = row.details[:_NONCE_BYTES], row.details[_NONCE_BYTES:]
    try:
        opened = AESGCM(key).decrypt(nonce, encrypted, row.id.bytes)
        details = parse_json_object(opened[_SALT_BYTES:])
        committed = commitment(opened[:_SALT_BYTES], details)
        leaf = parse_leaf(row.leaf)
    except (InvalidTag, MalformedInput, InvalidTree) as error:
        raise DetailsAltered(detail=str(row.id)) from error
    if committed != leaf.commitment or leaf.event_id != str(row.id):
        raise DetailsAltered(detail=str(row.id))
    return opened[:_SALT_BYTES], details
