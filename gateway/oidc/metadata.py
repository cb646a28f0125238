"""What the provider says about itself (OIDC Discovery 1.0 §3, RFC 8414 §2): what works, and nothing else."""

from collections.abc import Sequence
from typing import Any

from gateway.identity.assurance import LEVELS
from gateway.oidc.authorization.checks import PROMPTS, SCOPES
from gateway.oidc.authorization.request_objects import ALGORITHMS as REQUEST_ALGORITHMS
from gateway.oidc.authorization.response_modes import MODES, SIGNED_MODES
from gateway.oidc.clients.assertion import ALGORITHMS as ASSERTION_ALGORITHMS
from gateway.oidc.endpoints import Endpoints
from gateway.oidc.tokens.endpoint import GRANT_TYPES
from gateway.oidc.tokens.response_signing import ALGORITHMS as RESPONSE_ALGORITHMS
from gateway.wire.dpop import ALGORITHMS as PROOF_ALGORITHMS

CLAIMS = (
    *("iss", "sub", "aud", "exp", "iat", "nonce", "auth_time", "acr", "amr", "sid", "at_hash"),
    *("name", "given_name", "family_name", "birthdate", "email", "email_verified"),
    *("member", "roles"),
)
UNREACHABLE_LEVELS = ("AAL3",)


def metadata(endpoints: Endpoints, *, authentication_methods: Sequence[str], certificates: bool) -> dict[str, Any]:
    """Return the discovery document, the same for OpenID Connect and for OAuth.

    `authentication_methods` are those by which clients can authenticate here; `certificates` says whether they can show
    one, and have tokens bound to it.
    """
    return {
        "issuer": endpoints.issuer,
        "authorization_endpoint": endpoints.authorization,
        "token_endpoint": endpoints.token,
        "pushed_authorization_request_endpoint": endpoints.pushed_authorization,
        "userinfo_endpoint": endpoints.userinfo,
        "introspection_endpoint": endpoints.introspection,
        "revocation_endpoint": endpoints.revocation,
        "jwks_uri": endpoints.jwks,
        "registration_endpoint": endpoints.registration,
        # Session and logout: OIDC RP-Initiated Logout §2.1, Back-Channel Logout §2.1, Front-Channel Logout §3.
        "end_session_endpoint": endpoints.end_session,
        "backchannel_logout_supported": True,
        "backchannel_logout_session_supported": True,
        "frontchannel_logout_supported": True,
        "frontchannel_logout_session_supported": True,
        "scopes_supported": list(SCOPES),
        "response_types_supported": ["code"],
        "response_modes_supported": [*MODES, *SIGNED_MODES],
        "authorization_signing_alg_values_supported": list(RESPONSE_ALGORITHMS),
        "request_parameter_supported": True,
        "request_object_signing_alg_values_supported": list(REQUEST_ALGORITHMS),
        "grant_types_supported": list(GRANT_TYPES),
        "acr_values_supported": [
            level for kind in LEVELS.values() for level in kind if level not in UNREACHABLE_LEVELS
        ],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": list(RESPONSE_ALGORITHMS),
        "userinfo_signing_alg_values_supported": list(RESPONSE_ALGORITHMS),
        # RFC 9701 §7.
        "introspection_signing_alg_values_supported": list(RESPONSE_ALGORITHMS),
        **_authentication("token", authentication_methods),
        **_authentication("introspection", authentication_methods),
        **_authentication("revocation", authentication_methods),
        "dpop_signing_alg_values_supported": list(PROOF_ALGORITHMS),
        "tls_client_certificate_bound_access_tokens": certificates,
        **_with_certificate(endpoints),
        "claim_types_supported": ["normal"],
        "claims_supported": list(CLAIMS),
        "prompt_values_supported": list(PROMPTS),
        "claims_parameter_supported": True,
        # One page for every device. In a pop-up it works, but the window that opened it cannot watch it (COOP).
        "display_values_supported": ["page", "touch"],
        "ui_locales_supported": ["en"],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": True,
        # Said because Discovery's defaults differ, or so that nobody has to try.
        "request_uri_parameter_supported": False,
        "require_request_uri_registration": False,
        # Of every client. Which of them must, its registration says.
        "require_signed_request_object": False,
        "require_pushed_authorization_requests": False,
    }


def _with_certificate(endpoints: Endpoints) -> dict[str, dict[str, str]]:
    # RFC 8705 §5: where clients with a certificate go instead, because browsers would ask people for one there.
    if endpoints.mtls is None:
        return {}
    called = {
        "token_endpoint": endpoints.token,
        "pushed_authorization_request_endpoint": endpoints.pushed_authorization,
        "userinfo_endpoint": endpoints.userinfo,
        "introspection_endpoint": endpoints.introspection,
        "revocation_endpoint": endpoints.revocation,
    }
    return {"mtls_endpoint_aliases": {name: endpoints.with_certificate(address) for name, address in called.items()}}


def _authentication(endpoint: str, methods: Sequence[str]) -> dict[str, list[str]]:
    # RFC 8414 §2: the same way in at every endpoint that authenticates clients, and said of each.
    return {
        f"{endpoint}_endpoint_auth_methods_supported": list(methods),
        f"{endpoint}_endpoint_auth_signing_alg_values_supported": list(ASSERTION_ALGORITHMS),
    }
