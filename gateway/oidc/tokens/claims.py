"""Claims about a person (OIDC Core §5): which we hold, which scope each belongs to, and which a client is told.

Deny by default: a claim is told only to a client that is registered for the scope it belongs to, whether the client
asks for it by that scope or by name. What we do not hold is left out, essential or not (§5.5.1: that is no error).
"""

from collections.abc import Collection, Mapping
from typing import Any

from gateway.directory.members import Client
from gateway.identity.accounts import Account, AccountKind
from gateway.oidc.claims_request import ClaimAsked

CLAIMS_OF_SCOPE: Mapping[str, tuple[str, ...]] = {
    "profile": ("name", "given_name", "family_name", "birthdate"),
    "email": ("email", "email_verified"),
}
"""OIDC Core §5.4, as far as we hold it. Of `address` and `phone` we hold nothing."""
OFFICER_CLAIMS = ("member", "roles")


def claims_for(
    account: Account, *, client: Client, scopes: Collection[str], asked: Mapping[str, ClaimAsked]
) -> dict[str, Any]:
    """Return the claims that these scopes, and single claims asked for by name, open to this client."""
    registered = [scope for scope in CLAIMS_OF_SCOPE if scope in client.scopes]
    opened = {name for scope in registered if scope in scopes for name in CLAIMS_OF_SCOPE[scope]}
    allowed = {name for scope in registered for name in CLAIMS_OF_SCOPE[scope]}
    held = _held(account)
    wanted = {name for name, claim in asked.items() if name in allowed and _fits(held.get(name), claim)}
    return {name: value for name, value in held.items() if name in opened | wanted}


def officer_claims(account: Account) -> dict[str, Any]:
    """Return whom an officer works for, and in which roles: part of every token about one. Nothing for a citizen."""
    if account.kind is not AccountKind.OFFICER:
        return {}
    return {"member": account.member_code, "roles": list(account.roles)}


def _held(account: Account) -> dict[str, Any]:
    held = {
        "name": account.name,
        "given_name": account.given_name,
        "family_name": account.family_name,
        "birthdate": account.birthdate.isoformat() if account.birthdate is not None else None,
        "email": account.email,
        "email_verified": account.email_verified,
    }
    return {name: value for name, value in held.items() if value is not None}


def _fits(value: Any, claim: ClaimAsked) -> bool:
    # §5.5.1: a claim asked for with certain values is told when it has one of them.
    return not claim.values or value in claim.values
