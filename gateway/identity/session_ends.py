"""How sessions end: by their person, by somebody else at the same browser, by an operator, by time, by suspension.

Whatever ends a session goes through here, so that its event and what others make of it (tokens taken back, clients
told) commit with it. `Consequences` are brought by `app`: this room does not know who relies on its sessions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from gateway.audit.append import AuditLog, PreparedEntry
from gateway.identity.accounts import Account, find_accounts_even_suspended
from gateway.identity.events import IdentityEvents
from gateway.identity.models import SessionRow
from gateway.identity.sessions import SignedIn

OVERDUE_BATCH = 100


class Reason(StrEnum):
    """Why a session ended, where nobody gave a reason in their own words."""

    SIGNED_OUT = "signed_out"
    SIGNED_OUT_EVERYWHERE = "signed_out_everywhere"
    SOMEBODY_ELSE = "somebody_else_signed_in"
    OVER = "over"
    SUSPENDED = "suspended"
    RESTORED = "restored"


class Consequences(Protocol):
    """What follows from the end of sessions, in the same transaction."""

    def sessions_ended(self, session: Session, session_ids: Sequence[UUID], *, at: datetime) -> None:
        """These browsers' sessions are over."""
        ...

    def person_signed_out(self, session: Session, account_id: UUID, *, at: datetime) -> None:
        """Every session of a person has ended (each was told of), and nothing shall outlive them."""
        ...


class NoConsequences:
    """Nobody relies on the sessions."""

    def sessions_ended(self, session: Session, session_ids: Sequence[UUID], *, at: datetime) -> None:
        """Nothing follows."""

    def person_signed_out(self, session: Session, account_id: UUID, *, at: datetime) -> None:
        """Nothing follows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionEnds:
    """Ends sessions, each with its event and its consequences, in the caller's transaction."""

    audit: AuditLog
    events: IdentityEvents
    consequences: Consequences

    def end(
        self,
        session: Session,
        session_id: UUID,
        *,
        reason: str,
        at: datetime,
        source: str | None = None,
        by: str | None = None,
        client: str | None = None,
    ) -> bool:
        """End one session; tells whether there was one. `by` is an operator, `client` whose request it was."""
        # Locked: who gives out something under this session has done so before, or finds it gone.
        row = session.get(SessionRow, session_id, with_for_update=True)
        if row is None:
            return False
        self._end(session, (row,), at=at, source=source, reason=reason, by=by, client=client)
        return True

    def end_all_of(
        self,
        session: Session,
        account_id: UUID,
        *,
        reason: str,
        at: datetime,
        source: str | None = None,
        by: str | None = None,
    ) -> int:
        """End every session of a person, and all that could outlive them; returns in how many they were signed in.

        Not counted: where a security code was still awaited, and what was over already. `list_sessions` agrees.
        """
        query = select(SessionRow).where(SessionRow.account_id == account_id).order_by(SessionRow.session_id)
        rows = session.scalars(query.with_for_update()).all()
        living = sum(not row.awaiting_code and row.idle_until > at for row in rows)
        self._end(session, rows, at=at, source=source, reason=reason, by=by)
        self.consequences.person_signed_out(session, account_id, at=at)
        return living

    def end_every(self, session: Session, *, reason: str, by: str, at: datetime) -> int:
        """End every session there is, as after a restore; returns how many that were."""
        rows = session.scalars(select(SessionRow).order_by(SessionRow.session_id).with_for_update()).all()
        self._end(session, rows, at=at, reason=reason, by=by)
        return len(rows)

    def end_overdue(self, session: Session, *, now: datetime, limit: int = OVERDUE_BATCH) -> int:
        """End at most `limit` sessions whose time is over; returns how many."""
        query = (
            select(SessionRow)
            .where(SessionRow.idle_until <= now)
            .order_by(SessionRow.idle_until)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        rows = session.scalars(query).all()
        self._end(session, rows, at=now, reason=Reason.OVER)
        return len(rows)

    def _end(self, session: Session, rows: Sequence[SessionRow], *, at: datetime, **facts: str | None) -> None:
        if not rows:
            return
        # Where the code was still awaited nobody had signed in, and nobody relies on it.
        ended = [row for row in rows if not row.awaiting_code]
        if ended:
            entries = [self._entry(row, account, at=at, facts=facts) for row, account in _with_accounts(session, ended)]
            self.audit.append_all(session.connection(), entries)
            self.consequences.sessions_ended(session, [row.session_id for row in ended], at=at)
        session.execute(delete(SessionRow).where(SessionRow.session_id.in_([row.session_id for row in rows])))

    def _entry(
        self, row: SessionRow, account: Account, *, at: datetime, facts: Mapping[str, str | None]
    ) -> PreparedEntry:
        signed_in = SignedIn(
            session_id=row.session_id, account=account, methods=tuple(row.methods), auth_time=row.authenticated_at
        )
        given = {name: value for name, value in facts.items() if value is not None}
        return self.audit.prepared(self.events.session_ended(signed_in, **given), at=at)


def _with_accounts(session: Session, rows: Sequence[SessionRow]) -> list[tuple[SessionRow, Account]]:
    accounts = find_accounts_even_suspended(session, {row.account_id for row in rows})
    return [(row, accounts[row.account_id]) for row in rows]
