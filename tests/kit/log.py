"""The log seen by an outsider, and a small log of a test's own."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from tlog_scales.backend import make_backend
from tlog_scales.reader import TilesReader
from tlog_scales.signing import Vkey

from gateway.audit.append import AuditLog, Entry, Event
from gateway.audit.checking.sources import source_of
from gateway.audit.checking.verify import verify_log
from gateway.audit.log_keys import LogKeys
from gateway.audit.sequencer import Sequencer
from gateway.audit.subject_keys import SubjectKeys
from gateway.audit.witnesses import Witnesses
from gateway.db import Database
from gateway.wire.leaves import Leaf, parse_leaf
from gateway.wire.merkle import leaf_hash
from gateway.wire.notes import verifier_key_of
from gateway.wire.signer import PrivateKeySigner
from tests.kit.clock import FrozenClock

ORIGIN = "gateway.example/log"


def assert_log_verifies(
    location: str | Path, vkey: str, *, holding: Collection[UUID] | None = None, exactly: bool = False
) -> list[Leaf]:
    """End a test as an outsider: the published log holds together, by our verifier and by one that is not ours.

    `location` is the log's directory or URL. With `holding`, each of these event ids is in the log exactly once; with
    `exactly`, nothing else is. The leaves, in the order of the log.
    """
    entries: list[bytes] = []
    verified = verify_log(source_of(str(location)), vkey=vkey, check_entries=lambda _first, run: entries.extend(run))

    outsider = TilesReader(make_backend(str(location)))
    checkpoint = outsider.get_checkpoint()
    checkpoint.verify(Vkey.from_string(vkey))
    # The log may have grown between the two readings; it may not have changed.
    assert checkpoint.size >= verified.size
    assert outsider.calculate_root_hash() == checkpoint.root_hash
    outsider.get_consistency_proof(verified.size, checkpoint.size).check(verified.root, checkpoint.root_hash)
    for index in sorted({0, verified.size // 2, verified.size - 1} if verified.size else ()):
        assert outsider.get_entry(index) == entries[index]
        outsider.get_inclusion_proof(index, checkpoint.size).check(leaf_hash(entries[index]), checkpoint.root_hash)

    leaves = [parse_leaf(entry) for entry in entries]
    recorded = [leaf.event_id for leaf in leaves]
    assert len(set(recorded)) == len(recorded), "an event is in the log twice"
    if holding is not None:
        missing = {str(event_id) for event_id in holding} - set(recorded)
        assert not missing, f"{len(missing)} events are not in the log"
        assert not exactly or len(recorded) == len(holding)
    return leaves


@dataclass(frozen=True, slots=True, kw_only=True)
class TestLog:
    """A log of a test's own: its database, its files, its key."""

    __test__ = False

    database: Database
    directory: Path
    signer: PrivateKeySigner
    clock: FrozenClock

    @property
    def files(self) -> Path:
        """Where the published log is."""
        return self.directory / "log"

    @property
    def vkey(self) -> str:
        """The verifier key outsiders know."""
        return verifier_key_of(self.signer, ORIGIN).encode()

    @property
    def subject_keys(self) -> SubjectKeys:
        """The keys of the people."""
        return SubjectKeys(self.directory / "subject-keys")

    @property
    def audit(self) -> AuditLog:
        """The way in."""
        return AuditLog(database=self.database, subject_keys=self.subject_keys)

    def sequencer(
        self, *, batch: int = 4096, database: Database | None = None, witnesses: Witnesses | None = None
    ) -> Sequencer:
        """A sequencer of this log, as after a restart."""
        return Sequencer(
            database or self.database,
            log_dir=self.files,
            keys=LogKeys(origin=ORIGIN, signers=(self.signer,)),
            clock=self.clock,
            witnesses=witnesses,
            batch=batch,
        )

    def publish(self) -> int:
        """Sequence until nothing is left; how many entries were published."""
        published = 0
        while newly := self.sequencer().run_once():
            published += newly
        return published

    def record(self, count: int = 1, **changes: Any) -> list[Entry]:
        """Record `count` events in one transaction; `changes` are fields of the event.

        Written all at once: a log of some size is what many tests begin with.
        """
        audit, now = self.audit, self.clock.now()
        prepared = [audit.prepared(an_event(**changes), at=now) for _ in range(count)]
        if prepared:
            with self.database.write_rows() as connection:
                audit.append_all(connection, prepared)
        return [one.entry for one in prepared]

    def assert_verifies(self, holding: Collection[Entry] | None = None, *, exactly: bool = False) -> list[Leaf]:
        """As `assert_log_verifies`, of this log's files."""
        ids = None if holding is None else [entry.event_id for entry in holding]
        return assert_log_verifies(self.files, self.vkey, holding=ids, exactly=exactly)


def an_event(
    *,
    name: str = "sharing.record.disclosed",
    outcome: str = "disclosed",
    members: tuple[str, ...] = ("E06000008", "dwp"),
    details: Mapping[str, Any] | None = None,
    subject: str | None = "person-1",
    reference: str | None = None,
) -> Event:
    """An event with everything filled in."""
    return Event(
        name=name,
        outcome=outcome,
        members=members,
        details={"purpose": "free-school-meals", "fields_disclosed": ["eligible"]} if details is None else details,
        subject=subject,
        reference=reference,
    )
