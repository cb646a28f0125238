"""What a client's registration says about OAuth and OpenID Connect, beyond who it is and what it may have.

Names and meanings are those of IANA's registry of client metadata (RFC 7591 §2, OIDC Dynamic Client Registration 1.0
§2, RFC 8705, RFC 9101, RFC 9126, RFC 9449, the logout specifications), so that a registration reads the same here, on
the wire and in the database. What has no registered name says so.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class OAuthSettings:
    """The settings of one client. What is left out has the default its specification gives it."""

    fapi2: bool = False
    """Ours: this client keeps to the FAPI 2.0 Security Profile, and nothing weaker is accepted from it."""
    token_endpoint_auth_method: str = "private_key_jwt"  # noqa: S105 - a method's name
    """Stricter than RFC 7591, whose default is a secret."""
    token_endpoint_auth_signing_alg: str | None = None
    """The one algorithm of its assertions; any accepted one when None."""
    pkce_exempt: bool = False
    """Ours: a confidential client that cannot do PKCE; it must then send a `nonce` (RFC 9700 §2.1.1)."""
    jwks_uri: str | None = None
    id_token_signed_response_alg: str = "RS256"  # noqa: S105 - an algorithm's name
    userinfo_signed_response_alg: str | None = None
    """None: userinfo is plain JSON."""
    authorization_signed_response_alg: str | None = None
    """With which algorithm answers are signed where a JWT response mode is asked for (JARM §3); RS256 when None."""
    introspection_signed_response_alg: str | None = None
    request_object_signing_alg: str | None = None
    require_signed_request_object: bool = False
    require_pushed_authorization_requests: bool = False
    dpop_bound_access_tokens: bool = False
    tls_client_certificate_bound_access_tokens: bool = False
    tls_client_auth_subject_dn: str | None = None
    tls_client_auth_san_dns: str | None = None
    tls_client_auth_san_uri: str | None = None
    tls_client_auth_san_ip: str | None = None
    tls_client_auth_san_email: str | None = None
    backchannel_logout_uri: str | None = None
    backchannel_logout_session_required: bool = False
    frontchannel_logout_uri: str | None = None
    frontchannel_logout_session_required: bool = False
    default_max_age: int | None = None
    require_auth_time: bool = False
    default_acr_values: tuple[str, ...] = ()
    sector_identifier_uri: str | None = None
    initiate_login_uri: str | None = None
    client_uri: str | None = None
    logo_uri: str | None = None
    policy_uri: str | None = None
    tos_uri: str | None = None
    contacts: tuple[str, ...] = ()
    may_act_through: tuple[str, ...] = ()
    """Ours: clients whose tokens this client may exchange (RFC 8693), and so call on for the same officer."""
    serves_resources: tuple[str, ...] = ()
    """Ours: resources whose server this client is, and about whose tokens it may therefore ask (RFC 7662 §4)."""

    def as_stored(self) -> dict[str, Any]:
        """Return what differs from the defaults, as JSON values."""
        given = {item.name: getattr(self, item.name) for item in fields(self)}
        default = OAuthSettings()
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in given.items()
            if value != getattr(default, name)
        }

    @classmethod
    def from_stored(cls, values: Mapping[str, Any]) -> Self:
        """Return what `as_stored` gave."""
        given: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
        }
        return cls(**given)
