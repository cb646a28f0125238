"""Making, suspending and reinstating accounts: each with its event, so that the log knows everybody who can sign in.

The event also makes the person's key for the log. A first failed sign-in then takes as long as a later one, and as
long as that of somebody unknown.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.orm import Session

from gateway.audit.append import AuditLog
from gateway.identity.accounts import Account, NewAccount, record_accounts, reinstate_account, suspend_account
from gateway.identity.people import People
from gateway.identity.session_ends import Reason


def register_account(
    session: Session, new: NewAccount, *, people: People, audit: AuditLog, by: str, at: datetime
) -> Account:
    """Write a new account and its event; raises as `record_account` does. `by` says who made it, in our own words."""
    [account] = register_accounts(session, [new], people=people, audit=audit, by=by, at=at)
    return account


def register_accounts(
    session: Session, news: Sequence[NewAccount], *, people: People, audit: AuditLog, by: str, at: datetime
) -> tuple[Account, ...]:
    """Write new accounts, a few hundred at a time, each with its event; all or none, raises as `record_account`."""
    accounts = record_accounts(session, news, passwords=people.passwords, sealing=people.sealing, at=at)
    prepared = [audit.prepared(people.events.account_registered(account, by=by), at=at) for account in accounts]
    audit.append_all(session.connection(), prepared)
    return accounts


def suspend(
    session: Session, account: Account, *, people: People, audit: AuditLog, by: str, reason: str, at: datetime
) -> None:
    """Stop a person signing in, end their sessions and all that hangs on them, and record it."""
    people.ends.end_all_of(session, account.account_id, reason=Reason.SUSPENDED, by=by, at=at)
    suspend_account(session, account.account_id, at=at)
    audit.append(session, people.events.account_suspended(account, by=by, reason=reason), at=at)


def reinstate(session: Session, account: Account, *, people: People, audit: AuditLog, by: str, at: datetime) -> None:
    """Let a suspended person sign in again, and record it."""
    # A sign-in that was half way through when the account was suspended may have left a session: it must not revive.
    people.ends.end_all_of(session, account.account_id, reason=Reason.SUSPENDED, by=by, at=at)
    reinstate_account(session, account.account_id, at=at)
    audit.append(session, people.events.account_reinstated(account, by=by), at=at)
