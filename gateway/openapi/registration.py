"""The doors of dynamic registration (RFC 7591 §3, RFC 7592 §2): metadata by the names that the rules know."""

from collections.abc import Mapping

from gateway.oidc.clients.metadata_names import FLAGS, LISTS, TEXTS
from gateway.openapi.components import ADDRESS, INSTANT
from gateway.openapi.elements import JSON, Json, answer, body_of, operation, parameter, ref
from gateway.openapi.sign_in import NO_STORE, TEXT, TOO_LARGE, oauth_error

REFUSALS = ("invalid_client_metadata", "invalid_redirect_uri", "invalid_request")
TOKEN: tuple[Json, ...] = ({"registrationToken": []},)


def registration_doors() -> Json:
    """Describe `/register`, and each registration's own address."""
    own = parameter("client_id", "path", {"type": "string", "maxLength": 200}, "As registered")
    return {
        "/register": {
            "post": operation(
                "register",
                "Register a client",
                tag="Registering",
                body=body_of(JSON, ref("schemas", "ClientMetadata")),
                security=TOKEN,
                answers={
                    **_NOT_DONE,
                    201: answer(
                        "Registered; its secret and its token are told this once",
                        {JSON: ref("schemas", "Registration")},
                        headers=NO_STORE,
                    ),
                },
            )
        },
        "/register/{client_id}": {
            "get": operation(
                "readRegistration",
                "Read a registration",
                tag="Registering",
                parameters=(own,),
                security=TOKEN,
                answers={**_WITHOUT_BODY, 200: _REGISTRATION},
            ),
            "put": operation(
                "changeRegistration",
                "Replace a registration",
                tag="Registering",
                parameters=(own,),
                body=body_of(JSON, ref("schemas", "ClientMetadata")),
                security=TOKEN,
                answers={**_NOT_DONE, 200: _REGISTRATION},
            ),
            "delete": operation(
                "endRegistration",
                "End a registration",
                tag="Registering",
                parameters=(own,),
                security=TOKEN,
                answers={**_WITHOUT_BODY, 204: answer("It is no more", headers=NO_STORE)},
            ),
        },
    }


def registration_schemas() -> Json:
    """Return the forms of client metadata: what is sent, and what is told."""
    known: Json = {
        **{name: {"type": ["string", "null"]} for name in TEXTS},
        **{name: {"type": ["boolean", "null"]} for name in FLAGS},
        **{name: {"type": ["array", "null"], "items": TEXT} for name in LISTS},
        "jwks": {"oneOf": [ref("schemas", "JwkSet"), {"type": "null"}]},
        "default_max_age": {"type": ["integer", "null"]},
    }
    told: Json = {
        "client_id": TEXT,
        "client_id_issued_at": INSTANT,
        "client_secret": {"type": "string", "format": "password"},
        "client_secret_expires_at": INSTANT,
        "registration_client_uri": ADDRESS,
        "registration_access_token": {"type": "string", "format": "password"},
        "jwks_uri": ADDRESS,
    }
    return {
        "ClientMetadata": {
            "type": "object",
            "description": "RFC 7591 §2. A member that is null counts as left out; what is unknown is ignored.",
            "properties": {name: known[name] for name in sorted(known)},
        },
        "Registration": {
            "type": "object",
            "required": ["client_id", "registration_client_uri"],
            "properties": {**{name: known[name] for name in sorted(known)}, **told},
        },
    }


_REGISTRATION = answer("The registration", {JSON: ref("schemas", "Registration")}, headers=NO_STORE)
_WITHOUT_BODY: Mapping[int, Json] = {
    401: oauth_error("A token that allows this is needed", ["invalid_token"], headers=(*NO_STORE, "WWW-Authenticate")),
    429: oauth_error("Too often with this token", ["temporarily_unavailable"], headers=(*NO_STORE, "Retry-After")),
    503: oauth_error("Try again", ["temporarily_unavailable"], headers=(*NO_STORE, "Retry-After")),
}
_NOT_DONE: Mapping[int, Json] = {
    **_WITHOUT_BODY,
    **TOO_LARGE,
    400: oauth_error("The metadata was refused: what to change", REFUSALS, headers=NO_STORE),
}
