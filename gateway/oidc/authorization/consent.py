"""What a service will be told, in words for the person it is about. What is told is decided by `tokens.claims`."""

from collections.abc import Mapping

from gateway.identity.sessions import SignedIn
from gateway.oidc.authorization.request import AuthorizationRequest
from gateway.oidc.tokens.claims import claims_for, officer_claims

WITH_OPENID = ("that it is you, by a number that it alone knows you by", "when and how you signed in")
WORDS: Mapping[str, str] = {
    "name": "your name",
    "given_name": "your name",
    "family_name": "your name",
    "birthdate": "your date of birth",
    "email": "your email address",
    "email_verified": "your email address",
    "member": "your organisation and your roles in it",
    "roles": "your organisation and your roles in it",
}


def told(request: AuthorizationRequest, signed_in: SignedIn) -> tuple[str, ...]:
    """Return what the service will be told about this person, each in plain words, nothing twice."""
    account, claims = signed_in.account, request.claims
    opened = [
        name
        for asked in (claims.userinfo, claims.id_token)
        for name in claims_for(account, client=request.client, scopes=request.scopes, asked=asked)
    ]
    lines = [*(WITH_OPENID if "openid" in request.scopes else ()), *(WORDS[name] for name in opened)]
    return tuple(dict.fromkeys((*lines, *(WORDS[name] for name in officer_claims(account)))))


def acts_for_them(request: AuthorizationRequest) -> bool:
    """Tell whether the service could go on to ask others in the person's name."""
    return any(resource != request.asked.endpoints.userinfo for resource in request.resources)
