"""What the demonstration starts from: members, systems, signed agreements, and accounts. Written once; safe to repeat.

The members are real organisations' names; that they agreed to anything here is invented, as are all people.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from gateway.audit.append import AuditLog
from gateway.clock import Clock
from gateway.db import Database
from gateway.demo.department import record_people, services_of
from gateway.demo.layout import SANDBOX, Layout
from gateway.demo.members import MEMBERS
from gateway.demo.people import CITIZEN_EMAIL, OFFICERS, PEOPLE
from gateway.demo.sandbox_agreements import open_to_councils, record_twins
from gateway.demo.systems import ANSWERING, DESKS, OWNERS, Desk
from gateway.directory.members import Client, ClientKind
from gateway.directory.oauth import OAuthSettings
from gateway.directory.registration import register_client, register_member
from gateway.identity.accounts import AccountKind, NewAccount, find_account_by_email
from gateway.identity.passwords import generate_password
from gateway.identity.people import People
from gateway.identity.registration import register_account
from gateway.identity.security_codes import generate_code_secret
from gateway.policy.engine import PolicyEngine
from gateway.sharing.agreements.agreement_files import load_agreements
from gateway.sharing.agreements.agreements import find_agreement
from gateway.sharing.agreements.lifecycle import import_agreement, suspend_agreement
from gateway.sharing.agreements.signatures import sign_agreement
from gateway.sharing.agreements.terms import AgreementDocument
from gateway.sharing.catalogue.service_files import load_services
from gateway.sharing.catalogue.services import record_service, set_endpoint
from gateway.signing.private_files import replace_private_file, write_private_file
from gateway.wire.signer import PrivateKeySigner

BY = "demonstration"
SUSPENDED = {"DSA-020": "An incident at the council is being looked into (demonstration)"}
"""Agreements that the demonstration suspends when it first writes them, with the reason."""
UNDER_REVIEW = {"DSA-021": "tfl"}
"""Agreements that only one party has signed; which one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldTools:
    """The parts of the gateway that the world is written with."""

    database: Database
    audit: AuditLog
    people: People
    policy: PolicyEngine
    clock: Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoAccount:
    """An invented person's way in. `code_secret` is for an authenticator app."""

    email: str
    password: str
    code_secret: str


def build_world(tools: WorldTools, layout: Layout) -> Mapping[str, DemoAccount]:
    """Write whatever of the world is missing; returns the accounts by key (`officer`, `auditor`, `citizen`)."""
    now = tools.clock.now()
    signers = {owner: _signer(layout, owner) for owner in OWNERS}
    accounts = _accounts(layout)
    with tools.database.write() as session:
        _write_members(session, tools.audit, signers, at=now)
        _write_systems(session, tools.audit, layout, signers, at=now)
        for service in load_services(layout.policies_dir):
            record_service(session, service, at=now)
            set_endpoint(session, service.id, f"{layout.provider}/{service.id}")
        for document in load_agreements(layout.policies_dir):
            _write_agreement(session, tools, document, signers, at=now)
    for key, account in accounts.items():
        _write_account(tools, key, account, at=now)
    for member in dict.fromkeys(system.member for system in ANSWERING if system.member != SANDBOX):
        subs = {PEOPLE[0].number: citizen_sub(tools, sector=member, at=now)}
        record_people(layout.records_file(member), PEOPLE, services=services_of(member), subs=subs)
    return accounts


def open_sandbox(tools: WorldTools, layout: Layout) -> None:
    """Write the sandbox's services, and its agreements with every council that has a client."""
    now = tools.clock.now()
    signers = {owner: _signer(layout, owner) for owner in OWNERS}
    with tools.database.write() as session:
        record_twins(session, load_services(layout.policies_dir), endpoint=layout.provider, at=now)
        open_to_councils(
            session,
            load_agreements(layout.policies_dir),
            signers=signers,
            registers=tools.policy.registers,
            audit=tools.audit,
            by=BY,
            at=now,
        )


def citizen_sub(tools: WorldTools, *, sector: str, at: datetime) -> str:
    """Return the demonstration citizen's pairwise `sub` in a sector."""
    with tools.database.write() as session:
        account = find_account_by_email(session, AccountKind.CITIZEN, CITIZEN_EMAIL)
        if account is None:
            raise LookupError(CITIZEN_EMAIL)
        return tools.people.pairwise.sub_for(session, account.account_id, sector, at=at)


def _write_members(session: Session, audit: AuditLog, signers: Mapping[str, PrivateKeySigner], *, at: datetime) -> None:
    for number, member in enumerate(MEMBERS):
        keys = (signers[member.code].public_jwk(),) if member.code in signers else ()
        register_member(session, member.registered(number=number, keys=keys), audit=audit, by=BY, at=at)


def _write_systems(
    session: Session, audit: AuditLog, layout: Layout, signers: Mapping[str, PrivateKeySigner], *, at: datetime
) -> None:
    clients = [_desk_client(desk, layout, signers) for desk in DESKS]
    clients += [
        Client(
            client_id=system.client_id,
            member_code=system.member,
            name=system.name,
            kinds=(ClientKind.PROVIDER,),
            keys=(signers[system.client_id].public_jwk(),),
        )
        for system in ANSWERING
    ]
    for client in clients:
        register_client(session, client, audit=audit, by=BY, at=at)


def _desk_client(desk: Desk, layout: Layout, signers: Mapping[str, PrivateKeySigner]) -> Client:
    return Client(
        client_id=desk.client_id,
        member_code=desk.member,
        name=desk.name,
        kinds=(ClientKind.RELYING_PARTY, ClientKind.CONSUMER),
        keys=(signers[desk.client_id].public_jwk(),),
        redirect_uris=(f"{layout.portal}{desk.path}/callback",),
        grant_types=("authorization_code", "refresh_token", "client_credentials"),
        scopes=("openid", "profile", "email", "offline_access"),
        resources=(f"{layout.gateway}/sharing/v1",),
        account_kinds=(AccountKind.OFFICER.value,),
        oauth=OAuthSettings(id_token_signed_response_alg="ES256"),  # noqa: S106 - an algorithm's name
    )


def _write_agreement(
    session: Session,
    tools: WorldTools,
    document: AgreementDocument,
    signers: Mapping[str, PrivateKeySigner],
    *,
    at: datetime,
) -> None:
    terms = document.terms
    parties = (terms.parties.consumer.member, terms.parties.provider.member)
    signing = [code for code in parties if UNDER_REVIEW.get(terms.reference, code) == code and code in signers]
    recorded = find_agreement(session, terms.reference, terms.version)
    if recorded is not None and recorded.document.canonical == document.canonical:
        holds = dict(zip(parties, (recorded.consumer_signed, recorded.provider_signed), strict=True))
        signing = [code for code in signing if not holds[code]]
        if not signing:
            return
    import_agreement(
        session,
        document,
        registers=tools.policy.registers,
        signatures={code: sign_agreement(document, signer=signers[code]) for code in signing},
        audit=tools.audit,
        by=BY,
        at=at,
    )
    # Once: whoever resumes it finds it resumed when the demonstration starts again.
    if recorded is None and terms.reference in SUSPENDED:
        suspend_agreement(
            session,
            terms.reference,
            terms.version,
            audit=tools.audit,
            by=BY,
            reason=SUSPENDED[terms.reference],
            at=at,
        )


def _write_account(tools: WorldTools, key: str, account: DemoAccount, *, at: datetime) -> None:
    officer = next((item for item in OFFICERS if item.key == key), None)
    kind = AccountKind.OFFICER if officer else AccountKind.CITIZEN
    citizen = PEOPLE[0]
    with tools.database.write() as session:
        if find_account_by_email(session, kind, account.email) is not None:
            return
        new = NewAccount(
            kind=kind,
            email=account.email,
            given_name=officer.given_name if officer else citizen.given_name,
            family_name=officer.family_name if officer else citizen.family_name,
            password=account.password,
            code_secret=account.code_secret,
            birthdate=None if officer else citizen.birthdate,
            member_code=officer.member if officer else None,
            roles=officer.roles if officer else (),
            email_verified=True,
        )
        register_account(session, new, people=tools.people, audit=tools.audit, by=BY, at=at)


def _accounts(layout: Layout) -> dict[str, DemoAccount]:
    """Return the ways in, made up when they are first needed and kept."""
    emails = {officer.key: officer.email for officer in OFFICERS} | {"citizen": CITIZEN_EMAIL}
    kept: dict[str, Any] = {}
    if layout.people_file.exists():
        kept = json.loads(layout.people_file.read_text(encoding="utf-8"))
    made = {
        key: asdict(DemoAccount(email=email, password=generate_password(), code_secret=generate_code_secret()))
        for key, email in emails.items()
        if key not in kept
    }
    if made:
        write = replace_private_file if kept else write_private_file
        write(layout.people_file, json.dumps(kept | made, indent=2).encode())
    return {key: DemoAccount(**(kept | made)[key]) for key in emails}


def _signer(layout: Layout, owner: str) -> PrivateKeySigner:
    path = layout.key_file(owner)
    if not path.exists():
        write_private_file(path, PrivateKeySigner.generate("ES256").private_pem())
    return PrivateKeySigner.from_pem(path.read_bytes())
