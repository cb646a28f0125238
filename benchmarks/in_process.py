"""What one process does with the database alone: entries appended to the log, decisions over many agreements."""

import json
import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count, cycle
from pathlib import Path
from typing import Any

from sqlalchemy import insert
from sqlalchemy.orm import Session

from benchmarks.figures import Figure, Work, figure
from benchmarks.floor import CLIENTS, Floor
from benchmarks.measuring import run_for, seconds_each
from gateway.audit.append import AuditLog, Event
from gateway.audit.subject_keys import SubjectKeys
from gateway.clock import SystemClock
from gateway.db import Database
from gateway.directory.members import Client, ClientKind, Member, record_client, record_member
from gateway.policy.decision import CallerFacts, DecisionInputs, Permit, RequestFacts, SubjectFacts
from gateway.policy.engine import PolicyEngine
from gateway.sharing.agreements.agreement_files import load_agreement
from gateway.sharing.agreements.agreements import AgreementStatus, agreement_for, facts
from gateway.sharing.agreements.models import AgreementRow, SignatureRow
from gateway.sharing.agreements.schemas import read_agreement
from gateway.sharing.agreements.signatures import sign_agreement
from gateway.sharing.catalogue.models import ServiceRow
from gateway.sharing.catalogue.service_files import load_services
from gateway.sharing.catalogue.services import find_service, record_service
from gateway.wire.signer import PrivateKeySigner

PURPOSE = "free-school-meals"
FEW, MANY = 10, 10_000
COUNCILS = 100
ROWS_AT_ONCE = 500
_NUMBERS = count()


def appends(database: Database, floor: Floor, *, name: str, folder: Path, seconds: float) -> Figure:
    """Entries with encrypted details, each durable in a transaction of its own, from several threads."""
    audit, clock = AuditLog(database=database, subject_keys=SubjectKeys(folder / "subject-keys")), SystemClock()

    def append(client: int) -> None:
        event = Event(
            name="sharing.record.disclosed",
            outcome="disclosed",
            members=("E06000008", "dwp"),
            details={"client": "blackburn-portal", "purpose": PURPOSE, "fields_disclosed": ["eligible", "tier"]},
            subject=f"person-{client}",
            reference=secrets.token_hex(16),
        )
        with database.write() as session:
            audit.append(session, event, at=clock.now())

    measured = run_for(seconds, append, clients=CLIENTS)
    work = Work(commits=1)
    return figure(
        "audit appends",
        measured,
        database=name,
        clients=CLIENTS,
        floor_per_second=work.floor(floor),
        floor_of=str(work),
    )


def decisions(
    database: Database, *, name: str, policies_dir: Path, seconds: float, progress: Callable[[int, int], object]
) -> list[Figure]:
    """Decisions on facts read from the database, with few and with many agreements there; one thread.

    With many, once over the same few again and again, and once over all of them in turn. The floor is the policy
    engine alone, its facts at hand.
    """
    engine = PolicyEngine.load(policies_dir)
    councils = _Councils(database, policies_dir=policies_dir)
    councils.sign(FEW, progress=progress)
    with database.read() as session:
        inputs = _gathered(session, councils.asked[0])

    def decide_alone() -> None:
        engine.decide(replace(inputs, request=replace(inputs.request, earlier_queries=next(_NUMBERS))))

    floor_per_second = 1 / seconds_each(decide_alone, for_seconds=seconds / 4)

    def measure(title: str, asked: Sequence[tuple[str, str]]) -> Figure:
        each = cycle(asked)

        def decide(_client: int) -> None:
            with database.read() as session:
                decision = engine.decide(_gathered(session, next(each)))
            if not isinstance(decision, Permit):
                raise TypeError(decision)

        measured = run_for(seconds, decide, clients=1)
        return figure(
            title, measured, database=name, clients=1, floor_per_second=floor_per_second, floor_of="1 Cedar decision"
        )

    few = list(councils.asked)
    figures = [measure(f"decisions, {FEW} agreements", few)]
    councils.sign(MANY - FEW, progress=progress)
    figures.append(measure(f"decisions, {MANY:,} agreements, {FEW} in use", few))
    figures.append(measure(f"decisions, {MANY:,} agreements, all in use", councils.asked))
    return figures


def _gathered(session: Session, asked: tuple[str, str]) -> DecisionInputs:
    """The facts as an exchange gathers them: the agreement found, its signatures checked, the service read."""
    consumer, service_id = asked
    now = SystemClock().now()
    agreement = agreement_for(session, consumer=consumer, service=service_id, purpose=PURPOSE, now=now)
    service = find_service(session, service_id)
    assert agreement is not None
    assert service is not None
    return DecisionInputs(
        caller=CallerFacts(
            client_id=f"portal-{consumer}",
            member=consumer,
            is_consumer=True,
            officer_id="officer",
            officer_member=consumer,
            roles=("benefits-officer",),
            acr="AAL2",
        ),
        agreement=facts(agreement),
        request=RequestFacts(
            service=service_id,
            provider=service.provider,
            purpose=PURPOSE,
            fields=("eligible", "tier"),
            case_reference="FSM/2026/00017",
            service_active=service.active,
            service_fields=service.fields,
            subject_kind="match",
            # Another number each time, which no rule of this agreement minds: the engine remembers what it was asked.
            earlier_queries=next(_NUMBERS),
        ),
        subject=SubjectFacts(known=True, withheld=False),
        now=now,
    )


class _Councils:
    """A hundred invented councils, and agreements of theirs with DWP about as many services as it takes."""

    def __init__(self, database: Database, *, policies_dir: Path) -> None:
        self._database = database
        self._now = SystemClock().now()
        self._shipped: dict[str, Any] = json.loads(
            load_agreement(policies_dir / "agreements" / "DSA-003.1.yaml").canonical
        )
        self._signers = {code: PrivateKeySigner.generate("ES256") for code in ("dwp", *_codes())}
        self.asked: list[tuple[str, str]] = []
        """Council and service of each agreement."""
        with database.write() as session:
            for code, signer in self._signers.items():
                member = Member(code=code, name=f"Sample {code}", kind="council", keys=(signer.public_jwk(),))
                record_member(session, member, at=self._now)
            for code in _codes():
                client = Client(
                    client_id=f"portal-{code}", member_code=code, name="Portal", kinds=(ClientKind.CONSUMER,)
                )
                record_client(session, client, at=self._now)
            session.flush()
            provider = Client(client_id="dwp-benefits", member_code="dwp", name="Records", kinds=(ClientKind.PROVIDER,))
            record_client(session, provider, at=self._now)
            self._service = str(self._shipped["service"])
            for service in load_services(policies_dir):
                if service.id == self._service:
                    record_service(session, service, at=self._now)

    def sign(self, number: int, *, progress: Callable[[int, int], object]) -> None:
        """Make `number` more agreements, each really signed by both members, written as importing would."""
        for begin in range(0, number, ROWS_AT_ONCE):
            more = range(len(self.asked), len(self.asked) + min(ROWS_AT_ONCE, number - begin))
            with self._database.write() as session:
                self._write_services(session, {_service_id(place) for place in more})
                made = [self._agreement(place) for place in more]
                session.execute(insert(AgreementRow), [row for row, _ in made])
                session.execute(insert(SignatureRow), [row for _, rows in made for row in rows])
            self.asked += [(_council(place), _service_id(place)) for place in more]
            progress(begin + len(more), number)

    def _write_services(self, session: Session, ids: set[str]) -> None:
        columns = [column.key for column in ServiceRow.__table__.columns]
        shipped = session.get_one(ServiceRow, self._service)
        for service_id in sorted(ids):
            if session.get(ServiceRow, service_id) is None:
                session.add(ServiceRow(**{name: getattr(shipped, name) for name in columns} | {"id": service_id}))
        session.flush()

    def _agreement(self, place: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        council, service = _council(place), _service_id(place)
        parties = self._shipped["parties"]
        terms = self._shipped | {
            "reference": f"DSA-B{place:06d}",
            "service": service,
            "parties": parties | {"consumer": parties["consumer"] | {"member": council}},
            "conditions": self._shipped["conditions"] | {"clients": [f"portal-{council}"]},
        }
        document = read_agreement(terms, source="benchmark")
        key = {"reference": document.terms.reference, "version": document.terms.version}
        row = {
            **key,
            "consumer": council,
            "provider": "dwp",
            "service": service,
            "document": document.canonical.decode(),
            "status": AgreementStatus.ACTIVE.value,
            "superseded_on": None,
            "imported_at": self._now,
            "status_changed_at": self._now,
        }
        signatures = [
            {
                **key,
                "member": member,
                "jws": sign_agreement(document, signer=self._signers[member]),
                "key_id": self._signers[member].public_jwk()["kid"],
                "recorded_at": self._now,
            }
            for member in (council, "dwp")
        ]
        return row, signatures


def _codes() -> list[str]:
    return [f"E99{number:06d}" for number in range(COUNCILS)]


def _council(place: int) -> str:
    return f"E99{place % COUNCILS:06d}"


def _service_id(place: int) -> str:
    return f"dwp/bench-{place // COUNCILS}/v1"
