"""Token exchange (RFC 8693): a system calls on for the officer whose token another system has given it.

The officer stays the subject, with the strength and time of their own sign-in; the calling system becomes the client
and the actor (`act`, §4.1), and those before it stand inside, down to the one the officer signed in to. Who may act
through whom is registered (`may_act_through`) and asked here, each time; so no token says it in advance (`may_act`).

The new token belongs to the officer's family and is made from the one shown: it ends no later, has no other scopes, and
is taken back with either. It opens the resources of the system that asks, which may be others than the first one's.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from gateway.audit.events import DONE
from gateway.directory.members import Client, find_client
from gateway.identity.accounts import Account, AccountKind, find_account
from gateway.identity.assurance import reaches
from gateway.oidc.errors import TokenRefused
from gateway.oidc.models import AccessTokenRow, AuthorizationRow
from gateway.oidc.tokens.access_tokens import VerifiedAccessToken, write_tokens
from gateway.oidc.tokens.caller import check_actors
from gateway.oidc.tokens.token_request import GrantRefused, TokenRequest

GRANT_TYPE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - a type's name
SUBJECT_TOKEN_TYPES = (ACCESS_TOKEN, "urn:ietf:params:oauth:token-type:jwt")
MOST_ACTORS = 4
"""A longer chain is more likely a circle than a service."""
STRENGTH_FOR_SHARING = "AAL2"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shown:
    """The token shown, whose it is, and who it was issued to."""

    token: VerifiedAccessToken
    client: Client
    family: AuthorizationRow
    officer: Account


def exchange_token(request: TokenRequest) -> dict[str, Any]:
    """Issue a token for the same officer to the system that calls on; raises `GrantRefused` (§2.2.2)."""
    for check in CHECKS:
        check(request)
    shown = _shown(request)
    check_may_act(request, shown)
    check_strength(request, shown)
    check_sender(request, shown)
    scope = _scope(request, shown)
    issued = request.issuing.for_actor(
        request.session,
        shown.family,
        shown.officer,
        request.asked(scope=scope, resources=request.chosen_resources(request.client.resources)),
        shown=shown.token,
        actor=_actor(request, shown),
        now=request.now,
    )
    write_tokens(request.session.connection(), (issued.access,))
    details = {
        "scope": scope,
        "audience": list(issued.access.audience),
        "token": issued.access.token_id,
        "through": shown.client.client_id,
        "account": str(shown.officer.account_id),
        "account_kind": str(shown.officer.kind),
        "acr": shown.family.acr,
        "session": str(shown.family.session_id),
        "family": str(shown.family.authorization_id),
    }
    others = (shown.client.member_code,)
    request.record("oidc.tokens.exchanged", DONE, details, account_id=shown.officer.account_id, others=others)
    return {**issued.as_response(), "issued_token_type": ACCESS_TOKEN}


def check_types(request: TokenRequest) -> None:
    """§2.1: an access token for an access token, and nothing else."""
    if request.needed("subject_token_type") not in SUBJECT_TOKEN_TYPES:
        raise GrantRefused("invalid_request", "The only subject_token_type here is that of an access token")
    if request.form.one("requested_token_type") not in {None, ACCESS_TOKEN}:
        raise GrantRefused("invalid_request", "The only requested_token_type here is that of an access token")


def check_no_actor_token(request: TokenRequest) -> None:
    """§2.1: the actor is the client itself, which has proved who it is; it cannot bring another."""
    if request.form.all("actor_token") or request.form.all("actor_token_type"):
        raise GrantRefused("invalid_request", "actor_token is not supported: the actor is the client that asks")


def check_target(request: TokenRequest) -> None:
    """§2.1: the target is named by `resource`, which is one this client is registered for."""
    if request.form.all("audience"):
        raise GrantRefused("invalid_target", "audience is not supported: name the target by resource")
    if not request.resources and len(request.client.resources) != 1:
        raise GrantRefused("invalid_target", "Name the resource this token is for")
    request.chosen_resources(request.client.resources)


CHECKS = (check_types, check_no_actor_token, check_target)


def check_may_act(request: TokenRequest, shown: _Shown) -> None:
    """§1.1 and §4.4: only systems registered to act through the other; never through oneself."""
    if shown.client.client_id not in request.client.oauth.may_act_through:
        raise GrantRefused("invalid_request", "This client may not act through the client of the subject_token")


def check_strength(request: TokenRequest, shown: _Shown) -> None:
    """An officer asks about people only after signing in with two factors, whichever way the token came."""
    sharing = request.issuing.endpoints.sharing in request.chosen_resources(request.client.resources)
    if sharing and not reaches(shown.officer.kind, shown.family.acr, minimum=STRENGTH_FOR_SHARING):
        raise GrantRefused("invalid_target", f"This resource needs a sign-in at {STRENGTH_FOR_SHARING}")


def check_sender(request: TokenRequest, shown: _Shown) -> None:
    """RFC 9700 §2.2.1: what only its sender can use is not turned into what anybody can who finds it."""
    if "cnf" in shown.token.claims and not request.constraint.as_claims():
        raise GrantRefused("invalid_request", "The subject_token is bound to a key: prove one, by DPoP or certificate")


def _shown(request: TokenRequest) -> _Shown:
    try:
        token = request.issuing.access_tokens.find(request.session, request.needed("subject_token"), now=request.now)
        # What was exchanged under a registration that was withdrawn since is no beginning for anything.
        check_actors(request.session, token)
    except TokenRefused as error:
        raise _unusable() from error
    # A token made of one that ends now would have no life; the leeway for others' clocks is not given away.
    if int(token.claims["exp"]) <= int(request.now.timestamp()):
        raise _unusable()
    # The row stays until we are done: a token that is being taken back must not be exchanged at the same time.
    held = select(AccessTokenRow.token_hash).where(AccessTokenRow.token_hash == token.token_hash)
    if request.session.scalar(held.with_for_update(read=True, key_share=True)) is None:
        raise _unusable()
    client = find_client(request.session, str(token.claims["client_id"]))
    family = request.session.get(AuthorizationRow, token.authorization_id) if token.authorization_id else None
    officer = find_account(request.session, family.account_id) if family is not None else None
    # A client's own token has no officer. A citizen is never acted for: they sign in to each service themselves.
    if client is None or family is None or officer is None or officer.kind is not AccountKind.OFFICER:
        raise _unusable()
    return _Shown(token=token, client=client, family=family, officer=officer)


def _scope(request: TokenRequest, shown: _Shown) -> str:
    # Of what the officer granted, what this client is registered for; a scope it names has to be among both.
    granted = [scope for scope in sorted(shown.token.scopes) if scope in request.client.scopes]
    return request.chosen_scope(" ".join(granted))


def _actor(request: TokenRequest, shown: _Shown) -> Mapping[str, Any]:
    before = shown.token.claims.get("act") or {"sub": shown.client.client_id}
    depth, inner = 1, before
    while inner is not None:
        depth, inner = depth + 1, inner.get("act")
    if depth > MOST_ACTORS:
        raise GrantRefused("invalid_request", "Too many systems have acted for this officer, one through another")
    return {"sub": request.client.client_id, "act": before}


def _unusable() -> GrantRefused:
    # §2.2.2: a subject_token that is invalid for any reason; whose it was, or whether it was one, is not told.
    return GrantRefused("invalid_request", "The subject_token cannot be exchanged")
