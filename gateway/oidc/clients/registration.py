"""Dynamic registration (RFC 7591, OIDC Dynamic Client Registration 1.0) and its management (RFC 7592).

Nobody registers without an initial access token, which an operator made for one member and which says what a client
registered with it may have. Afterwards a client reads, changes and ends its own registration with its own token.

A refusal is a value until it is committed with its event; then the door answers with it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import uuid_utils.compat
from sqlalchemy.orm import Session

from gateway.audit.append import AuditLog, Event
from gateway.audit.events import REFUSED
from gateway.db import Database
from gateway.directory.members import Client, find_client, find_registration
from gateway.identity.throttling import Limit, Throttle
from gateway.oidc.clients.limits import Limits
from gateway.oidc.clients.metadata_names import metadata_of
from gateway.oidc.clients.metadata_rules import ClientRule, checked_client
from gateway.oidc.clients.registrar import Registrar
from gateway.oidc.clients.registration_tokens import (
    find_initial_token,
    find_registration_limits,
    issue_registration_token,
    settle_registration_token,
    use_initial_token,
)
from gateway.oidc.clients.secrets import NewSecret, secret_expiry
from gateway.oidc.clients.submission import RegistrationRefused, Submission, Surroundings, submission_of

# What one token may ask in an hour, refusals included: each asks the database to write, and may ask the network.
RATE = Limit(name="registration", attempts=60, window=timedelta(hours=1))
LONGEST_TOKEN = 200
BY_CLIENT = "registration"
# What an operator grants by name, and a client neither asks for nor loses by changing its registration.
EXCEPTIONS = ("pkce_exempt", "may_act_through", "serves_resources")
_NOTHING = object()
# RFC 7592 §2.2: what we state about a registration is not the client's to change.
OURS = ("registration_access_token", "registration_client_uri", "client_secret_expires_at", "client_id_issued_at")


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """A registration as its client is told of it; what is secret in it is told this once."""

    client: Client
    issued_at: datetime
    secret: NewSecret | None = field(default=None, repr=False)
    secret_ends: datetime | None = None
    registration_token: str | None = field(default=None, repr=False)

    def members(self, registration_endpoint: str) -> dict[str, Any]:
        """Return the answer's members (RFC 7591 §3.2.1, RFC 7592 §3)."""
        told = metadata_of(self.client, issued_at=self.issued_at)
        told["registration_client_uri"] = f"{registration_endpoint}/{self.client.client_id}"
        if self.registration_token is not None:
            told["registration_access_token"] = self.registration_token
        if self.secret is not None:
            told["client_secret"] = self.secret.secret
        ends = self.secret.expires_at if self.secret is not None else self.secret_ends
        if ends is not None:
            told["client_secret_expires_at"] = int(ends.timestamp())
        return told


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A registration that is no more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotAllowed:
    """The token allows nothing here (RFC 6750 §3.1, RFC 7592 §2): unknown, used up, over, or another client's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TooOften:
    """The token asked too often; `seconds` until it may again."""

    seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Metadata that was refused; the refusal is recorded."""

    error: RegistrationRefused


Answer = Registered | Ended | NotAllowed | TooOften | Refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Registrations:
    """Answers requests to register for one gateway."""

    database: Database
    audit: AuditLog
    registrar: Registrar
    throttle: Throttle
    surroundings: Surroundings
    client_rules: tuple[ClientRule, ...]

    def register(self, metadata: Mapping[str, Any], token: str, *, source: str, now: datetime) -> Answer:
        """Register a client with an initial access token (RFC 7591 §3)."""
        with self.database.read() as session:
            initial = find_initial_token(session, token, now=now) if len(token) <= LONGEST_TOKEN else None
        if initial is None:
            return NotAllowed()
        if (wait := self._claim(str(initial.token_id), now=now)) is not None:
            return wait
        client_id = str(uuid_utils.compat.uuid7())
        # Whatever the client proposes as its id, we choose it (RFC 7591 §3.2.1).
        given = {name: value for name, value in metadata.items() if name != "client_id"}
        submission = submission_of(given, initial.limits, self.surroundings)
        try:
            client = checked_client(submission, client_id=client_id, client_rules=self.client_rules)
        except RegistrationRefused as error:
            return self._refuse(error, initial.limits.member_code, None, source=source, now=now)
        with self.database.write() as session:
            # Asked again here: another registration may have taken the last use meanwhile.
            if not use_initial_token(session, initial.token_id, now=now):
                return NotAllowed()
            by = f"{BY_CLIENT} with token {initial.token_id}"
            secret = self.registrar.write(session, client, by=by, now=now)
            own = issue_registration_token(session, client_id, initial.limits, now=now)
            return Registered(client=client, issued_at=now, secret=secret, registration_token=own)

    def read(self, client_id: str, token: str, *, now: datetime) -> Answer:
        """Return a registration to its client (RFC 7592 §2.1)."""
        allowed = self._allowed(client_id, token, now=now)
        if not isinstance(allowed, Limits):
            return allowed
        with self.database.write() as session:
            settle_registration_token(session, client_id, token)
            return self._told(session, client_id)

    def change(self, client_id: str, metadata: Mapping[str, Any], token: str, *, source: str, now: datetime) -> Answer:
        """Put other metadata in place of all there was (RFC 7592 §2.2)."""
        allowed = self._allowed(client_id, token, now=now)
        if not isinstance(allowed, Limits):
            return allowed
        with self.database.read() as session:
            before = self.registrar.registered(session, client_id)
        try:
            client = self._changed(before, metadata, allowed)
        except RegistrationRefused as error:
            return self._refuse(error, before.member_code, client_id, source=source, now=now)
        with self.database.write() as session:
            # Asked again here: the token or the client may have been taken back meanwhile.
            if find_client(session, client_id) is None or find_registration_limits(session, client_id, token) is None:
                return NotAllowed()
            secret = self.registrar.write(session, client, by=BY_CLIENT, now=now)
            own = issue_registration_token(session, client_id, allowed, used=token, now=now)
            return self._told(session, client_id, secret=secret, registration_token=own)

    def end(self, client_id: str, token: str, *, now: datetime) -> Answer:
        """End a registration: the client is disabled, and its tokens die with it (RFC 7592 §2.3)."""
        allowed = self._allowed(client_id, token, now=now)
        if not isinstance(allowed, Limits):
            return allowed
        with self.database.write() as session:
            if find_registration_limits(session, client_id, token) is None:
                return NotAllowed()
            self.registrar.end(session, client_id, by=BY_CLIENT, now=now)
            return Ended()

    def refuse_body(
        self, error: RegistrationRefused, token: str, *, client_id: str | None = None, source: str, now: datetime
    ) -> Answer:
        """Refuse a body that is no metadata at all: to whoever has a token that allows something, in the log."""
        if client_id is not None:
            allowed = self._allowed(client_id, token, now=now)
            if not isinstance(allowed, Limits):
                return allowed
            return self._refuse(error, allowed.member_code, client_id, source=source, now=now)
        with self.database.read() as session:
            initial = find_initial_token(session, token, now=now) if len(token) <= LONGEST_TOKEN else None
        if initial is None:
            return NotAllowed()
        wait = self._claim(str(initial.token_id), now=now)
        return wait or self._refuse(error, initial.limits.member_code, None, source=source, now=now)

    def _changed(self, before: Client, metadata: Mapping[str, Any], limits: Limits) -> Client:
        if metadata.get("client_id") != before.client_id:
            raise RegistrationRefused("client_id has to be there, and the one in the address (RFC 7592, section 2.2)")
        if held := [name for name in OURS if name in metadata]:
            raise RegistrationRefused(f"{held[0]} is stated by the gateway: leave it out (RFC 7592, section 2.2)")
        if "client_secret" in metadata:
            raise RegistrationRefused("client_secret is not kept here in a form to compare: leave it out")
        # A client may send back all that it was told (RFC 7592 §2.2), its exceptions among it.
        granted = {name: value for name, value in metadata_of(before).items() if name in EXCEPTIONS}
        given = {name: value for name, value in metadata.items() if granted.get(name, _NOTHING) != value}
        client = self._keeping_exceptions(before, submission_of(given, limits, self.surroundings))
        if client.sector != before.sector:
            raise RegistrationRefused(
                "sector_identifier_uri: another sector would give every person another sub; register a new client"
            )
        return client

    def _keeping_exceptions(self, before: Client, submission: Submission) -> Client:
        client = checked_client(submission, client_id=before.client_id, client_rules=self.client_rules)
        return replace(
            client, oauth=replace(client.oauth, **{name: getattr(before.oauth, name) for name in EXCEPTIONS})
        )

    def _told(
        self,
        session: Session,
        client_id: str,
        *,
        secret: NewSecret | None = None,
        registration_token: str | None = None,
    ) -> Answer:
        found = find_registration(session, client_id)
        if found is None or not found[0].active:
            return NotAllowed()
        return Registered(
            client=found[0],
            issued_at=found[1],
            secret=secret,
            secret_ends=secret_expiry(session, client_id),
            registration_token=registration_token,
        )

    def _allowed(self, client_id: str, token: str, *, now: datetime) -> Limits | NotAllowed | TooOften:
        with self.database.read() as session:
            limits = find_registration_limits(session, client_id, token) if len(token) <= LONGEST_TOKEN else None
            active = limits is not None and find_client(session, client_id) is not None
        if limits is None or not active:
            return NotAllowed()
        return self._claim(client_id, now=now) or limits

    def _claim(self, who: str, *, now: datetime) -> TooOften | None:
        with self.database.write() as session:
            seconds = self.throttle.claim_attempts(session, [(RATE, who)], now=now)
        return TooOften(seconds=seconds) if seconds is not None else None

    def _refuse(
        self, error: RegistrationRefused, member: str, client_id: str | None, *, source: str, now: datetime
    ) -> Refused:
        details = {"member": member, "code": error.code, "reason": error.rule, "source": source}
        event = Event(
            name="directory.registration.refused",
            outcome=REFUSED,
            members=(member,),
            details=details | ({"client": client_id} if client_id is not None else {}),
        )
        self.audit.record(event, at=now)
        return Refused(error=error)
