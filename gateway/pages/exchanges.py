"""Exchanges in words for auditors: codes become the names that people know, pseudonyms are cut to a readable length."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy.orm import Session

from gateway.audit.keeping.reading import Reader
from gateway.audit.recorded import MAX_EVENTS, RecordedEvent, find_events
from gateway.directory.members import list_clients, list_members
from gateway.identity.accounts import Account, find_account_even_suspended
from gateway.policy.registers import Registers
from gateway.sharing.catalogue.services import list_services
from gateway.sharing.exchange.listing import ListedExchange
from gateway.wire.encoding import b64_encode

PSEUDONYM_LENGTH = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What members, systems, services, purposes and legal gateways are called, by code."""

    members: Mapping[str, str]
    clients: Mapping[str, str]
    services: Mapping[str, str]
    purposes: Mapping[str, str]
    legal_gateways: Mapping[str, str]


def load_names(session: Session, registers: Registers) -> Names:
    """Read what things are called now; what is no longer on a list is shown by its code."""
    return Names(
        members={member.code: member.name for member in list_members(session)},
        clients={client.client_id: client.name for client in list_clients(session)},
        services={service.id: service.title for service in list_services(session)},
        purposes=registers.purposes,
        legal_gateways={code: f"{power.title} ({power.source})" for code, power in registers.legal_gateways.items()},
    )


def listed_in_words(session: Session, item: ListedExchange, names: Names) -> dict[str, Any]:
    """Return one row of the list, as `auditor_exchanges.html` describes it."""
    officer = _officer(session, item)
    return {
        "reference": str(item.id),
        "at": item.at,
        "member": _name(names.members, item.consumer),
        "client": _name(names.clients, item.client),
        "officer": officer.name if officer else None,
        "subject_reference": item.subject[:PSEUDONYM_LENGTH],
        "service": _name(names.services, item.service),
        "service_id": item.service,
        "purpose": _name(names.purposes, item.purpose),
        "decision": item.decision if item.outcome != "open" else None,
        "outcome": item.outcome,
        "rules": item.rules,
    }


def whole_in_words(session: Session, item: ListedExchange, names: Names) -> dict[str, Any]:
    """Return one exchange with its place in the log, as `auditor_exchange.html` describes it."""
    officer, event = _officer(session, item), _outcome(session, item)
    return (
        asdict(item)
        | listed_in_words(session, item, names)
        | {
            "officer_email": officer.email if officer else None,
            "officer_roles": officer.roles if officer else (),
            "provider": _name(names.members, item.provider) if item.provider else None,
            "legal_gateway": _name(names.legal_gateways, item.legal_gateway) if item.legal_gateway else None,
            "leaf_index": event.leaf_index if event is not None else None,
            "archived": item.log_entry is not None and event is None,
        }
    )


def details_in_words(session: Session, item: ListedExchange, reader: Reader) -> dict[str, Any]:
    """Return what the log's details of the outcome say, as `auditor_exchange.html` describes it."""
    event = _outcome(session, item)
    if event is None:
        return {"state": "archived" if item.log_entry is not None else "none", "said": []}
    details = reader.read(session, event.event_id)
    return {"state": details.state, "said": [(name, _text(value)) for name, value in sorted(details.values.items())]}


def _outcome(session: Session, item: ListedExchange) -> RecordedEvent | None:
    # A retry has entries with the same reference: the one about the outcome is the one that the receipt names.
    if item.log_entry is None:
        return None
    events = find_events(session, reference=str(item.id), limit=MAX_EVENTS)
    return next((event for event in events if b64_encode(event.leaf_hash) == item.log_entry), None)


def _text(value: object) -> str | None:
    # Text is as the log wrote it, which is never misleading; anything else is shown as JSON, in ASCII.
    return value if value is None or isinstance(value, str) else json.dumps(value)


def _officer(session: Session, item: ListedExchange) -> Account | None:
    return find_account_even_suspended(session, item.officer) if item.officer is not None else None


def _name(names: Mapping[str, str], code: str) -> str:
    return names.get(code, code)
