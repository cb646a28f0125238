"""Two members with keys, the shipped service, and the shipped agreement to sign: all synthetic."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from gateway.audit.append import AuditLog
from gateway.audit.subject_keys import SubjectKeys
from gateway.db import Database
from gateway.directory.members import Client, ClientKind, Jwk, Member, record_client, record_member
from gateway.policy.documents import load_document
from gateway.policy.registers import Registers, load_registers
from gateway.sharing.agreements.agreements import Agreement
from gateway.sharing.agreements.lifecycle import import_agreement
from gateway.sharing.agreements.schemas import read_agreement
from gateway.sharing.agreements.signatures import sign_agreement
from gateway.sharing.agreements.terms import AgreementDocument
from gateway.sharing.catalogue.service_files import load_service
from gateway.sharing.catalogue.services import record_service
from gateway.wire.signer import PrivateKeySigner
from tests.kit.clock import MIDDAY
from tests.kit.policies import POLICIES

BLACKBURN, BURNLEY, DWP = "E06000008", "E07000117", "dwp"
PARTIES = (BLACKBURN, DWP)


def shipped_document(**changes: Any) -> AgreementDocument:
    """The shipped agreement; `changes` replace top-level members of the document, dictionaries are merged."""
    document: dict[str, Any] = load_document(POLICIES / "agreements" / "DSA-003.1.yaml")
    for name, value in changes.items():
        document[name] = {**document.get(name, {}), **value} if isinstance(value, Mapping) else value
    return read_agreement(document, source="a changed DSA-003")


@dataclass(frozen=True, slots=True, kw_only=True)
class Members:
    """Blackburn, Burnley and DWP, each with a key for signing agreements."""

    audit: AuditLog
    signers: Mapping[str, PrivateKeySigner] = field(
        default_factory=lambda: {code: PrivateKeySigner.generate("ES256") for code in (BLACKBURN, BURNLEY, DWP)}
    )
    registers: Registers = field(default_factory=lambda: load_registers(POLICIES))

    def record(self, session: Session, *, at: datetime = MIDDAY) -> None:
        """Write members, clients and the shipped service."""
        for code, signer in self.signers.items():
            kind = "department" if code == DWP else "council"
            record_member(
                session, Member(code=code, name=f"Sample {code}", kind=kind, keys=(signer.public_jwk(),)), at=at
            )
        for client_id, owner in (("blackburn-portal", BLACKBURN), ("burnley-portal", BURNLEY)):
            record_client(session, a_client(client_id, owner, ClientKind.CONSUMER), at=at)
        record_client(session, a_client("blackburn-website", BLACKBURN, ClientKind.RELYING_PARTY), at=at)
        record_client(session, a_client("dwp-benefits", DWP, ClientKind.PROVIDER), at=at)
        record_service(session, load_service(POLICIES / "services" / "dwp-free-school-meals-v1.yaml"), at=at)

    def set_keys(self, session: Session, code: str, *keys: Jwk, active: bool = True) -> None:
        """Replace a member's keys, or put the member out of action."""
        member = Member(code=code, name=f"Sample {code}", kind="council", keys=keys, active=active)
        record_member(session, member, at=MIDDAY)

    def signatures(self, document: AgreementDocument, by: Sequence[str] = PARTIES) -> dict[str, str]:
        """Each member's own signature over the document."""
        return {member: sign_agreement(document, signer=self.signers[member]) for member in by}

    def import_(
        self,
        session: Session,
        document: AgreementDocument,
        *,
        signatures: Mapping[str, str] | None = None,
        at: datetime = MIDDAY,
    ) -> Agreement:
        """Import, signed by both parties unless told otherwise."""
        return import_agreement(
            session,
            document,
            registers=self.registers,
            signatures=self.signatures(document) if signatures is None else signatures,
            audit=self.audit,
            by="A Sample",
            at=at,
        )


def a_client(client_id: str, member: str, kind: ClientKind) -> Client:
    """A client of a member, with a key of its own."""
    key = PrivateKeySigner.generate("ES256").public_jwk()
    return Client(client_id=client_id, member_code=member, name=client_id, kinds=(kind,), keys=(key,))


def members_in(folder: Path, database: Database) -> Members:
    """Members whose log's keys are in `folder`."""
    return Members(audit=AuditLog(database=database, subject_keys=SubjectKeys(folder / "subject-keys")))
