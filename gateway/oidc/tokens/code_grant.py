"""A code for tokens (RFC 6749 §4.1.3, RFC 7636 §4.5): once, by the client it was made for, with its verifier."""

import hashlib
import hmac
import re
from typing import Any

from gateway.identity.accounts import AccountKind
from gateway.oidc.authorization.codes import lock_authorization
from gateway.oidc.client_sessions import record_client_session
from gateway.oidc.models import AuthorizationRow
from gateway.oidc.tokens.issuing import FAMILY_LIFETIME, write_issued
from gateway.oidc.tokens.token_request import GrantRefused, TokenRequest
from gateway.wire.encoding import b64url_encode

CODE_VERIFIER = re.compile(r"[A-Za-z0-9\-._~]{43,128}\Z")


def redeem_code(request: TokenRequest) -> dict[str, Any]:
    """Give the first tokens of a family; raises `GrantRefused`, and then the code is as good as before."""
    family = _redeemable(request, request.needed("code"))
    for check in CHECKS:
        check(request, family)
    resources = request.chosen_resources(tuple(family.resources))
    account = request.person_of(request.session, family)
    family.redeemed_at = request.now
    sub = request.issuing.pairwise.sub_for(request.session, family.account_id, request.client.sector, at=request.now)
    issued = request.issuing.for_person(
        request.session,
        family,
        account,
        request.asked(scope=family.scope, resources=resources),
        sub=sub,
        family_ends=request.now + FAMILY_LIFETIME[AccountKind(account.kind)] if _may_refresh(request, family) else None,
        nonce=family.nonce,
        now=request.now,
    )
    write_issued(request.session, family, issued, now=request.now)
    _remember_client(request, family, sub=sub)
    return request.record_issued("oidc.tokens.issued", issued, family=family, account=account)


def _remember_client(request: TokenRequest, family: AuthorizationRow, *, sub: str) -> None:
    # From here this client is told when the session ends, by the names it has for session and person.
    client = request.client
    record_client_session(
        request.session,
        family.session_id,
        client_id=client.client_id,
        sid=request.issuing.references.session_reference(family.session_id, client_id=client.client_id),
        sub=sub,
        now=request.now,
    )


def _redeemable(request: TokenRequest, code: str) -> AuthorizationRow:
    family = lock_authorization(request.session, code)
    # Another client's attempt at a code is refused and changes nothing: it must not cost the owner its tokens.
    if family is None or family.client_id != request.client.client_id:
        raise _unusable()
    # RFC 6749 §4.1.2, RFC 9700 §4.5: a second use revokes all that came of the first.
    if family.redeemed_at is not None:
        request.revoke_replayed(family, event="oidc.code.replayed")
        raise _unusable()
    if family.revoked_at is not None or family.code_expires_at <= request.now:
        raise _unusable()
    return family


def check_redirect_uri(request: TokenRequest, family: AuthorizationRow) -> None:
    """RFC 6749 §4.1.3: the redirect URI of the authorization request, character by character."""
    if request.form.one("redirect_uri") != family.redirect_uri:
        raise GrantRefused("invalid_grant", "redirect_uri is not that of the authorization request")


def check_verifier(request: TokenRequest, family: AuthorizationRow) -> None:
    """RFC 7636 §4.6 with S256 alone, and RFC 9700 §4.8.2: no verifier where there was no challenge."""
    verifier = request.form.one("code_verifier")
    if not family.code_challenge:
        # Whoever sends one believes in a challenge that somebody took out of the authorization request.
        if verifier is not None:
            raise GrantRefused("invalid_request", "The authorization request had no code_challenge")
        return
    if verifier is None:
        raise GrantRefused("invalid_request", "code_verifier is missing")
    if not CODE_VERIFIER.match(verifier):
        raise GrantRefused("invalid_request", "code_verifier is not 43 to 128 unreserved characters")
    challenge = b64url_encode(hashlib.sha256(verifier.encode("ascii")).digest())
    if not hmac.compare_digest(challenge, family.code_challenge):
        raise GrantRefused("invalid_grant", "code_verifier does not fit the code_challenge")


def check_code_key(request: TokenRequest, family: AuthorizationRow) -> None:
    """RFC 9449 §10: a code that was bound to a key is redeemed with a proof by that key."""
    if family.dpop_jkt is not None and request.constraint.jkt != family.dpop_jkt:
        raise GrantRefused("invalid_grant", "The code is bound to another key than that of the DPoP proof")


CHECKS = (check_redirect_uri, check_verifier, check_code_key)


def _may_refresh(request: TokenRequest, family: AuthorizationRow) -> bool:
    # OIDC Core §11: offline_access is ignored for a client that may not have it. Who may is said by its registration.
    return family.offline and "refresh_token" in request.client.grant_types


def _unusable() -> GrantRefused:
    # The same words for a code that is unknown, over, used or another client's.
    return GrantRefused("invalid_grant", "The code cannot be used")
