"""What a relying party asks at the authorization endpoint, checked rule by rule.

Who asks and where to answer come first: until both are known, an error is a page and never a redirect (RFC 6749
§4.1.2.1). Every later failure is told to the relying party. Unknown parameters are ignored, as §3.1 demands.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from gateway.directory.members import Client, find_client
from gateway.identity.accounts import AccountKind
from gateway.identity.assurance import reaches
from gateway.identity.sessions import SignedIn
from gateway.oidc.endpoints import Endpoints
from gateway.oidc.errors import AuthorizationRefused, SignInRequestUnusable
from gateway.oidc.parameters import Parameters

SCOPES = ("openid", "profile", "email", "offline_access")
PROMPTS = ("none", "login")
CODE_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}\Z")
LONGEST_CLIENT_ID = 200
# With its envelope, a request this long still fits into the address of a sign-in page.
LONGEST_VALUE = 2000
JUST_SIGNED_IN = timedelta(minutes=2)
LONGEST_MAX_AGE = timedelta(days=365)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request of a known client that names one of its own redirect URIs; nothing else about it is checked yet."""

    parameters: Parameters
    client: Client
    redirect_uri: str
    endpoints: Endpoints

    @property
    def state(self) -> str | None:
        """What the answer must repeat."""
        return self.parameters.one("state")


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizationRequest:
    """A request that passed every check."""

    asked: Asked
    scopes: tuple[str, ...]
    resources: tuple[str, ...]
    nonce: str | None
    code_challenge: str
    prompts: frozenset[str]
    max_age: timedelta | None

    @property
    def client(self) -> Client:
        """Who asks."""
        return self.asked.client

    @property
    def kinds(self) -> tuple[AccountKind, ...]:
        """Which kinds of account may sign in to this client."""
        return _kinds(self.asked.client)


def find_asker(session: Session, parameters: Parameters, *, endpoints: Endpoints) -> Asked:
    """Find out who asks and where to answer; raises `SignInRequestUnusable`."""
    client_id = parameters.one("client_id")
    if client_id is None:
        raise SignInRequestUnusable("The request must name one client_id")
    client = find_client(session, client_id) if len(client_id) <= LONGEST_CLIENT_ID else None
    if client is None:
        raise SignInRequestUnusable("The client_id is not known here")
    redirect_uri = parameters.one("redirect_uri")
    if redirect_uri is None:
        raise SignInRequestUnusable("The request must name one redirect_uri")
    # RFC 9700 §2.1: redirect URIs are compared character by character; no prefix, port or path is forgiven.
    if redirect_uri not in client.redirect_uris:
        raise SignInRequestUnusable("The redirect_uri is not registered for this client")
    return Asked(parameters=parameters, client=client, redirect_uri=redirect_uri, endpoints=endpoints)


def check_authorization(asked: Asked) -> AuthorizationRequest:
    """Apply every check in order; raises `AuthorizationRefused` with the first that fails."""
    for check in CHECKS:
        check(asked)
    max_age = asked.parameters.one("max_age")
    return AuthorizationRequest(
        asked=asked,
        scopes=_granted_scopes(asked),
        resources=asked.parameters.all("resource") or (asked.endpoints.userinfo,),
        nonce=asked.parameters.one("nonce"),
        code_challenge=asked.parameters.one("code_challenge") or "",
        prompts=frozenset((asked.parameters.one("prompt") or "").split()),
        max_age=None if max_age is None else min(timedelta(seconds=int(max_age)), LONGEST_MAX_AGE),
    )


def check_nothing_repeated(asked: Asked) -> None:
    """RFC 6749 §3.1: no parameter more than once; only `resource` may be (RFC 8707 §2)."""
    if asked.parameters.repeated:
        raise AuthorizationRefused("invalid_request", "A parameter is repeated")


def check_lengths(asked: Asked) -> None:
    """No section: what we keep or repeat has a length. `state` is echoed in an address, `nonce` is kept."""
    if sum(len(asked.parameters.one(name) or "") for name in ("state", "nonce")) > LONGEST_VALUE:
        raise AuthorizationRefused("invalid_request", "state and nonce are too long")


def check_no_request_object(asked: Asked) -> None:
    """OIDC Core §6.1, §6.2 and §7.2.1: a request object is refused by name rather than ignored."""
    for name in ("request", "request_uri", "registration"):
        if asked.parameters.all(name):
            raise AuthorizationRefused(f"{name}_not_supported", f"The parameter {name} is not supported")


def check_response_type(asked: Asked) -> None:
    """RFC 9700 §2.1.2: the code flow alone; no token in an address."""
    given = asked.parameters.one("response_type")
    if given is None:
        raise AuthorizationRefused("invalid_request", "response_type is missing")
    if given != "code":
        raise AuthorizationRefused("unsupported_response_type", "The only response_type here is code")


def check_response_mode(asked: Asked) -> None:
    """OAuth 2.0 Multiple Response Types §2.1: the query is where a code travels."""
    if asked.parameters.one("response_mode") not in {None, "query"}:
        raise AuthorizationRefused("invalid_request", "The only response_mode here is query")


def check_client_may(asked: Asked) -> None:
    """RFC 6749 §4.1.2.1: the client is registered for this grant, and for some kind of account."""
    if "authorization_code" not in asked.client.grant_types or not _kinds(asked.client):
        raise AuthorizationRefused("unauthorized_client", "This client is not registered to sign people in")


def check_scope(asked: Asked) -> None:
    """OIDC Core §3.1.2.1: `openid` is there, and each standard scope is one this client is registered for."""
    scopes = (asked.parameters.one("scope") or "").split()
    if "openid" not in scopes:
        raise AuthorizationRefused("invalid_scope", "scope must hold openid")
    if any(scope in SCOPES and scope not in asked.client.scopes for scope in scopes):
        raise AuthorizationRefused("invalid_scope", "This client is not registered for one of these scopes")


def check_code_challenge(asked: Asked) -> None:
    """RFC 7636 §4.4.1 and RFC 9700 §2.1.1: every code is bound to a verifier."""
    challenge = asked.parameters.one("code_challenge")
    if challenge is None:
        raise AuthorizationRefused("invalid_request", "code_challenge is missing: PKCE is required")
    # RFC 7636 §4.2: an S256 challenge is 32 bytes in base64url, thus 43 characters.
    if not CODE_CHALLENGE.match(challenge):
        raise AuthorizationRefused("invalid_request", "code_challenge is not a SHA-256 in base64url")


def check_code_challenge_method(asked: Asked) -> None:
    """RFC 9700 §2.1.1: `plain` protects nothing once the request is seen; omitted would mean plain (RFC 7636 §4.3)."""
    if asked.parameters.one("code_challenge_method") != "S256":
        raise AuthorizationRefused("invalid_request", "The only code_challenge_method here is S256")


def check_prompt(asked: Asked) -> None:
    """OIDC Core §3.1.2.1: `none` stands alone; what we cannot do is said in its own errors (§3.1.2.6)."""
    prompts = (asked.parameters.one("prompt") or "").split()
    if "none" in prompts and len(prompts) > 1:
        raise AuthorizationRefused("invalid_request", "prompt none stands alone")
    if "consent" in prompts:
        raise AuthorizationRefused("consent_required", "No consent is asked for here")
    if "select_account" in prompts:
        raise AuthorizationRefused("account_selection_required", "A browser has one account here")
    if any(prompt not in PROMPTS for prompt in prompts):
        raise AuthorizationRefused("invalid_request", "This prompt is not known here")


def check_max_age(asked: Asked) -> None:
    """OIDC Core §3.1.2.1: `max_age` is a number of seconds."""
    given = asked.parameters.one("max_age")
    if given is not None and not re.fullmatch(r"[0-9]{1,9}", given):
        raise AuthorizationRefused("invalid_request", "max_age is not a number of seconds")


def check_resources(asked: Asked) -> None:
    """RFC 8707 §2: every resource is one for which this client is registered. Userinfo goes with `openid`."""
    allowed = {*asked.client.resources, asked.endpoints.userinfo}
    if any(resource not in allowed for resource in asked.parameters.all("resource")):
        raise AuthorizationRefused("invalid_target", "This client is not registered for one of these resources")


CHECKS = (
    check_nothing_repeated,
    check_lengths,
    check_no_request_object,
    check_response_type,
    check_response_mode,
    check_client_may,
    check_scope,
    check_code_challenge,
    check_code_challenge_method,
    check_prompt,
    check_max_age,
    check_resources,
)


def needs_sign_in(
    request: AuthorizationRequest, signed_in: SignedIn | None, *, started_at: datetime, now: datetime
) -> bool:
    """Tell whether somebody has to sign in before this request can be answered.

    `started_at` is when the request first arrived: a sign-in since then satisfies `prompt=login` and any `max_age`, for
    as long as it takes to come back from it. The address to come back to can be kept, and must not be a way round them.
    """
    if signed_in is None or signed_in.account.kind not in request.kinds:
        return True
    if signed_in.auth_time >= started_at and now - signed_in.auth_time <= JUST_SIGNED_IN:
        return False
    # OIDC Core §3.1.2.1: login asks again whoever is signed in; max_age asks again whoever signed in too long ago.
    too_old = request.max_age is not None and now - signed_in.auth_time > request.max_age
    return "login" in request.prompts or too_old


def check_person(request: AuthorizationRequest, signed_in: SignedIn) -> None:
    """Apply every check of the person to the request; raises `AuthorizationRefused`."""
    for check in PERSON_CHECKS:
        check(request, signed_in)


def check_kind(request: AuthorizationRequest, signed_in: SignedIn) -> None:
    """design: a client takes only the kinds of account it is registered for."""
    if signed_in.account.kind not in request.kinds:
        raise AuthorizationRefused("access_denied", "This client does not take this kind of account")


def check_sharing_is_for_officers(request: AuthorizationRequest, signed_in: SignedIn) -> None:
    """The sharing API is asked by officers or by systems, never in a citizen's name."""
    if _asks_to_share(request) and signed_in.account.kind is not AccountKind.OFFICER:
        raise AuthorizationRefused("access_denied", "Only officers may have a token for this resource")


def check_sharing_strength(request: AuthorizationRequest, signed_in: SignedIn) -> None:
    """An officer asks about people only after signing in with two factors (AAL2)."""
    if _asks_to_share(request) and not reaches(signed_in.account.kind, signed_in.acr, minimum="AAL2"):
        raise AuthorizationRefused("unmet_authentication_requirements", "This resource needs a sign-in at AAL2")


PERSON_CHECKS = (check_kind, check_sharing_is_for_officers, check_sharing_strength)


def _asks_to_share(request: AuthorizationRequest) -> bool:
    return request.asked.endpoints.sharing in request.resources


def _kinds(client: Client) -> tuple[AccountKind, ...]:
    return tuple(AccountKind(kind) for kind in client.account_kinds if kind in set(AccountKind))


def _granted_scopes(asked: Asked) -> tuple[str, ...]:
    # OIDC Core §3.1.2.1: scopes nobody knows here are ignored; the answer says what was granted.
    wanted = dict.fromkeys((asked.parameters.one("scope") or "").split())
    return tuple(scope for scope in wanted if scope in asked.client.scopes)
