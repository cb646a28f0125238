"""What lies in the spool and is for nobody any more: one way for every cause.

A file is for somebody while its exchange is open, for then a worker may be writing it, and afterwards while its row
says so. Whatever else became of the exchange, or of the worker, leaves neither.
"""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from gateway.db import Database
from gateway.once.expired import BATCH, delete_expired
from gateway.sharing.exchange.documents.spool import Place, Spool
from gateway.sharing.exchange.models import AttachmentRow, ExchangeRow


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
        # In this order: of an exchange that is no longer open, the rows are committed and seen.
        still_open = set(session.scalars(select(ExchangeRow.id).where(ExchangeRow.state == "open")))
        rows = select(AttachmentRow.exchange, AttachmentRow.number).where(AttachmentRow.expires_at >= now)
        waiting = {Place(exchange=exchange, number=number) for exchange, number in session.execute(rows)}
    over = [place for place in found if place.exchange not in still_open and place not in waiting]
    spool.discard(over)
    return len(over)
