"""Agreements as values, and the questions asked of them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Any, cast

from sqlalchemy import Row, Select, Table, bindparam, select
from sqlalchemy.orm import Session

from gateway.directory.members import active_member_keys
from gateway.errors import GatewayError
from gateway.policy.decision import AgreementFacts
from gateway.release_lock import keep_as_they_are, wait_for_releases
from gateway.sharing.agreements.errors import AgreementNotFound, AgreementUnreadable
from gateway.sharing.agreements.models import AgreementRow, SignatureRow
from gateway.sharing.agreements.schemas import read_agreement
from gateway.sharing.agreements.signatures import (
    RecordedSignature,
    Signed,
    recorded_signature,
    signed_by,
    texts_in_force,
)
from gateway.sharing.agreements.terms import AgreementDocument, Terms
from gateway.wire.encoding import parse_json


class AgreementStatus(StrEnum):
    """Where a version stands. Only `active` permits anything, and only with both signatures and within its days."""

    DRAFT = "draft"
    ACTIVE = "active"
    SUSPENDED = "suspended"


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """One recorded version, with the members' signatures over it."""

    document: AgreementDocument
    status: AgreementStatus
    superseded_on: date | None
    """The first day of a later version; this one ends on the day before."""
    signatures: tuple[RecordedSignature, ...]
    signed: Signed
    """Whose signatures hold today."""
    imported_at: datetime
    status_changed_at: datetime

    @property
    def terms(self) -> Terms:
        """What the members signed."""
        return self.document.terms

    @property
    def reference(self) -> str:
        """The reference, the same for every version."""
        return self.terms.reference

    @property
    def version(self) -> int:
        """The version, counted from 1."""
        return self.terms.version

    @property
    def consumer(self) -> str:
        """The member who asks."""
        return self.terms.parties.consumer.member

    @property
    def provider(self) -> str:
        """The member who answers."""
        return self.terms.parties.provider.member

    @property
    def legal_gateway(self) -> str:
        """The code of the power on which it rests."""
        return self.terms.legal_basis.gateway

    @property
    def consumer_signed(self) -> bool:
        """Whether the signature of the member who asks holds today."""
        return self.consumer in self.signed.members

    @property
    def provider_signed(self) -> bool:
        """Whether the signature of the member who answers holds today."""
        return self.provider in self.signed.members

    @property
    def texts(self) -> Mapping[str, Any]:
        """The document with the signatures that hold today and their keys, as evidence shows them."""
        return texts_in_force(self.document.canonical, self.signatures)

    @property
    def ends_on(self) -> date:
        """The last day on which it holds: its own, or the day before a later version takes over."""
        if self.superseded_on is None:
            return self.terms.ends
        return min(self.terms.ends, self.superseded_on - timedelta(days=1))


def facts(agreement: Agreement) -> AgreementFacts:
    """Return what policy decides on."""
    return facts_of(
        agreement.terms,
        status=agreement.status,
        ends_on=agreement.ends_on,
        consumer_signed=agreement.consumer_signed,
        provider_signed=agreement.provider_signed,
        digest=agreement.signed.digest,
    )


def facts_of(
    terms: Terms,
    *,
    status: AgreementStatus,
    ends_on: date,
    consumer_signed: bool,
    provider_signed: bool,
    digest: str = "",
) -> AgreementFacts:
    """Return what policy decides on, for terms in a given state; `digest` is that of what was signed, if it was."""
    conditions = terms.conditions
    hours, budget = conditions.hours, conditions.queries_per_subject
    return AgreementFacts(
        id=terms.reference,
        version=terms.version,
        consumer=terms.parties.consumer.member,
        provider=terms.parties.provider.member,
        service=terms.service,
        purposes=terms.purposes,
        fields=terms.askable,
        legal_gateway=terms.legal_basis.gateway,
        starts_on=terms.starts,
        ends_on=ends_on,
        status=status.value,
        consumer_signed=consumer_signed,
        provider_signed=provider_signed,
        roles=terms.conditions.roles,
        minimum_acr=terms.conditions.minimum_acr,
        case_reference_required=terms.conditions.case_reference_required,
        clients=terms.conditions.clients,
        subject_kinds=terms.conditions.subject_kinds,
        own_area_only=conditions.own_area_only,
        objection_lists=conditions.objection_lists,
        hours_days=hours.days if hours else (),
        hours_from=hours.from_ if hours else None,
        hours_until=hours.until if hours else None,
        volume_per_day=terms.volume_per_day,
        queries_per_subject=budget.most if budget else None,
        queries_days=budget.days if budget else None,
        minimum_match=conditions.minimum_match,
        digest=digest,
    )


def agreement_for(session: Session, *, consumer: str, service: str, purpose: str, now: datetime) -> Agreement | None:
    """Return the agreement most fitting for a request, or None; whether it permits anything is for policy to decide.

    Of the versions between this consumer and this service's provider: rather one that has not been superseded, then one
    that covers the purpose, then one in force, then one within its days, then the newest.
    """
    found = session.connection().execute(_BETWEEN, {"consumer": consumer, "service": service}).all()
    if not found:
        return None
    today = now.astimezone(UTC).date()
    best = max(found, key=lambda row: _fitness(row, purpose=purpose, today=today))
    return _agreement(session, best)


def lock_agreement(session: Session, reference: str, version: int, *, also: Iterable[str] = ()) -> Agreement:
    """Return the version as it is now, and keep it so until this transaction ends; raises `AgreementNotFound`.

    Many may keep it at once: only a change has to wait. `also` names further things to keep (`release_lock`).
    """
    keep_as_they_are(session, (_name(reference, version), *also))
    found = session.connection().execute(_ONE, {"reference": reference, "version": version}).one_or_none()
    if found is None:
        raise AgreementNotFound(f"There is no agreement {reference}.{version}")
    return _agreement(session, found)


def find_agreement(session: Session, reference: str, version: int) -> Agreement | None:
    """Return this version, in whatever state."""
    row = session.get(AgreementRow, (reference, version))
    return _agreement(session, row) if row is not None else None


def list_agreements(session: Session) -> tuple[Agreement, ...]:
    """Return every version in every state, by reference and version."""
    return tuple(_agreement(session, row) for row in session.scalars(_in_order()))


def named_objection_lists(session: Session) -> tuple[str, ...]:
    """Return every list of objections that any version of any agreement names, in whatever state, in order."""
    named = (document_of(row).terms.conditions.objection_lists for row in session.scalars(_in_order()))
    return tuple(sorted({name for names in named for name in names}))


def versions_of(session: Session, reference: str) -> tuple[Agreement, ...]:
    """Return every version of one agreement, the oldest first."""
    rows = session.scalars(_in_order().where(AgreementRow.reference == reference))
    return tuple(_agreement(session, row) for row in rows)


def locked_row(session: Session, reference: str, version: int) -> AgreementRow:
    """Return the row to change it, locked and freshly read; for this room only. Raises `AgreementNotFound`."""
    wait_for_releases(session, _name(reference, version))
    row = session.get(AgreementRow, (reference, version), with_for_update=True, populate_existing=True)
    if row is None:
        raise AgreementNotFound(f"There is no agreement {reference}.{version}")
    return row


def _name(reference: str, version: int) -> str:
    return f"agreement {reference}.{version}"


# What every decision reads is read as plain rows: the session's own objects would cost more than the question.
_RECORDED = cast("Table", AgreementRow.__table__)
_SIGNATURES = cast("Table", SignatureRow.__table__)
_BETWEEN = select(_RECORDED).where(
    _RECORDED.c.consumer == bindparam("consumer"), _RECORDED.c.service == bindparam("service")
)
_ONE = select(_RECORDED).where(
    _RECORDED.c.reference == bindparam("reference"), _RECORDED.c.version == bindparam("version")
)
_SIGNED = select(_SIGNATURES.c.member, _SIGNATURES.c.jws).where(
    _SIGNATURES.c.reference == bindparam("reference"), _SIGNATURES.c.version == bindparam("version")
)
_AnyRow = AgreementRow | Row[Any]


def document_of(row: "_AnyRow") -> AgreementDocument:
    """Return the signed document of a row; for this room only."""
    try:
        return _parsed(row.document.encode())
    except GatewayError as error:
        raise AgreementUnreadable(detail=f"{row.reference}.{row.version}: {error.public}") from error


# A document is read for every decision and never changes under the same bytes.
@lru_cache(maxsize=4096)
def _parsed(canonical: bytes) -> AgreementDocument:
    return read_agreement(parse_json(canonical), source="a recorded agreement")


def _in_order() -> Select[AgreementRow]:
    return select(AgreementRow).order_by(AgreementRow.reference, AgreementRow.version)


def _fitness(row: _AnyRow, *, purpose: str, today: date) -> tuple[bool, bool, bool, bool, int, str]:
    terms = document_of(row).terms
    return (
        row.superseded_on is None or today < row.superseded_on,
        purpose in terms.purposes,
        row.status == AgreementStatus.ACTIVE,
        terms.starts <= today <= terms.ends,
        row.version,
        row.reference,
    )


def _agreement(session: Session, row: _AnyRow) -> Agreement:
    document = document_of(row)
    parties = document.terms.parties
    name = {"reference": row.reference, "version": row.version}
    signatures = {found.member: found.jws for found in session.connection().execute(_SIGNED, name)}
    members = (parties.consumer.member, parties.provider.member)
    keys = active_member_keys(session, members)
    recorded = tuple(
        recorded_signature(member, signatures[member], keys=keys.get(member, ()))
        for member in members
        if member in signatures
    )
    return Agreement(
        document=document,
        status=AgreementStatus(row.status),
        superseded_on=row.superseded_on,
        signatures=recorded,
        signed=signed_by(document.canonical, recorded),
        imported_at=row.imported_at,
        status_changed_at=row.status_changed_at,
    )
