"""What a relying party asks at the authorization endpoint, checked rule by rule.

Whoever is checked is known already (`request.find_asker`), so every failure is told to the relying party. The checks
look at nothing but the request and its client: a request that is pushed (RFC 9126) is held to the same ones. Unknown
parameters are ignored, as RFC 6749 §3.1 demands, and so are `display`, `ui_locales` and `claims_locales`: their
wishes are of no consequence here, which OIDC Core §3.1.2.1 allows.
"""

import re
from datetime import timedelta

from gateway.oidc.authorization.fapi import check_fapi
from gateway.oidc.authorization.request import Asked, AuthorizationRequest
from gateway.oidc.authorization.response_modes import MODES, SIGNED_MODES
from gateway.oidc.claims_request import parse_claims_request
from gateway.oidc.errors import AuthorizationRefused

SCOPES = ("openid", "profile", "email", "offline_access")
PROMPTS = ("none", "login", "consent", "select_account")
# RFC 7636 §4.2 and RFC 7638 §3: a SHA-256 in base64url is 43 characters.
SHA256 = re.compile(r"[A-Za-z0-9_-]{43}\Z")
# RFC 6749 §3.3: what a scope may be made of.
SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+(?: +[\x21\x23-\x5b\x5d-\x7e]+)*\Z")
# state is repeated in an address, nonce is kept.
LONGEST_VALUE = 2000
LONGEST_MAX_AGE = timedelta(days=365)


def check_authorization(asked: Asked) -> AuthorizationRequest:
    """Apply every check in order; raises `AuthorizationRefused` with the first that fails."""
    for check in CHECKS:
        check(asked)
    one, registered = asked.parameters.one, asked.client.oauth
    max_age = registered.default_max_age if one("max_age") is None else int(one("max_age") or 0)
    acr_values = one("acr_values")
    return AuthorizationRequest(
        asked=asked,
        scopes=_granted_scopes(asked),
        resources=_resources(asked),
        nonce=one("nonce"),
        code_challenge=one("code_challenge"),
        dpop_jkt=one("dpop_jkt"),
        prompts=frozenset((one("prompt") or "").split()),
        max_age=None if max_age is None else min(timedelta(seconds=max_age), LONGEST_MAX_AGE),
        acr_values=registered.default_acr_values if acr_values is None else tuple(acr_values.split()),
        claims=parse_claims_request(one("claims")),
        login_hint=one("login_hint"),
    )


def check_nothing_repeated(asked: Asked) -> None:
    """RFC 6749 §3.1: no parameter more than once; only `resource` may be (RFC 8707 §2)."""
    if asked.parameters.repeated:
        raise AuthorizationRefused("invalid_request", "A parameter is repeated")


def check_lengths(asked: Asked) -> None:
    """No section: what we keep or repeat has a length."""
    if sum(len(asked.parameters.one(name) or "") for name in ("state", "nonce")) > LONGEST_VALUE:
        raise AuthorizationRefused("invalid_request", "state and nonce are too long")


def check_what_it_brings(asked: Asked) -> None:
    """RFC 9101 §7: a request object that does not hold; what came beside it does not stand in for it (§6.3)."""
    if asked.effective.problem is not None:
        raise asked.effective.problem


def check_no_registration(asked: Asked) -> None:
    """OIDC Core §7.2.1: a registration in the request is refused by name rather than ignored."""
    if asked.parameters.all("registration"):
        raise AuthorizationRefused("registration_not_supported", "The parameter registration is not supported")


def check_pushed(asked: Asked) -> None:
    """RFC 9126 §6: a client that is registered to push its requests pushes every one."""
    if asked.client.oauth.require_pushed_authorization_requests and asked.effective.pushed is None:
        raise AuthorizationRefused("invalid_request", "This client pushes its requests (RFC 9126)")


def check_signed(asked: Asked) -> None:
    """RFC 9101 §10.5: a client that is registered to sign its requests signs every one."""
    if asked.client.oauth.require_signed_request_object and not asked.effective.signed:
        raise AuthorizationRefused("invalid_request", "This client signs its requests (RFC 9101)")


def check_response_mode(asked: Asked) -> None:
    """Multiple Response Types §2.1: an answer travels by a mode that we know; this error by the default one."""
    if asked.parameters.one("response_mode") not in {None, *MODES, *SIGNED_MODES}:
        raise AuthorizationRefused("invalid_request", "This response_mode is not supported")


def check_response_type(asked: Asked) -> None:
    """RFC 9700 §2.1.2: the code flow alone; no token in an address."""
    given = asked.parameters.one("response_type")
    if given is None:
        raise AuthorizationRefused("invalid_request", "response_type is missing")
    if given != "code":
        raise AuthorizationRefused("unsupported_response_type", "The only response_type here is code")


def check_client_may(asked: Asked) -> None:
    """RFC 6749 §4.1.2.1: the client is registered for this grant, and for some kind of account."""
    if "authorization_code" not in asked.client.grant_types or not asked.kinds:
        raise AuthorizationRefused("unauthorized_client", "This client is not registered to sign people in")


def check_scope(asked: Asked) -> None:
    """RFC 6749 §3.3: well formed, and each scope that means something here is one this client is registered for."""
    scope = asked.parameters.one("scope")
    if scope is not None and not SCOPE.match(scope):
        raise AuthorizationRefused("invalid_scope", "scope is not a list of names parted by spaces")
    if any(name in SCOPES and name not in asked.client.scopes for name in _scopes(asked)):
        raise AuthorizationRefused("invalid_scope", "This client is not registered for one of these scopes")


def check_something_is_asked(asked: Asked) -> None:
    """OIDC Core §3.1.2.1: without `openid` this is plain OAuth 2.0, which is about a resource and tells nobody who."""
    if "openid" not in _scopes(asked) and not asked.client.resources:
        raise AuthorizationRefused("invalid_scope", "scope must hold openid: this client has no resource to ask for")


def check_code_challenge(asked: Asked) -> None:
    """RFC 7636 §4.4.1 and RFC 9700 §2.1.1: every code is bound to a verifier, or by name of the client to a nonce."""
    challenge = asked.parameters.one("code_challenge")
    if challenge is None and not asked.client.oauth.pkce_exempt:
        raise AuthorizationRefused("invalid_request", "code_challenge is missing: PKCE is required")
    if challenge is not None and not SHA256.match(challenge):
        raise AuthorizationRefused("invalid_request", "code_challenge is not a SHA-256 in base64url")


def check_code_challenge_method(asked: Asked) -> None:
    """RFC 9700 §2.1.1: `plain` protects nothing once the request is seen; omitted would mean plain (RFC 7636 §4.3)."""
    challenge, method = asked.parameters.one("code_challenge"), asked.parameters.one("code_challenge_method")
    if challenge is not None and method != "S256":
        raise AuthorizationRefused("invalid_request", "The only code_challenge_method here is S256")


def check_code_challenge_given(asked: Asked) -> None:
    """RFC 7636 §4.3: a method without a challenge is a request that lost its protection on the way."""
    if asked.parameters.one("code_challenge_method") is not None and asked.parameters.one("code_challenge") is None:
        raise AuthorizationRefused("invalid_request", "code_challenge is missing: its method was sent")


def check_nonce_without_pkce(asked: Asked) -> None:
    """RFC 9700 §2.1.1: without PKCE a confidential client protects its code by the `nonce` of an ID token."""
    if asked.parameters.one("code_challenge") is not None:
        return
    if asked.parameters.one("nonce") is None or "openid" not in _scopes(asked):
        raise AuthorizationRefused("invalid_request", "Without PKCE, a nonce and the scope openid are required")


def check_dpop_jkt(asked: Asked) -> None:
    """RFC 9449 §10: `dpop_jkt` is the SHA-256 thumbprint of a key (RFC 7638)."""
    thumbprint = asked.parameters.one("dpop_jkt")
    if thumbprint is not None and not SHA256.match(thumbprint):
        raise AuthorizationRefused("invalid_request", "dpop_jkt is not a SHA-256 thumbprint in base64url")


def check_prompt(asked: Asked) -> None:
    """OIDC Core §3.1.2.1: `none` stands alone; a prompt that is not known is refused."""
    prompts = (asked.parameters.one("prompt") or "").split()
    if "none" in prompts and len(set(prompts)) > 1:
        raise AuthorizationRefused("invalid_request", "prompt none stands alone")
    if any(prompt not in PROMPTS for prompt in prompts):
        raise AuthorizationRefused("invalid_request", "This prompt is not known here")


def check_max_age(asked: Asked) -> None:
    """OIDC Core §3.1.2.1: `max_age` is a number of seconds."""
    given = asked.parameters.one("max_age")
    if given is not None and not re.fullmatch(r"[0-9]{1,9}", given):
        raise AuthorizationRefused("invalid_request", "max_age is not a number of seconds")


def check_claims(asked: Asked) -> None:
    """OIDC Core §5.5: `claims` can be read. Claims nobody knows here are ignored."""
    parse_claims_request(asked.parameters.one("claims"))


def check_resources(asked: Asked) -> None:
    """RFC 8707 §2: every resource is one for which this client is registered. Userinfo goes with `openid`."""
    openid = "openid" in _scopes(asked)
    allowed = {*asked.client.resources, *([asked.endpoints.userinfo] if openid else [])}
    named = asked.parameters.all("resource")
    if any(resource not in allowed for resource in named):
        raise AuthorizationRefused("invalid_target", "This client is not registered for one of these resources")
    if not openid and not named and len(asked.client.resources) != 1:
        raise AuthorizationRefused("invalid_target", "Name the resource that is asked for")


CHECKS = (
    check_nothing_repeated,
    check_lengths,
    check_what_it_brings,
    check_no_registration,
    check_pushed,
    check_signed,
    check_fapi,
    check_response_mode,
    check_response_type,
    check_client_may,
    check_scope,
    check_something_is_asked,
    check_code_challenge_given,
    check_code_challenge,
    check_code_challenge_method,
    check_nonce_without_pkce,
    check_dpop_jkt,
    check_prompt,
    check_max_age,
    check_claims,
    check_resources,
)


def _scopes(asked: Asked) -> tuple[str, ...]:
    return tuple(dict.fromkeys((asked.parameters.one("scope") or "").split()))


def _granted_scopes(asked: Asked) -> tuple[str, ...]:
    # OIDC Core §3.1.2.1: scopes nobody knows here are ignored; the answer says what was granted.
    return tuple(scope for scope in _scopes(asked) if scope in asked.client.scopes)


def _resources(asked: Asked) -> tuple[str, ...]:
    named = asked.parameters.all("resource")
    default = (asked.endpoints.userinfo,) if "openid" in _scopes(asked) else asked.client.resources
    return tuple(dict.fromkeys(named)) or default
