"""The pages on which people sign in, and see that they are. They work without JavaScript.

Where to go afterwards travels in the address (`next`), not in the session, so several tabs can sign in at once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlencode

from flask import Blueprint, Response, g, make_response, redirect, render_template, request
from werkzeug.wrappers import Response as AnyResponse

from gateway.clock import Clock
from gateway.db import Database
from gateway.directory.members import find_member
from gateway.identity.accounts import AccountKind
from gateway.identity.forms import SecurityCodeForm, SignInForm, SignOutForm, is_email
from gateway.identity.local_paths import local_path
from gateway.identity.people import People
from gateway.identity.sessions import AwaitingCode, SignedIn, find_browser_state
from gateway.identity.sign_in import EVERY_KIND, StepRefused, StepTaken

WRONG_PAIR = "Enter a correct email address and password"
WRONG_CODE = "Enter the security code your app shows now. Each code works once"
STRENGTHS = {"pwd": "password", "otp": "security code"}
HOME = "/account"


class StillNeeded(StrEnum):
    """What whoever is signed in has to show, before a waiting request can go on."""

    NOTHING = "nothing"
    SECURITY_CODE = "security_code"
    SIGN_IN = "sign_in"


@dataclass(frozen=True, slots=True, kw_only=True)
class InterruptedRequest:
    """What waits for a sign-in: whose service asked, which kinds of account it takes, where its answer will go."""

    service_name: str
    kinds: tuple[AccountKind, ...]
    form_target: str
    """The origin of the redirect URI: browsers apply `form-action` to redirects that follow a form."""
    login_hint: str | None
    """Whom the service expects, as it told us: perhaps an e-mail address, perhaps of nobody here."""
    still_needed: Callable[[SignedIn], StillNeeded]
    """What is asked of somebody who is signed in already."""


FindInterrupted = Callable[[str], InterruptedRequest | None]
"""Given the local path to return to, says what waits there; None for a page of our own."""


def blueprint(*, people: People, database: Database, clock: Clock, interrupted: FindInterrupted) -> Blueprint:
    """Make the pages: `/sign-in`, `/sign-in/code`, `/account`."""
    pages = Blueprint("identity", "gateway.identity", template_folder="templates")
    doors = _Doors(people=people, database=database, clock=clock, interrupted=interrupted)
    for rule, view, methods in (
        ("/sign-in", doors.sign_in, ["GET", "POST"]),
        ("/sign-in/code", doors.security_code, ["GET", "POST"]),
        ("/account", doors.account, ["GET"]),
    ):
        pages.add_url_rule(rule, view.__name__, view, methods=methods)
    return pages


def sign_in_address(next_path: str) -> str:
    """Return where to sign in and then come back to `next_path`, a path of our own."""
    return "/sign-in?" + urlencode({"next": next_path})


def security_code_address(next_path: str) -> str:
    """Return where to give a security code and then come back to `next_path`, a path of our own."""
    return "/sign-in/code?" + urlencode({"next": next_path})


def signed_in_context(signed_in: SignedIn | None) -> dict[str, object]:
    """Return what the frame of every page needs to show who is signed in, and the way out."""
    if signed_in is None:
        return {}
    return {"signed_in_as": signed_in.account.name, "sign_out_url": "/sign-out", "sign_out_form": SignOutForm()}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Doors:
    people: People
    database: Database
    clock: Clock
    interrupted: FindInterrupted

    def sign_in(self) -> AnyResponse:
        waiting = self._waiting()
        here = self.people.sign_in.signed_in(self._secret(), now=self.clock.now())
        form = SignInForm()
        # Another tab was quicker: nothing to ask, unless somebody else is being signed in.
        same_person = not form.is_submitted() or (form.email.data or "").strip().lower() == (
            here.account.email if here else None
        )
        needed = _still_needed(here, waiting)
        if here is not None and same_person and needed is StillNeeded.NOTHING:
            return redirect(_next(), 303)
        if not form.is_submitted() and waiting is not None and is_email(waiting.login_hint):
            # Only what was typed at the service is shown here: nothing says whether there is such an account.
            form.email.data = waiting.login_hint
        if not form.validate_on_submit():
            return self._sign_in_page(form, waiting)
        taken = self.people.sign_in.offer_password(
            form.email.data or "",
            form.password.data or "",
            kinds=waiting.kinds if waiting else EVERY_KIND,
            browser_secret=self._secret(),
            source=_source(),
            now=self.clock.now(),
        )
        if isinstance(taken, StepRefused):
            form.form_errors.append(WRONG_PAIR)
            return self._sign_in_page(form, waiting)
        return self._go_on(taken, to=_code_address() if taken.awaiting_code else _next())

    def security_code(self) -> AnyResponse:
        waiting = self._waiting()
        now = self.clock.now()
        with self.database.read() as reading:
            state = find_browser_state(reading, self._secret(), now=now)
        steps_up = isinstance(state, SignedIn) and _still_needed(state, waiting) is StillNeeded.SECURITY_CODE
        if not isinstance(state, AwaitingCode) and not steps_up:
            # Too late, or another tab was quicker: the page before this one knows what to do about either.
            return redirect(_sign_in_again(), 303)
        form = SecurityCodeForm()
        if not form.validate_on_submit():
            return self._code_page(form, waiting)
        taken = self.people.sign_in.offer_code(
            form.code.data or "", browser_secret=self._secret(), source=_source(), now=self.clock.now()
        )
        if taken is None:
            return redirect(_sign_in_again(), 303)
        if isinstance(taken, StepRefused):
            form.form_errors.append(WRONG_CODE)
            return self._code_page(form, waiting)
        return self._go_on(taken, to=_next())

    def account(self) -> AnyResponse:
        signed_in = self.people.sign_in.signed_in(self._secret(), now=self.clock.now())
        if signed_in is None:
            return redirect(sign_in_address(HOME), 303)
        with self.database.read() as reading:
            member = find_member(reading, signed_in.account.member_code or "")
        shown = {
            "name": signed_in.account.name,
            "email": signed_in.account.email,
            "kind": str(signed_in.account.kind),
            "member": member.name if member else signed_in.account.member_code,
            "roles": signed_in.account.roles,
            "signed_in_at": signed_in.auth_time,
            "strength": " and ".join(STRENGTHS[method] for method in signed_in.methods).capitalize(),
        }
        context = signed_in_context(signed_in)
        return make_response(render_template("identity/account.html", account=shown, **context))

    def _secret(self) -> str | None:
        return request.cookies.get(self.people.cookie.name)

    def _waiting(self) -> InterruptedRequest | None:
        waiting = self.interrupted(_next())
        if waiting is not None:
            g.form_targets = (waiting.form_target,)
        return waiting

    def _sign_in_page(self, form: SignInForm, waiting: InterruptedRequest | None) -> Response:
        html = render_template(
            "identity/sign_in.html", form=form, service_name=waiting.service_name if waiting else None
        )
        return make_response(html, 400 if form.errors else 200)

    def _code_page(self, form: SecurityCodeForm, _waiting: InterruptedRequest | None) -> Response:
        html = render_template("identity/security_code.html", form=form, start_again_url=_sign_in_again())
        return make_response(html, 400 if form.errors else 200)

    def _go_on(self, taken: StepTaken, *, to: str) -> AnyResponse:
        response = redirect(to, 303)
        cookie = self.people.cookie
        response.set_cookie(cookie.name, taken.secret, **cookie.attributes)  # type: ignore[arg-type]
        return response


def _still_needed(here: SignedIn | None, waiting: InterruptedRequest | None) -> StillNeeded:
    if here is None:
        return StillNeeded.SIGN_IN
    return waiting.still_needed(here) if waiting is not None else StillNeeded.NOTHING


def _next() -> str:
    return local_path(request.args.get("next")) or HOME


def _code_address() -> str:
    return security_code_address(_next())


def _sign_in_again() -> str:
    return sign_in_address(_next())


def _source() -> str:
    # Behind proxies of ours this is the visitor, not the proxy: `gateway.web.proxies` has seen to it.
    return request.remote_addr or "unknown"
