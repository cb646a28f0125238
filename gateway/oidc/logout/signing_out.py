"""Ends what a browser has, for its person or at a relying party's request, and says who else must hear of it."""

import hmac
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from gateway.audit.append import AuditLog, Event
from gateway.audit.events import REFUSED
from gateway.clock import Clock
from gateway.db import Database
from gateway.directory.members import Client
from gateway.identity.people import People
from gateway.identity.session_ends import Reason
from gateway.identity.sessions import ListedSession, SignedIn, find_signed_in, list_sessions, sessions_at
from gateway.oidc.logout.front_channel import Frame, frames_for
from gateway.oidc.logout.requests import LogoutRefused, LogoutRequest, LogoutTickets, check_logout_request
from gateway.oidc.parameters import Parameters
from gateway.oidc.sandbox_refusals import explain_sign_out
from gateway.signing.purposes import Purpose
from gateway.signing.signing_keys import SigningKeys


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningOut:
    """The sign-outs of one gateway."""

    issuer: str
    database: Database
    audit: AuditLog
    people: People
    tickets: LogoutTickets
    keys: SigningKeys
    clock: Clock
    sandbox: bool = False
    """Whether developers are told what production tells nobody."""

    def check(self, parameters: Parameters) -> LogoutRequest:
        """Check a relying party's request; raises `LogoutRefused`."""
        now = self.clock.now()
        # A hint may be older than the key that is published now.
        keys = (*self.keys.public_jwks(Purpose.TOKENS), *self.keys.past_jwks())
        with self.database.read() as session:
            return check_logout_request(session, parameters, keys=keys, issuer=self.issuer, now=now)

    def explain(self, error: LogoutRefused, sent: Parameters | None) -> str:
        """Say why a request is refused; in a sandbox, with what to change. `sent` None: it could not be read."""
        if not self.sandbox or sent is None:
            return error.public
        with self.database.read() as session:
            return explain_sign_out(session, error, sent)

    def ticket_for(self, request: LogoutRequest) -> str:
        """Return a request sealed, to be taken up again here."""
        return self.tickets.make(request, now=self.clock.now())

    def read_ticket(self, ticket: str) -> LogoutRequest:
        """Return the request of a ticket; raises `LogoutRefused`."""
        with self.database.read() as session:
            return self.tickets.read(session, ticket, now=self.clock.now())

    def somebody_at(self, browser_secret: str | None) -> bool:
        """Tell whether there is anything to end at this browser."""
        with self.database.read() as session:
            return bool(sessions_at(session, browser_secret, now=self.clock.now()))

    def is_about(self, request: LogoutRequest, browser_secret: str | None) -> bool:
        """Tell whether the client proved, by its ID token, that it knows the session of this very browser."""
        if request.client is None or request.sid is None:
            return False
        with self.database.read() as session:
            here = sessions_at(session, browser_secret, now=self.clock.now())
        sids = [self._sid(session_id, request.client) for session_id in here]
        return any(hmac.compare_digest(sid, request.sid) for sid in sids)

    def sign_out(self, browser_secret: str | None, *, source: str, client: Client | None = None) -> tuple[Frame, ...]:
        """End whatever this browser has; returns the frames by which its clients hear of it."""
        now = self.clock.now()
        with self.database.write() as session:
            frames = frames_for(session, sessions_at(session, browser_secret, now=now), issuer=self.issuer)
            asked_by = client.client_id if client is not None else None
            self.people.sign_in.end_at(
                session, browser_secret, reason=Reason.SIGNED_OUT, source=source, client=asked_by, at=now
            )
        return frames

    def sign_out_everywhere(self, signed_in: SignedIn, *, source: str) -> tuple[Frame, ...]:
        """End every session of the person at this browser, and all that was given for them."""
        now = self.clock.now()
        with self.database.write() as session:
            frames = frames_for(session, (signed_in.session_id,), issuer=self.issuer)
            self.people.ends.end_all_of(
                session, signed_in.account.account_id, reason=Reason.SIGNED_OUT_EVERYWHERE, source=source, at=now
            )
        return frames

    def sessions_of(self, signed_in: SignedIn) -> tuple[ListedSession, ...]:
        """Return the living sessions of the person at this browser."""
        with self.database.read() as session:
            return list_sessions(session, signed_in.account.account_id, now=self.clock.now())

    def refused(self, error: LogoutRefused, browser_secret: str | None, *, source: str) -> None:
        """Record a request that was refused, if it is known who made it; else count it."""
        self._refused(browser_secret, source=source, code=error.code, reason=error.public, client=error.client)

    def refused_form(self, browser_secret: str | None, *, source: str) -> None:
        """Record a form that came without our token: from another site, or from a page too old."""
        self._refused(browser_secret, source=source, code="csrf", reason="the form was not ours", client=None)

    def _refused(
        self, browser_secret: str | None, *, source: str, code: str, reason: str, client: Client | None
    ) -> None:
        now = self.clock.now()
        with self.database.read() as session:
            signed_in = find_signed_in(session, browser_secret, now=now)
        if client is None and signed_in is None:
            self.audit.count_stranger(source=source, code=f"oidc.logout.{code}", at=now)
            return
        details: dict[str, Any] = {"code": code, "reason": reason, "source": source}
        members: tuple[str, ...] = ()
        if client is not None:
            details |= {"client": client.client_id, "member": client.member_code}
            members = (client.member_code,)
        subject = None
        if signed_in is not None:
            account = signed_in.account
            about = {"account": str(account.account_id), "account_kind": str(account.kind)}
            details |= about | {"session": str(signed_in.session_id)}
            subject = self.people.references.reference_of_account(account.account_id)
        event = Event(name="oidc.logout.refused", outcome=REFUSED, members=members, details=details, subject=subject)
        self.audit.record(event, at=now)

    def _sid(self, session_id: UUID, client: Client) -> str:
        return self.people.references.session_reference(session_id, client_id=client.client_id)
