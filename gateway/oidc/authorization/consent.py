"""What a service will be told, in words for the person it is about."""

from collections.abc import Mapping

from gateway.identity.accounts import AccountKind
from gateway.identity.sessions import SignedIn
from gateway.oidc.authorization.request import AuthorizationRequest

ALWAYS = ("that it is you, by a number that it alone knows you by", "when and how you signed in")
BY_SCOPE: Mapping[str, tuple[str, ...]] = {
    "profile": ("your name", "your date of birth"),
    "email": ("your email address",),
}
BY_CLAIM: Mapping[str, str] = {
    "name": "your name",
    "given_name": "your name",
    "family_name": "your name",
    "birthdate": "your date of birth",
    "email": "your email address",
    "email_verified": "your email address",
}
OF_AN_OFFICER = "your organisation and your roles in it"


def told(request: AuthorizationRequest, signed_in: SignedIn) -> tuple[str, ...]:
    """Return what the service will be told about this person, each in plain words, nothing twice."""
    account = signed_in.account
    lines = list(ALWAYS)
    for scope in request.scopes:
        lines += BY_SCOPE.get(scope, ())
    lines += [
        BY_CLAIM[name]
        for place in (request.claims.userinfo, request.claims.id_token)
        for name in place
        if name in BY_CLAIM
    ]
    if account.kind is AccountKind.OFFICER:
        lines.append(OF_AN_OFFICER)
    if account.birthdate is None:
        lines = [line for line in lines if line != BY_CLAIM["birthdate"]]
    return tuple(dict.fromkeys(lines))
