"""The doors of the OpenID Provider for clients: authorization, tokens, claims, what the provider says of itself.

Errors at these doors have OAuth's form (RFC 6749 §5.2, RFC 6750 §3) and not that of problem documents.
"""

from collections.abc import Mapping, Sequence

from gateway.identity.assurance import LEVELS
from gateway.oidc.authorization.checks import PROMPTS, SCOPES
from gateway.oidc.authorization.response_modes import MODES, SIGNED_MODES
from gateway.oidc.clients.assertion import ASSERTION_TYPE
from gateway.oidc.clients.authentication import BY_ASSERTION
from gateway.oidc.endpoints import Endpoints
from gateway.oidc.errors import ScopeMissing, TokenRefused
from gateway.oidc.metadata import metadata
from gateway.oidc.possession import NonceNeeded, ProofRefused
from gateway.oidc.tokens.endpoint import GRANT_TYPES
from gateway.oidc.tokens.introspection import SIGNED as SIGNED_INTROSPECTION
from gateway.openapi.components import (
    ADDRESS,
    BOUND_OR_BEARER,
    CLIENT_AUTHENTICATION,
    COMPACT_JWS,
    INSTANT,
)
from gateway.openapi.elements import (
    FORM,
    JSON,
    Json,
    answer,
    body_of,
    operation,
    or_page,
    page,
    parameter,
    plain_problem,
    redirect,
    ref,
)

NO_STORE = ("Cache-Control",)
JWKS = "application/jwk-set+json"
JWT = "application/jwt"
TEXT: Json = {"type": "string"}
TOO_LARGE: Mapping[int, Json] = or_page({413: plain_problem("The form is larger than 64 KiB")})
LEVEL_NAMES = [level for levels in LEVELS.values() for level in levels]

REQUEST: Mapping[str, tuple[Json, str]] = {
    "client_id": (TEXT, "The client that asks"),
    "response_type": ({"enum": ["code"]}, "The code flow alone"),
    "redirect_uri": (ADDRESS, "A registered one, compared exactly"),
    "scope": (TEXT, f"Of {', '.join(SCOPES)}, separated by spaces"),
    "state": (TEXT, "Comes back as it was sent"),
    "nonce": (TEXT, "Stands in the ID token"),
    "code_challenge": (TEXT, "RFC 7636: the SHA-256 of the verifier"),
    "code_challenge_method": ({"enum": ["S256"]}, "No other is accepted"),
    "resource": (ADDRESS, "RFC 8707: for what the access token is; may be repeated"),
    "response_mode": ({"enum": [*MODES, *SIGNED_MODES]}, "How the answer comes back"),
    "prompt": (TEXT, f"Of {', '.join(PROMPTS)}, separated by spaces"),
    "max_age": ({"type": "integer", "minimum": 0}, "Seconds since the person last proved who they are"),
    "acr_values": (TEXT, f"Levels that would be welcome, best first: {', '.join(LEVEL_NAMES)}"),
    "claims": (TEXT, "OIDC Core §5.5, as JSON"),
    "id_token_hint": (TEXT, "Answered for that person alone"),
    "login_hint": (TEXT, "Fills in the e-mail address"),
    "dpop_jkt": (TEXT, "RFC 9449 §10: binds the code to a key"),
    "request": (COMPACT_JWS, "RFC 9101: the other parameters, signed"),
    "request_uri": (TEXT, "RFC 9126: what was pushed; no other is accepted"),
}
AUTHENTICATION: Json = {
    "client_id": TEXT,
    "client_assertion_type": {"enum": [ASSERTION_TYPE]},
    "client_assertion": {**COMPACT_JWS, "description": f"RFC 7523 (`{BY_ASSERTION}`)"},
    "client_secret": {"type": "string", "format": "password", "description": "Where one was made for the client"},
}
PROOF = parameter("DPoP", "header", TEXT, "A proof (RFC 9449): what is issued is bound to its key", required=False)


def sign_in_doors(endpoints: Endpoints) -> Json:
    """Describe the endpoints that the provider's metadata names, but for registration and sign-out."""
    return {
        **_documents(endpoints),
        "/authorize": {
            "get": operation(
                "authorize",
                "Sign a person in for a client",
                tag="Signing in",
                text="For browsers. Errors travel to the redirect URI as the code would have; where that is not known, "
                "they are a page.",
                parameters=[
                    parameter(name, "query", schema, text, required=name == "client_id")
                    for name, (schema, text) in REQUEST.items()
                ],
                answers=_TO_THE_CLIENT,
            ),
            "post": operation(
                "authorizeByForm",
                "Sign a person in for a client; the request is a form",
                tag="Signing in",
                body=_form({name: schema for name, (schema, _) in REQUEST.items()}, needed=["client_id"]),
                answers={**_TO_THE_CLIENT, **TOO_LARGE},
            ),
        },
        "/par": {
            "post": operation(
                "push",
                "Push an authorization request (RFC 9126)",
                tag="Signing in",
                parameters=(PROOF,),
                body=_form(
                    {name: schema for name, (schema, _) in REQUEST.items() if name != "request_uri"} | AUTHENTICATION
                ),
                security=CLIENT_AUTHENTICATION,
                answers=_oauth(
                    {201: answer("Pushed: for one browser, within 90 seconds", {JSON: _PUSHED}, headers=NO_STORE)}
                ),
            )
        },
        "/token": {"post": _token()},
        "/userinfo": {
            "get": operation(
                "userinfo", "Claims about a person", tag="Tokens", security=BOUND_OR_BEARER, answers=_CLAIMS
            ),
            "post": operation(
                "userinfoByForm",
                "Claims about a person; the token may stand in the form",
                tag="Tokens",
                body=_form({"access_token": TEXT}) | {"required": False},
                security=(*BOUND_OR_BEARER, {}),
                answers={**_CLAIMS, **TOO_LARGE},
            ),
        },
        "/introspect": {
            "post": operation(
                "introspect",
                "Ask what a token is worth (RFC 7662)",
                tag="Tokens",
                body=_form({"token": TEXT, "token_type_hint": TEXT, **AUTHENTICATION}, needed=["token"]),
                security=CLIENT_AUTHENTICATION,
                answers=_oauth(
                    {
                        200: answer(
                            "What it is worth; as a JWT where that is accepted (RFC 9701)",
                            {JSON: _INTROSPECTED, SIGNED_INTROSPECTION: COMPACT_JWS},
                            headers=NO_STORE,
                        )
                    }
                ),
            )
        },
        "/revoke": {
            "post": operation(
                "revoke",
                "Give a token back (RFC 7009)",
                tag="Tokens",
                body=_form({"token": TEXT, "token_type_hint": TEXT, **AUTHENTICATION}, needed=["token"]),
                security=CLIENT_AUTHENTICATION,
                answers=_oauth({200: page("Whatever became of it; the body is empty", headers=NO_STORE)}),
            )
        },
    }


def _documents(endpoints: Endpoints) -> Json:
    told = metadata(endpoints, authentication_methods=(), certificates=False)
    provider: Json = {
        "type": "object",
        "description": "OIDC Discovery 1.0 §3, RFC 8414 §2",
        "required": sorted(told),
        "properties": {name: ADDRESS for name in told if name.endswith(("_endpoint", "_uri")) or name == "issuer"},
    }
    published = answer("Kept for 300 seconds at most", {JSON: provider}, headers=NO_STORE)
    return {
        "/.well-known/openid-configuration": {
            "get": operation(
                "openidConfiguration", "The OpenID Provider's metadata", tag="Documents", answers={200: published}
            )
        },
        "/.well-known/oauth-authorization-server": {
            "get": operation(
                "oauthMetadata",
                "The same document, where OAuth looks for it",
                tag="Documents",
                answers={200: published},
            )
        },
        "/.well-known/jwks.json": {
            "get": operation(
                "providerKeys",
                "Keys of ID tokens and access tokens",
                tag="Documents",
                answers={
                    200: answer("Kept for 300 seconds at most", {JWKS: ref("schemas", "JwkSet")}, headers=NO_STORE)
                },
            )
        },
    }


def _token() -> Json:
    grant: Json = {
        "grant_type": {"enum": list(GRANT_TYPES)},
        "code": TEXT,
        "redirect_uri": ADDRESS,
        "code_verifier": TEXT,
        "refresh_token": TEXT,
        "scope": TEXT,
        "resource": ADDRESS,
        "subject_token": TEXT,
        "subject_token_type": TEXT,
    }
    return operation(
        "token",
        "Get tokens",
        tag="Tokens",
        text="Which parameters a grant takes: section 2 of the wire protocol.",
        parameters=(PROOF,),
        body=_form({**grant, **AUTHENTICATION}, needed=["grant_type"]),
        security=CLIENT_AUTHENTICATION,
        answers=_oauth({200: answer("Tokens", {JSON: _TOKENS}, headers=NO_STORE)}),
    )


def oauth_error(text: str, codes: Sequence[str] = (), *, headers: Sequence[str] = ()) -> Json:
    """Describe an error as OAuth writes it."""
    schema: Json = {
        "type": "object",
        "required": ["error"],
        "properties": {"error": {"enum": list(codes)} if codes else TEXT, "error_description": TEXT},
    }
    return answer(text, {JSON: schema}, headers=headers)


def _oauth(good: Mapping[int, Json]) -> dict[int, Json]:
    return {
        **good,
        400: oauth_error("The request, or what it shows, is not in order", _REFUSALS, headers=NO_STORE),
        401: oauth_error(
            "The client was not authenticated; never why", ["invalid_client"], headers=(*NO_STORE, "WWW-Authenticate")
        ),
        503: oauth_error(
            "Try again; nothing was issued", ["temporarily_unavailable"], headers=(*NO_STORE, "Retry-After")
        ),
        **TOO_LARGE,
    }


def _form(properties: Mapping[str, Json], *, needed: Sequence[str] = ()) -> Json:
    schema: Json = {"type": "object", "properties": dict(properties)}
    if needed:
        schema["required"] = list(needed)
    return body_of(FORM, schema)


_REFUSALS = (
    *("invalid_request", "invalid_grant", "invalid_scope", "invalid_target", "invalid_request_object"),
    *("unauthorized_client", "unsupported_grant_type", "unsupported_response_type", "access_denied"),
    *("request_uri_not_supported", "registration_not_supported", "unmet_authentication_requirements"),
    *(ProofRefused.code, NonceNeeded.code),
)
_TO_THE_CLIENT: Mapping[int, Json] = {
    200: page("A form that posts the answer to the client (`form_post`)"),
    303: redirect("To the client with the answer, or to a page of the sign-in"),
    400: page("The request of nobody we know; no redirect"),
}
_PUSHED: Json = {
    "type": "object",
    "required": ["request_uri", "expires_in"],
    "properties": {"request_uri": TEXT, "expires_in": {"type": "integer"}},
}
_TOKENS: Json = {
    "type": "object",
    "required": ["access_token", "token_type", "expires_in"],
    "properties": {
        "access_token": TEXT,
        "token_type": {"enum": ["Bearer", "DPoP"]},
        "expires_in": {"type": "integer", "minimum": 1},
        "scope": TEXT,
        "id_token": COMPACT_JWS,
        "refresh_token": TEXT,
        "issued_token_type": TEXT,
    },
}
_INTROSPECTED: Json = {
    "type": "object",
    "required": ["active"],
    "properties": {
        "active": {"type": "boolean"},
        "iss": ADDRESS,
        "sub": TEXT,
        "client_id": TEXT,
        "scope": TEXT,
        "aud": {"type": ["string", "array"]},
        "iat": INSTANT,
        "exp": INSTANT,
        "acr": {"enum": LEVEL_NAMES},
        "auth_time": INSTANT,
        "token_type": TEXT,
        "cnf": {"type": "object"},
        "act": {"type": "object"},
    },
}
_CLAIMS: Mapping[int, Json] = {
    200: answer(
        "The claims; as a JWT for a client that registered for that",
        {JSON: {"type": "object", "required": ["sub"], "properties": {"sub": TEXT}}, JWT: COMPACT_JWS},
        headers=NO_STORE,
    ),
    400: oauth_error(
        "The token was shown in two places, or the form is none", ["invalid_request"], headers=("WWW-Authenticate",)
    ),
    401: oauth_error(
        "No token, or one that opens nothing here",
        [TokenRefused.code, ProofRefused.code, NonceNeeded.code],
        headers=("WWW-Authenticate", "DPoP-Nonce"),
    ),
    403: oauth_error("The token lacks the scope `openid`", [ScopeMissing.code], headers=("WWW-Authenticate",)),
    503: oauth_error("Try again", ["temporarily_unavailable"], headers=("Retry-After",)),
}
