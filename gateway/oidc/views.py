"""The provider's endpoints: parse, call, answer."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import wraps

from flask import Blueprint, Response, redirect, request
from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Response as AnyResponse

from gateway.errors import GatewayError
from gateway.identity.views import sign_in_address
from gateway.oidc.authorization import AuthorizationRequest, check_authorization
from gateway.oidc.errors import AuthorizationRefused, ParametersMalformed, SignInRequestUnusable, TokenRefused
from gateway.oidc.metadata import metadata
from gateway.oidc.oauth_errors import (
    OAuthAnswer,
    bearer_answer,
    fault_answer,
    redirect_with_code,
    redirect_with_error,
    token_answer,
)
from gateway.oidc.parameters import Parameters, parse_parameters
from gateway.oidc.provider import OpenIDProvider, SignInNeeded
from gateway.oidc.tickets import CONTINUE_PATH
from gateway.oidc.userinfo import claims_for_token
from gateway.signing.signing_keys import Purpose
from gateway.web.error_pages import SIGN_IN_REQUEST_PROBLEM, render_error_page

# Long enough to spare the network, short enough that a new key is known before it signs.
PUBLISHED_SECONDS = 300
FORM = "application/x-www-form-urlencoded"


def blueprint(provider: OpenIDProvider, *, check_published: Callable[[], None]) -> Blueprint:
    """Make the endpoints: discovery, keys, `/authorize`, `/token`, `/userinfo`.

    `check_published` raises while the log is not published: no token is issued then.
    """
    endpoints = Blueprint("oidc", __name__)
    doors = _Doors(provider=provider, check_published=check_published)
    for rule, view, methods in (
        ("/.well-known/openid-configuration", doors.openid_configuration, ["GET"]),
        ("/.well-known/oauth-authorization-server", doors.oauth_authorization_server, ["GET"]),
        ("/.well-known/jwks.json", doors.jwks, ["GET"]),
        ("/authorize", doors.authorize, ["GET", "POST"]),
        (CONTINUE_PATH, doors.continue_authorization, ["GET"]),
        ("/token", doors.token, ["POST"]),
        ("/userinfo", doors.userinfo, ["GET", "POST"]),
    ):
        endpoints.add_url_rule(rule, view.__name__, view, methods=methods)
    return endpoints


def _usable_or_page(view: Callable[["_Doors"], AnyResponse]) -> Callable[["_Doors"], AnyResponse]:
    """Answer a request of nobody we know with a page of our own, and count it; never with a redirect."""

    @wraps(view)
    def guarded(self: "_Doors") -> AnyResponse:
        try:
            return view(self)
        except (SignInRequestUnusable, ParametersMalformed) as error:
            self.provider.count_stranger(source=_source(), code=f"oidc.{error.code}")
            return Response(render_error_page(SIGN_IN_REQUEST_PROBLEM, detail=error.public), 400)

    return guarded


@dataclass(frozen=True, slots=True, kw_only=True)
class _Doors:
    provider: OpenIDProvider
    check_published: Callable[[], None]

    def openid_configuration(self) -> Response:
        return _published(metadata(self.provider.endpoints))

    def oauth_authorization_server(self) -> Response:
        return _published(metadata(self.provider.endpoints))

    def jwks(self) -> Response:
        keys = self.provider.signing.public_jwks(Purpose.TOKENS)
        return _published({"keys": list(keys)}, content_type="application/jwk-set+json")

    @_usable_or_page
    def authorize(self) -> AnyResponse:
        now = self.provider.clock.now()
        if request.method == "GET":
            return self._answer(_parameters(request.args), started_at=now)
        # A form posted by another site comes without our cookie (SameSite=Lax); the redirect that follows brings it.
        return self._answer(_parameters(request.form), started_at=now, always_continue=True)

    @_usable_or_page
    def continue_authorization(self) -> AnyResponse:
        ticket = self.provider.tickets.read(request.args.get("ticket", ""), now=self.provider.clock.now())
        return self._answer(ticket.parameters, started_at=ticket.started_at)

    def token(self) -> Response:
        try:
            self.check_published()
            if request.mimetype != FORM:
                raise ParametersMalformed("The body must be a form (application/x-www-form-urlencoded)")
            answer = self.provider.token_requests.answer(_parameters(request.form), source=_source())
        except GatewayError as error:
            return _json(fault_answer(error))
        return _json(token_answer(answer))

    def userinfo(self) -> Response:
        try:
            with self.provider.database.read() as session:
                claims = claims_for_token(
                    session,
                    _authorization_header(),
                    access_tokens=self.provider.access_tokens,
                    endpoints=self.provider.endpoints,
                    now=self.provider.clock.now(),
                )
        except TokenRefused as error:
            return _json(bearer_answer(error))
        return _json(OAuthAnswer(status=200, members=claims, headers={"Cache-Control": "no-store"}))

    def _answer(self, parameters: Parameters, *, started_at: datetime, always_continue: bool = False) -> AnyResponse:
        provider = self.provider
        asked = provider.find_asker(parameters)
        try:
            checked = check_authorization(asked)
            if always_continue:
                return redirect(provider.address_to_continue(checked, started_at=started_at), 303)
            return self._answer_checked(checked, started_at=started_at)
        except AuthorizationRefused as error:
            return redirect(redirect_with_error(asked, error), 303)

    def _answer_checked(self, checked: AuthorizationRequest, *, started_at: datetime) -> AnyResponse:
        provider = self.provider
        secret = request.cookies.get(provider.people.cookie.name)
        answer = provider.answer(checked, secret, started_at=started_at, now=provider.clock.now())
        if not isinstance(answer, SignInNeeded):
            # RFC 9700 §4.12: 303, so that whatever was posted to us is not posted on.
            return redirect(redirect_with_code(checked.asked, answer.code), 303)
        if "none" in checked.prompts:
            raise AuthorizationRefused("login_required", "Nobody is signed in here as this request needs")
        return redirect(sign_in_address(provider.address_to_continue(checked, started_at=started_at)), 303)


def _parameters(values: MultiDict[str, str]) -> Parameters:
    return parse_parameters(values.items(multi=True))


def _authorization_header() -> str | None:
    headers = request.headers.getlist("Authorization")
    # Two tokens leave it open which was meant.
    return headers[0] if len(headers) == 1 else None


def _published(members: dict[str, object], *, content_type: str = "application/json") -> Response:
    response = Response(json.dumps(members), content_type=content_type)
    response.headers["Cache-Control"] = f"public, max-age={PUBLISHED_SECONDS}"
    # Anyone may read this, browsers of other sites included; it holds nothing of theirs.
    response.headers["Access-Control-Allow-Origin"] = "*"
    response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    return response


def _json(answer: OAuthAnswer) -> Response:
    response = Response(json.dumps(answer.members), answer.status, content_type="application/json")
    response.headers.update(answer.headers)
    return response


def _source() -> str:
    return request.remote_addr or "unknown"
