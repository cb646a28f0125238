"""Who there is: citizens and officers, two kinds of account that share nothing but how they sign in."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, bindparam, delete, select
from sqlalchemy.orm import Session

from gateway.db import new_id
from gateway.directory.members import find_member
from gateway.identity.errors import AccountExists, AccountInvalid, AccountUnknown
from gateway.identity.models import AccountRow, SessionRow
from gateway.identity.passwords import NO_PASSWORD, Passwords, check_new_password
from gateway.identity.sealing import Sealing
from gateway.release_lock import wait_for_releases

_PAGE = 1000


class AccountKind(StrEnum):
    """What sort of person an account is for."""

    CITIZEN = "citizen"
    OFFICER = "officer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A person who can sign in. An officer has a member and roles, a citizen never has."""

    account_id: UUID
    kind: AccountKind
    email: str
    email_verified: bool
    given_name: str
    family_name: str
    birthdate: date | None
    member_code: str | None
    roles: tuple[str, ...]
    active: bool
    has_security_code: bool

    @property
    def name(self) -> str:
        """The name for people to read."""
        return f"{self.given_name} {self.family_name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAccount:
    """What is said about a person when their account is made."""

    kind: AccountKind
    email: str
    given_name: str
    family_name: str
    password: str | None = field(repr=False)
    """None for somebody who is known here and cannot sign in with a password."""
    code_secret: str | None = field(default=None, repr=False)
    """The base32 secret of the authenticator app; none when the person signs in by password alone."""
    birthdate: date | None = None
    member_code: str | None = None
    roles: tuple[str, ...] = ()
    email_verified: bool = False


def record_account(
    session: Session, new: NewAccount, *, passwords: Passwords, sealing: Sealing, at: datetime
) -> Account:
    """Write a new account.

    Raises `AccountInvalid` when the facts do not fit the kind, `PasswordRefused`, or `AccountExists`.
    """
    [account] = record_accounts(session, [new], passwords=passwords, sealing=sealing, at=at)
    return account


def record_accounts(
    session: Session, news: Sequence[NewAccount], *, passwords: Passwords, sealing: Sealing, at: datetime
) -> tuple[Account, ...]:
    """Write new accounts, a few hundred at a time, all or none; raises as `record_account` does."""
    for new in news:
        _check_fits_kind(session, new)
        if new.password is not None:
            check_new_password(new.password, email=normal_email(new.email))
    for kind in AccountKind:
        emails = [normal_email(new.email) for new in news if new.kind is kind]
        if len(set(emails)) != len(emails) or existing_emails(session, kind, emails):
            raise AccountExists
    rows = [_new_row(new, passwords=passwords, sealing=sealing, at=at) for new in news]
    session.add_all(rows)
    session.flush()
    return tuple(_account(row) for row in rows)


def existing_emails(session: Session, kind: AccountKind, emails: Collection[str]) -> frozenset[str]:
    """Return which of these addresses, as accounts keep them, an account of this kind has already."""
    if not emails:
        return frozenset()
    found = select(AccountRow.email).where(AccountRow.kind == kind, AccountRow.email.in_(emails))
    return frozenset(session.scalars(found))


def _new_row(new: NewAccount, *, passwords: Passwords, sealing: Sealing, at: datetime) -> AccountRow:
    account_id = new_id()
    return AccountRow(
        account_id=account_id,
        kind=new.kind,
        email=normal_email(new.email),
        email_verified=new.email_verified,
        given_name=new.given_name,
        family_name=new.family_name,
        birthdate=new.birthdate,
        member_code=new.member_code,
        roles=sorted(set(new.roles)),
        active=True,
        password_hash=passwords.hash(new.password) if new.password is not None else NO_PASSWORD,
        sealed_code_secret=new.code_secret and sealing.seal(new.code_secret.encode(), place=code_place(account_id)),
        created_at=at,
        updated_at=at,
    )


def find_account(session: Session, account_id: UUID) -> Account | None:
    """Return the active account with this id."""
    # Every request of an officer asks this several times; the session's own object would cost more than the question.
    row = session.connection().execute(_ONE, {"account_id": account_id}).one_or_none()
    return _account(row) if row is not None and row.active else None


_ONE = select(AccountRow.__table__).where(AccountRow.account_id == bindparam("account_id"))


def active_accounts(connection: Connection, account_ids: Collection[UUID]) -> frozenset[UUID]:
    """Return which of these accounts are active."""
    return frozenset(connection.scalars(_ACTIVE, {"account_ids": list(account_ids)}))


_ACTIVE = select(AccountRow.account_id).where(
    AccountRow.account_id.in_(bindparam("account_ids", expanding=True)), AccountRow.active
)


def find_account_even_suspended(session: Session, account_id: UUID) -> Account | None:
    """Return the account with this id, to name who did something; never to let anybody do anything."""
    row = session.get(AccountRow, account_id)
    return _account(row) if row is not None else None


def find_accounts_even_suspended(session: Session, account_ids: Collection[UUID]) -> dict[UUID, Account]:
    """As `find_account_even_suspended`, for several at once; one that there is not is left out."""
    rows = session.scalars(select(AccountRow).where(AccountRow.account_id.in_(account_ids)))
    return {row.account_id: _account(row) for row in rows}


def is_citizen(session: Session, account_id: UUID) -> bool:
    """Tell whether this is a citizen's account, suspended or not."""
    row = session.get(AccountRow, account_id)
    return row is not None and row.kind == AccountKind.CITIZEN


def find_account_by_email(session: Session, kind: AccountKind, email: str) -> Account | None:
    """Return the account of this kind with this address, suspended ones included."""
    row = _row_by_email(session, kind, normal_email(email))
    return _account(row) if row is not None else None


def list_accounts(session: Session) -> tuple[Account, ...]:
    """Return all accounts of every state by kind and address; the database gives them a page at a time."""
    in_order = select(AccountRow).order_by(AccountRow.kind, AccountRow.email)
    rows = session.scalars(in_order.execution_options(yield_per=_PAGE))
    return tuple(_account(row) for row in rows)


def suspend_account(session: Session, account_id: UUID, *, at: datetime) -> None:
    """Stop a person signing in, and forget every session they have; raises `AccountUnknown`.

    Tokens need nothing: each use of one asks whether its account is active. `registration.suspend` does this and tells
    whoever relies on the sessions.
    """
    _set_active(session, account_id, active=False, at=at)
    session.execute(delete(SessionRow).where(SessionRow.account_id == account_id))


def reinstate_account(session: Session, account_id: UUID, *, at: datetime) -> None:
    """Let a suspended person sign in again; raises `AccountUnknown`."""
    _set_active(session, account_id, active=True, at=at)


def account_name(account_id: UUID) -> str:
    """Return how `release_lock` names an account: whoever changes it or its roles waits for what rests on it."""
    return f"account {account_id}"


def normal_email(email: str) -> str:
    """Return an address as accounts keep it."""
    return email.strip().lower()


def code_place(account_id: UUID) -> str:
    """The place to which an account's authenticator secret is sealed."""
    return f"accounts.sealed_code_secret:{account_id}"


def _check_fits_kind(session: Session, new: NewAccount) -> None:
    if not new.given_name.strip() or not new.family_name.strip():
        raise AccountInvalid("An account needs a given name and a family name")
    if "@" not in new.email:
        raise AccountInvalid("An account needs an e-mail address")
    if new.kind is AccountKind.CITIZEN:
        if new.member_code is not None or new.roles:
            raise AccountInvalid("A citizen has neither a member nor roles")
        return
    if new.member_code is None or find_member(session, new.member_code) is None:
        raise AccountInvalid("An officer belongs to an active member")


def _set_active(session: Session, account_id: UUID, *, active: bool, at: datetime) -> None:
    row = session.get(AccountRow, account_id)
    if row is None:
        raise AccountUnknown
    wait_for_releases(session, account_name(account_id))
    row.active, row.updated_at = active, at
    session.flush()


def _row_by_email(session: Session, kind: AccountKind, email: str) -> AccountRow | None:
    return session.scalars(select(AccountRow).where(AccountRow.kind == kind, AccountRow.email == email)).one_or_none()


def _account(row: AccountRow | Row[Any]) -> Account:
    return Account(
        account_id=row.account_id,
        kind=AccountKind(row.kind),
        email=row.email,
        email_verified=row.email_verified,
        given_name=row.given_name,
        family_name=row.family_name,
        birthdate=row.birthdate,
        member_code=row.member_code,
        roles=tuple(row.roles),
        active=row.active,
        has_security_code=row.sealed_code_secret is not None,
    )
