"""The pages on which people sign out: here, at a relying party's request, everywhere. They work without JavaScript."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from urllib.parse import urlencode, urlsplit

from flask import Blueprint, Response, g, make_response, redirect, render_template, request, session
from werkzeug.wrappers import Response as AnyResponse

from gateway.identity.forms import SignOutForm
from gateway.identity.sessions import SignedIn
from gateway.identity.views import HOME, sign_in_address, signed_in_context
from gateway.oidc.doors import form_of_request, parameters_of, source
from gateway.oidc.errors import ParametersMalformed
from gateway.oidc.logout.front_channel import Frame
from gateway.oidc.logout.requests import LogoutRefused, LogoutRequest
from gateway.oidc.logout.signing_out import SigningOut
from gateway.oidc.parameters import Parameters
from gateway.web.error_pages import PAGE_EXPIRED, SIGN_OUT_REQUEST_PROBLEM, render_error_page

END_SESSION_PATH = "/logout"
SIGNED_OUT_PATH = "/signed-out"
EVERYWHERE_PATH = "/sign-out/everywhere"
SECONDS_FOR_FRAMES = 3
"""After which a browser goes on by itself: by then the frames' requests are on their way."""


def blueprint(signing_out: SigningOut) -> Blueprint:
    """Make the pages: `/logout` for relying parties, `/sign-out`, `/sign-out/everywhere`, `/signed-out`."""
    pages = Blueprint("logout", "gateway.oidc.logout", template_folder="templates")
    doors = _Doors(signing_out=signing_out)
    for rule, view, methods in (
        (END_SESSION_PATH, doors.end_session, ["GET", "POST"]),
        (f"{END_SESSION_PATH}/continue", doors.go_on, ["GET"]),
        (f"{END_SESSION_PATH}/confirm", doors.confirm, ["POST"]),
        ("/sign-out", doors.sign_out, ["POST"]),
        (EVERYWHERE_PATH, doors.everywhere, ["GET", "POST"]),
        (SIGNED_OUT_PATH, doors.signed_out, ["GET"]),
    ):
        pages.add_url_rule(rule, view.__name__, view, methods=methods)
    return pages


def _usable_or_page(view: Callable[["_Doors"], AnyResponse]) -> Callable[["_Doors"], AnyResponse]:
    """Answer a request that cannot be accepted with a page of our own, and account for it; never with a redirect."""

    @wraps(view)
    def guarded(self: "_Doors") -> AnyResponse:
        try:
            return view(self)
        except (LogoutRefused, ParametersMalformed) as error:
            refused = error if isinstance(error, LogoutRefused) else LogoutRefused(error.public)
            self.signing_out.refused(refused, self.secret(), source=source())
            detail = self.signing_out.explain(refused, _sent())
            return Response(render_error_page(SIGN_OUT_REQUEST_PROBLEM, detail=detail), 400)

    return guarded


def _sent() -> Parameters | None:
    try:
        return parameters_of(request.args) if request.method == "GET" else form_of_request()
    except ParametersMalformed:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Doors:
    signing_out: SigningOut

    @_usable_or_page
    def end_session(self) -> AnyResponse:
        if request.method == "GET":
            return self._answer(self.signing_out.check(parameters_of(request.args)))
        checked = self.signing_out.check(form_of_request())
        # A form posted by another site comes without our cookie (SameSite=Lax); the redirect that follows brings it.
        return redirect(
            f"{END_SESSION_PATH}/continue?{urlencode({'ticket': self.signing_out.ticket_for(checked)})}", 303
        )

    @_usable_or_page
    def go_on(self) -> AnyResponse:
        return self._answer(self.signing_out.read_ticket(request.args.get("ticket", "")))

    @_usable_or_page
    def confirm(self) -> AnyResponse:
        form = SignOutForm()
        if not form.validate_on_submit():
            self.signing_out.refused_form(self.secret(), source=source())
            return Response(render_error_page(PAGE_EXPIRED), 400)
        return self._sign_out(self.signing_out.read_ticket(request.form.get("ticket", "")))

    def sign_out(self) -> AnyResponse:
        # A forged sign-out is a nuisance and an audit entry in somebody's name: it needs our token too.
        if not SignOutForm().validate_on_submit():
            self.signing_out.refused_form(self.secret(), source=source())
            return redirect(HOME, 303)
        return self._sign_out(LogoutRequest())

    def everywhere(self) -> AnyResponse:
        signed_in = self._signed_in()
        if signed_in is None:
            return redirect(sign_in_address(EVERYWHERE_PATH), 303)
        form = SignOutForm()
        if form.validate_on_submit():
            frames = self.signing_out.sign_out_everywhere(signed_in, source=source())
            return self._signed_out(frames, LogoutRequest())
        if request.method == "POST":
            self.signing_out.refused_form(self.secret(), source=source())
        html = render_template(
            "logout/everywhere.html",
            form=form,
            count=len(self.signing_out.sessions_of(signed_in)),
            stay_url=HOME,
            **signed_in_context(signed_in),
        )
        return make_response(html, 400 if request.method == "POST" else 200)

    def signed_out(self) -> AnyResponse:
        return _signed_out_page(LogoutRequest())

    def secret(self) -> str | None:
        return request.cookies.get(self.signing_out.people.cookie.name)

    def _signed_in(self) -> SignedIn | None:
        people, clock = self.signing_out.people, self.signing_out.clock
        return people.sign_in.signed_in(self.secret(), now=clock.now())

    def _answer(self, asked: LogoutRequest) -> AnyResponse:
        if self.signing_out.is_about(asked, self.secret()):
            return self._sign_out(asked)
        if self.signing_out.somebody_at(self.secret()):
            return self._ask_first(asked)
        if asked.sid is None:
            # Nobody vouches for this request: it leads somewhere only if a person follows the link.
            return _signed_out_page(asked)
        return self._signed_out((), asked)

    def _ask_first(self, asked: LogoutRequest) -> Response:
        if asked.redirect_uri is not None:
            # Browsers apply `form-action` to the redirect that follows the form.
            g.form_targets = (_origin(asked.redirect_uri),)
        html = render_template(
            "logout/confirm.html",
            form=SignOutForm(),
            action=f"{END_SESSION_PATH}/confirm",
            ticket=self.signing_out.ticket_for(asked),
            service_name=asked.client.name if asked.client is not None else None,
            stay_url=HOME,
        )
        return make_response(html)

    def _sign_out(self, asked: LogoutRequest) -> AnyResponse:
        frames = self.signing_out.sign_out(self.secret(), source=source(), client=asked.client)
        return self._signed_out(frames, asked)

    def _signed_out(self, frames: tuple[Frame, ...], asked: LogoutRequest) -> AnyResponse:
        # Committed: from here nobody is signed in at this browser.
        session.clear()
        target = asked.target or SIGNED_OUT_PATH
        response = _frames_page(frames, asked, target) if frames else redirect(target, 303)
        cookie = self.signing_out.people.cookie
        response.delete_cookie(cookie.name, **cookie.attributes)  # type: ignore[arg-type]
        return response


def _frames_page(frames: tuple[Frame, ...], asked: LogoutRequest, target: str) -> AnyResponse:
    g.frame_sources = tuple(dict.fromkeys(frame.origin for frame in frames))
    service = asked.client.name if asked.client is not None and asked.target is not None else None
    html = render_template("logout/front_channel.html", frames=frames, next_url=target, service_name=service)
    response = make_response(html)
    response.headers["Refresh"] = f"{SECONDS_FOR_FRAMES}; url={target}"
    return response


def _signed_out_page(asked: LogoutRequest) -> Response:
    service = asked.client.name if asked.client is not None else None
    html = render_template(
        "identity/signed_out.html", sign_in_url="/sign-in", return_url=asked.target, service_name=service
    )
    return make_response(html)


def _origin(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}"
