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
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy import Table, bindparam, select, update
from sqlalchemy.orm import Session

from gateway.identity.accounts import Account
from gateway.oidc.authorization.codes import hash_of
from gateway.oidc.models import AuthorizationRow, RefreshTokenRow
from gateway.oidc.tokens.issuing import IssuedTokens, needed_until, write_issued
from gateway.oidc.tokens.together import Grant, Rotation
from gateway.oidc.tokens.token_request import GrantAsked, GrantRefused, TokenRequest
from gateway.once.expired import BATCH, is_one_of, lock_oldest
from gateway.wire.canonical import canonical_json

GRACE = timedelta(seconds=30)
"""How long after its first use a refresh token still gets the answer of that use."""
REFRESHED = "oidc.tokens.refreshed"
_NONCE_BYTES = 12
_TOKEN_AND_FAMILY = (
    select(RefreshTokenRow, AuthorizationRow)
    .join(AuthorizationRow, AuthorizationRow.authorization_id == RefreshTokenRow.authorization_id)
    .where(RefreshTokenRow.token_hash == bindparam("token_hash"))
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Refreshed:
    """The next tokens of a family, of which nothing is written yet."""

    issued: IssuedTokens
    account: Account
    used: Mapping[str, Any] | None
    """What is written of the token that was used; None for one that is not rotated."""


def refresh(request: TokenRequest) -> dict[str, Any]:
    """Give the next tokens of a family; raises `GrantRefused`.

    Duplicates wait for each other at the token's row, on every worker and node, so a family has one newest token.
    """
    presented = request.needed("refresh_token")
    token, family = _locked(request, presented)
    if token.used_at is not None:
        return _answer_again(request, presented, token, family)
    sub = request.issuing.pairwise.sub_for(request.session, family.account_id, request.client.sector, at=request.now)
    refreshed = _refreshed(request, request.session, token, family, sub=sub)
    write_issued(request.session, family, refreshed.issued, now=request.now)
    # The row stays until the family ends: a second use must be noticed.
    for name, value in (refreshed.used or {}).items():
        setattr(token, name, value)
    return request.record_issued(REFRESHED, refreshed.issued, family=family, account=refreshed.account)


def prepared_refresh(asked: GrantAsked, session: Session) -> Grant | None:
    """Make the next tokens without writing, for what is neither a repetition nor out of the ordinary.

    None when it may be, and `refresh` has to look at it; raises `GrantRefused`.
    """
    found = session.execute(_TOKEN_AND_FAMILY, {"token_hash": hash_of(asked.form.one("refresh_token") or "")})
    row = found.one_or_none()
    if row is None or row[0].used_at is not None or row[1].client_id != asked.client.client_id:
        return None
    token, family = row[0], row[1]
    sub = asked.issuing.pairwise.known_sub(session, family.account_id, asked.client.sector)
    # A resource of a member's own has names of people for which a row may have to be written first.
    if sub is None or not asked.issuing.is_ours(family.resources):
        return None
    refreshed = _refreshed(asked, session, token, family, sub=sub)
    if needed_until(family, refreshed.issued, now=asked.now) != family.expires_at:
        return None
    event = asked.issued_event(REFRESHED, refreshed.issued, family=family, account=refreshed.account)
    return Grant(
        client=asked.client,
        issued=refreshed.issued,
        entry=asked.audit.prepared(event, at=asked.now),
        refreshed=Rotation(token_hash=token.token_hash, account_id=family.account_id, used=refreshed.used),
    )


def _refreshed(
    asked: GrantAsked, session: Session, token: RefreshTokenRow, family: AuthorizationRow, *, sub: str
) -> _Refreshed:
    """Judge a token that was not used before, and make what it gives; raises `GrantRefused`."""
    if family.revoked_at is not None or token.expires_at <= asked.now:
        raise _unusable()
    # RFC 9449 §5: a refresh token is bound by its client's own authentication, so the proof's key may be a new one; but
    # a family that began bound to a key does not go on without any.
    if family.dpop_jkt is not None and asked.constraint.jkt is None:
        raise GrantRefused("invalid_grant", "These tokens are bound to a key: send a DPoP proof")
    # What the client is registered for may be less than when the person agreed.
    scope = asked.chosen_scope(asked.registered_scope(family.scope))
    resources = asked.chosen_resources(asked.registered_resources(family.resources))
    account = asked.person_of(session, family)
    rotated = not asked.client.oauth.fapi2
    issued = asked.issuing.for_person(
        session,
        family,
        account,
        asked.asked(scope=scope, resources=resources),
        sub=sub,
        # The family's end does not move.
        family_ends=token.expires_at if rotated else None,
        nonce=None,  # OIDC Core §12.2: a refreshed ID token needs none.
        now=asked.now,
    )
    used = {
        "used_at": asked.now,
        "request_digest": _digest(asked),
        "sealed_answer": _seal(issued.as_response(), asked.needed("refresh_token")),
    }
    return _Refreshed(issued=issued, account=account, used=used if rotated else None)


def forget_kept_answers(session: Session, *, now: datetime, limit: int = BATCH) -> int:
    """Delete at most `limit` kept answers whose grace is over; returns how many."""
    over = (RefreshTokenRow.sealed_answer.is_not(None), RefreshTokenRow.used_at < now - GRACE)
    found = lock_oldest(session, RefreshTokenRow, *over, by=RefreshTokenRow.used_at, limit=limit)
    if found:
        table = cast("Table", RefreshTokenRow.__table__)
        session.execute(update(table).where(is_one_of(table, found)).values(sealed_answer=None))
    return len(found)


def _locked(request: TokenRequest, presented: str) -> tuple[RefreshTokenRow, AuthorizationRow]:
    found = request.session.execute(
        _TOKEN_AND_FAMILY.with_for_update(), {"token_hash": hash_of(presented)}
    ).one_or_none()
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
    request.person_of(request.session, family)
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


def _digest(asked: GrantAsked) -> bytes:
    # The grant's own parameters and the key, not the whole request: every client assertion and DPoP proof is new.
    parts = [asked.form.one("scope"), sorted(asked.resources), asked.constraint.as_claims()]
    return hashlib.sha256(canonical_json(parts)).digest()


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
