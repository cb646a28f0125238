"""How an agreement comes into force and out of it: import, signature, suspension, resumption. Each is in the log.

Every function works in the caller's write transaction, and raises before it changes anything.
"""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from gateway.audit.append import AuditLog, Event
from gateway.directory.members import find_member
from gateway.policy.registers import Registers
from gateway.sharing.agreements.agreements import (
    Agreement,
    AgreementStatus,
    document_of,
    find_agreement,
    lock_agreement,
    locked_row,
    versions_of,
)
from gateway.sharing.agreements.checks import Surroundings, check_directory, check_terms
from gateway.sharing.agreements.errors import (
    AgreementChanged,
    AgreementInvalid,
    AgreementStatusConflict,
    SignatureRefused,
)
from gateway.sharing.agreements.models import AgreementRow, SignatureRow
from gateway.sharing.agreements.signatures import check_signature
from gateway.sharing.agreements.terms import AgreementDocument, Terms
from gateway.sharing.catalogue.services import find_service


def import_agreement(
    session: Session,
    document: AgreementDocument,
    *,
    registers: Registers,
    signatures: Mapping[str, str],
    audit: AuditLog,
    by: str,
    at: datetime,
) -> Agreement:
    """Record a version and its members' signatures (detached JWS, by member code); in force when both are there.

    Importing the same content again adds the signatures it brings and changes nothing else. Raises `AgreementInvalid`,
    `SignatureRefused`, and `AgreementChanged` when the version is recorded with other content.
    """
    terms = document.terms
    service = find_service(session, terms.service)
    services = {} if service is None else {service.id: service}
    check_terms(terms, Surroundings(registers=registers, services=services))
    check_directory(session, terms)
    _check_same_parties(session, terms)
    _check_signatures(session, document, signatures)
    if _record_document(session, document, at=at):
        _append(session, audit, "imported", lock_agreement(session, terms.reference, terms.version), by=by, at=at)
    for member, jws in sorted(signatures.items()):
        record_signature(session, terms.reference, terms.version, member=member, jws=jws, audit=audit, by=by, at=at)
    return lock_agreement(session, terms.reference, terms.version)


def record_signature(
    session: Session, reference: str, version: int, *, member: str, jws: str, audit: AuditLog, by: str, at: datetime
) -> Agreement:
    """Record a party's verified signature, and put a draft in force when both verify.

    Raises `AgreementNotFound`, `SignatureRefused`.
    """
    row = locked_row(session, reference, version)
    document = document_of(row)
    _check_party(document.terms, member)
    key_id = check_signature(document, jws, member=find_member(session, member))
    signature = session.get(SignatureRow, (reference, version, member))
    if signature is not None and signature.jws == jws:
        _put_in_force(session, row, at=at)
        return lock_agreement(session, reference, version)
    signature = signature or SignatureRow(reference=reference, version=version, member=member)
    signature.jws, signature.key_id, signature.recorded_at = jws, key_id, at
    session.add(signature)
    session.flush()
    _put_in_force(session, row, at=at)
    agreement = lock_agreement(session, reference, version)
    _append(session, audit, "signed", agreement, by=by, at=at, more={"member": member, "key_id": key_id})
    return agreement


def suspend_agreement(
    session: Session, reference: str, version: int, *, audit: AuditLog, by: str, reason: str, at: datetime
) -> Agreement:
    """Suspend a version in force: nothing is released under it after this commits.

    Raises `AgreementNotFound`, `AgreementStatusConflict`.
    """
    row = locked_row(session, reference, version)
    if row.status != AgreementStatus.ACTIVE:
        raise AgreementStatusConflict(f"{reference}.{version} is {row.status}; only an agreement in force is suspended")
    row.status, row.status_changed_at = AgreementStatus.SUSPENDED.value, at
    session.flush()
    agreement = lock_agreement(session, reference, version)
    _append(session, audit, "suspended", agreement, by=by, at=at, more={"reason": reason})
    return agreement


def resume_agreement(
    session: Session, reference: str, version: int, *, audit: AuditLog, by: str, reason: str, at: datetime
) -> Agreement:
    """Put a suspended version in force again, if both signatures still verify.

    Raises `AgreementNotFound`, `AgreementStatusConflict`, `SignatureRefused`.
    """
    row = locked_row(session, reference, version)
    if row.status != AgreementStatus.SUSPENDED:
        raise AgreementStatusConflict(f"{reference}.{version} is {row.status}; only a suspended agreement is resumed")
    agreement = lock_agreement(session, reference, version)
    if not (agreement.consumer_signed and agreement.provider_signed):
        raise SignatureRefused(f"{reference}.{version} no longer has a valid signature of both members")
    row.status, row.status_changed_at = AgreementStatus.ACTIVE.value, at
    session.flush()
    agreement = lock_agreement(session, reference, version)
    _append(session, audit, "resumed", agreement, by=by, at=at, more={"reason": reason})
    return agreement


def _check_same_parties(session: Session, terms: Terms) -> None:
    # A later version ends the earlier ones: nobody but their own parties may make one.
    for earlier in versions_of(session, terms.reference):
        if (earlier.consumer, earlier.provider) != (terms.parties.consumer.member, terms.parties.provider.member):
            raise AgreementInvalid(f"{terms.name}: {terms.reference} is an agreement between other members")
        if earlier.terms.service != terms.service:
            raise AgreementInvalid(f"{terms.name}: {terms.reference} is an agreement about another service")


def _check_signatures(session: Session, document: AgreementDocument, signatures: Mapping[str, str]) -> None:
    for member, jws in signatures.items():
        _check_party(document.terms, member)
        check_signature(document, jws, member=find_member(session, member))


def _check_party(terms: Terms, member: str) -> None:
    if member not in {terms.parties.consumer.member, terms.parties.provider.member}:
        raise SignatureRefused(f"{terms.name}: {member} is not a party")


def _record_document(session: Session, document: AgreementDocument, *, at: datetime) -> bool:
    """Write the version unless it is there; tell whether anything was written."""
    terms = document.terms
    recorded = session.get(AgreementRow, (terms.reference, terms.version), with_for_update=True)
    if recorded is not None and recorded.document.encode() == document.canonical:
        return False
    if recorded is not None:
        _check_replaceable(session, recorded)
    row = recorded or AgreementRow(reference=terms.reference, version=terms.version)
    row.consumer, row.provider = terms.parties.consumer.member, terms.parties.provider.member
    row.service, row.document = terms.service, document.canonical.decode()
    row.status, row.imported_at, row.status_changed_at = AgreementStatus.DRAFT.value, at, at
    session.add(row)
    session.flush()
    return True


def _check_replaceable(session: Session, row: AgreementRow) -> None:
    """Only a draft that nobody has signed may still change."""
    signed = select(SignatureRow.member).where(
        SignatureRow.reference == row.reference, SignatureRow.version == row.version
    )
    if row.status != AgreementStatus.DRAFT or session.execute(signed.limit(1)).first() is not None:
        raise AgreementChanged(
            f"{row.reference}.{row.version} was changed after it was signed; a change needs a new version"
        )


def _put_in_force(session: Session, row: AgreementRow, *, at: datetime) -> None:
    """Put a draft in force once both signatures verify; earlier versions end on the day before it starts."""
    agreement = find_agreement(session, row.reference, row.version)
    if agreement is None or row.status != AgreementStatus.DRAFT:
        return
    if not (agreement.consumer_signed and agreement.provider_signed):
        return
    starts = agreement.terms.starts
    others = session.scalars(select(AgreementRow).where(AgreementRow.reference == row.reference).with_for_update())
    for other in others:
        if other.version < row.version and (other.superseded_on is None or other.superseded_on > starts):
            other.superseded_on = starts
        if other.version > row.version and other.status != AgreementStatus.DRAFT:
            later = document_of(other).terms.starts
            row.superseded_on = min(row.superseded_on or later, later)
    row.status, row.status_changed_at = AgreementStatus.ACTIVE.value, at
    session.flush()


def _append(
    session: Session,
    audit: AuditLog,
    happened: str,
    agreement: Agreement,
    *,
    by: str,
    at: datetime,
    more: Mapping[str, str] | None = None,
) -> None:
    details = {
        "agreement": agreement.reference,
        "version": agreement.version,
        "consumer": agreement.consumer,
        "provider": agreement.provider,
        "service": agreement.terms.service,
        "digest": agreement.document.digest,
        "status": agreement.status.value,
        "by": by,
        **(more or {}),
    }
    event = Event(
        name=f"agreements.agreement.{happened}",
        outcome="done",
        members=(agreement.consumer, agreement.provider),
        details=details,
        reference=agreement.terms.name,
    )
    audit.append(session, event, at=at)
