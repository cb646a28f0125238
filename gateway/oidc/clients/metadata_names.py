"""The client metadata that means something here, by its JSON type (RFC 7591 §2 and IANA's registry).

What has no registered name is ours: `kinds`, `account_kinds`, `resources`, `fapi2`, `pkce_exempt`, `may_act_through`,
`serves_resources`.
"""

import difflib
from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from typing import Any

from gateway.directory.members import Client
from gateway.directory.oauth import OAuthSettings

FLAGS = (
    "fapi2",
    "pkce_exempt",
    "require_signed_request_object",
    "require_pushed_authorization_requests",
    "dpop_bound_access_tokens",
    "tls_client_certificate_bound_access_tokens",
    "backchannel_logout_session_required",
    "frontchannel_logout_session_required",
    "require_auth_time",
)
TLS_NAMES = (
    "tls_client_auth_subject_dn",
    "tls_client_auth_san_dns",
    "tls_client_auth_san_uri",
    "tls_client_auth_san_ip",
    "tls_client_auth_san_email",
)
ALGORITHM_NAMES = (
    "token_endpoint_auth_signing_alg",
    "id_token_signed_response_alg",
    "userinfo_signed_response_alg",
    "authorization_signed_response_alg",
    "introspection_signed_response_alg",
    "request_object_signing_alg",
)
PAGE_ADDRESSES = ("initiate_login_uri", "client_uri", "logo_uri", "policy_uri", "tos_uri")
TEXTS = (
    *("client_id", "client_name", "application_type", "subject_type", "scope", "token_endpoint_auth_method"),
    *("jwks_uri", "sector_identifier_uri", "backchannel_logout_uri", "frontchannel_logout_uri"),
    *ALGORITHM_NAMES,
    *TLS_NAMES,
    *PAGE_ADDRESSES,
)
LISTS = (
    *("redirect_uris", "post_logout_redirect_uris", "grant_types", "response_types", "default_acr_values", "contacts"),
    *("kinds", "account_kinds", "resources", "may_act_through", "serves_resources"),
)
KNOWN = frozenset({*FLAGS, *TEXTS, *LISTS, "jwks", "default_max_age"})
ENCRYPTION = (
    *("id_token_encrypted_response_alg", "userinfo_encrypted_response_alg", "request_object_encryption_alg"),
    *("authorization_encrypted_response_alg", "introspection_encrypted_response_alg"),
)
"""What would have to be encrypted: passed over in silence, it would be sent in the clear."""


def unknown_names(metadata: Mapping[str, Any]) -> dict[str, str | None]:
    """Return the names that mean nothing here, each with the known name it may have been meant to be."""
    found: dict[str, str | None] = {}
    for name in metadata:
        # RFC 7591 §2.2: `client_name#en` is the same in a language.
        if name.partition("#")[0] not in KNOWN and name not in ENCRYPTION:
            found[name] = next(iter(difflib.get_close_matches(name, KNOWN, n=1)), None)
    return found


def metadata_of(client: Client, *, issued_at: datetime | None = None) -> dict[str, Any]:
    """Return a client's registration as RFC 7591 §3.2.1 and OIDC Registration §3.2 spell it; never a secret."""
    settings = client.oauth
    plain: dict[str, Any] = {
        "client_id": client.client_id,
        "client_name": client.name,
        "application_type": "web",
        "subject_type": "pairwise",
        "redirect_uris": list(client.redirect_uris),
        "post_logout_redirect_uris": list(client.post_logout_redirect_uris),
        "grant_types": list(client.grant_types),
        "response_types": ["code"] if "authorization_code" in client.grant_types else [],
        "kinds": [kind.value for kind in client.kinds],
        "account_kinds": list(client.account_kinds),
        "resources": list(client.resources),
    }
    if client.scopes:
        plain["scope"] = " ".join(client.scopes)
    if issued_at is not None:
        plain["client_id_issued_at"] = int(issued_at.timestamp())
    if settings.jwks_uri is None and client.keys:
        plain["jwks"] = {"keys": [dict(key) for key in (*client.keys, *client.encryption_keys)]}
    always = {"token_endpoint_auth_method": settings.token_endpoint_auth_method}
    if "authorization_code" in client.grant_types:
        always["id_token_signed_response_alg"] = settings.id_token_signed_response_alg
    return {**plain, **always, **settings.as_stored()}


def settings_from(metadata: Mapping[str, Any]) -> OAuthSettings:
    """Return the settings in metadata that passed every rule."""
    # RS256 is OIDC Registration §2's default; FAPI 2.0 §5.4.1 has none, and does not allow that.
    values: dict[str, Any] = {"id_token_signed_response_alg": "PS256"} if metadata.get("fapi2") else {}
    for item in fields(OAuthSettings):
        value = metadata.get(item.name)
        if value is not None:
            values[item.name] = tuple(value) if isinstance(value, list) else value
    return OAuthSettings(**values)
