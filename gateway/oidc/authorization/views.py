"""The doors at which browsers arrive from relying parties: parse, call, redirect."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import wraps

from flask import Blueprint, Response, redirect, request
from werkzeug.wrappers import Response as AnyResponse

from gateway.identity.views import sign_in_address
from gateway.oidc.authorization.checks import AuthorizationRequest, check_authorization
from gateway.oidc.authorization.tickets import CONTINUE_PATH
from gateway.oidc.doors import parameters_of, source
from gateway.oidc.errors import AuthorizationRefused, ParametersMalformed, SignInRequestUnusable
from gateway.oidc.oauth_errors import redirect_with_code, redirect_with_error
from gateway.oidc.parameters import Parameters
from gateway.oidc.provider import OpenIDProvider, SignInNeeded
from gateway.web.error_pages import SIGN_IN_REQUEST_PROBLEM, render_error_page


def add_doors(blueprint: Blueprint, provider: OpenIDProvider) -> None:
    """Add `/authorize`, and where it goes on after a sign-in."""
    doors = _Doors(provider=provider)
    blueprint.add_url_rule("/authorize", "authorize", doors.authorize, methods=["GET", "POST"])
    blueprint.add_url_rule(CONTINUE_PATH, "continue_authorization", doors.continue_authorization, methods=["GET"])


def _usable_or_page(view: Callable[["_Doors"], AnyResponse]) -> Callable[["_Doors"], AnyResponse]:
    """Answer a request of nobody we know with a page of our own, and count it; never with a redirect."""

    @wraps(view)
    def guarded(self: "_Doors") -> AnyResponse:
        try:
            return view(self)
        except (SignInRequestUnusable, ParametersMalformed) as error:
            self.provider.count_stranger(source=source(), code=f"oidc.{error.code}")
            return Response(render_error_page(SIGN_IN_REQUEST_PROBLEM, detail=error.public), 400)

    return guarded


@dataclass(frozen=True, slots=True, kw_only=True)
class _Doors:
    provider: OpenIDProvider

    @_usable_or_page
    def authorize(self) -> AnyResponse:
        now = self.provider.clock.now()
        if request.method == "GET":
            return self._answer(parameters_of(request.args), started_at=now)
        # A form posted by another site comes without our cookie (SameSite=Lax); the redirect that follows brings it.
        return self._answer(parameters_of(request.form), started_at=now, always_continue=True)

    @_usable_or_page
    def continue_authorization(self) -> AnyResponse:
        ticket = self.provider.tickets.read(request.args.get("ticket", ""), now=self.provider.clock.now())
        return self._answer(ticket.parameters, started_at=ticket.started_at)

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
