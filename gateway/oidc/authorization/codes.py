"""Authorization codes: 256 random bits, good for a minute, for one client, one redirect URI, one verifier, once."""

import hashlib
import secrets
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from gateway.db import new_id
from gateway.identity.sessions import SignedIn
from gateway.oidc.authorization.person import acr_to_tell
from gateway.oidc.authorization.request import AuthorizationRequest
from gateway.oidc.models import AuthorizationRow

# RFC 6749 §4.1.2 allows ten minutes; a redirect takes a second.
CODE_LIFETIME = timedelta(seconds=60)
# A code that was never used is kept a little longer than it lives, so that its row is still there to say why.
UNUSED_KEPT = timedelta(minutes=10)


def issue_code(session: Session, request: AuthorizationRequest, signed_in: SignedIn, *, now: datetime) -> str:
    """Write the authorization and return its code, which is kept only as a hash."""
    code = secrets.token_urlsafe(32)
    session.add(
        AuthorizationRow(
            authorization_id=new_id(),
            code_hash=hash_of(code),
            client_id=request.client.client_id,
            account_id=signed_in.account.account_id,
            session_id=signed_in.session_id,
            redirect_uri=request.asked.redirect_uri,
            scope=" ".join(request.scopes),
            resources=list(request.resources),
            nonce=request.nonce,
            code_challenge=request.code_challenge or "",
            dpop_jkt=request.dpop_jkt,
            claims=request.claims.as_stored(),
            offline="offline_access" in request.scopes,
            acr=acr_to_tell(request, signed_in),
            methods=list(signed_in.methods),
            auth_time=signed_in.auth_time,
            issued_at=now,
            code_expires_at=now + CODE_LIFETIME,
            expires_at=now + UNUSED_KEPT,
        )
    )
    session.flush()
    return code


def lock_authorization(session: Session, code: str) -> AuthorizationRow | None:
    """Return the authorization of a code, used and expired ones included, locked until the transaction ends.

    Of twenty transactions with the same code, nineteen wait here and then find it used. (On the embedded database
    there is one writer at a time anyway.)
    """
    query = select(AuthorizationRow).where(AuthorizationRow.code_hash == hash_of(code)).with_for_update()
    return session.scalars(query).one_or_none()


def hash_of(secret: str) -> bytes:
    """Return the SHA-256 under which codes and tokens of 256 random bits are kept; nothing of them can be guessed."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
