"""What an old database would undo, done again: after a restore nothing is in force that was taken back meanwhile.

The log's leaves tell what happened after the copy, though not the details. Where a leaf names the thing (an agreement,
an exchange), exactly that is put right. Where it names only a member, everything of that member which it may have been
about is stopped, until a person has looked. What happened to citizens' accounts a leaf never tells: it is reported.
"""

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, update
from sqlalchemy.orm import Session

from gateway.app import Gateway
from gateway.audit.append import Event
from gateway.audit.events import DONE
from gateway.backup.forward import Forward
from gateway.clock import parse_rfc3339
from gateway.directory.members import list_clients, list_members
from gateway.directory.registration import register_client, register_member
from gateway.identity.accounts import AccountKind, list_accounts
from gateway.identity.registration import suspend
from gateway.identity.session_ends import Reason
from gateway.oidc.models import AccessTokenRow, AuthorizationRow, RefreshTokenRow
from gateway.sharing.agreements.agreements import AgreementStatus, list_agreements
from gateway.sharing.agreements.lifecycle import suspend_agreement
from gateway.sharing.exchange.models import AttachmentRow, ExchangeRow
from gateway.sharing.exchange.outcomes import EVENTS
from gateway.wire.leaves import Leaf

BY = "gateway restore"
_ENDINGS = {name: outcome for outcome, name in EVENTS.items()}


@dataclass(slots=True, kw_only=True)
class Lost:
    """What the entries whose rows were lost tell, gathered one leaf at a time."""

    by_name: Counter[str] = field(default_factory=Counter)
    endings: dict[UUID, tuple[str, datetime]] = field(default_factory=dict)
    """How exchanges ended."""
    suspended_agreements: dict[str, str] = field(default_factory=dict)
    """The last of `suspended` and `resumed`, by agreement."""
    signed_agreements: set[str] = field(default_factory=set)
    members_with_suspensions: set[str] = field(default_factory=set)
    """Whose officers were suspended."""
    citizens_suspended: int = 0
    members_changed: set[str] = field(default_factory=set)
    members_with_changed_clients: set[str] = field(default_factory=set)

    def notice(self, leaf: Leaf) -> None:
        """Take in one lost entry."""
        self.by_name[leaf.event] += 1
        room, _, happened = leaf.event.rpartition(".")
        if leaf.event in _ENDINGS and leaf.reference is not None:
            self.endings[UUID(leaf.reference)] = (_ENDINGS[leaf.event], parse_rfc3339(leaf.at))
        elif room == "agreements.agreement" and leaf.reference is not None:
            if happened in {"suspended", "resumed"}:
                self.suspended_agreements[leaf.reference] = happened
            else:
                self.signed_agreements.add(leaf.reference)
        elif leaf.event == "identity.account.suspended":
            self.members_with_suspensions.update(leaf.members)
            self.citizens_suspended += not leaf.members
        elif leaf.event == "directory.member.registered":
            self.members_changed.update(leaf.members)
        elif leaf.event == "directory.client.registered":
            self.members_with_changed_clients.update(leaf.members)


@dataclass(frozen=True, slots=True, kw_only=True)
class Aftermath:
    """What was stopped, for the operator to look at."""

    sessions: int
    tokens: int
    exchanges: int
    agreements: tuple[str, ...]
    missing_agreements: tuple[str, ...]
    accounts: tuple[str, ...]
    clients: tuple[str, ...]
    members: tuple[str, ...]


def take_back(session: Session, gateway: Gateway, lost: Lost, forward: Forward, *, now: datetime) -> Aftermath:
    """Stop what may have been stopped after the copy, end what could be used twice, and record that it was done."""
    tokens = _end_tokens(session)
    sessions = gateway.people.ends.end_every(session, reason=Reason.RESTORED, by=BY, at=now)
    done = Aftermath(
        sessions=sessions,
        tokens=tokens,
        exchanges=_end_exchanges(session, lost),
        agreements=_suspend_agreements(session, gateway, lost, now=now),
        missing_agreements=_missing_agreements(session, lost),
        accounts=_suspend_officers(session, gateway, lost, now=now),
        clients=_stop_clients(session, gateway, lost, now=now),
        members=_stop_members(session, gateway, lost, now=now),
    )
    # What was stopped has entries of its own.
    details = {"first": forward.database_size, "end": forward.published_size, "count": forward.lost, "by": BY}
    event = Event(name="audit.database.restored", outcome=DONE, members=(), details=details)
    gateway.audit.append(session, event, at=now)
    return done


def _end_tokens(session: Session) -> int:
    # A document that was fetched after the copy could be fetched again: what is left of them goes.
    session.execute(delete(AttachmentRow))
    # A code, a refresh token or a security code used after the copy could be used again; what was revoked would be
    # back. So everybody signs in anew.
    ended = _changed(session, delete(AccessTokenRow)) + _changed(session, delete(RefreshTokenRow))
    return ended + _changed(session, delete(AuthorizationRow))


def _end_exchanges(session: Session, lost: Lost) -> int:
    # Open in the copy, ended since. Recovery would enter them a second time, as abandoned. Their receipts are lost.
    ended = 0
    for exchange, (outcome, at) in lost.endings.items():
        still_open = update(ExchangeRow).where(ExchangeRow.id == exchange, ExchangeRow.state == "open")
        ended += _changed(session, still_open.values(state=outcome, closed_at=at))
    return ended


def _suspend_agreements(session: Session, gateway: Gateway, lost: Lost, *, now: datetime) -> tuple[str, ...]:
    suspended = []
    for agreement in list_agreements(session):
        name = f"{agreement.reference}.{agreement.version}"
        if agreement.status is not AgreementStatus.ACTIVE:
            continue
        if lost.suspended_agreements.get(name) == "suspended":
            reason = "it was suspended after the copy of the database that was restored"
        elif _replaced(agreement.reference, agreement.version, lost):
            reason = "a later version came after the copy of the database that was restored"
        else:
            continue
        suspend_agreement(
            session, agreement.reference, agreement.version, audit=gateway.audit, by=BY, reason=reason, at=now
        )
        suspended.append(name)
    return tuple(suspended)


def _replaced(reference: str, version: int, lost: Lost) -> bool:
    names = (name.rpartition(".") for name in lost.signed_agreements)
    return any(of == reference and int(later) > version for of, _, later in names if later.isdecimal())


def _missing_agreements(session: Session, lost: Lost) -> tuple[str, ...]:
    in_force = {f"{it.reference}.{it.version}" for it in list_agreements(session) if it.status != AgreementStatus.DRAFT}
    return tuple(sorted(lost.signed_agreements - in_force))


def _suspend_officers(session: Session, gateway: Gateway, lost: Lost, *, now: datetime) -> tuple[str, ...]:
    stopped = []
    for account in list_accounts(session):
        if account.kind is AccountKind.OFFICER and account.active:
            if account.member_code not in lost.members_with_suspensions:
                continue
            reason = "an officer of this member was suspended after the copy of the database that was restored"
            suspend(session, account, people=gateway.people, audit=gateway.audit, by=BY, reason=reason, at=now)
            stopped.append(account.email)
    return tuple(stopped)


def _stop_clients(session: Session, gateway: Gateway, lost: Lost, *, now: datetime) -> tuple[str, ...]:
    # A key that was replaced because it was stolen would be believed again.
    stopped = [
        client
        for client in list_clients(session)
        if client.active and client.member_code in lost.members_with_changed_clients
    ]
    for client in stopped:
        register_client(session, replace(client, active=False), audit=gateway.audit, by=BY, at=now)
    return tuple(client.client_id for client in stopped)


def _stop_members(session: Session, gateway: Gateway, lost: Lost, *, now: datetime) -> tuple[str, ...]:
    stopped = [member for member in list_members(session) if member.active and member.code in lost.members_changed]
    for member in stopped:
        register_member(session, replace(member, active=False), audit=gateway.audit, by=BY, at=now)
    return tuple(member.code for member in stopped)


def _changed(session: Session, statement: Any) -> int:
    result = session.execute(statement, execution_options={"synchronize_session": False})
    return int(result.rowcount)  # type: ignore[attr-defined]
