"""One exchange proved: a file that settles a dispute without asking the gateway anything."""

import time
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from gateway.audit.errors import EventNotFound, LogUnreadable, NotYetPublished
from gateway.audit.models import EventRow
from gateway.audit.tile_files import CHECKPOINT, TileFiles
from gateway.db import Database
from gateway.wire.encoding import b64_decode
from gateway.wire.errors import InvalidJws, MalformedInput
from gateway.wire.jws import unverified_claims
from gateway.wire.merkle import verify_inclusion
from gateway.wire.notes import VerifierKey, open_checkpoint
from gateway.wire.proofs import build_proof
from gateway.wire.tiles import prove_inclusion

_PAUSE = 0.2  # seconds between two looks for publication


def prove(session: Session, *, log_dir: Path, verifier_key: VerifierKey, reference: str, receipt: str) -> bytes:
    """Return the proof file of one exchange (`gateway.wire.proofs`): its receipt, its entry, and the entry's inclusion.

    `receipt` is the exchange's own, a compact JWS from the gateway's database. Raises `EventNotFound`,
    `NotYetPublished`, and `LogUnreadable` or `InvalidTree` when the log's files do not hold.
    """
    named = select(EventRow).where(EventRow.reference == reference, EventRow.leaf_hash == _entry_named_by(receipt))
    row = session.scalar(named)
    if row is None:
        raise EventNotFound
    files = TileFiles(directory=log_dir)
    note = files.read(CHECKPOINT)
    if row.leaf_index is None or note is None:
        raise NotYetPublished(retry_after=1)
    checkpoint = open_checkpoint(note, [verifier_key])
    if row.leaf_index >= checkpoint.size:
        raise NotYetPublished(retry_after=1)
    hashes = prove_inclusion(row.leaf_index, checkpoint.size, files.read_tile)
    # A proof that does not hold must never leave: files damaged since they were published are noticed here.
    verify_inclusion(row.leaf_hash, index=row.leaf_index, size=checkpoint.size, proof=hashes, root=checkpoint.root)
    return build_proof(
        exchange=reference,
        leaf=row.leaf,
        leaf_index=row.leaf_index,
        inclusion_proof=hashes,
        checkpoint=note,
        receipt=receipt,
    )


def prove_when_published(
    database: Database, *, log_dir: Path, verifier_key: VerifierKey, reference: str, receipt: str, wait_seconds: float
) -> bytes:
    """As `prove`, but wait at most `wait_seconds` for a checkpoint that covers the entry."""
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            with database.read() as session:
                return prove(session, log_dir=log_dir, verifier_key=verifier_key, reference=reference, receipt=receipt)
        except NotYetPublished:
            if time.monotonic() + _PAUSE > deadline:
                raise
        time.sleep(_PAUSE)


def _entry_named_by(receipt: str) -> bytes:
    try:
        return b64_decode(str(unverified_claims(receipt).get("log_entry")))
    except (InvalidJws, MalformedInput) as error:
        raise LogUnreadable("the receipt is not one of this gateway") from error
