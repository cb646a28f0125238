"""Refresh tokens (RFC 6749 §6): rotated, a replay revokes the family, and a lost answer can be asked for again.

A client whose answer was lost on the way asks once more with the token it still has. That looks like theft; but within
a short grace the very same request gets the very same answer, as long as nobody used what the answer gave. The answer
is kept sealed under a key that only the presented token yields, of which we keep but a hash.

Clients under FAPI 2.0 keep one refresh token (FAPI 2.0 Security Profile §5.3.2.1: it is not rotated): theirs is bound
to the client, which proves who it is with a key.
"""

import hashlib
import json
import os
from datetime import datetime, timedelta
from typing import Any, cast

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from gateway.identity.accounts import Account, find_account
from gateway.oidc.authorization.codes import hash_of
from gateway.oidc.models import AuthorizationRow, RefreshTokenRow
from gateway.oidc.tokens.token_request import GrantRefused, TokenRequest
from gateway.wire.canonical import canonical_json

GRACE = timedelta(seconds=30)
"""How long after its first use a refresh token still gets the answer of that use."""
_NONCE_BYTES = 12


def refresh(request: TokenRequest) -> dict[str, Any]:
    """Give the next tokens of a family; raises `GrantRefused`.

    Duplicates wait for each other at the token's row, on every worker and node, so a family has one newest token.
    """
    presented = request.needed("refresh_token")
    token, family = _locked(request, presented)
    if token.used_at is not None:
        return _answer_again(request, presented, token, family)
    if family.revoked_at is not None or token.expires_at <= request.now:
        raise _unusable()
    # RFC 9449 §5: a refresh token is bound by its client's own authentication, so the proof's key may be a new one; but
    # a family that began bound to a key does not go on without any.
    if family.dpop_jkt is not None and request.constraint.jkt is None:
        raise GrantRefused("invalid_grant", "These tokens are bound to a key: send a DPoP proof")
    scope = request.chosen_scope(family.scope)
    resources = request.chosen_resources(tuple(family.resources))
    account = _person(request, family)
    rotated = not request.client.oauth.fapi2
    issued = request.issuing.for_person(
        request.session,
        family,
        account,
        request.asked(scope=scope, resources=resources),
        # The family's end does not move.
        family_ends=token.expires_at if rotated else None,
        nonce=None,  # OIDC Core §12.2: a refreshed ID token needs none.
        now=request.now,
    )
    answer = request.record_issued("oidc.tokens.refreshed", issued, family=family, account=account)
    if rotated:
        # The row stays until the family ends: a second use must be noticed.
        token.used_at = request.now
        token.request_digest = _digest(request)
        token.sealed_answer = _seal(answer, presented)
    return answer


def forget_kept_answers(session: Session, *, now: datetime, limit: int = 1000) -> int:
    """Delete at most `limit` kept answers whose grace is over; returns how many."""
    over = (
        select(RefreshTokenRow.token_hash)
        .where(RefreshTokenRow.sealed_answer.is_not(None), RefreshTokenRow.used_at < now - GRACE)
        .limit(limit)
    )
    forgotten = (
        update(RefreshTokenRow)
        .where(RefreshTokenRow.token_hash.in_(over))
        .values(sealed_answer=None)
        .execution_options(synchronize_session=False)
    )
    return len(session.execute(forgotten.returning(RefreshTokenRow.token_hash)).all())


def _locked(request: TokenRequest, presented: str) -> tuple[RefreshTokenRow, AuthorizationRow]:
    query = (
        select(RefreshTokenRow, AuthorizationRow)
        .join(AuthorizationRow, AuthorizationRow.authorization_id == RefreshTokenRow.authorization_id)
        .where(RefreshTokenRow.token_hash == hash_of(presented))
        .with_for_update()
    )
    found = request.session.execute(query).one_or_none()
    # RFC 6749 §6: it is its own client's. Another's attempt changes nothing, or it could end the owner's tokens.
    if found is None or found[1].client_id != request.client.client_id:
        raise _unusable()
    return found[0], found[1]


def _answer_again(
    request: TokenRequest, presented: str, token: RefreshTokenRow, family: AuthorizationRow
) -> dict[str, Any]:
    """Give the answer of the token's first use once more, or revoke the family (RFC 9700 §4.14.2)."""
    answer = _kept_answer(request, presented, token, family)
    if answer is None:
        request.revoke_replayed(family, event="oidc.refresh_token.replayed")
        raise _unusable()
    _person(request, family)
    request.record_repeated(family)
    return answer


def _kept_answer(
    request: TokenRequest, presented: str, token: RefreshTokenRow, family: AuthorizationRow
) -> dict[str, Any] | None:
    if token.used_at is None or token.sealed_answer is None or family.revoked_at is not None:
        return None
    if request.now - token.used_at > GRACE or token.request_digest != _digest(request):
        return None
    answer = _unseal(token.sealed_answer, presented)
    successor = request.session.get(RefreshTokenRow, hash_of(str(answer["refresh_token"])))
    # Who has used the next token had the answer: whoever asks for it now is somebody else.
    return answer if successor is not None and successor.used_at is None else None


def _person(request: TokenRequest, family: AuthorizationRow) -> Account:
    account = find_account(request.session, family.account_id)
    if account is None:
        raise GrantRefused("invalid_grant", "The account is not active")
    return account


def _digest(request: TokenRequest) -> bytes:
    # The grant's own parameters and the key, not the whole request: every client assertion and DPoP proof is new.
    asked = [request.form.one("scope"), sorted(request.resources), request.constraint.as_claims()]
    return hashlib.sha256(canonical_json(asked)).digest()


def _seal(answer: dict[str, Any], presented: str) -> bytes:
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + _cipher(presented).encrypt(nonce, json.dumps(answer).encode(), hash_of(presented))


def _unseal(sealed: bytes, presented: str) -> dict[str, Any]:
    opened = _cipher(presented).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], hash_of(presented))
    return cast("dict[str, Any]", json.loads(opened))


def _cipher(presented: str) -> AESGCM:
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"gateway refresh answer")
    return AESGCM(derived.derive(presented.encode("utf-8", "surrogatepass")))


def _unusable() -> GrantRefused:
    # The same words for a token that is unknown, over, used or another client's.
    return GrantRefused("invalid_grant", "The refresh token cannot be used")
