"""The doors at which clients ask for tokens, and show them: parse, call, answer."""

from collections.abc import Callable
from dataclasses import dataclass

from flask import Blueprint, Response, request

from gateway.errors import GatewayError
from gateway.oidc.doors import form_of_request, json_response, presented, source
from gateway.oidc.errors import TokenRefused
from gateway.oidc.oauth_errors import OAuthAnswer, bearer_answer, fault_answer, token_answer
from gateway.oidc.provider import OpenIDProvider
from gateway.oidc.tokens.userinfo import claims_for_token


def add_doors(blueprint: Blueprint, provider: OpenIDProvider, *, check_published: Callable[[], None]) -> None:
    """Add `/token` and `/userinfo`; while the log is not published `check_published` raises, and no token is issued."""
    doors = _Doors(provider=provider, check_published=check_published)
    blueprint.add_url_rule("/token", "token", doors.token, methods=["POST"])
    blueprint.add_url_rule("/userinfo", "userinfo", doors.userinfo, methods=["GET", "POST"])


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
            claims = claims_for_token(
                provider.database,
                presented(request, at=provider.endpoints.userinfo),
                access_tokens=provider.access_tokens,
                endpoints=provider.endpoints,
                now=provider.clock.now(),
            )
        except TokenRefused as error:
            return json_response(bearer_answer(error))
        return json_response(OAuthAnswer(status=200, members=claims, headers={"Cache-Control": "no-store"}))
