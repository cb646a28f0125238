"""The doors at which clients ask for tokens, and show them: parse, call, answer."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from flask import Blueprint, Response, request

from gateway.errors import GatewayError
from gateway.identity.caller import Presented
from gateway.oidc.doors import FORM, form_of_request, json_response, presented, source
from gateway.oidc.errors import TokenRefused, TokenShownTwice
from gateway.oidc.oauth_errors import NO_STORE, OAuthAnswer, bearer_answer, fault_answer, token_answer
from gateway.oidc.provider import OpenIDProvider
from gateway.oidc.tokens.introspection import SIGNED, Introspected
from gateway.oidc.tokens.userinfo import userinfo_for


def add_doors(blueprint: Blueprint, provider: OpenIDProvider, *, check_published: Callable[[], None]) -> None:
    """Add the doors; while the log is not published `check_published` raises, and no token is issued."""
    doors = _Doors(provider=provider, check_published=check_published)
    blueprint.add_url_rule("/token", "token", doors.token, methods=["POST"])
    blueprint.add_url_rule("/userinfo", "userinfo", doors.userinfo, methods=["GET", "POST"])
    blueprint.add_url_rule("/introspect", "introspect", doors.introspect, methods=["POST"])
    blueprint.add_url_rule("/revoke", "revoke", doors.revoke, methods=["POST"])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Doors:
    provider: OpenIDProvider
    check_published: Callable[[], None]

    def token(self) -> Response:
        try:
            self.check_published()
            shown = presented(request, at=self.provider.endpoints.token)
            answer = self.provider.token_requests.answer(form_of_request(), shown, source=source())
        except GatewayError as error:
            return json_response(fault_answer(error))
        return json_response(token_answer(answer))

    def userinfo(self) -> Response:
        provider = self.provider
        try:
            answer = userinfo_for(
                provider.database,
                _shown_for_userinfo(provider.endpoints.userinfo),
                issuing=provider.token_requests.issuing,
                now=provider.clock.now(),
            )
        except TokenRefused as error:
            provider.account_for_refused(error, resource=provider.endpoints.userinfo, source=source())
            return json_response(bearer_answer(error))
        except GatewayError as error:
            return json_response(fault_answer(error))
        if answer.signed is not None:
            return _jwt_response(answer.signed, content_type="application/jwt")
        return json_response(OAuthAnswer(status=200, members=answer.members, headers={"Cache-Control": "no-store"}))

    def introspect(self) -> Response:
        endpoints = self.provider.endpoints
        try:
            answer = self.provider.token_management.introspect(
                form_of_request(),
                presented(request, at=endpoints.introspection),
                # RFC 9701 §4: whoever wants a JWT says so.
                signed=any(accepted == SIGNED for accepted, _ in request.accept_mimetypes),
                source=source(),
            )
        except GatewayError as error:
            return json_response(fault_answer(error))
        if not isinstance(answer, Introspected):
            return json_response(token_answer(answer))
        if answer.signed is not None:
            return _jwt_response(answer.signed, content_type=SIGNED)
        return json_response(OAuthAnswer(status=200, members=answer.members, headers=NO_STORE))

    def revoke(self) -> Response:
        shown = presented(request, at=self.provider.endpoints.revocation)
        try:
            refused = self.provider.token_management.revoke(form_of_request(), shown, source=source())
        except GatewayError as error:
            return json_response(fault_answer(error))
        if refused is not None:
            return json_response(token_answer(refused))
        # RFC 7009 §2.2: the status says all there is to say.
        return Response(status=200, headers=NO_STORE)


def _shown_for_userinfo(endpoint: str) -> Presented:
    """Return what a request shows; OIDC Core §5.3.1 lets a token be sent in the body of a POST (RFC 6750 §2.2)."""
    shown = presented(request, at=endpoint)
    if request.method != "POST" or request.mimetype != FORM:
        return shown
    in_body = form_of_request().all("access_token")
    if not in_body:
        return shown
    # RFC 6750 §2: a token is sent in one place, once.
    if shown.authorization or len(in_body) > 1:
        raise TokenShownTwice
    return replace(shown, authorization=(f"Bearer {in_body[0]}",))


def _jwt_response(jwt: str, *, content_type: str) -> Response:
    response = Response(jwt, 200, headers=NO_STORE)
    # Set by name, because these types take no charset.
    response.headers["Content-Type"] = content_type
    return response
