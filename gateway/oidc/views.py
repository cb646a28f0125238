"""The provider's doors: what it says about itself, and those of its rooms."""

import json
from collections.abc import Callable
from dataclasses import dataclass

from flask import Blueprint, Response

from gateway.oidc.authorization import views as authorization_views
from gateway.oidc.clients import views as client_views
from gateway.oidc.metadata import metadata
from gateway.oidc.provider import OpenIDProvider
from gateway.oidc.tokens import views as token_views
from gateway.signing.signing_keys import Purpose

# Long enough to spare the network, short enough that a new key is known before it signs.
PUBLISHED_SECONDS = 300


def blueprint(provider: OpenIDProvider, *, check_published: Callable[[], None]) -> Blueprint:
    """Make the endpoints: discovery and keys, and those of each room.

    `check_published` raises while the log is not published: no token is issued then.
    """
    endpoints = Blueprint("oidc", __name__, template_folder="templates")
    doors = _Doors(provider=provider)
    for rule, view in (
        ("/.well-known/openid-configuration", doors.openid_configuration),
        ("/.well-known/oauth-authorization-server", doors.oauth_authorization_server),
        ("/.well-known/jwks.json", doors.jwks),
    ):
        endpoints.add_url_rule(rule, view.__name__, view, methods=["GET"])
    authorization_views.add_doors(endpoints, provider, check_published=check_published)
    token_views.add_doors(endpoints, provider, check_published=check_published)
    client_views.add_doors(endpoints, provider)
    return endpoints


@dataclass(frozen=True, slots=True, kw_only=True)
class _Doors:
    provider: OpenIDProvider

    def openid_configuration(self) -> Response:
        return _published(self._metadata())

    def oauth_authorization_server(self) -> Response:
        return _published(self._metadata())

    def _metadata(self) -> dict[str, object]:
        authentication = self.provider.client_authentication
        return metadata(
            self.provider.endpoints,
            authentication_methods=authentication.methods,
            certificates=authentication.certificates is not None,
        )

    def jwks(self) -> Response:
        keys = self.provider.signing.public_jwks(Purpose.TOKENS)
        return _published({"keys": list(keys)}, content_type="application/jwk-set+json")


def _published(members: dict[str, object], *, content_type: str = "application/json") -> Response:
    response = Response(json.dumps(members), content_type=content_type)
    response.headers["Cache-Control"] = f"public, max-age={PUBLISHED_SECONDS}"
    # Anyone may read this, browsers of other sites included; it holds nothing of theirs.
    response.headers["Access-Control-Allow-Origin"] = "*"
    response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    return response
