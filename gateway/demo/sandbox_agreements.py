"""The sandbox's services and agreements, made from those of the departments: one agreement a council and service.

A council may ask the sandbox with every client it has. Clients stand in what is signed, so that a further client is a
further version; it is made when the demonstration starts.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from gateway.audit.append import AuditLog
from gateway.demo.layout import SANDBOX
from gateway.demo.sandbox import twin_of
from gateway.directory.members import ClientKind, list_clients, list_members
from gateway.policy.registers import Registers
from gateway.sharing.agreements.agreements import versions_of
from gateway.sharing.agreements.lifecycle import import_agreement
from gateway.sharing.agreements.schemas import read_agreement
from gateway.sharing.agreements.signatures import sign_agreement
from gateway.sharing.agreements.terms import AgreementDocument
from gateway.sharing.catalogue.services import Service, record_service
from gateway.wire.signer import Signer

CLIENT = "sandbox-answers"
DEVELOPER = "developer"
"""The role of those who write the council's system; the roles of the department's agreement may ask as well."""
# Tests are run at any hour, and the same questions again and again.
_NOT_HERE = ("hours", "queries_per_subject", "objection_lists")


def record_twins(session: Session, services: Sequence[Service], *, endpoint: str, at: datetime) -> None:
    """Write the twin of each service; `endpoint` is the sandbox's own address."""
    for service in services:
        twin = replace(
            service,
            id=twin_of(service.id),
            provider=SANDBOX,
            provider_client=CLIENT,
            title=f"Sandbox: {service.title}"[:200],
            endpoint=f"{endpoint}/{twin_of(service.id)}",
        )
        record_service(session, twin, at=at)


def open_to_councils(
    session: Session,
    documents: Sequence[AgreementDocument],
    *,
    signers: Mapping[str, Signer],
    registers: Registers,
    audit: AuditLog,
    by: str,
    at: datetime,
) -> None:
    """Put agreements in force between the sandbox and each council that has a client to ask with and a key to sign."""
    councils = {member.code for member in list_members(session) if member.kind == "council" and member.active}
    clients: dict[str, list[str]] = {}
    for client in list_clients(session):
        if client.active and ClientKind.CONSUMER in client.kinds and client.member_code in councils & signers.keys():
            clients.setdefault(client.member_code, []).append(client.client_id)
    for council, asking in clients.items():
        for document in _first_of_each_service(documents):
            reference = f"SBX-{council}-{document.terms.reference.rpartition('-')[2]}"
            latest = max(versions_of(session, reference), key=lambda each: each.version, default=None)
            version = latest.version if latest else 1
            wanted = _terms(document, reference=reference, version=version, council=council, clients=asking)
            if latest and latest.document.canonical == wanted.canonical and latest.consumer_signed:
                continue
            if latest and latest.document.canonical != wanted.canonical:
                wanted = _terms(document, reference=reference, version=version + 1, council=council, clients=asking)
            signatures = {party: sign_agreement(wanted, signer=signers[party]) for party in (council, SANDBOX)}
            import_agreement(session, wanted, registers=registers, signatures=signatures, audit=audit, by=by, at=at)


def _first_of_each_service(documents: Sequence[AgreementDocument]) -> list[AgreementDocument]:
    first: dict[str, AgreementDocument] = {}
    for document in sorted(documents, key=lambda each: each.terms.name):
        first.setdefault(document.terms.service, document)
    return list(first.values())


def _terms(
    document: AgreementDocument, *, reference: str, version: int, council: str, clients: Sequence[str]
) -> AgreementDocument:
    """Return the department's agreement as it would be with the sandbox for its provider."""
    terms: dict[str, Any] = json.loads(document.canonical)
    conditions = {name: value for name, value in terms["conditions"].items() if name not in _NOT_HERE}
    terms |= {
        "reference": reference,
        "version": version,
        "title": f"Sandbox: {terms['title']}"[:200],
        "parties": {
            "consumer": {"member": council, "data_protection_role": "controller"},
            "provider": {"member": SANDBOX, "data_protection_role": "controller"},
        },
        "service": twin_of(terms["service"]),
        "benefits": "A council's system is tested before a department is ready",
        "data_subjects": "Nobody: all people in the sandbox are invented",
        "legal_basis": {
            "gateway": "invented-people",
            "article_6": "none needed: no personal data",
            "article_9": None,
            "schedule_1": None,
        },
        "conditions": conditions | {"clients": sorted(clients), "roles": [*conditions["roles"], DEVELOPER]},
        "contacts": [{"purpose": "agreement", "role": "Sandbox desk", "email": f"technical@{SANDBOX}.example"}],
    }
    return read_agreement(terms, source=reference)
