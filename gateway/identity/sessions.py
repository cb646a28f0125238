"""What remembers a sign-in: a row of ours, and in the browser a 256-bit secret of which we keep the hash alone.

The secret changes at every step of a sign-in, so a value planted in or read from a browser earlier is worth nothing
later (session fixation). A session ends when it is idle too long, in any case after a working day, and at once when
its account is suspended.
"""

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from gateway.db import new_id
from gateway.identity.accounts import Account, AccountKind, find_account
from gateway.identity.assurance import level_of
from gateway.identity.models import SessionRow

# NIST SP 800-63B §2.2.3 for AAL2: sign in again after 12 hours, or after 30 minutes without activity.
IDLE = {AccountKind.OFFICER: timedelta(minutes=30), AccountKind.CITIZEN: timedelta(minutes=60)}
LONGEST = timedelta(hours=12)
# How long one may look for one's telephone between password and code.
AWAITING_CODE = timedelta(minutes=10)
# Activity is written down once a minute at most: reading a page should not be a write.
TOUCH_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedIn:
    """Who is signed in at a browser, how, and since when."""

    session_id: UUID
    account: Account
    methods: tuple[str, ...]
    """RFC 8176 `amr` values."""
    auth_time: datetime
    """When the person last proved who they are."""

    @property
    def acr(self) -> str:
        """How strongly they signed in."""
        return level_of(self.account.kind, self.methods)


@dataclass(frozen=True, slots=True, kw_only=True)
class AwaitingCode:
    """Whose password was right, and whose security code is awaited; nobody is signed in yet."""

    session_id: UUID
    account: Account


BrowserState = SignedIn | AwaitingCode | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionCookie:
    """How the browser keeps the secret. `name` differs on plain http, where browsers refuse the `__Host-` prefix."""

    name: str
    attributes: Mapping[str, object] = field(default_factory=dict)


def session_cookie(*, secure: bool) -> SessionCookie:
    """Return the cookie for this deployment; `secure` is false only where plain http was chosen.

    RFC 6265bis §4.1.3.2: `__Host-` binds a cookie to this very host, over TLS, for every path. `Lax` because the
    browser arrives from relying parties by links and redirects; every form of ours carries a CSRF token besides.
    """
    return SessionCookie(
        name="__Host-gateway-sign-in" if secure else "gateway-sign-in-insecure",
        attributes={"secure": secure, "httponly": True, "samesite": "Lax", "path": "/"},
    )


def begin_session(
    session: Session, account: Account, *, methods: tuple[str, ...], awaiting_code: bool, now: datetime
) -> str:
    """Write a new session; returns the secret for the browser."""
    secret = secrets.token_urlsafe(32)
    lifetime = AWAITING_CODE if awaiting_code else LONGEST
    session.add(
        SessionRow(
            session_id=new_id(),
            secret_hash=_hash(secret),
            account_id=account.account_id,
            methods=list(methods),
            awaiting_code=awaiting_code,
            authenticated_at=now,
            idle_until=now + min(IDLE[account.kind], lifetime),
            expires_at=now + lifetime,
        )
    )
    session.flush()
    return secret


def step_up(session: Session, waiting: AwaitingCode, *, methods: tuple[str, ...], now: datetime) -> str:
    """Complete a sign-in with its further method; returns the new secret, the old one is worth nothing."""
    secret = secrets.token_urlsafe(32)
    session.execute(
        update(SessionRow)
        .where(SessionRow.session_id == waiting.session_id)
        .values(
            secret_hash=_hash(secret),
            methods=list(methods),
            awaiting_code=False,
            authenticated_at=now,
            idle_until=now + IDLE[waiting.account.kind],
            expires_at=now + LONGEST,
        )
    )
    return secret


def find_browser_state(session: Session, secret: str | None, *, now: datetime) -> BrowserState:
    """Return who is signed in, or whose code is awaited, at the browser that sent this secret."""
    row = _live_row(session, secret, now=now)
    account = find_account(session, row.account_id) if row is not None else None
    if row is None or account is None:
        return None
    if row.awaiting_code:
        return AwaitingCode(session_id=row.session_id, account=account)
    return SignedIn(
        session_id=row.session_id, account=account, methods=tuple(row.methods), auth_time=row.authenticated_at
    )


def find_signed_in(session: Session, secret: str | None, *, now: datetime) -> SignedIn | None:
    """Return who is signed in at the browser that sent this secret; a half-finished sign-in is nobody."""
    state = find_browser_state(session, secret, now=now)
    return state if isinstance(state, SignedIn) else None


def needs_touch(session: Session, signed_in: SignedIn, *, now: datetime) -> bool:
    """Tell whether this activity is worth writing down."""
    row = session.get(SessionRow, signed_in.session_id)
    return row is not None and row.idle_until < now + IDLE[signed_in.account.kind] - TOUCH_EVERY


def touch_session(session: Session, signed_in: SignedIn, *, now: datetime) -> None:
    """Write down activity: the idle time starts again. The end of the working day does not move."""
    idle_until = now + IDLE[signed_in.account.kind]
    session.execute(
        update(SessionRow).where(SessionRow.session_id == signed_in.session_id).values(idle_until=idle_until)
    )


def end_session(session: Session, session_id: UUID) -> None:
    """Delete a session: its secret opens nothing any more."""
    session.execute(delete(SessionRow).where(SessionRow.session_id == session_id))


def purge_sessions(session: Session, *, now: datetime, limit: int = 1000) -> int:
    """Delete at most `limit` sessions whose time is over; returns how many."""
    over = select(SessionRow.session_id).where(SessionRow.expires_at < now).limit(limit)
    gone = delete(SessionRow).where(SessionRow.session_id.in_(over)).returning(SessionRow.session_id)
    return len(session.execute(gone).all())


def _live_row(session: Session, secret: str | None, *, now: datetime) -> SessionRow | None:
    if not secret:
        return None
    row = session.scalars(select(SessionRow).where(SessionRow.secret_hash == _hash(secret))).one_or_none()
    if row is None or row.idle_until <= now or row.expires_at <= now:
        return None
    return row


def _hash(secret: str) -> bytes:
    # 256 random bits need no slow hash: there is nothing to guess.
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
