"""The doors at which browsers arrive from relying parties: parse, call, answer."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import wraps

from flask import Blueprint, Response, g, redirect, render_template, request
from werkzeug.wrappers import Response as AnyResponse

from gateway.errors import GatewayError
from gateway.identity.views import security_code_address, sign_in_address, signed_in_context
from gateway.oidc.authorization.checks import check_authorization
from gateway.oidc.authorization.consent import acts_for_them, told
from gateway.oidc.authorization.forms import NO, ConsentForm
from gateway.oidc.authorization.person import WITHOUT_A_PAGE, Progress, Step
from gateway.oidc.authorization.request import Asked, AuthorizationRequest
from gateway.oidc.authorization.response_modes import AnswerByForm, Members, answer
from gateway.oidc.authorization.tickets import CONTINUE_PATH
from gateway.oidc.doors import form_of_request, json_response, parameters_of, presented, source
from gateway.oidc.errors import AuthorizationRefused, ParametersMalformed, SignInRequestUnusable
from gateway.oidc.oauth_errors import fault_answer, pushed_answer
from gateway.oidc.parameters import Parameters
from gateway.oidc.provider import OpenIDProvider, StepNeeded
from gateway.oidc.sandbox_refusals import NOTE_HEADER
from gateway.web.error_pages import SIGN_IN_REQUEST_PROBLEM, render_error_page


def add_doors(blueprint: Blueprint, provider: OpenIDProvider, *, check_published: Callable[[], None]) -> None:
    """Add `/authorize`, where it goes on after a sign-in and asks what else there is to ask, and `/par` before it.

    While the log is not published `check_published` raises, and no request is taken that would lead to a token.
    """
    doors = _Doors(provider=provider, check_published=check_published)
    blueprint.add_url_rule("/authorize", "authorize", doors.authorize, methods=["GET", "POST"])
    blueprint.add_url_rule(
        CONTINUE_PATH, "continue_authorization", doors.continue_authorization, methods=["GET", "POST"]
    )
    blueprint.add_url_rule("/par", "push", doors.push, methods=["POST"])


def _usable_or_page(view: Callable[["_Doors"], AnyResponse]) -> Callable[["_Doors"], AnyResponse]:
    """Answer a request of nobody we know with a page of our own, and count it; never with a redirect."""

    @wraps(view)
    def guarded(self: "_Doors") -> AnyResponse:
        try:
            return view(self)
        except (SignInRequestUnusable, ParametersMalformed) as error:
            self.provider.count_stranger(source=source(), code=f"oidc.{error.code}")
            detail = _explanation(self.provider) or error.public
            return Response(render_error_page(SIGN_IN_REQUEST_PROBLEM, detail=detail), 400)

    return guarded


def _explanation(provider: OpenIDProvider) -> str | None:
    if request.path == CONTINUE_PATH:
        # What is in that address is ours.
        return None
    try:
        return provider.explain(parameters_of(request.args if request.method == "GET" else request.form))
    except ParametersMalformed:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Doors:
    provider: OpenIDProvider
    check_published: Callable[[], None]

    def push(self) -> AnyResponse:
        try:
            self.check_published()
            shown = presented(request, at=self.provider.endpoints.pushed_authorization)
            pushed = self.provider.pushed_requests.answer(form_of_request(), shown, source=source())
        except GatewayError as error:
            return json_response(fault_answer(error))
        return json_response(pushed_answer(pushed))

    @_usable_or_page
    def authorize(self) -> AnyResponse:
        progress = Progress(started_at=self.provider.clock.now())
        if request.method == "GET":
            return self._answer(parameters_of(request.args), progress)
        # A form posted by another site comes without our cookie (SameSite=Lax); the redirect that follows brings it.
        return self._answer(parameters_of(request.form), progress, always_continue=True)

    @_usable_or_page
    def continue_authorization(self) -> AnyResponse:
        ticket = self.provider.tickets.read(request.args.get("ticket", ""), now=self.provider.clock.now())
        return self._answer(ticket.parameters, ticket.progress, consenting=request.method == "POST")

    def _answer(
        self, sent: Parameters, progress: Progress, *, always_continue: bool = False, consenting: bool = False
    ) -> AnyResponse:
        asked = self.provider.find_asker(sent, arrived_at=progress.started_at)
        try:
            checked = check_authorization(asked)
        except AuthorizationRefused as error:
            # Whoever sent the browser here: a client's name is no secret, so this counts as a stranger's request.
            self.provider.count_stranger(source=source(), code=f"oidc.authorization.{error.code}")
            return _respond_with_error(self.provider, asked, error)
        try:
            if always_continue:
                answered: AnyResponse = redirect(self.provider.address_to_continue(checked, progress), 303)
            else:
                answered = self._answer_checked(checked, progress, form=ConsentForm() if consenting else None)
        except AuthorizationRefused as error:
            return _respond_with_error(self.provider, asked, error)
        note = self.provider.note_on(asked)
        if note is not None:
            answered.headers[NOTE_HEADER] = note
        return answered

    def _answer_checked(
        self, checked: AuthorizationRequest, progress: Progress, *, form: ConsentForm | None
    ) -> AnyResponse:
        provider, now = self.provider, self.provider.clock.now()
        # A form without our token is no answer: the question is asked again.
        decided = form is not None and form.validate()
        declined = decided and form is not None and form.decision.data == NO
        needed = provider.answer(
            checked,
            request.cookies.get(provider.people.cookie.name),
            progress=progress,
            consented=decided and not declined,
            source=source(),
            now=now,
        )
        if not isinstance(needed, StepNeeded):
            return _respond(provider, checked.asked, {"code": needed.code})
        if form is not None and "csrf_token" in form.errors and needed.signed_in is not None:
            provider.record_refused(checked, needed.signed_in, reason="csrf", source=source(), now=now)
        if "none" in checked.prompts:
            raise WITHOUT_A_PAGE[needed.step]
        if declined and needed.step is Step.CONSENT and needed.signed_in is not None:
            refused = AuthorizationRefused("access_denied", "The person did not agree")
            provider.record_refused(checked, needed.signed_in, reason=refused.code, source=source(), now=now)
            raise refused
        return self._page(checked, progress, needed, form=form)

    def _page(
        self, checked: AuthorizationRequest, progress: Progress, needed: StepNeeded, *, form: ConsentForm | None
    ) -> AnyResponse:
        here = self.provider.address_to_continue(checked, progress)
        if needed.step is Step.SIGN_IN or needed.signed_in is None:
            return redirect(sign_in_address(here), 303)
        if needed.step is Step.SECURITY_CODE:
            return redirect(security_code_address(here), 303)
        # What is answered on a page is answered as this person, whoever is signed in by then.
        as_them = replace(progress, account=needed.signed_in.account.account_id)
        asks_here = progress == as_them or needed.step is Step.CHOOSE_ACCOUNT
        if request.path != CONTINUE_PATH or not asks_here:
            # The page has an address of its own, in which nothing of the request can be read.
            there = progress if needed.step is Step.CHOOSE_ACCOUNT else as_them
            return redirect(self.provider.address_to_continue(checked, there), 303)
        another = replace(progress, account=None, another_since=self.provider.clock.now())
        context = {
            **signed_in_context(needed.signed_in),
            "name": needed.signed_in.account.name,
            "service_name": checked.client.name,
            "another_url": sign_in_address(self.provider.address_to_continue(checked, another)),
        }
        if needed.step is Step.CHOOSE_ACCOUNT:
            rows = (("Name", needed.signed_in.account.name), ("Email address", needed.signed_in.account.email))
            on = self.provider.address_to_continue(checked, as_them)
            return Response(render_template("oidc/choose_account.html", account=rows, continue_url=on, **context))
        g.form_targets = (_origin(checked.asked),)
        html = render_template(
            "oidc/consent.html",
            form=form or ConsentForm(),
            member_name=self.provider.name_of_member(checked.client.member_code),
            told=told(checked, needed.signed_in),
            acts_for_them=acts_for_them(checked),
            offline="offline_access" in checked.scopes,
            **context,
        )
        return Response(html, 400 if form is not None and form.errors else 200)


def _respond_with_error(provider: OpenIDProvider, asked: Asked, error: AuthorizationRefused) -> AnyResponse:
    """RFC 6749 §4.1.2.1."""
    told = provider.explain_refusal(asked, error)
    return _respond(provider, asked, {"error": error.code, "error_description": told})


def _respond(provider: OpenIDProvider, asked: Asked, members: Members) -> AnyResponse:
    """Send an answer to the relying party by the mode it asked for."""
    answered = answer(asked, members, sign=provider.sign_answer)
    if not isinstance(answered, AnswerByForm):
        # RFC 9700 §4.12: 303, so that whatever was posted to us is not posted on.
        return redirect(answered.address, 303)
    g.form_targets, g.own_forms = (answered.origin,), False
    html = render_template(
        "oidc/form_post.html",
        redirect_uri=answered.redirect_uri,
        members=tuple(answered.members.items()),
        service_name=asked.client.name,
    )
    return Response(html)


def _origin(asked: Asked) -> str:
    return AnswerByForm(redirect_uri=asked.redirect_uri, members={}).origin
