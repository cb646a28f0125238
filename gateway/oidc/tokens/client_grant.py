"""A token for a client in its own name (RFC 6749 §4.4), for a resource it is registered for."""

from typing import Any

from sqlalchemy.orm import Session

from gateway.oidc.authorization.checks import SCOPES
from gateway.oidc.tokens.access_tokens import write_tokens
from gateway.oidc.tokens.issuing import IssuedTokens
from gateway.oidc.tokens.together import Grant
from gateway.oidc.tokens.token_request import GrantAsked, GrantRefused, TokenRequest

ISSUED = "oidc.tokens.issued"


def grant_client(request: TokenRequest) -> dict[str, Any]:
    """Issue an access token whose subject is the client itself; raises `GrantRefused`."""
    issued = _issued(request)
    write_tokens(request.session.connection(), (issued.access,))
    return request.record_issued(ISSUED, issued, family=None, account=None)


def prepared_grant(asked: GrantAsked, _session: Session) -> Grant:
    """Make the token without writing; raises `GrantRefused`."""
    issued = _issued(asked)
    entry = asked.audit.prepared(asked.issued_event(ISSUED, issued), at=asked.now)
    return Grant(client=asked.client, issued=issued, entry=entry)


def _issued(asked: GrantAsked) -> IssuedTokens:
    for check in CHECKS:
        check(asked)
    scope = " ".join(dict.fromkeys((asked.form.one("scope") or "").split()))
    resources = asked.chosen_resources(asked.client.resources)
    return asked.issuing.for_client(asked.asked(scope=scope, resources=resources), now=asked.now)


def check_scope(asked: GrantAsked) -> None:
    """RFC 6749 §3.3: scopes it is registered for. Those of OpenID Connect are about people, which no client is."""
    allowed = set(asked.client.scopes) - set(SCOPES)
    if not set((asked.form.one("scope") or "").split()) <= allowed:
        raise GrantRefused("invalid_scope", "This client is not registered for one of these scopes")


def check_resource_is_clear(asked: GrantAsked) -> None:
    """RFC 9068 §3: with one registered resource it need not be named; of several, one has to be."""
    if not asked.resources and len(asked.client.resources) != 1:
        raise GrantRefused("invalid_target", "Name the resource this token is for")


CHECKS = (check_scope, check_resource_is_clear)
