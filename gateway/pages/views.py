"""The start page, which anyone may see, and the auditors' pages, which need the role."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from flask import Blueprint, Response, g, redirect, render_template, request
from werkzeug.wrappers import Response as AnyResponse

from gateway.audit.append import AuditLog, Event
from gateway.audit.checking.prove import prove_exchange
from gateway.audit.checking.trust import Trust
from gateway.audit.errors import NotYetPublished
from gateway.audit.keeping.reading import Reader, account_for
from gateway.audit.log_keys import LogKeys
from gateway.clock import Clock
from gateway.db import Database
from gateway.directory.members import OVERSIGHT_BODY, find_member
from gateway.identity.errors import RoleRequired, SignInRequired
from gateway.identity.guards import signed_in_officer
from gateway.identity.people import People
from gateway.identity.sessions import SignedIn
from gateway.identity.views import sign_in_address, signed_in_context
from gateway.pages.errors import FilterUnknown, PageUnknown
from gateway.pages.exchanges import details_in_words, listed_in_words, load_names, whole_in_words
from gateway.policy.registers import Registers
from gateway.sharing.exchange.errors import ExchangeNotFound
from gateway.sharing.exchange.listing import (
    OUTCOMES,
    Filter,
    ListedExchange,
    count_exchanges,
    find_exchange,
    list_exchanges,
)
from gateway.web.problems import problem_response, wants_page

AUDITOR = "auditor"
PAGE_SIZE = 25
HOME = "/"
EXCHANGES = "/auditor/exchanges"
IN_WORDS = {"open": "In progress"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PageTools:
    """What the pages need."""

    database: Database
    audit: AuditLog
    people: People
    clock: Clock
    registers: Registers
    log_dir: Path
    log_keys: LogKeys
    check_published: Callable[[], None]
    """Raises while the log is not published, or is newer than the database: auditors see nothing then."""


def home_blueprint(tools: PageTools) -> Blueprint:
    """Serve the start page."""
    pages = Blueprint("home", __name__, template_folder="templates")

    @pages.get(HOME)
    def home() -> str:
        signed_in = tools.people.sign_in.signed_in(request.cookies.get(tools.people.cookie.name), now=tools.clock.now())
        audits = signed_in is not None and AUDITOR in signed_in.account.roles and _oversees(tools, signed_in)
        return render_template(
            "pages/home.html",
            sign_in_url=sign_in_address(HOME),
            account_url="/account" if signed_in is not None else None,
            exchanges_url=EXCHANGES if audits else None,
            checkpoint_url="/log/checkpoint",
            log_key_url="/.well-known/gateway-configuration",
            discovery_url="/.well-known/openid-configuration",
            keys_url="/.well-known/jwks.json",
            openapi_url="/openapi.json",
            log_origin=tools.log_keys.origin,
            **signed_in_context(signed_in),
        )

    return pages


def auditor_guard(tools: PageTools) -> Callable[[], None]:
    """Return the guard of the auditors' door: an oversight body's officer with the role, signed in with both factors.

    A member may call anybody of its own an auditor; what others asked is for oversight bodies alone.
    """

    def require_auditor() -> None:
        g.signed_in = signed_in_officer(
            tools.people.sign_in,
            request.cookies.get(tools.people.cookie.name),
            role=AUDITOR,
            now=tools.clock.now(),
        )
        if not _oversees(tools, g.signed_in):
            raise RoleRequired
        # In an old copy of the database a session that was ended since, or an officer suspended since, is back.
        tools.check_published()

    return require_auditor


def _oversees(tools: PageTools, signed_in: SignedIn) -> bool:
    with tools.database.read() as session:
        member = find_member(session, signed_in.account.member_code or "")
    return member is not None and member.kind == OVERSIGHT_BODY


def auditor_blueprint(tools: PageTools) -> Blueprint:
    """Serve the list of exchanges, one exchange, and its proof. Every look is itself recorded."""
    pages = Blueprint("auditor", __name__, template_folder="templates", url_prefix=EXCHANGES)
    pages.add_url_rule("", "exchanges", partial(_exchanges, tools))
    pages.add_url_rule("/<uuid:exchange>", "exchange", partial(_exchange, tools))
    pages.add_url_rule("/<uuid:exchange>/proof.json", "proof", partial(_proof, tools))
    pages.add_url_rule("/<uuid:exchange>/receipt.jwt", "receipt", partial(_receipt, tools))
    pages.register_error_handler(SignInRequired, _to_sign_in)
    return pages


def _to_sign_in(error: SignInRequired) -> AnyResponse:
    """Let a person sign in and come back to this very page; tell a program that it may not."""
    if not wants_page():
        return problem_response(error)
    return redirect(sign_in_address(request.full_path.removesuffix("?")), 303)


def _exchanges(tools: PageTools) -> str:
    with tools.database.read() as session:
        names = load_names(session, tools.registers)
        chosen = Filter(outcome=_chosen("outcome", OUTCOMES), consumer=_chosen("consumer", names.members))
        total = count_exchanges(session, chosen)
        number = _page_number(pages=max(1, -(-total // PAGE_SIZE)))
        found = list_exchanges(session, chosen, offset=(number - 1) * PAGE_SIZE, limit=PAGE_SIZE)
        rows = [
            listed_in_words(session, item, names) | {"href": _exchange_href(item.id, chosen, number)} for item in found
        ]
    _record_look(tools, "oversight.exchanges.viewed", {"count": len(found), "search": _query(chosen, number)})
    return render_template(
        "pages/auditor_exchanges.html",
        exchanges=rows,
        filters={
            "outcome": chosen.outcome or "",
            "consumer": chosen.consumer or "",
            "outcomes": [(outcome, IN_WORDS.get(outcome, outcome.capitalize())) for outcome in OUTCOMES],
            "consumers": sorted(names.members.items(), key=lambda member: member[1]),
        },
        total=total,
        all_href=EXCHANGES,
        newer_href=_list_href(chosen, number - 1) if number > 1 else None,
        older_href=_list_href(chosen, number + 1) if number * PAGE_SIZE < total else None,
        **_frame(),
    )


def _exchange(tools: PageTools, exchange: UUID) -> str:
    with tools.database.read() as session:
        item = _found(find_exchange(session, exchange))
        names = load_names(session, tools.registers)
        shown = whole_in_words(session, item, names)
        back = Filter(outcome=_chosen("outcome", OUTCOMES), consumer=_chosen("consumer", names.members))
    reader = _record_look(tools, "oversight.exchanges.viewed", {"exchange": str(exchange), "count": 1})
    with tools.database.read() as session:
        details = details_in_words(session, item, reader)
    return render_template(
        "pages/auditor_exchange.html",
        exchange=shown,
        details=details,
        back_href=_list_href(back, _whole_number("page")),
        proof_href=f"{EXCHANGES}/{exchange}/proof.json" if shown["leaf_index"] is not None else None,
        receipt_href=f"{EXCHANGES}/{exchange}/receipt.jwt" if item.receipt else None,
        **_frame(),
    )


def _proof(tools: PageTools, exchange: UUID) -> Response:
    with tools.database.read() as session:
        item = _found(find_exchange(session, exchange))
        if item.receipt is None:
            raise NotYetPublished(retry_after=1)
        document = prove_exchange(
            session,
            log_dir=tools.log_dir,
            trust=Trust(keys=tools.log_keys.known),
            reference=str(exchange),
            receipt=item.receipt,
        ).as_json()
    _record_look(tools, "oversight.proof.downloaded", {"exchange": str(exchange)})
    return _download(document, f"proof-{exchange}.json", "application/json")


def _receipt(tools: PageTools, exchange: UUID) -> Response:
    with tools.database.read() as session:
        item = _found(find_exchange(session, exchange))
    if item.receipt is None:
        raise ExchangeNotFound
    _record_look(tools, "oversight.proof.downloaded", {"exchange": str(exchange)})
    return _download(item.receipt.encode(), f"receipt-{exchange}.jwt", "application/jwt")


def _found(item: ListedExchange | None) -> ListedExchange:
    if item is None:
        raise ExchangeNotFound
    return item


def _download(content: bytes, name: str, content_type: str) -> Response:
    response = Response(content, content_type=content_type)
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def _record_look(tools: PageTools, name: str, details: Mapping[str, Any]) -> Reader:
    """Account for what an auditor is about to see: reading the log's details is itself an event."""
    signed_in: SignedIn = g.signed_in
    account = signed_in.account
    looker = {
        "account": str(account.account_id),
        "member": account.member_code,
        "roles": list(account.roles),
        "session": str(signed_in.session_id),
    }
    event = Event(
        name=name,
        outcome="done",
        members=(account.member_code,) if account.member_code else (),
        details={**looker, **details},
        subject=tools.people.references.reference_of_account(account.account_id),
    )
    return account_for(tools.audit, event, at=tools.clock.now())


def _frame() -> dict[str, Any]:
    return {
        "navigation": [{"text": "Exchanges", "href": EXCHANGES, "current": True}],
        **signed_in_context(g.signed_in),
    }


def _chosen(name: str, choices: Mapping[str, str] | tuple[str, ...]) -> str | None:
    """Return the chosen filter, None for all; a choice that the page does not offer is refused, not overlooked."""
    value = request.args.get(name) or None
    if value is not None and value not in choices:
        raise FilterUnknown(f"The filter {name} has no such choice.")
    return value


def _page_number(*, pages: int) -> int:
    number = _whole_number("page")
    if number > pages:
        raise PageUnknown
    return number


def _whole_number(name: str) -> int:
    value = request.args.get(name) or "1"
    # Longer numbers name no page, and int() accepts signs, spaces and other scripts' digits that nobody meant.
    if not (value.isascii() and value.isdecimal() and len(value) < 10) or int(value) == 0:  # noqa: PLR2004 - digits
        raise PageUnknown
    return int(value)


def _query(chosen: Filter, number: int) -> dict[str, Any]:
    return {"outcome": chosen.outcome, "consumer": chosen.consumer, "page": number}


def _list_href(chosen: Filter, number: int) -> str:
    return _with_query(EXCHANGES, chosen, number)


def _exchange_href(exchange: UUID, chosen: Filter, number: int) -> str:
    # The way back to the list as it was filtered travels in the address: the pages keep no state of their own.
    return _with_query(f"{EXCHANGES}/{exchange}", chosen, number)


def _with_query(path: str, chosen: Filter, number: int) -> str:
    query = {name: value for name, value in _query(chosen, number).items() if value and (name, value) != ("page", 1)}
    return f"{path}?{urlencode(query)}" if query else path
