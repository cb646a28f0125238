"""Client authentication (RFC 6749 §2.3), the same at every endpoint that asks for it.

An endpoint first has the client verified, which writes nothing, so that whoever has no key cannot hold up those who
write; then, in the transaction that answers the request, it claims what may be used once:

    authenticated = authentication.verify(form, presented, now=now)
    if isinstance(authenticated, ClientRejected):
        return authentication.refuse(authenticated, source=source, now=now)
    with database.write() as session:
        client = authentication.claim(session, authenticated, source=source, now=now)
        if isinstance(client, ClientRefused):
            return client  # committed: the refusal is accounted for
        ...
"""

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol
from urllib.parse import unquote_plus

from sqlalchemy.orm import Session

from gateway.audit.append import AuditLog, Event
from gateway.audit.events import REFUSED
from gateway.db import Database
from gateway.directory.members import Client, find_client
from gateway.identity.caller import Presented
from gateway.oidc.clients.assertion import (
    ASSERTION_TYPE,
    Expected,
    VerifiedAssertion,
    claim_assertion,
    unverified_client_id,
    unverified_key_id,
    verify_assertion,
)
from gateway.oidc.clients.certificates import METHODS as CERTIFICATE_METHODS
from gateway.oidc.clients.certificates import CertificateInvalid, ClientCertificates
from gateway.oidc.clients.rejection import ClientRejected
from gateway.oidc.clients.secrets import ClientSecrets
from gateway.oidc.endpoints import Endpoints
from gateway.oidc.parameters import LONGEST, NOT_TEXT, Parameters
from gateway.oidc.possession import thumbprint_of
from gateway.oidc.sandbox import RejectedProof
from gateway.wire.keys import Jwk

BY_ASSERTION = "private_key_jwt"
BY_HEADER = "client_secret_basic"
BY_FORM = "client_secret_post"
BY_SECRET = (BY_HEADER, BY_FORM)
LONGEST_ID = 200


class KeysOf(Protocol):
    """Finds a client's public keys; it may fetch them, so no transaction is open."""

    def __call__(self, client: Client, *, kid: str | None, now: datetime) -> tuple[Jwk, ...]:
        """Return the keys, of which `kid` is needed; none when they cannot be had."""
        ...


def keys_by_value(client: Client, *, kid: str | None, now: datetime) -> tuple[Jwk, ...]:  # noqa: ARG001 - as `KeysOf` says
    """Return the keys that were registered themselves."""
    return client.keys


@dataclass(frozen=True, slots=True, kw_only=True)
class _Attempt:
    """What a request tries, before anything of it is believed: as which client, and with what."""

    client_id: str
    methods: tuple[str, ...]
    """The registered methods that this could be."""
    proof: str = field(default="", repr=False)
    """The assertion or the secret."""

    @property
    def by_header(self) -> bool:
        return self.methods == (BY_HEADER,)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthenticatedClient:
    """A client that proved who it is; what it showed is claimed in the transaction that answers."""

    client: Client
    method: str
    """Its `token_endpoint_auth_method`."""
    key_id: str
    """Which of its keys, for the log."""
    assertion: VerifiedAssertion | None = None
    """What may be used only once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientRefused:
    """The answer to a client that was not authenticated (RFC 6749 §5.2), the same whatever rule failed."""

    challenge: str | None = None
    """`WWW-Authenticate`, when the client tried the `Authorization` header."""
    error: str = "invalid_client"
    # Which rule failed is for the log: a stranger learns neither that nor whether the client exists.
    description: str = "The client could not be authenticated"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientAuthentication:
    """Authenticates the clients of one gateway."""

    database: Database
    audit: AuditLog
    endpoints: Endpoints
    secrets: ClientSecrets
    certificates: ClientCertificates | None = None
    """None: no certificate can be shown here."""
    keys_of: KeysOf = keys_by_value
    explain: Callable[[RejectedProof], str] | None = None
    """Says what to change; in a sandbox alone."""

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods that work here (`token_endpoint_auth_methods_supported`)."""
        by_certificate = self.certificates.methods if self.certificates is not None else ()
        return (BY_ASSERTION, *by_certificate, *BY_SECRET)

    def verify(self, form: Parameters, presented: Presented, *, now: datetime) -> AuthenticatedClient | ClientRejected:
        """Find out who asks, without writing; outside any transaction. The caller has refused repeated parameters."""
        verified = self._verify(form, presented, now=now)
        if isinstance(verified, ClientRejected):
            return self._explained(verified, form, now=now)
        return verified

    def _verify(self, form: Parameters, presented: Presented, *, now: datetime) -> AuthenticatedClient | ClientRejected:
        attempt = _attempt_of(form, presented)
        if isinstance(attempt, ClientRejected):
            return attempt
        with self.database.read() as session:
            client = find_client(session, attempt.client_id)
        if client is None:
            return ClientRejected(reason="unknown_client", by_header=attempt.by_header)
        method = client.oauth.token_endpoint_auth_method
        # FAPI 2.0 §5.3.2.1 item 6: no secrets, whatever is registered.
        if method not in attempt.methods or (client.oauth.fapi2 and method in BY_SECRET):
            return ClientRejected(reason="wrong_method", client=client, by_header=attempt.by_header)
        if method == BY_ASSERTION:
            return self._by_assertion(client, attempt.proof, form, presented, now)
        if method in CERTIFICATE_METHODS:
            return self._by_certificate(client, presented, now)
        return self._by_secret(client, attempt, form, now)

    def _by_assertion(
        self, client: Client, assertion: str, form: Parameters, presented: Presented, now: datetime
    ) -> AuthenticatedClient | ClientRejected:
        expected = Expected(client=client, form=form, endpoints=self.endpoints, endpoint=presented.endpoint, now=now)
        keys = self.keys_of(client, kid=unverified_key_id(assertion), now=now)
        verified = verify_assertion(assertion, expected, keys=keys)
        if isinstance(verified, ClientRejected):
            return verified
        return AuthenticatedClient(client=client, method=BY_ASSERTION, key_id=verified.key_id, assertion=verified)

    def _by_certificate(
        self, client: Client, presented: Presented, now: datetime
    ) -> AuthenticatedClient | ClientRejected:
        if presented.certificate is None or self.certificates is None:
            return ClientRejected(reason="no_certificate", client=client)
        try:
            keys = self.keys_of(client, kid=None, now=now)
            self.certificates.check(client, presented.certificate, keys=keys, now=now)
        except CertificateInvalid as error:
            return ClientRejected(reason=error.public, client=client)
        method = client.oauth.token_endpoint_auth_method
        return AuthenticatedClient(client=client, method=method, key_id=thumbprint_of(presented.certificate))

    def _by_secret(
        self, client: Client, attempt: _Attempt, form: Parameters, now: datetime
    ) -> AuthenticatedClient | ClientRejected:
        if form.all("client_id") not in {(), (client.client_id,)}:
            return ClientRejected(reason="wrong_client_id", client=client, by_header=attempt.by_header)
        with self.database.read() as session:
            right = self.secrets.matches(session, client.client_id, attempt.proof, now=now)
        if not right:
            return ClientRejected(reason="wrong_secret", client=client, by_header=attempt.by_header)
        method = client.oauth.token_endpoint_auth_method
        return AuthenticatedClient(client=client, method=method, key_id=method)

    def claim(
        self, session: Session, authenticated: AuthenticatedClient, *, source: str, now: datetime
    ) -> Client | ClientRefused:
        """Use up what may be used once, and find the client again, in the caller's transaction.

        The caller commits whatever this returns: a refusal has written its event.
        """
        if authenticated.assertion is not None and not claim_assertion(session, authenticated.assertion):
            rejected = ClientRejected(reason="assertion_replayed", client=authenticated.client, signed=True)
            self.audit.append(session, _rejection(rejected, authenticated.client, source=source), at=now)
            return _refused(self._explained(rejected, Parameters(pairs=()), now=now))
        # Asked again here, because between the read and this turn to write the client may have been disabled.
        client = find_client(session, authenticated.client.client_id)
        if client is None:
            self.audit.count_noise(session, source=source, code="oidc.unknown_client", at=now)
            return ClientRefused()
        return client

    def refuse(self, rejected: ClientRejected, *, source: str, now: datetime) -> ClientRefused:
        """Account for a refusal that is all there is to write; call it outside any transaction."""
        if rejected.client is None:
            self.audit.count_stranger(source=source, code=f"oidc.{rejected.reason}", at=now)
        elif rejected.signed:
            self.audit.record(_rejection(rejected, rejected.client, source=source), at=now)
        else:
            # Anyone can name a client: without its signature this is noise, of which only so much is told.
            event = _rejection(rejected, rejected.client, source=source)
            self.audit.record_noise(event, source=source, code="oidc.client_unproved", at=now)
        return _refused(rejected)

    def _explained(self, rejected: ClientRejected, form: Parameters, *, now: datetime) -> ClientRejected:
        if self.explain is None:
            return rejected
        keys = rejected.client.keys if rejected.client is not None else ()
        proof = RejectedProof(rejected=rejected, form=form, keys=keys, endpoints=self.endpoints, now=now)
        return replace(rejected, explanation=self.explain(proof))


def _refused(rejected: ClientRejected) -> ClientRefused:
    challenge = 'Basic realm="gateway"' if rejected.by_header else None
    if rejected.explanation is None:
        return ClientRefused(challenge=challenge)
    return ClientRefused(challenge=challenge, description=rejected.explanation)


def _rejection(rejected: ClientRejected, client: Client, *, source: str) -> Event:
    return Event(
        name="oidc.client.rejected",
        outcome=REFUSED,
        # Without its signature no member is named in public for what a stranger may have sent.
        members=(client.member_code,) if rejected.signed else (),
        details={
            "client": client.client_id,
            "member": client.member_code,
            "reason": rejected.reason,
            "source": source,
        },
    )


def _attempt_of(form: Parameters, presented: Presented) -> _Attempt | ClientRejected:
    """Find the one method that a request tries (RFC 6749 §2.3: no more than one)."""
    by_header = bool(presented.authorization)
    by_assertion = bool(form.all("client_assertion") or form.all("client_assertion_type"))
    by_form = bool(form.all("client_secret"))
    if by_header + by_assertion + by_form > 1:
        return ClientRejected(reason="several_methods", by_header=by_header)
    if by_header:
        return _basic(presented)
    if by_assertion:
        assertion = form.one("client_assertion")
        if assertion is None or form.one("client_assertion_type") != ASSERTION_TYPE:
            return ClientRejected(reason="no_assertion")
        return _attempt(unverified_client_id(assertion), (BY_ASSERTION,), assertion)
    client_id = form.one("client_id")
    if client_id is None:
        return ClientRejected(reason="no_client_named")
    return (
        _attempt(client_id, (BY_FORM,), form.one("client_secret") or "")
        if by_form
        else _attempt(
            # RFC 8705 §2: with a certificate, the client says who it is by `client_id` alone.
            client_id,
            CERTIFICATE_METHODS,
        )
    )


def _attempt(client_id: str | None, methods: tuple[str, ...], proof: str = "") -> _Attempt | ClientRejected:
    if client_id is None or len(client_id) > LONGEST_ID or not client_id.isprintable():
        return ClientRejected(reason="unknown_client", by_header=methods == (BY_HEADER,))
    return _Attempt(client_id=client_id, methods=methods, proof=proof)


def _basic(presented: Presented) -> _Attempt | ClientRejected:
    """RFC 6749 §2.3.1: both halves are form-encoded before they are joined by a colon and put into base64."""
    unreadable = ClientRejected(reason="authorization_unreadable", by_header=True)
    header = presented.authorization[0] if len(presented.authorization) == 1 else ""
    scheme, _, credentials = header.partition(" ")
    if scheme.lower() != "basic" or len(credentials) > LONGEST:
        return unreadable
    try:
        given = base64.b64decode(credentials.strip().encode("ascii"), validate=True).decode("utf-8")
        client_id, colon, secret = given.partition(":")
        client_id, secret = unquote_plus(client_id, errors="strict"), unquote_plus(secret, errors="strict")
    except (binascii.Error, UnicodeError):
        return unreadable
    if not colon or NOT_TEXT.search(client_id) or NOT_TEXT.search(secret):
        return unreadable
    return _attempt(client_id, (BY_HEADER,), secret)
