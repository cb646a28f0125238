"""The desks at which officers ask: ordinary OpenID relying parties on Authlib's client, and `gateway.sdk`'s consumer.

Each member that asks has a desk of its own: its own client, key and sessions. The council's is at the portal's root.
Tokens stay on the server; the browser holds only the name of its session. All desks are one process, so a dictionary
is session store enough.
"""

import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests
import structlog
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.flask_client import FlaskOAuth2App, OAuth
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from flask import Blueprint, Flask, g, redirect, render_template, request, session, url_for
from joserfc.errors import JoseError
from joserfc.jwk import ECKey
from werkzeug.exceptions import NotFound
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.wrappers import Response as AnyResponse

from gateway.clock import SystemClock, parse_rfc3339
from gateway.demo.errands import ERRANDS, Errand
from gateway.demo.forms import AskForm
from gateway.demo.members import member_of
from gateway.demo.systems import DESKS, Desk
from gateway.errors import GatewayError
from gateway.sdk.consumer import Answer, AnswerNotBelievable, Consumer, NotAnswered, Refusal
from gateway.sdk.metadata import GatewayUnreachable
from gateway.web import health
from gateway.web.forms import SignOutForm
from gateway.web.headers import install_headers
from gateway.web.logs import configure_logs
from gateway.web.pages import install_pages
from gateway.web.problems import install_problems
from gateway.wire.receipts import Receipt
from gateway.wire.signer import PrivateKeySigner

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

log = structlog.get_logger("gateway.demo.portal")


class GatewaySession(OAuth2Session):
    """HTTP to the gateway that trusts the authority it was given, whatever the environment names."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.trust_env = False


class GatewayProvider(FlaskOAuth2App):
    """The gateway as Authlib's client sees it."""

    client_cls = GatewaySession


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedInOfficer:
    """What the portal remembers of an officer."""

    name: str
    roles: tuple[str, ...]
    acr: str
    access_token: str
    expires_at: datetime


class Sessions:
    """Officers signed in, by the secret in their browser."""

    def __init__(self) -> None:
        self._officers: dict[str, SignedInOfficer] = {}
        self._lock = threading.Lock()

    def begin(self, officer: SignedInOfficer) -> str:
        """Remember an officer under a new secret."""
        secret = secrets.token_urlsafe(32)
        with self._lock:
            self._officers[secret] = officer
        return secret

    def find(self, secret: str | None) -> SignedInOfficer | None:
        """Return who is signed in under this secret, while the access token lasts."""
        officer = self._officers.get(secret or "")
        return officer if officer is not None and officer.expires_at > SystemClock().now() else None

    def end(self, secret: str | None) -> None:
        """Forget."""
        with self._lock:
            self._officers.pop(secret or "", None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Portal:
    """The parts of one desk; `address` is where it is, `errands` what it offers, by slug."""

    address: str
    errands: Mapping[str, Errand]
    issuer: str
    oauth: Any
    consumer: Consumer
    sessions: Sessions

    def home(self) -> str:
        """Show who is signed in, or the way in."""
        officer = self._officer()
        shown = {"name": officer.name, "roles": officer.roles, "acr": officer.acr} if officer else None
        return render_template(
            "demo/portal_home.html",
            officer=shown,
            sign_in_url=url_for("portal.sign_in"),
            errands=[
                {"title": errand.title, "about": errand.about, "href": url_for("portal.ask", slug=errand.slug)}
                for errand in self.errands.values()
            ],
            gateway_name="the gateway",
            **self._frame(officer),
        )

    def sign_in(self) -> AnyResponse:
        """Send the browser to the gateway (code flow, PKCE, and a token for asking)."""
        redirected: AnyResponse = self.oauth.gateway.authorize_redirect(
            f"{self.address}/callback", resource=f"{self.issuer}/sharing/v1"
        )
        return redirected

    def callback(self) -> AnyResponse | tuple[str, int]:
        """Take the code, redeem it, and begin a session of our own."""
        # RFC 9207 §2.4: an answer from another issuer is not for this client.
        if request.args.get("iss") != self.issuer:
            log.warning("sign-in failed", error="another issuer")
            return _not_signed_in()
        try:
            token = self.oauth.gateway.authorize_access_token()
        except (OAuthError, JoseError) as error:
            log.warning("sign-in failed", error=type(error).__name__)
            return _not_signed_in()
        claims = token["userinfo"]
        officer = SignedInOfficer(
            name=str(claims.get("name") or claims["sub"]),
            roles=tuple(claims.get("roles", ())),
            acr=str(claims.get("acr", "")),
            access_token=token["access_token"],
            expires_at=SystemClock().now().fromtimestamp(token["expires_at"], SystemClock().now().tzinfo),
        )
        session.clear()
        session["officer"] = self.sessions.begin(officer)
        return redirect(url_for("portal.home"), 303)

    def sign_out(self) -> AnyResponse:
        """Forget the officer here."""
        if SignOutForm().validate_on_submit():
            self.sessions.end(session.get("officer"))
            session.clear()
        return redirect(url_for("portal.home"), 303)

    def choose(self) -> AnyResponse:
        """Send whoever is signed in to where errands are chosen, and others to sign in."""
        return redirect(url_for("portal.home" if self._officer() else "portal.sign_in"), 303)

    def ask(self, slug: str) -> AnyResponse | str | tuple[str, int]:
        """Ask the department about one errand, and show what it answered or why not."""
        errand = self.errands.get(slug)
        if errand is None:
            raise NotFound
        officer = self._officer()
        if officer is None:
            return redirect(url_for("portal.sign_in"), 303)
        form = AskForm(today=SystemClock().now().date(), errand=errand)
        if not form.validate_on_submit():
            page = render_template(
                "demo/portal_ask.html",
                form=form,
                errand=errand,
                back_href=url_for("portal.home"),
                **self._frame(officer),
            )
            return page, 400 if form.is_submitted() else 200
        answer = self.consumer.ask(
            service=errand.service,
            purpose=errand.purpose,
            subject={"match": form.described()},
            fields=form.fields.data or (),
            case_reference=form.case_reference.data,
            access_token=officer.access_token,
        )
        return _answered(
            answer, errand=errand, case_reference=form.case_reference.data or "", frame=self._frame(officer)
        )

    def _officer(self) -> SignedInOfficer | None:
        return self.sessions.find(session.get("officer"))

    def _frame(self, officer: SignedInOfficer | None) -> dict[str, Any]:
        if officer is None:
            return {}
        return {
            "signed_in_as": officer.name,
            "sign_out_url": url_for("portal.sign_out"),
            "sign_out_form": SignOutForm(),
        }


def _answered(answer: Answer | Refusal, *, errand: Errand, case_reference: str, frame: dict[str, Any]) -> str:
    receipt = _receipt(answer.receipt)
    shown: dict[str, Any] = {"errand": errand.title, "case_reference": case_reference, "checks": answer.verified}
    again = {"ask_url": url_for("portal.ask", slug=errand.slug), "home_url": url_for("portal.home")}
    if isinstance(answer, Refusal):
        refusal = shown | {"rules": answer.rules}
        return render_template("demo/portal_refused.html", refusal=refusal, receipt=receipt, **again, **frame)
    found = shown | {"fields": [(errand.labels.get(name, name), _words(v)) for name, v in answer.fields.items()]}
    return render_template("demo/portal_answer.html", answer=found, receipt=receipt, **again, **frame)


def _receipt(receipt: Receipt) -> dict[str, Any]:
    return {
        "exchange": receipt.exchange,
        "issued_at": parse_rfc3339(receipt.issued_at),
        "outcome": receipt.outcome,
        "service": receipt.service,
        "purpose": receipt.purpose,
        "agreement": receipt.agreement,
        "agreement_version": receipt.agreement_version,
        "fields_disclosed": receipt.fields_disclosed,
        "fields_withheld": receipt.fields_withheld,
        "log_entry": receipt.log_entry,
    }


def _words(value: object) -> str:
    if isinstance(value, bool):
        return "Yes" if value else "No"
    if isinstance(value, list):
        return ", ".join(map(_words, value))
    return "None" if value is None else str(value)


def make_app(keys_dir: str, issuer: str, origin: str, ca_file: str = "") -> "WSGIApplication":
    """Return every desk, each under its path; gunicorn calls this."""
    configure_logs("WARNING")
    apps: dict[str, WSGIApplication] = {
        desk.path: _desk_app(desk, Path(keys_dir), issuer=issuer, origin=origin, ca_file=ca_file) for desk in DESKS
    }
    return DispatcherMiddleware(apps.pop(""), apps)


def _desk_app(desk: Desk, keys_dir: Path, *, issuer: str, origin: str, ca_file: str) -> Flask:
    pem = (keys_dir / f"{desk.client_id}.pem").read_bytes()
    signer = PrivateKeySigner.from_pem(pem)
    app = Flask("gateway.demo", static_folder=None)
    app.secret_key = secrets.token_bytes(32)
    https = origin.startswith("https:")
    app.config.update(
        # __Host- asks for the path "/", so what tells the desks' cookies apart is their name.
        SESSION_COOKIE_NAME=f"__Host-{desk.client_id}" if https else f"{desk.client_id}-insecure",
        SESSION_COOKIE_PATH="/",
        SESSION_COOKIE_SECURE=https,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        WTF_CSRF_SSL_STRICT=False,
    )
    install_headers(app, https=https)
    install_problems(app)
    install_pages(app, demonstration=True, wordmark=member_of(desk.member).name, theme="council")
    portal = Portal(
        address=f"{origin}{desk.path}",
        errands={errand.slug: errand for errand in ERRANDS[desk.member]},
        issuer=issuer,
        oauth=_oauth(app, desk.client_id, pem=pem.decode(), signer=signer, issuer=issuer, ca_file=ca_file),
        consumer=Consumer(issuer, desk.client_id, signer, ca_file=Path(ca_file) if ca_file else None),
        sessions=Sessions(),
    )
    routes: tuple[tuple[str, Callable[..., Any], list[str]], ...] = (
        ("/", portal.home, ["GET"]),
        ("/sign-in", portal.sign_in, ["GET"]),
        ("/callback", portal.callback, ["GET"]),
        ("/sign-out", portal.sign_out, ["POST"]),
        ("/ask", portal.choose, ["GET"]),
        ("/ask/<slug>", portal.ask, ["GET", "POST"]),
    )
    pages = Blueprint("portal", __name__, template_folder="templates")
    for rule, view, methods in routes:
        pages.add_url_rule(rule, view.__name__, view, methods=methods)
    app.register_blueprint(pages)
    app.register_blueprint(health.blueprint({}))
    app.register_error_handler(NotAnswered, _not_answered)
    app.register_error_handler(AnswerNotBelievable, _not_believable)
    app.register_error_handler(GatewayUnreachable, _gateway_unreachable)
    app.register_error_handler(requests.RequestException, _gateway_unreachable)
    return app


def _not_answered(error: GatewayError) -> tuple[str, int]:
    log.warning("not answered", code=error.code)
    # What the gateway says is for whoever wrote the system: an officer has no Idempotency-Key to change.
    return _message("The department did not answer", "Try again in a minute.", status=502)


def _not_signed_in() -> tuple[str, int]:
    return _message("You have not been signed in", "Go back to the start and try again.", status=400)


def _gateway_unreachable(error: Exception) -> tuple[str, int]:
    log.warning("the gateway cannot be reached", error=type(error).__name__)
    return _message("The gateway did not answer", "Try again in a few minutes.", status=503)


def _not_believable(error: AnswerNotBelievable) -> tuple[str, int]:
    log.error("answer not believable", detail=error.public)
    return _message("The answer could not be verified", "Nothing of it is shown here.", error.public, status=502)


def _message(title: str, *paragraphs: str, status: int) -> tuple[str, int]:
    page = render_template("error.html", title=title, paragraphs=paragraphs, detail=None, reference=g.get("request_id"))
    return page, status


def _oauth(app: Flask, client_id: str, *, pem: str, signer: PrivateKeySigner, issuer: str, ca_file: str) -> Any:
    oauth: Any = OAuth(app)
    kwargs: dict[str, Any] = {
        "scope": "openid profile",
        "code_challenge_method": "S256",
        "token_endpoint_auth_method": "private_key_jwt",
    }
    if ca_file:
        kwargs["verify"] = ca_file
    # The issuer is the audience of an assertion: no other server can make use of one (FAPI 2.0 §5.3.3.1).
    assertion = PrivateKeyJWT(token_endpoint=issuer, headers={"kid": signer.key_id}, alg="ES256")
    oauth.register(
        "gateway",
        client_cls=GatewayProvider,
        client_id=client_id,
        client_secret=ECKey.import_key(pem),
        server_metadata_url=f"{issuer}/.well-known/openid-configuration",
        client_auth_methods=[assertion],
        client_kwargs=kwargs,
    )
    return oauth
