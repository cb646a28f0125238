"""What was in force is kept as it was, by its digest: policies and agreements, for whoever asks years later.

A receipt names the digests. The texts are written in the transaction that first decides by them, so that there is no
receipt whose texts are not there.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, cast

from sqlalchemy import Table, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from gateway.policy.models import PolicyVersionRow

_TABLE = cast("Table", PolicyVersionRow.__table__)
_INSERT = {
    "sqlite": sqlite.insert(_TABLE).on_conflict_do_nothing(),
    "postgresql": postgresql.insert(_TABLE).on_conflict_do_nothing(),
}
MOST_KNOWN = 50_000


class KeptTexts:
    """Keeps texts, and remembers for its process which are kept already."""

    def __init__(self) -> None:
        self._known: set[str] = set()

    def keep(self, session: Session, digest: str, texts: Callable[[], Mapping[str, Any]], *, at: datetime) -> None:
        """Write what `texts` returns, unless it is there; in the caller's transaction, and once in each."""
        if digest in self._known:
            return
        if find_texts(session, digest) is not None:
            # Another transaction wrote it and has committed: from now on nobody need ask.
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            self._known.add(digest)
            return
        connection = session.connection()
        values = {"digest": digest, "texts": dict(texts()), "first_used_at": at}
        connection.execute(_INSERT[connection.dialect.name], values)


def find_texts(session: Session, digest: str) -> dict[str, Any] | None:
    """Return the texts with this digest, as they were when they were in force."""
    return session.scalar(select(PolicyVersionRow.texts).where(PolicyVersionRow.digest == digest))
