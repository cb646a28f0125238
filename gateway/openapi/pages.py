"""The pages for people, and what auditors download from theirs: nothing else here is meant for programs."""

from collections.abc import Mapping

from gateway.audit.errors import NotYetPublished
from gateway.audit.merge_delay import DatabaseOlderThanLog, LogBehind
from gateway.db import CommitUnconfirmed, DatabaseUnavailable
from gateway.errors import Unavailable
from gateway.identity.errors import RoleRequired, SignInRequired, TooManyAttempts
from gateway.openapi.components import ADDRESS, COMPACT_JWS, SESSION
from gateway.openapi.elements import (
    FORM,
    JSON,
    Json,
    answer,
    body_of,
    operation,
    or_no_such_address,
    or_page,
    page,
    parameter,
    plain_problem,
    problems,
    redirect,
)
from gateway.openapi.sign_in import TEXT, TOO_LARGE
from gateway.pages.errors import FilterUnknown, PageUnknown
from gateway.sharing.exchange.errors import ExchangeNotFound
from gateway.sharing.exchange.listing import OUTCOMES

AUDITOR: tuple[Json, ...] = ({SESSION: []},)
TAG = "Pages for people"
FORM_FIELD: Json = {"csrf_token": TEXT}
NEXT = parameter("next", "query", TEXT, "Where to go on: a path of our own", required=False)
TICKET = parameter("ticket", "query", TEXT, "What waits, sealed", required=False)
UNAVAILABLE: Mapping[int, Json] = or_page(problems(Unavailable, DatabaseUnavailable, CommitUnconfirmed))


def page_doors() -> Json:
    """Describe the pages of signing in and out, the start page and what pages need."""
    return {
        "/": {"get": _page("home", "The start page")},
        "/account": {"get": _page("account", "Who is signed in", 303)},
        "/sign-in": {
            "get": _page("signInPage", "Sign in", 303, parameters=(NEXT,)),
            "post": _form("signIn", "Give an e-mail address and a password", {"email": TEXT, "password": TEXT}),
        },
        "/sign-in/code": {
            "get": _page("securityCodePage", "Give a security code", 303, parameters=(NEXT,)),
            "post": _form("securityCode", "Give a security code", {"code": TEXT}),
        },
        "/authorize/continue": {
            "get": _page("continueAuthorization", "Go on with a client's request", 303, 400, parameters=(TICKET,)),
            "post": _form("consent", "Agree, or not", {"decision": TEXT}, parameters=(TICKET,), throttled=False),
        },
        "/logout": {
            "get": _page(
                "endSession",
                "Sign out at a client's request (RP-Initiated Logout 1.0)",
                303,
                400,
                parameters=[
                    parameter(name, "query", schema, text, required=False) for name, (schema, text) in _LOGOUT.items()
                ],
            ),
            "post": _form(
                "endSessionByForm",
                "The same by a form",
                {name: schema for name, (schema, _) in _LOGOUT.items()},
                throttled=False,
            ),
        },
        "/logout/continue": {"get": _page("continueLogout", "Go on signing out", 303, 400, parameters=(TICKET,))},
        "/logout/confirm": {"post": _form("confirmLogout", "Sign out", {"ticket": TEXT}, throttled=False)},
        "/sign-out": {"post": _form("signOut", "Sign out", {}, throttled=False)},
        "/sign-out/everywhere": {
            "get": _page("signOutEverywherePage", "Sign out everywhere", 303),
            "post": _form("signOutEverywhere", "Sign out everywhere", {}, throttled=False),
        },
        "/signed-out": {"get": _page("signedOut", "Nobody is signed in here now")},
        "/assets/{filename}": {
            "get": operation(
                "asset",
                "What pages need: styles, a script, pictures",
                tag=TAG,
                parameters=(parameter("filename", "path", TEXT, "Its slashes stand as they are"),),
                answers={
                    200: answer("The file", {"*/*": {}}, headers=("Cache-Control",)),
                    304: answer("It has not changed"),
                    **or_page({404: plain_problem("There is no such file")}),
                },
            )
        },
    }


def auditor_doors() -> Json:
    """Describe the auditors' pages and downloads. Every look is itself recorded."""
    exchange = parameter("exchange", "path", {"type": "string", "format": "uuid"}, "The exchange's id")
    outcome = parameter("outcome", "query", {"enum": ["", *OUTCOMES]}, "Exchanges with this outcome", required=False)
    consumer = parameter("consumer", "query", TEXT, "Exchanges of this member", required=False)
    number = parameter("page", "query", {"type": "integer", "minimum": 1}, "Which page", required=False)
    one = "/auditor/exchanges/{exchange}"
    proof: Json = {
        "type": "object",
        "description": "Section 12 of the wire protocol",
        "required": ["format", "exchange", "leaf", "leaf_index", "inclusion_proof", "checkpoint", "receipt"],
    }
    return {
        "/auditor/exchanges": {
            "get": _oversight(
                "exchanges",
                "The list of exchanges",
                page("A page of the list"),
                parameters=(outcome, consumer, number),
                errors=or_page(problems(FilterUnknown, PageUnknown)),
            )
        },
        one: {
            "get": _oversight(
                "exchange",
                "One exchange",
                page("What is known of it"),
                parameters=(exchange, outcome, consumer, number),
                errors=or_no_such_address(or_page(problems(FilterUnknown, PageUnknown, ExchangeNotFound))),
            )
        },
        f"{one}/proof.json": {
            "get": _oversight(
                "proof",
                "The proof of one exchange",
                answer("A proof file", {JSON: proof}, headers=("Content-Disposition",)),
                parameters=(exchange,),
                errors=or_no_such_address(or_page(problems(ExchangeNotFound, NotYetPublished))),
            )
        },
        f"{one}/receipt.jwt": {
            "get": _oversight(
                "receipt",
                "The receipt of one exchange",
                answer("The receipt", {"application/jwt": COMPACT_JWS}, headers=("Content-Disposition",)),
                parameters=(exchange,),
                errors=or_no_such_address(or_page(problems(ExchangeNotFound))),
            )
        },
    }


def _page(name: str, summary: str, *others: int, parameters: tuple[Json, ...] | list[Json] = ()) -> Json:
    shown = {200: page("The page"), 303: redirect("On to another page"), 400: page("What is wrong")}
    answers = {status: shown[status] for status in (200, *others)}
    return operation(name, summary, tag=TAG, parameters=parameters, answers={**answers, **UNAVAILABLE})


def _form(
    name: str,
    summary: str,
    fields: Mapping[str, Json],
    *,
    parameters: tuple[Json, ...] = (NEXT,),
    throttled: bool = True,
) -> Json:
    schema = {"type": "object", "properties": {**fields, **FORM_FIELD}}
    limits = or_page(problems(TooManyAttempts, headers=("Retry-After",))) if throttled else {}
    return operation(
        name,
        summary,
        tag=TAG,
        parameters=parameters,
        body=body_of(FORM, schema),
        answers={
            200: page("The page"),
            303: redirect("On to another page"),
            400: page("The form again, with what is wrong"),
            **limits,
            **UNAVAILABLE,
            **TOO_LARGE,
        },
    )


def _oversight(
    name: str, summary: str, found: Json, *, parameters: tuple[Json, ...], errors: Mapping[int, Json]
) -> Json:
    return operation(
        name,
        summary,
        tag="Oversight",
        text="For auditors of oversight bodies, signed in with both factors.",
        parameters=parameters,
        security=AUDITOR,
        answers={
            200: found,
            303: redirect("A browser at which nobody is signed in: to the sign-in"),
            **or_page(problems(SignInRequired, RoleRequired)),
            **errors,
            **or_page(problems(Unavailable, DatabaseUnavailable, CommitUnconfirmed, LogBehind, DatabaseOlderThanLog)),
        },
    )


_LOGOUT: Mapping[str, tuple[Json, str]] = {
    "id_token_hint": (TEXT, "An ID token of the session; it may have expired"),
    "client_id": (TEXT, "The client that asks"),
    "post_logout_redirect_uri": (ADDRESS, "A registered one, compared exactly"),
    "state": (TEXT, "Comes back as it was sent"),
    "logout_hint": (TEXT, "Changes nothing"),
    "ui_locales": (TEXT, "Changes nothing"),
}
