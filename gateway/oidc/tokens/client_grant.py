"""A token for a client in its own name (RFC 6749 §4.4), for a resource it is registered for."""

from typing import Any

from gateway.oidc.authorization.checks import SCOPES
from gateway.oidc.tokens.token_request import GrantRefused, TokenRequest


def grant_client(request: TokenRequest) -> dict[str, Any]:
    """Issue an access token whose subject is the client itself; raises `GrantRefused`."""
    for check in CHECKS:
        check(request)
    asked = request.asked(
        scope=" ".join(dict.fromkeys((request.form.one("scope") or "").split())),
        resources=request.chosen_resources(request.client.resources),
    )
    issued = request.issuing.for_client(request.session, asked, now=request.now)
    return request.record_issued("oidc.tokens.issued", issued, family=None, account=None)


def check_scope(request: TokenRequest) -> None:
    """RFC 6749 §3.3: scopes it is registered for. Those of OpenID Connect are about people, which no client is."""
    allowed = set(request.client.scopes) - set(SCOPES)
    if not set((request.form.one("scope") or "").split()) <= allowed:
        raise GrantRefused("invalid_scope", "This client is not registered for one of these scopes")


def check_resource_is_clear(request: TokenRequest) -> None:
    """RFC 9068 §3: with one registered resource it need not be named; of several, one has to be."""
    if not request.resources and len(request.client.resources) != 1:
        raise GrantRefused("invalid_target", "Name the resource this token is for")


CHECKS = (check_scope, check_resource_is_clear)
