"""What lies in the spool and is for nobody any more: one way for every cause.

A file is for somebody while its exchange is open, for then a worker may be writing it, and afterwards while its row
says so. Whatever else became of the exchange, or of the worker, leaves neither.
"""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from gateway.db import Database
from gateway.once.expired import BATCH, delete_expired
from gateway.sharing.exchange.models import AttachmentRow, ExchangeRow
from gateway.sharing.exchange.spool import Place, Spool


def purge_attachments(session: Session, *, now: datetime, limit: int = BATCH) -> int:
    """Delete at most `limit` rows of attachments whose time is over; returns how many."""
    return delete_expired(session, AttachmentRow, now=now, limit=limit)


def sweep_spool(database: Database, spool: Spool, *, now: datetime) -> int:
    """Delete the files that are for nobody; returns how many. Safe in several processes and nodes at once."""
    # Looked at before the database: of a file that comes later, nothing is said here.
    found = spool.places()
    if not found:
        return 0
    with database.read() as session:
        over = [place for place in found if not _is_for_somebody(session, place, now=now)]
    spool.discard(over)
    return len(over)


def _is_for_somebody(session: Session, place: Place, *, now: datetime) -> bool:
    state = session.scalar(select(ExchangeRow.state).where(ExchangeRow.id == place.exchange))
    if state == "open":
        return True
    waiting = select(AttachmentRow.number).where(
        AttachmentRow.exchange == place.exchange, AttachmentRow.number == place.number, AttachmentRow.expires_at >= now
    )
    return session.execute(waiting).first() is not None
