"""Every page with invented content, in two scratch apps, for the tests to look at.

To look oneself: `python -m tests.web.sample_pages` serves the gateway's pages on loopback port 8765 and the portal's
on 8766, each under the path its `SamplePage` names.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from types import SimpleNamespace
from typing import Any

from flask import Blueprint, Flask, render_template, request
from werkzeug.serving import BaseWSGIServer, make_server

from gateway.demo.errands import IDENTITY
from gateway.demo.forms import AskForm
from gateway.identity.forms import SecurityCodeForm, SignInForm
from gateway.oidc.authorization.forms import ConsentForm
from gateway.web import error_pages
from gateway.web.forms import SignOutForm
from gateway.web.headers import install_headers
from gateway.web.pages import install_pages

NOW = datetime(2026, 6, 4, 9, 5, tzinfo=UTC)
EXCHANGE = "0197396a-7a10-7c3e-9c55-4f1d2b6a8e01"
DIGEST = "n4bQgYhMfWWaL-qgxVrQFaO_TxsrC0Is0V1sFbDwCgg"
RULES = (
    {
        "code": "field_not_covered",
        "title": "The agreement does not cover the field award_amount",
        "rule": "fields-within-agreement",
    },
    {"code": "purpose_not_covered", "title": "The agreement does not cover this purpose", "rule": "purpose-agreed"},
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SamplePage:
    """Where a page stands, what it is made from, and whether it takes a form (by GET empty, by POST checked)."""

    path: str
    template: str
    context: Mapping[str, Any]
    form: Callable[[], Any] | None = None
    asks: bool = True
    """Whether the form has anything to fill in; one of buttons alone has nothing to get wrong."""
    signed_in_as: str | None = None
    current: str | None = None


def exchange_row(**changes: object) -> SimpleNamespace:
    row: dict[str, object] = {
        "reference": EXCHANGE,
        "href": "/auditor/exchange",
        "at": NOW,
        "member": "Blackburn with Darwen Borough Council",
        "client": "Free school meals portal",
        "officer": "Olive Testcase",
        "subject_reference": "person-7be2d04c91",
        "service": "Free school meals check",
        "service_id": "dwp/free-school-meals/v1",
        "purpose": "Deciding a free school meals application",
        "decision": "permit",
        "outcome": "disclosed",
        "rules": (),
    }
    return SimpleNamespace(**{**row, **changes})


def whole_exchange(**changes: object) -> SimpleNamespace:
    more: dict[str, object] = {
        "completed_at": NOW,
        "officer_email": "olive.testcase@blackburn.example",
        "officer_roles": ("benefits-officer",),
        "acr": "AAL2",
        "case_reference": "FSM/2026/00017",
        "archived": False,
        "provider": "Department for Work and Pensions",
        "legal_gateway": "Education Act 2005, section 110",
        "agreement": "DSA-003",
        "agreement_version": 2,
        "fields_asked": ("eligible", "tier"),
        "fields_disclosed": ("eligible", "tier"),
        "fields_withheld": (),
        "policy_digest": DIGEST,
        "request_digest": DIGEST,
        "provider_jwt_digest": DIGEST,
        "log_entry": DIGEST,
        "leaf_index": 1234,
    }
    return SimpleNamespace(**{**vars(exchange_row()), **more, **changes})


FILTERS = SimpleNamespace(
    outcome="",
    consumer="",
    outcomes=(("disclosed", "Disclosed"), ("refused", "Refused"), ("failed", "Failed"), ("abandoned", "Abandoned")),
    consumers=(("bwd", "Blackburn with Darwen Borough Council"),),
)
ROWS = (
    exchange_row(),
    exchange_row(decision="deny", outcome="refused", rules=RULES),
    exchange_row(decision="permit", outcome="failed", officer=None),
    exchange_row(decision=None, outcome="open", subject_reference=None),
    exchange_row(outcome="abandoned"),
)
RECEIPT = SimpleNamespace(
    exchange=EXCHANGE,
    issued_at=NOW,
    outcome="disclosed",
    service="dwp/free-school-meals/v1",
    purpose="free-school-meals",
    agreement="DSA-003",
    agreement_version=2,
    fields_disclosed=("eligible", "tier"),
    fields_withheld=(),
    log_entry=DIGEST,
)
CHECKS = (
    "The department signed these fields, and the signature verifies.",
    "The gateway signed its answer to exactly this request.",
    "The receipt names the fields disclosed and the agreement they were disclosed under.",
)
ACCOUNT = SimpleNamespace(
    name="Olive Testcase",
    email="olive.testcase@blackburn.example",
    kind="officer",
    member="Blackburn with Darwen Borough Council",
    roles=("Benefits officer",),
    signed_in_at=NOW,
    strength="Password and security code",
)
HOME = {
    "sign_in_url": "/sign-in",
    "checkpoint_url": "/log/checkpoint",
    "log_key_url": "/log/key",
    "discovery_url": "/.well-known/openid-configuration",
    "keys_url": "/jwks",
    "openapi_url": "/openapi.json",
    "log_origin": "gateway.example/log",
}
AUDITOR = "Auden Specimen"

GATEWAY_PAGES = (
    SamplePage(path="/", template="pages/home.html", context=HOME),
    SamplePage(
        path="/home-for-auditor",
        template="pages/home.html",
        context={**HOME, "exchanges_url": "/auditor/exchanges"},
        signed_in_as=AUDITOR,
    ),
    SamplePage(
        path="/sign-in",
        template="identity/sign_in.html",
        context={"service_name": "Check free school meals"},
        form=SignInForm,
    ),
    SamplePage(
        path="/security-code",
        template="identity/security_code.html",
        context={"start_again_url": "/sign-in"},
        form=SecurityCodeForm,
    ),
    SamplePage(path="/signed-out", template="identity/signed_out.html", context={"sign_in_url": "/sign-in"}),
    SamplePage(
        path="/logout",
        template="logout/confirm.html",
        context={
            "action": "/logout/confirm",
            "ticket": "a-ticket",
            "service_name": "Check free school meals",
            "stay_url": "/account",
        },
        form=SignOutForm,
        asks=False,
    ),
    SamplePage(
        path="/sign-out/everywhere",
        template="logout/everywhere.html",
        context={"count": 2, "stay_url": "/account"},
        form=SignOutForm,
        asks=False,
        signed_in_as="Olive Testcase",
    ),
    SamplePage(
        path="/logout/frames",
        template="logout/front_channel.html",
        context={
            "frames": (),  # the policy of these pages allows none
            "next_url": "/signed-out",
            "service_name": "Check free school meals",
        },
    ),
    SamplePage(
        path="/account", template="identity/account.html", context={"account": ACCOUNT}, signed_in_as="Olive Testcase"
    ),
    SamplePage(
        path="/auditor/exchanges",
        template="pages/auditor_exchanges.html",
        context={
            "exchanges": ROWS,
            "filters": FILTERS,
            "total": 1312,
            "all_href": "/",
            "newer_href": "?before=1",
            "older_href": "?after=9",
        },
        signed_in_as=AUDITOR,
        current="Exchanges",
    ),
    SamplePage(
        path="/auditor/no-exchanges",
        template="pages/auditor_exchanges.html",
        context={
            "exchanges": (),
            "filters": FILTERS,
            "total": 0,
            "all_href": "/",
            "newer_href": None,
            "older_href": None,
        },
        signed_in_as=AUDITOR,
        current="Exchanges",
    ),
    SamplePage(
        path="/auditor/exchange",
        template="pages/auditor_exchange.html",
        context={
            "exchange": whole_exchange(),
            "details": {"state": "kept", "said": [("client", "blackburn-portal"), ("reason", None)]},
            "back_href": "/auditor/exchanges",
            "proof_href": "/proof",
            "receipt_href": "/receipt",
        },
        signed_in_as=AUDITOR,
        current="Exchanges",
    ),
    SamplePage(
        path="/auditor/refused-exchange",
        template="pages/auditor_exchange.html",
        context={
            "exchange": whole_exchange(
                decision="deny",
                outcome="refused",
                rules=RULES,
                provider_jwt_digest=None,
                leaf_index=None,
                agreement=None,
                officer=None,
                subject_reference=None,
                completed_at=None,
                fields_disclosed=(),
                fields_withheld=("award_amount",),
            ),
            "details": {"state": "erased", "said": []},
            "back_href": "/auditor/exchanges",
            "proof_href": None,
            "receipt_href": None,
        },
        signed_in_as=AUDITOR,
        current="Exchanges",
    ),
    SamplePage(
        path="/authorize/choose-account",
        template="oidc/choose_account.html",
        context={
            "account": (("Name", "Olive Testcase"), ("Email address", "olive.testcase@blackburn.example")),
            "name": "Olive Testcase",
            "service_name": "Free school meals portal",
            "continue_url": "/",
            "another_url": "/sign-in",
        },
        signed_in_as="Olive Testcase",
    ),
    SamplePage(
        path="/authorize/consent",
        template="oidc/consent.html",
        context={
            "another_url": "/sign-in",
            "service_name": "Free school meals portal",
            "member_name": "Blackburn with Darwen Borough Council",
            "name": "Olive Testcase",
            "told": ("that it is you, by a number that it alone knows you by", "your name"),
            "acts_for_them": True,
            "offline": True,
        },
        form=ConsentForm,
        asks=False,
        signed_in_as="Olive Testcase",
    ),
    *(
        SamplePage(
            path=f"/error/{name.lower().replace('_', '-')}",
            template="error.html",
            context={
                "title": page.title,
                "paragraphs": page.paragraphs,
                "detail": "invalid_request: redirect_uri is not registered for this client.",
                "reference": EXCHANGE,
            },
        )
        for name, page in vars(error_pages).items()
        if isinstance(page, error_pages.ErrorPage)
    ),
)
ERRANDS = (
    {"title": "Free school meals", "about": "Whether a parent’s benefits entitle a child.", "href": "/ask"},
    {"title": "Identity check", "about": "Whether what a person says of themselves agrees.", "href": "/ask-more"},
)
PORTAL_PAGES = (
    SamplePage(
        path="/",
        template="demo/portal_home.html",
        context={"officer": None, "sign_in_url": "/sign-in", "errands": ERRANDS, "gateway_name": "Gateway"},
    ),
    SamplePage(
        path="/signed-in",
        template="demo/portal_home.html",
        context={
            "officer": SimpleNamespace(name="Olive Testcase", roles=("Benefits officer",), acr="AAL2"),
            "sign_in_url": "/sign-in",
            "errands": ERRANDS,
            "gateway_name": "Gateway",
        },
        signed_in_as="Olive Testcase",
    ),
    SamplePage(
        path="/ask",
        current="Ask about a person",
        template="demo/portal_ask.html",
        context={"back_href": "/"},
        form=lambda: AskForm(today=date(2026, 6, 4)),
        signed_in_as="Olive Testcase",
    ),
    SamplePage(
        path="/ask-more",
        current="Ask about a person",
        template="demo/portal_ask.html",
        context={"back_href": "/"},
        form=lambda: AskForm(today=date(2026, 6, 4), errand=IDENTITY),
        signed_in_as="Olive Testcase",
    ),
    SamplePage(
        path="/answer",
        template="demo/portal_answer.html",
        context={
            "answer": SimpleNamespace(
                errand="Free school meals",
                case_reference="FSM/2026/00017",
                fields=[("Free school meals can be given", "Yes"), ("Tier", "targeted")],
                checks=CHECKS,
            ),
            "receipt": RECEIPT,
            "ask_url": "/ask",
            "home_url": "/",
        },
        signed_in_as="Olive Testcase",
    ),
    SamplePage(
        path="/refused",
        template="demo/portal_refused.html",
        context={
            "refusal": SimpleNamespace(
                errand="Blue Badge", case_reference="FSM/2026/00018", rules=RULES, checks=CHECKS[1:]
            ),
            "receipt": SimpleNamespace(
                **{
                    **vars(RECEIPT),
                    "outcome": "refused",
                    "fields_disclosed": (),
                    "fields_withheld": ("award_amount",),
                    "agreement": None,
                }
            ),
            "ask_url": "/ask",
            "home_url": "/",
        },
        signed_in_as="Olive Testcase",
    ),
)


def sample_app(
    pages: tuple[SamplePage, ...], *, wordmark: str = "Gateway", theme: str = "gateway", demonstration: bool = True
) -> Flask:
    app = Flask("sample", static_folder=None, template_folder=None)
    app.secret_key = "for these pages only"
    install_pages(app, demonstration=demonstration, wordmark=wordmark, theme=theme)
    for room in ("identity", "oidc", "oidc.logout", "pages", "demo"):
        name = room.replace(".", "-")
        app.register_blueprint(Blueprint(name, f"gateway.{room}", template_folder="templates"))

    install_headers(app, https=False)
    for page in pages:
        app.add_url_rule(page.path, page.path, _view(page), methods=["GET", "POST"])
    return app


def gateway_app(**changes: Any) -> Flask:
    return sample_app(GATEWAY_PAGES, **changes)


def portal_app(**changes: Any) -> Flask:
    return sample_app(PORTAL_PAGES, wordmark="Blackburn with Darwen Borough Council", theme="council", **changes)


def _view(page: SamplePage) -> Callable[[], str]:
    def view() -> str:
        context: dict[str, Any] = {
            **page.context,
            "signed_in_as": page.signed_in_as,
            "sign_out_url": "/sign-out",
            "sign_out_form": SignOutForm(),
            "footer_links": [{"text": "Accessibility", "href": "/accessibility"}],
        }
        if page.signed_in_as:
            context["navigation"] = [
                {"text": name, "href": "/", "current": name == page.current}
                for name in (("Exchanges", "Account") if page in GATEWAY_PAGES else ("Ask about a person",))
            ]
        if page.form is not None:
            context["form"] = page.form()
            if request.method == "POST":
                context["form"].validate()
        return render_template(page.template, **context)

    return view


def serve(app: Flask, *, port: int = 0) -> BaseWSGIServer:
    """A started server on loopback; its `server_port` says where. Call `shutdown()` when done."""
    server = make_server("127.0.0.1", port, app, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


if __name__ == "__main__":
    serve(gateway_app(), port=8765)
    serve(portal_app(), port=8766)
    threading.Event().wait()
