"""Erasing a person: the key under which everything recorded about them is encrypted is destroyed.

1. The entry is committed: from here nothing under this key is shown to anybody.
2. The key's file is destroyed.

A stop between the two leaves a key that the log calls destroyed, never the other way round. Asking again finishes it,
and so does `gateway work`, which looks for such keys when it starts and every few minutes: that is also how a key that
comes back with a copy of its folder is destroyed again. The entry names the key by its random id, in public, so that
an erasure is known as long as the published log is, whatever database is restored beside it.
"""

from dataclasses import dataclass
from datetime import datetime

from gateway.audit.append import AuditLog, Event
from gateway.audit.errors import DetailsAltered, DetailsErased, DetailsLost, NothingToErase
from gateway.audit.events import DONE
from gateway.audit.recorded import ERASED, erased_keys, erasure_reference, is_erased
from gateway.db import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """What was destroyed: the key's id, and whether the log recorded it only now."""

    key_id: bytes
    newly_recorded: bool


def erase_subject(
    database: Database, audit_log: AuditLog, *, subject: str, by: str, reason: str, at: datetime
) -> Erasure:
    """Destroy the present key of the person with this reference, and record it; safe to repeat.

    What is recorded about them afterwards is under a new key. Raises `NothingToErase` when there is no key, so that a
    mistyped reference is not taken for an erasure.
    """
    keys = audit_log.subject_keys
    key = keys.find_subject(subject)
    if key is None:
        raise NothingToErase
    details = {"subject_tag": key.tag, "key_id": key.key_id.hex(), "by": by, "reason": reason}
    # Under the general key, and without the reference: the entry must outlive the person's key and not name them.
    event = Event(
        name=ERASED, outcome=DONE, members=(), details=details, subject=None, reference=erasure_reference(key.key_id)
    )
    with database.write() as session:
        recorded_before = is_erased(session, key.key_id)
        if not recorded_before:
            audit_log.append(session, event, at=at)
    # Committed: from here the erasure is in the log, and will be done if not by us.
    keys.destroy_key(key.tag, key.key_id)
    return Erasure(key_id=key.key_id, newly_recorded=not recorded_before)


def returned_keys(database: Database, audit_log: AuditLog) -> tuple[tuple[str, bytes], ...]:
    """Return tag and id of every key that exists although the log records its destruction; changes nothing."""
    keys = audit_log.subject_keys
    found: list[tuple[str, bytes]] = []
    nameless: set[bytes] = set()
    with database.read() as session:
        for event_id, key_id in erased_keys(session).items():
            try:
                tag = str(audit_log.details_of(session, event_id)["subject_tag"])
            except (DetailsErased, DetailsLost, DetailsAltered):
                # Made again from the published log, the general key gone, the row changed: the key's id is known alone.
                nameless.add(key_id)
                continue
            if keys.find_key(tag, key_id) is not None:
                found.append((tag, key_id))
    if nameless:
        found += [(tag, key_id) for tag, key_id in keys.every_key() if key_id in nameless]
    return tuple(found)


def reapply_erasures(database: Database, audit_log: AuditLog) -> int:
    """Destroy every key that the log records as destroyed and that is there all the same; returns how many."""
    returned = returned_keys(database, audit_log)
    return sum(audit_log.subject_keys.destroy_key(tag, key_id) for tag, key_id in returned)
