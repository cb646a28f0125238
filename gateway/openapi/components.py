"""What several doors share: forms of bodies, header fields, ways of showing who asks."""

from collections.abc import Mapping

from gateway.openapi.elements import Json, ref

INSTANT: Json = {"type": "integer", "description": "NumericDate: seconds since 1970-01-01 UTC"}
COMPACT_JWS: Json = {"type": "string", "pattern": r"^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$"}
ADDRESS: Json = {"type": "string", "format": "uri"}

HEADERS: Mapping[str, Json] = {
    "Allow": {"description": "The methods that there are", "schema": {"type": "string"}},
    "Cache-Control": {"description": "How long it may be kept", "schema": {"type": "string"}},
    "Content-Disposition": {"description": "The name of the file", "schema": {"type": "string"}},
    "Content-Digest": {"description": "RFC 9530, sha-256", "schema": {"type": "string"}},
    "DPoP-Nonce": {"description": "The nonce of the next proof (RFC 9449 §8)", "schema": {"type": "string"}},
    "Location": {"description": "Where the browser goes", "schema": {"type": "string", "format": "uri-reference"}},
    "RateLimit": {
        "description": "How the quotas stand (draft-ietf-httpapi-ratelimit-headers-10), once it is proved who asks",
        "schema": {"type": "string"},
    },
    "RateLimit-Policy": {
        "description": "How many requests in how many seconds are allowed (draft-ietf-httpapi-ratelimit-headers-10)",
        "schema": {"type": "string"},
    },
    "Retry-After": {"description": "Seconds until it is worth asking again", "schema": {"type": "string"}},
    "Signature": {"description": "RFC 9421, under the label `gw`", "schema": {"type": "string"}},
    "Signature-Input": {
        "description": "What the signature covers (RFC 9421); the profile is section 3 of the wire protocol",
        "schema": {"type": "string"},
    },
    "WWW-Authenticate": {"description": "What is needed (RFC 6750 §3, RFC 9449 §7.1)", "schema": {"type": "string"}},
}

SCHEMAS: Mapping[str, Json] = {
    "Problem": {
        "description": "A problem document (RFC 9457). No member quotes a value that was sent.",
        "type": "object",
        "required": ["type", "title", "status"],
        "properties": {
            "type": {"type": "string", "format": "uri"},
            "title": {"type": "string", "description": "For people; the same for every problem of this code"},
            "status": {"type": "integer"},
            "detail": {"type": "string", "description": "For people; about this occurrence"},
            "code": {"type": "string", "description": "For programs: it keeps its meaning"},
            "instance": {"type": "string", "description": "Names this request to the gateway's operators"},
        },
    },
    "FailedRule": {
        "description": "One rule that stood against the exchange.",
        "type": "object",
        "required": ["code", "title", "rule"],
        "properties": {
            "code": {"type": "string", "description": "For programs: it keeps its meaning"},
            "title": {"type": "string", "description": "For people"},
            "rule": {"type": "string", "description": "The policy's own id"},
        },
    },
    "Receipt": {
        **COMPACT_JWS,
        "description": "The gateway's signed statement of the outcome (section 10 of the wire protocol): a compact JWS "
        "of type `gateway-receipt+jwt` over canonical JSON. It holds no value of any record.",
    },
    "Record": {
        "description": "The provider's SD-JWT (RFC 9901) of type `gateway-record+sd-jwt`: a JWT, then one disclosure "
        "for each field, each followed by `~`.",
        "type": "string",
        "pattern": r"^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+~([A-Za-z0-9_-]+~)*$",
    },
    "Jwk": {
        "description": "A public key (RFC 7517); its `kid` is its RFC 7638 thumbprint where the gateway made it.",
        "type": "object",
        "required": ["kty", "kid"],
        "properties": {
            "kty": {"type": "string", "enum": ["EC", "OKP", "RSA"]},
            "kid": {"type": "string"},
            "crv": {"type": "string"},
            "x": {"type": "string"},
            "y": {"type": "string"},
            "n": {"type": "string"},
            "e": {"type": "string"},
            "alg": {"type": "string"},
            "use": {"type": "string"},
        },
        "not": {"required": ["d"]},
    },
    "JwkSet": {
        "type": "object",
        "required": ["keys"],
        "properties": {"keys": {"type": "array", "items": ref("schemas", "Jwk")}},
    },
}

SESSION = "session"
SHARING_TOKEN: tuple[Json, ...] = (
    {"bearerToken": [], "messageSignature": []},
    {"dpopToken": [], "messageSignature": []},
    {"bearerToken": [], "messageSignature": [], "clientCertificate": []},
)
BOUND_OR_BEARER: tuple[Json, ...] = ({"bearerToken": []}, {"dpopToken": []})
# A client assertion stands in the form, for which OpenAPI has no scheme; neither has it one for a secret there.
CLIENT_AUTHENTICATION: tuple[Json, ...] = ({}, {"clientSecret": []}, {"clientCertificate": []})


def security_schemes(issuer: str, *, scopes: Mapping[str, str], session_cookie: str) -> Json:
    """Describe every way of showing who asks. OpenAPI knows no message signatures: their header stands for them."""
    addresses = {"tokenUrl": f"{issuer}/token", "refreshUrl": f"{issuer}/token"}
    return {
        "messageSignature": {
            "type": "apiKey",
            "in": "header",
            "name": "Signature",
            "description": "An RFC 9421 signature with a registered key of the token's client, under the label `gw`, "
            "with `Signature-Input` and `Content-Digest` beside it: section 3 of the wire protocol. It is the proof of "
            "possession: a token without it opens nothing here.",
        },
        "bearerToken": {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "RFC 9068 JWT",
            "description": "An access token of the token endpoint, for the resource that is called.",
        },
        "dpopToken": {
            "type": "http",
            "scheme": "dpop",
            "description": "An access token bound to a key, with its proof in the header `DPoP` (RFC 9449).",
        },
        "clientCertificate": {
            "type": "mutualTLS",
            "description": "RFC 8705, at the addresses in `mtls_endpoint_aliases` of the provider's metadata.",
        },
        "clientSecret": {
            "type": "http",
            "scheme": "basic",
            "description": "An exception made for single clients. Others send `client_assertion` (RFC 7523).",
        },
        "registrationToken": {
            "type": "http",
            "scheme": "bearer",
            "description": "An initial access token (RFC 7591 §3) or a registration's own (RFC 7592 §3).",
        },
        SESSION: {
            "type": "apiKey",
            "in": "cookie",
            "name": session_cookie,
            "description": "A person's session at a browser.",
        },
        "signIn": {
            "type": "oauth2",
            "description": "How the tokens are got.",
            "flows": {
                "authorizationCode": {
                    "authorizationUrl": f"{issuer}/authorize",
                    **addresses,
                    "scopes": dict(scopes),
                },
                "clientCredentials": {"tokenUrl": f"{issuer}/token", "scopes": {}},
            },
        },
        "discovery": {"type": "openIdConnect", "openIdConnectUrl": f"{issuer}/.well-known/openid-configuration"},
    }
