"""The start page, which anyone may see, and the auditors' pages, which need the role."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from flask import Blueprint, Response, g, render_template, request

from gateway.audit.append import AuditLog, Event
from gateway.audit.errors import NotYetPublished
from gateway.audit.prove import prove
from gateway.audit.recorded import find_events
from gateway.clock import Clock
from gateway.db import Database
from gateway.directory.members import list_clients, list_members
from gateway.identity.accounts import find_account
from gateway.identity.guards import signed_in_officer
from gateway.identity.people import People
from gateway.identity.sessions import SignedIn
from gateway.identity.views import signed_in_context
from gateway.sharing.exchange.errors import ExchangeNotFound
from gateway.sharing.exchange.listing import (
    OUTCOMES,
    Filter,
    ListedExchange,
    count_exchanges,
    find_exchange,
    list_exchanges,
)
from gateway.wire.encoding import b64_encode
from gateway.wire.notes import VerifierKey

AUDITOR = "auditor"
PAGE_SIZE = 25
LAST_PAGE = 10_000
PSEUDONYM_LENGTH = 12
EXCHANGES = "/auditor/exchanges"

Now = Callable[[], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class PageTools:
    """What the pages need."""

    database: Database
    audit: AuditLog
    people: People
    clock: Clock
    log_dir: Any
    log_key: VerifierKey
    issuer: str


def home_blueprint(tools: PageTools) -> Blueprint:
    """Serve the start page."""
    pages = Blueprint("home", __name__, template_folder="templates")

    @pages.get("/")
    def home() -> str:
        signed_in = tools.people.sign_in.signed_in(request.cookies.get(tools.people.cookie.name), now=tools.clock.now())
        audits = signed_in is not None and AUDITOR in signed_in.account.roles
        return render_template(
            "pages/home.html",
            sign_in_url="/sign-in",
            exchanges_url=EXCHANGES if audits else None,
            checkpoint_url="/log/checkpoint",
            log_key_url="/.well-known/gateway-configuration",
            discovery_url="/.well-known/openid-configuration",
            keys_url="/.well-known/jwks.json",
            log_origin=tools.log_key.name,
            **signed_in_context(signed_in),
        )

    return pages


def auditor_guard(tools: PageTools) -> Callable[[], None]:
    """Return the guard of the auditors' door: an officer with the role, signed in with both factors."""

    def require_auditor() -> None:
        g.signed_in = signed_in_officer(
            tools.people.sign_in,
            request.cookies.get(tools.people.cookie.name),
            role=AUDITOR,
            now=tools.clock.now(),
        )

    return require_auditor


def auditor_blueprint(tools: PageTools) -> Blueprint:
    """Serve the list of exchanges, one exchange, and its proof. Every look is itself recorded."""
    pages = Blueprint("auditor", __name__, template_folder="templates", url_prefix=EXCHANGES)
    pages.add_url_rule("", "exchanges", partial(_exchanges, tools))
    pages.add_url_rule("/<uuid:exchange>", "exchange", partial(_exchange, tools))
    pages.add_url_rule("/<uuid:exchange>/proof.json", "proof", partial(_proof, tools))
    pages.add_url_rule("/<uuid:exchange>/receipt.jwt", "receipt", partial(_receipt, tools))
    return pages


def _exchanges(tools: PageTools) -> str:
    chosen = Filter(outcome=_one_of(OUTCOMES, "outcome"), consumer=request.args.get("consumer") or None)
    number = min(max(1, request.args.get("page", 1, type=int)), LAST_PAGE)
    with tools.database.read() as session:
        total = count_exchanges(session, chosen)
        found = list_exchanges(session, chosen, offset=(number - 1) * PAGE_SIZE, limit=PAGE_SIZE)
        members = {member.code: member.name for member in list_members(session)}
        clients = {client.client_id: client.name for client in list_clients(session)}
        officers = {item.officer: _officer_name(session, item.officer) for item in found}
    _record_look(tools, "oversight.exchanges.viewed", {"count": len(found), "search": _search(chosen, number)})
    return render_template(
        "pages/auditor_exchanges.html",
        exchanges=[
            {
                "reference": str(item.id),
                "href": f"{EXCHANGES}/{item.id}",
                "at": item.at,
                "member": members.get(item.consumer, item.consumer),
                "client": clients.get(item.client, item.client),
                "officer": officers[item.officer],
                "subject_reference": item.subject[:PSEUDONYM_LENGTH],
                "service": item.service,
                "purpose": item.purpose,
                "decision": item.decision if item.outcome != "open" else None,
                "outcome": item.outcome,
                "rules": item.rules,
            }
            for item in found
        ],
        filters={
            "outcome": chosen.outcome or "",
            "consumer": chosen.consumer or "",
            "outcomes": [(outcome, outcome.capitalize()) for outcome in OUTCOMES],
            "consumers": sorted(members.items(), key=lambda member: member[1]),
        },
        total=total,
        newer_href=_page_href(chosen, number - 1) if number > 1 else None,
        older_href=_page_href(chosen, number + 1) if number * PAGE_SIZE < total else None,
        **_frame(),
    )


def _exchange(tools: PageTools, exchange: UUID) -> str:
    with tools.database.read() as session:
        item = _found(find_exchange(session, exchange))
        members = {member.code: member.name for member in list_members(session)}
        officer = _officer_name(session, item.officer)
        outcome = next(
            (event for event in find_events(session, reference=str(exchange)) if event.outcome == item.outcome), None
        )
    _record_look(tools, "oversight.exchanges.viewed", {"exchange": str(exchange), "count": 1})
    numbered = outcome is not None and outcome.leaf_index is not None
    shown: dict[str, Any] = {name: getattr(item, name) for name in ListedExchange.__dataclass_fields__}
    shown |= {
        "reference": str(item.id),
        "member": members.get(item.consumer, item.consumer),
        "provider": members.get(item.provider or "", item.provider),
        "officer": officer,
        "subject_reference": item.subject[:PSEUDONYM_LENGTH],
        "decision": item.decision if item.outcome != "open" else None,
        "provider_jwt_digest": None,
        "log_entry": b64_encode(outcome.leaf_hash) if outcome else None,
        "leaf_index": outcome.leaf_index if outcome else None,
    }
    return render_template(
        "pages/auditor_exchange.html",
        exchange=shown,
        back_href=EXCHANGES,
        proof_href=f"{EXCHANGES}/{exchange}/proof.json" if numbered else None,
        receipt_href=f"{EXCHANGES}/{exchange}/receipt.jwt" if item.receipt else None,
        **_frame(),
    )


def _proof(tools: PageTools, exchange: UUID) -> Response:
    with tools.database.read() as session:
        item = _found(find_exchange(session, exchange))
        if item.receipt is None:
            raise NotYetPublished(retry_after=1)
        document = prove(
            session,
            log_dir=tools.log_dir,
            verifier_key=tools.log_key,
            reference=str(exchange),
            receipt=item.receipt,
        )
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


def _officer_name(session: Any, account_id: UUID | None) -> str | None:
    if account_id is None:
        return None
    account = find_account(session, account_id)
    return account.email if account is not None else str(account_id)


def _record_look(tools: PageTools, name: str, details: Mapping[str, Any]) -> None:
    """Account for what an auditor is about to see: reading the log's details is itself an event."""
    signed_in: SignedIn = g.signed_in
    account = signed_in.account
    with tools.database.write() as session:
        event = Event(
            name=name,
            outcome="done",
            members=(account.member_code,) if account.member_code else (),
            details={"account": str(account.account_id), "roles": list(account.roles), **details},
            subject=tools.people.references.reference_of_account(account.account_id),
        )
        tools.audit.append(session, event, at=tools.clock.now())


def _frame() -> dict[str, Any]:
    return {
        "navigation": [{"text": "Exchanges", "href": EXCHANGES, "current": True}],
        **signed_in_context(g.signed_in),
    }


def _search(chosen: Filter, number: int) -> dict[str, Any]:
    return {"outcome": chosen.outcome, "consumer": chosen.consumer, "page": number}


def _page_href(chosen: Filter, number: int) -> str:
    query = {"outcome": chosen.outcome, "consumer": chosen.consumer, "page": str(number)}
    return f"{EXCHANGES}?{urlencode({name: value for name, value in query.items() if value})}"


def _one_of(choices: tuple[str, ...], name: str) -> str | None:
    value = request.args.get(name)
    return value if value in choices else None
