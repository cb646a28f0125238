"""Signing in, in two steps: e-mail address and password, then a security code where the account has one.

A refusal is a value until its event is committed; the door turns it into a page. Argon2 runs outside every
transaction, and as often for an unknown person as for a known one.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from gateway.audit.append import AuditLog
from gateway.audit.noise import network_of
from gateway.db import Database
from gateway.identity.accounts import Account, AccountKind, find_account, find_account_by_email, normal_email
from gateway.identity.assurance import PASSWORD, SECURITY_CODE
from gateway.identity.errors import TooManyAttempts
from gateway.identity.events import IdentityEvents
from gateway.identity.models import AccountRow
from gateway.identity.passwords import Passwords
from gateway.identity.sealing import Sealing
from gateway.identity.security_codes import accept_code
from gateway.identity.session_ends import Reason, SessionEnds
from gateway.identity.sessions import (
    SignedIn,
    begin_session,
    find_browser_state,
    find_signed_in,
    needs_touch,
    sessions_at,
    step_up,
    touch_session,
)
from gateway.identity.step_up import code_awaited
from gateway.identity.throttling import CODE_LIMITS, PASSWORD_LIMITS, SOURCE_LIMIT, Limit, Throttle

# Somebody who starts at the gateway itself may be either; the same address may have an account of each kind.
EVERY_KIND = (AccountKind.OFFICER, AccountKind.CITIZEN)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTaken:
    """A step was right. `secret` is the browser's new session secret; `awaiting_code` says a further step follows."""

    secret: str = field(repr=False)
    awaiting_code: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRefused:
    """A step was wrong. Nothing says in what way: unknown, wrong, used and suspended are the same to a stranger."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignIn:
    """The sign-in of one gateway."""

    database: Database
    audit: AuditLog
    events: IdentityEvents
    passwords: Passwords
    sealing: Sealing
    throttle: Throttle
    ends: SessionEnds

    def offer_password(
        self,
        email: str,
        password: str,
        *,
        kinds: Collection[AccountKind],
        browser_secret: str | None,
        source: str,
        now: datetime,
    ) -> StepTaken | StepRefused:
        """Take the first step. `kinds` are those that may sign in here; `source` is a network address.

        Raises `TooManyAttempts` once the attempts for this address or source are used up.
        """
        typed = normal_email(email)
        self._claim(PASSWORD_LIMITS, typed, source=source, now=now)
        with self.database.read() as session:
            stored = [_account_and_hash(session, kind, typed) for kind in kinds]
        # Every one is checked whatever the first gave: the time taken depends on `kinds` alone.
        right = [account for account, hashed in stored if self.passwords.matches(hashed, password) and account]
        tried = [account for account, _ in stored]
        with self.database.write() as session:
            account = find_account(session, right[0].account_id) if right else None
            if account is None:
                return self._password_refused(session, tried, suspended=bool(right), source=source, now=now)
            self._rehash_if_needed(session, account, password)
            self.throttle.forget(session, PASSWORD_LIMITS, typed)
            self.throttle.refund(session, SOURCE_LIMIT, network_of(source))
            return self._password_accepted(session, account, browser_secret=browser_secret, source=source, now=now)

    def offer_code(
        self, code: str, *, browser_secret: str | None, source: str, now: datetime
    ) -> StepTaken | StepRefused | None:
        """Take the second step, at the browser that took the first; None when that was too long ago.

        It may follow at once, or make a session that has the first step alone into one by both.

        Raises `TooManyAttempts` once the attempts for this account or source are used up.
        """
        with self.database.read() as session:
            waiting = code_awaited(find_browser_state(session, browser_secret, now=now), now=now)
        if waiting is None:
            return None
        account_id = str(waiting.account.account_id)
        self._claim(CODE_LIMITS, account_id, source=source, now=now)
        with self.database.write() as session:
            waiting = code_awaited(find_browser_state(session, browser_secret, now=now), now=now)
            if waiting is None:
                return None
            if not accept_code(session, waiting.account, code, sealing=self.sealing, now=now):
                failed = self.events.sign_in_failed(waiting.account, source=source, reason="code")
                self.audit.append(session, failed, at=now)
                return StepRefused()
            self.throttle.forget(session, CODE_LIMITS, account_id)
            self.throttle.refund(session, SOURCE_LIMIT, network_of(source))
            secret = step_up(session, waiting, methods=(PASSWORD, SECURITY_CODE), now=now)
            self._record_signed_in(session, secret, source=source, now=now)
            return StepTaken(secret=secret, awaiting_code=False)

    def sign_out(self, browser_secret: str | None, *, source: str, now: datetime) -> None:
        """End whatever this browser has; nothing to end is no error."""
        with self.database.write() as session:
            self.end_at(session, browser_secret, reason=Reason.SIGNED_OUT, source=source, at=now)

    def end_at(
        self,
        session: Session,
        browser_secret: str | None,
        *,
        reason: str,
        source: str,
        at: datetime,
        client: str | None = None,
    ) -> None:
        """End whatever this browser has, in the caller's transaction; `client` is who asked for it."""
        for session_id in sessions_at(session, browser_secret, now=at):
            self.ends.end(session, session_id, reason=reason, source=source, client=client, at=at)

    def signed_in(self, browser_secret: str | None, *, now: datetime) -> SignedIn | None:
        """Return who is signed in at this browser, noting that they are active."""
        if not browser_secret:
            return None
        with self.database.read() as session:
            found = find_signed_in(session, browser_secret, now=now)
            touch = found is not None and needs_touch(session, found, now=now)
        if found is not None and touch:
            with self.database.write() as session:
                touch_session(session, found, now=now)
        return found

    def _claim(self, limits: Sequence[Limit], value: str, *, source: str, now: datetime) -> None:
        claims = [*((limit, value) for limit in limits), (SOURCE_LIMIT, network_of(source))]
        with self.database.write() as session:
            wait = self.throttle.claim_attempts(session, claims, now=now)
        # Committed: from here this attempt counts, whatever becomes of it.
        if wait is not None:
            raise TooManyAttempts(f"You can try again in {_in_words(wait)}", retry_after=wait)

    def _password_refused(
        self, session: Session, tried: list[Account | None], *, suspended: bool, source: str, now: datetime
    ) -> StepRefused:
        # One entry for each kind of account that was tried, whether or not there is one: the log is public, and must
        # not tell who has an account either.
        if self.audit.count_noise(session, source=source, code="sign_in.failed", at=now):
            reason = "suspended" if suspended else "password"
            for account in tried:
                failed = self.events.sign_in_failed(account, source=source, reason=reason if account else "unknown")
                self.audit.append(session, failed, at=now)
        return StepRefused()

    def _password_accepted(
        self, session: Session, account: Account, *, browser_secret: str | None, source: str, now: datetime
    ) -> StepTaken:
        continued = self._continued(session, account, browser_secret, source=source, now=now)
        waits = account.has_security_code
        secret = begin_session(session, account, methods=(PASSWORD,), awaiting_code=waits, now=now, continues=continued)
        if not waits:
            self._record_signed_in(session, secret, source=source, now=now)
        return StepTaken(secret=secret, awaiting_code=waits)

    def _record_signed_in(self, session: Session, secret: str, *, source: str, now: datetime) -> None:
        signed_in = find_signed_in(session, secret, now=now)
        if signed_in is not None:
            self.audit.append(session, self.events.signed_in(signed_in, source=source), at=now)

    def _continued(
        self, session: Session, account: Account, browser_secret: str | None, *, source: str, now: datetime
    ) -> UUID | None:
        """Return this person's session at this browser, which goes on; anybody else's ends here."""
        state = find_browser_state(session, browser_secret, now=now)
        if state is None or state.account.account_id != account.account_id:
            self.end_at(session, browser_secret, reason=Reason.SOMEBODY_ELSE, source=source, at=now)
            return None
        if isinstance(state, SignedIn):
            return state.session_id
        self.ends.end(session, state.session_id, reason=Reason.SIGNED_OUT, at=now)  # the step taken before this one
        return state.continues

    def _rehash_if_needed(self, session: Session, account: Account, password: str) -> None:
        # Parameters change once in years; then each account pays one more hash, inside the transaction, once.
        row = session.get(AccountRow, account.account_id)
        if row is not None and self.passwords.needs_rehash(row.password_hash):
            row.password_hash = self.passwords.hash(password)


def _in_words(seconds: int) -> str:
    minutes = -(-seconds // 60)
    if minutes > 60:  # noqa: PLR2004 - minutes in an hour
        return f"{-(-minutes // 60)} hours"
    return "a minute" if minutes == 1 else f"{minutes} minutes"


def _account_and_hash(session: Session, kind: AccountKind, email: str) -> tuple[Account | None, str | None]:
    account = find_account_by_email(session, kind, email)
    row = session.get(AccountRow, account.account_id) if account is not None else None
    return account, row.password_hash if row is not None else None
