"""A relying party's request to sign somebody out (OIDC RP-Initiated Logout 1.0 §2), checked rule by rule.

Whatever is wrong ends on a page (§4: no redirect where an error was found). A hint is proof of one thing: that the
client knows a session. Whether it is this browser's is decided where the browser is known.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from itsdangerous import BadData, URLSafeSerializer
from sqlalchemy.orm import Session

from gateway.directory.members import Client, find_client
from gateway.errors import GatewayError, Kind
from gateway.oidc.logout.front_channel import with_parameters
from gateway.oidc.parameters import Parameters
from gateway.oidc.tokens.id_token import TYP as ID_TOKEN_TYP
from gateway.oidc.tokens.response_signing import ALGORITHMS
from gateway.wire.jws import DEFAULT_LEEWAY_SECONDS, parse_claims, verify_jws

LONGEST_CLIENT_ID = 200
TICKET_LIFETIME = timedelta(hours=1)


class LogoutRefused(GatewayError):
    """A request that ends on a page: nobody is signed out, no redirect follows. `client` is who sent it, if proved."""

    kind = Kind.MALFORMED
    code = "logout_request_unusable"
    title = "There is a problem with this sign-out request"

    def __init__(self, public: str, *, client: Client | None = None, detail: str | None = None) -> None:
        super().__init__(public, detail=detail)
        self.client = client


@dataclass(frozen=True, slots=True, kw_only=True)
class LogoutRequest:
    """A request that passed every check. Nothing in it is a token, and nothing tells an outsider who it is about."""

    client: Client | None = None
    redirect_uri: str | None = None
    state: str | None = None
    sid: str | None = None
    """The session that the client's ID token was about; None without one."""

    @property
    def target(self) -> str | None:
        """Where to send the browser in the end: a registered address, with `state`."""
        if self.redirect_uri is None:
            return None
        return with_parameters(self.redirect_uri, {"state": self.state} if self.state is not None else {})


@dataclass(frozen=True, slots=True, kw_only=True)
class Hint:
    """What an ID token of ours says: to whom it was issued, and about which session."""

    audience: str
    sid: str | None


def check_logout_request(
    session: Session, parameters: Parameters, *, keys: Sequence[Mapping[str, Any]], issuer: str, now: datetime
) -> LogoutRequest:
    """Check a request in order; raises `LogoutRefused`. The optional `logout_hint` and `ui_locales` change nothing."""
    # RFC 6749 §3.1: a parameter that comes twice leaves it open which was meant.
    if parameters.repeated:
        # Without its name, which anybody may have chosen: this goes into the log.
        raise LogoutRefused("A parameter was sent more than once")
    unverified_hint = parameters.one("id_token_hint")
    hint = check_hint(unverified_hint, keys=keys, issuer=issuer, now=now) if unverified_hint is not None else None
    client = _check_client(session, parameters, hint)
    return LogoutRequest(
        client=client,
        redirect_uri=_check_redirect_uri(parameters, client, proved=hint is not None),
        state=parameters.one("state"),
        sid=hint.sid if hint is not None else None,
    )


def check_hint(unverified: str, *, keys: Sequence[Mapping[str, Any]], issuer: str, now: datetime) -> Hint:
    """Verify an ID token as a hint: ours, signed by a key we still publish; it may have expired (§2, §4)."""
    try:
        # RFC 8725 §3.1: the algorithms of our ID tokens, and neither `none` nor anything symmetric.
        verified = verify_jws(unverified, keys=keys, typ=ID_TOKEN_TYP, algorithms=ALGORITHMS)
        claims = parse_claims(verified)
    except GatewayError as error:
        raise LogoutRefused(
            "The id_token_hint is not an ID token of ours that can be verified", detail=str(error)
        ) from error
    # OIDC Core §2: the issuer is compared exactly.
    if claims.get("iss") != issuer:
        raise LogoutRefused("The id_token_hint was issued by somebody else")
    issued_at = claims.get("iat")
    if not isinstance(issued_at, int) or issued_at > now.timestamp() + DEFAULT_LEEWAY_SECONDS:
        raise LogoutRefused("The id_token_hint is from the future")
    audience, sid = claims.get("aud"), claims.get("sid")
    if not isinstance(audience, str) or not isinstance(sid, str):
        raise LogoutRefused("The id_token_hint names no client or no session")
    return Hint(audience=audience, sid=sid)


def _check_client(session: Session, parameters: Parameters, hint: Hint | None) -> Client | None:
    named = parameters.one("client_id")
    # §2: the client_id must be the one to which the hint was issued.
    if hint is not None and named is not None and named != hint.audience:
        raise LogoutRefused("The id_token_hint was issued to another client")
    client_id = hint.audience if hint is not None else named
    if client_id is None:
        return None
    client = find_client(session, client_id) if len(client_id) <= LONGEST_CLIENT_ID else None
    if client is None:
        raise LogoutRefused("The client is not known here")
    return client


def _check_redirect_uri(parameters: Parameters, client: Client | None, *, proved: bool) -> str | None:
    redirect_uri = parameters.one("post_logout_redirect_uri")
    if redirect_uri is None:
        return None
    # §3: without knowing whose it is, no address can be trusted.
    if client is None:
        raise LogoutRefused("A post_logout_redirect_uri needs an id_token_hint or a client_id")
    # §3: exactly one of those registered; compared character by character.
    if redirect_uri not in client.post_logout_redirect_uris:
        raise LogoutRefused(
            "The post_logout_redirect_uri is not registered for this client", client=client if proved else None
        )
    return redirect_uri


class LogoutTickets:
    """A checked request that waits for somebody's word, in a form or an address, sealed by us."""

    def __init__(self, key: bytes) -> None:
        """Take a 256-bit secret shared by every worker and node."""
        self._serializer = URLSafeSerializer(
            key, salt="gateway.oidc.logout", signer_kwargs={"digest_method": hashlib.sha256, "key_derivation": "hmac"}
        )

    def make(self, request: LogoutRequest, *, now: datetime) -> str:
        """Return the ticket of a request."""
        client_id = request.client.client_id if request.client is not None else None
        return self._serializer.dumps([now.isoformat(), client_id, request.redirect_uri, request.state, request.sid])

    def read(self, session: Session, ticket: str, *, now: datetime) -> LogoutRequest:
        """Return the request of a ticket; raises `LogoutRefused` when it is not ours, too old, or no longer holds."""
        try:
            began, client_id, redirect_uri, state, sid = self._serializer.loads(ticket)
        except BadData as error:
            raise LogoutRefused("This sign-out was not begun here") from error
        if now - datetime.fromisoformat(began) > TICKET_LIFETIME:
            raise LogoutRefused("This sign-out was begun too long ago")
        client = find_client(session, client_id) if client_id is not None else None
        if client_id is not None and client is None:
            raise LogoutRefused("The client is not known here")
        if redirect_uri is not None and (client is None or redirect_uri not in client.post_logout_redirect_uris):
            raise LogoutRefused("The post_logout_redirect_uri is not registered for this client")
        return LogoutRequest(client=client, redirect_uri=redirect_uri, state=state, sid=sid)
