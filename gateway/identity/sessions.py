"""What remembers a sign-in: a row of ours, and in the browser a 256-bit secret of which we keep the hash alone.

The secret changes at every step of a sign-in, so a value planted in or read from a browser earlier is worth nothing
later (session fixation). A session is over when it is idle too long, in any case after a working day, and at once when
its account is suspended; `session_ends` then ends it.

A person who signs in again at the same browser goes on with the same session: what hangs on it, at services too, is
not disturbed by proving once more who one is.
"""

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import case, select, update
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
    continues: UUID | None = None
    """The same person's session that goes on once the code is right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedSession:
    """A session as those see it who look after sessions; it opens nothing."""

    session_id: UUID
    methods: tuple[str, ...]
    auth_time: datetime
    idle_until: datetime
    expires_at: datetime


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
    session: Session,
    account: Account,
    *,
    methods: tuple[str, ...],
    awaiting_code: bool,
    now: datetime,
    continues: UUID | None = None,
) -> str:
    """Write a new session, or take a first step to go on with one; returns the secret for the browser.

    `continues` is the same person's session at this browser; it goes on once nothing more is awaited.
    """
    secret = secrets.token_urlsafe(32)
    if continues is not None and not awaiting_code and _renew(session, continues, account, secret, methods, now=now):
        return secret
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
            continues=continues,
        )
    )
    session.flush()
    return secret


def step_up(session: Session, waiting: AwaitingCode, *, methods: tuple[str, ...], now: datetime) -> str:
    """Complete a sign-in with its further method; returns the new secret, the old one is worth nothing."""
    secret = secrets.token_urlsafe(32)
    row = session.get(SessionRow, waiting.session_id)
    if row is not None and row.continues is not None:
        if _renew(session, row.continues, waiting.account, secret, methods, now=now):
            session.delete(row)
            session.flush()
            return secret
        row.continues = None  # it ended meanwhile: this is a session of its own
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
        return AwaitingCode(session_id=row.session_id, account=account, continues=row.continues)
    return SignedIn(
        session_id=row.session_id, account=account, methods=tuple(row.methods), auth_time=row.authenticated_at
    )


def find_signed_in(session: Session, secret: str | None, *, now: datetime) -> SignedIn | None:
    """Return who is signed in at the browser that sent this secret; a half-finished sign-in is nobody."""
    state = find_browser_state(session, secret, now=now)
    return state if isinstance(state, SignedIn) else None


def sessions_at(session: Session, secret: str | None, *, now: datetime) -> tuple[UUID, ...]:
    """Return the sessions of this browser: the one it is signed in with, or both when that is being continued."""
    row = _live_row(session, secret, now=now)
    if row is None:
        return ()
    return (row.session_id,) if row.continues is None else (row.session_id, row.continues)


def hold_session(session: Session, session_id: UUID) -> bool:
    """Keep a session from ending until the transaction does; tells whether it is still there.

    For whoever gives out something that must be taken back, or told of, when the session ends. (On the embedded
    database there is one writer at a time anyway.)
    """
    query = select(SessionRow.session_id).where(SessionRow.session_id == session_id).with_for_update(read=True)
    return session.scalar(query) is not None


def needs_touch(session: Session, signed_in: SignedIn, *, now: datetime) -> bool:
    """Tell whether this activity is worth writing down."""
    row = session.get(SessionRow, signed_in.session_id)
    if row is None:
        return False
    return row.idle_until < min(now + IDLE[signed_in.account.kind] - TOUCH_EVERY, row.expires_at)


def touch_session(session: Session, signed_in: SignedIn, *, now: datetime) -> None:
    """Write down activity: the idle time starts again. The end of the working day does not move."""
    idle_until = now + IDLE[signed_in.account.kind]
    session.execute(
        update(SessionRow)
        .where(SessionRow.session_id == signed_in.session_id)
        .values(idle_until=case((SessionRow.expires_at < idle_until, SessionRow.expires_at), else_=idle_until))
    )


def list_sessions(session: Session, account_id: UUID, *, now: datetime) -> tuple[ListedSession, ...]:
    """Return a person's living sessions, oldest first."""
    query = select(SessionRow).where(
        SessionRow.account_id == account_id, SessionRow.idle_until > now, SessionRow.awaiting_code.is_(False)
    )
    return tuple(
        ListedSession(
            session_id=row.session_id,
            methods=tuple(row.methods),
            auth_time=row.authenticated_at,
            idle_until=row.idle_until,
            expires_at=row.expires_at,
        )
        for row in session.scalars(query.order_by(SessionRow.session_id))
    )


def _renew(
    session: Session, session_id: UUID, account: Account, secret: str, methods: tuple[str, ...], *, now: datetime
) -> bool:
    renewed = session.execute(
        update(SessionRow)
        .where(
            SessionRow.session_id == session_id,
            SessionRow.account_id == account.account_id,
            SessionRow.awaiting_code.is_(False),
            SessionRow.idle_until > now,
        )
        .values(
            secret_hash=_hash(secret),
            methods=list(methods),
            authenticated_at=now,
            idle_until=now + IDLE[account.kind],
            expires_at=now + LONGEST,
        )
        .returning(SessionRow.session_id)
    )
    return renewed.first() is not None


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
