"""One exchange proved: a file that settles a dispute without asking the gateway anything."""

import time
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from gateway.audit.checking.proofs import EntryProof, prove_entry
from gateway.audit.checking.search import find_leaves
from gateway.audit.checking.sources import FileSource
from gateway.audit.checking.trust import Trust, read_checkpoint
from gateway.audit.errors import EventNotFound, LogNotVerified, LogUnreadable, NoSuchEntry, NotYetPublished
from gateway.audit.models import EventRow
from gateway.audit.tile_files import CHECKPOINT
from gateway.db import Database
from gateway.wire.encoding import b64_decode
from gateway.wire.errors import InvalidJws, MalformedInput
from gateway.wire.jws import unverified_claims
from gateway.wire.leaves import parse_leaf
from gateway.wire.merkle import leaf_hash
from gateway.wire.proofs import build_proof

_PAUSE = 0.2  # seconds between two looks for publication


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeProof:
    """The proof of one exchange's outcome: its receipt, a compact JWS, and the entry that this names, proved."""

    exchange: str
    receipt: str
    entry: EntryProof

    def as_json(self) -> bytes:
        """Return the proof file of `gateway.wire.proofs`."""
        return build_proof(
            exchange=self.exchange,
            leaf=self.entry.entry,
            leaf_index=self.entry.index,
            inclusion_proof=self.entry.hashes,
            checkpoint=self.entry.note,
            receipt=self.receipt,
        )

    def as_log_proof(self) -> bytes:
        """Return the same in C2SP tlog-proof format."""
        return self.entry.as_log_proof(receipt=self.receipt)


def prove_exchange(session: Session, *, log_dir: Path, trust: Trust, reference: str, receipt: str) -> ExchangeProof:
    """Prove the entry that an exchange's receipt names, from the log's files.

    `receipt` is the exchange's own, a compact JWS from the gateway's database. Raises `EventNotFound`,
    `NotYetPublished`, and `LogUnreadable` or `LogNotVerified` when the log's files do not hold.
    """
    hashed = _entry_named_by(receipt)
    source = FileSource(log_dir)
    named = select(EventRow.leaf_index).where(EventRow.reference == reference, EventRow.leaf_hash == hashed)
    rows = session.scalars(named).all()
    # Rows of archived entries may be gone; what was published of them stays.
    index = rows[0] if rows else _find_archived(source, trust, reference, hashed)
    if index is None or source.read(CHECKPOINT) is None:
        raise NotYetPublished(retry_after=1)
    try:
        entry = prove_entry(source, trust, index)
    except NoSuchEntry as error:
        raise NotYetPublished(retry_after=1) from error
    if leaf_hash(entry.entry) != hashed:
        raise LogNotVerified(f"entry {index} is not the one that the receipt names")
    return ExchangeProof(exchange=reference, receipt=receipt, entry=entry)


def prove_when_published(
    database: Database, *, log_dir: Path, trust: Trust, reference: str, receipt: str, wait_seconds: float
) -> ExchangeProof:
    """As `prove_exchange`, but wait at most `wait_seconds` for a checkpoint that covers the entry."""
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            with database.read() as session:
                return prove_exchange(session, log_dir=log_dir, trust=trust, reference=reference, receipt=receipt)
        except NotYetPublished:
            if time.monotonic() + _PAUSE > deadline:
                raise
        time.sleep(_PAUSE)


def _find_archived(source: FileSource, trust: Trust, reference: str, hashed: bytes) -> int:
    if source.read(CHECKPOINT) is None:
        raise EventNotFound
    checkpoint, _note = read_checkpoint(source, trust)
    found = find_leaves(source, checkpoint, {hashed}).get(hashed)
    if found is None or parse_leaf(found[1]).reference != reference:
        raise EventNotFound
    return found[0]


def _entry_named_by(receipt: str) -> bytes:
    try:
        return b64_decode(str(unverified_claims(receipt).get("log_entry")))
    except (InvalidJws, MalformedInput) as error:
        raise LogUnreadable("the receipt is not one of this gateway") from error
