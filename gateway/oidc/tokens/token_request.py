"""One token request: an authenticated client asks for one grant; most are judged in the transaction that answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, Self
from uuid import UUID

from sqlalchemy.orm import Session

from gateway.audit.append import AuditLog, Event
from gateway.audit.events import DONE, REFUSED
from gateway.directory.members import Client
from gateway.errors import GatewayError, Kind
from gateway.identity.accounts import Account, find_account
from gateway.oidc.models import AuthorizationRow
from gateway.oidc.parameters import Parameters
from gateway.oidc.possession import SenderConstraint
from gateway.oidc.tokens.issuing import Asked, IssuedTokens, Issuing
from gateway.oidc.tokens.revocation import revoke_family


class GrantRefused(GatewayError):
    """A token request that is not granted. `code` is the OAuth error (RFC 6749 §5.2), `public` its description.

    It is caught inside the transaction, so that what a refusal itself writes (a revoked family, its event) is kept.
    """

    kind = Kind.INVALID

    def __init__(self, code: str, public: str) -> None:
        super().__init__(public)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantAsked:
    """What can be judged without writing: who asks for what, and how to issue and record."""

    client: Client
    form: Parameters = field(repr=False)
    issuing: Issuing
    audit: AuditLog
    source: str
    key_id: str
    now: datetime
    constraint: SenderConstraint = field(default_factory=SenderConstraint)
    """What the tokens are bound to: keys whose possession this request proved."""

    @property
    def resources(self) -> tuple[str, ...]:
        """The resources that this request names (RFC 8707 §2.2)."""
        return tuple(dict.fromkeys(self.form.all("resource")))

    def needed(self, name: str) -> str:
        """Return a parameter that the grant cannot do without; raises `GrantRefused`. `name` is ours."""
        value = self.form.one(name)
        if value is None:
            raise GrantRefused("invalid_request", f"{name} is missing")
        return value

    def chosen_resources(self, granted: tuple[str, ...]) -> tuple[str, ...]:
        """RFC 8707 §2.2: some of the granted resources, or all where none is named; raises `GrantRefused`."""
        if any(resource not in granted for resource in self.resources):
            raise GrantRefused("invalid_target", "The resource was not granted to this client")
        chosen = self.resources or granted
        # Whoever a token is for can read it: the servers of two members would have its name for a person in common.
        if sum(not self.issuing.is_ours((resource,)) for resource in chosen) > 1:
            raise GrantRefused("invalid_target", "Ask for one token for each resource that is a member's own")
        return chosen

    def chosen_scope(self, granted: str) -> str:
        """RFC 6749 §6: some of the granted scopes, or all where none is named; raises `GrantRefused`."""
        wanted = (self.form.one("scope") or granted).split()
        if not set(wanted) <= set(granted.split()):
            raise GrantRefused("invalid_scope", "The scope was not granted to this client")
        return " ".join(dict.fromkeys(wanted))

    def registered_scope(self, granted: str) -> str:
        """Return those of the granted scopes for which the client is registered now."""
        return " ".join(scope for scope in granted.split() if scope in self.client.scopes)

    def registered_resources(self, granted: Sequence[str]) -> tuple[str, ...]:
        """Return those of the granted resources for which it is registered now; raises `GrantRefused` if none is."""
        allowed = {self.issuing.endpoints.userinfo, *self.client.resources}
        left = tuple(resource for resource in granted if resource in allowed)
        if not left:
            raise GrantRefused("invalid_target", "This client is not registered for these resources any more")
        return left

    def person_of(self, session: Session, family: AuthorizationRow) -> Account:
        """Return whom tokens of this family are about; raises `GrantRefused` where there may be none for them now."""
        account = find_account(session, family.account_id)
        if account is None:
            raise GrantRefused("invalid_grant", "The account is not active")
        if account.kind not in self.client.account_kinds:
            raise GrantRefused("invalid_grant", "This client does not take this kind of account any more")
        return account

    def asked(self, *, scope: str, resources: tuple[str, ...]) -> Asked:
        """Return what tokens are to be issued to this client."""
        return Asked(client=self.client, scope=scope, resources=resources, constraint=self.constraint)

    def issued_event(
        self,
        name: str,
        issued: IssuedTokens,
        *,
        family: AuthorizationRow | None = None,
        account: Account | None = None,
        **more: str,
    ) -> Event:
        """Return the event of tokens that were issued."""
        details = {
            "scope": issued.access.scope,
            "audience": list(issued.access.audience),
            "token": issued.access.token_id,
            **more,
        }
        if family is not None and account is not None:
            details |= _family_facts(family) | {"account_kind": str(account.kind)}
        return self.event(name, DONE, details, account_id=account.account_id if account else None)

    def event(
        self,
        name: str,
        outcome: str,
        details: Mapping[str, Any],
        *,
        account_id: UUID | None = None,
        others: tuple[str, ...] = (),
    ) -> Event:
        """Return an event about this request; `others` are further members that it concerns."""
        # Only a grant that it may have: what else a client may write there is not for the log.
        grant_type = next((known for known in self.client.grant_types if known == self.form.one("grant_type")), None)
        facts = {"grant_type": grant_type, "source": self.source, "key_id": self.key_id}
        return Event(
            name=name,
            outcome=outcome,
            members=tuple(dict.fromkeys((self.client.member_code, *others))),
            details={**facts, "client": self.client.client_id, "member": self.client.member_code, **details},
            subject=self.issuing.references.reference_of_account(account_id) if account_id is not None else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRequest(GrantAsked):
    """A request in the transaction that answers it."""

    session: Session

    @classmethod
    def within(cls, session: Session, asked: GrantAsked) -> Self:
        """Return what was asked, to be answered in this transaction."""
        return cls(session=session, **{item.name: getattr(asked, item.name) for item in fields(asked)})

    def record_issued(
        self,
        name: str,
        issued: IssuedTokens,
        *,
        family: AuthorizationRow | None,
        account: Account | None,
        **more: str,
    ) -> dict[str, Any]:
        """Write the event beside the tokens; returns the members of the answer."""
        event = self.issued_event(name, issued, family=family, account=account, **more)
        self.audit.append(self.session, event, at=self.now)
        return issued.as_response()

    def record_repeated(self, family: AuthorizationRow) -> None:
        """Write that an answer was given once more."""
        self.record("oidc.tokens.repeated", DONE, _family_facts(family), account_id=family.account_id)

    def revoke_replayed(self, family: AuthorizationRow, *, event: str) -> None:
        """Revoke all that came of an authorization whose code or refresh token was used twice, and record it."""
        revoke_family(self.session, family.authorization_id, now=self.now)
        self.record(event, REFUSED, {"family": str(family.authorization_id)}, account_id=family.account_id)

    def record(
        self,
        name: str,
        outcome: str,
        details: Mapping[str, Any],
        *,
        account_id: UUID | None = None,
        others: tuple[str, ...] = (),
    ) -> None:
        """Write an event about this request; `others` are further members that it concerns."""
        event = self.event(name, outcome, details, account_id=account_id, others=others)
        self.audit.append(self.session, event, at=self.now)


def _family_facts(family: AuthorizationRow) -> dict[str, Any]:
    return {
        "account": str(family.account_id),
        "acr": family.acr,
        "session": str(family.session_id),
        "family": str(family.authorization_id),
    }
