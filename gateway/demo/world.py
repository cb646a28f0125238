"""What the demonstration starts from: members, systems, a signed agreement, and accounts. Written once; safe to repeat.

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
from gateway.demo.department import record_people
from gateway.demo.layout import BLACKBURN, DWP, OVERSIGHT, PORTAL_CLIENT, PROVIDER_CLIENT, SERVICE, Layout
from gateway.demo.people import CITIZEN_EMAIL, OFFICERS, PEOPLE
from gateway.directory.members import OVERSIGHT_BODY, Client, ClientKind, Member
from gateway.directory.oauth import OAuthSettings
from gateway.directory.registration import register_client, register_member
from gateway.identity.accounts import AccountKind, NewAccount, find_account_by_email
from gateway.identity.passwords import generate_password
from gateway.identity.people import People
from gateway.identity.registration import register_account
from gateway.identity.security_codes import generate_code_secret
from gateway.policy.engine import PolicyEngine
from gateway.sharing.agreements.agreement_files import load_agreements
from gateway.sharing.agreements.lifecycle import import_agreement
from gateway.sharing.agreements.signatures import sign_agreement
from gateway.sharing.catalogue.service_files import load_services
from gateway.sharing.catalogue.services import record_service, set_endpoint
from gateway.signing.signing_keys import write_private_file
from gateway.wire.signer import PrivateKeySigner

BY = "demonstration"


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
    signers = {owner: _signer(layout, owner) for owner in (DWP, BLACKBURN, PORTAL_CLIENT, PROVIDER_CLIENT)}
    accounts = _accounts(layout)
    with tools.database.write() as session:
        _write_members(session, tools.audit, layout, signers, at=now)
        for service in load_services(layout.policies_dir):
            record_service(session, service, at=now)
        set_endpoint(session, SERVICE, f"{layout.provider}/free-school-meals")
        for document in load_agreements(layout.policies_dir):
            parties = (document.terms.parties.consumer.member, document.terms.parties.provider.member)
            import_agreement(
                session,
                document,
                registers=tools.policy.registers,
                signatures={
                    code: sign_agreement(document, signer=signers[code]) for code in parties if code in signers
                },
                audit=tools.audit,
                by=BY,
                at=now,
            )
    for key, account in accounts.items():
        _write_account(tools, key, account, at=now)
    record_people(layout.world_dir / "department.sqlite3", PEOPLE, subs={1: _citizen_sub(tools, at=now)})
    return accounts


def citizen_sub(tools: WorldTools, *, sector: str, at: datetime) -> str:
    """Return the demonstration citizen's pairwise `sub` in a sector."""
    with tools.database.write() as session:
        account = find_account_by_email(session, AccountKind.CITIZEN, CITIZEN_EMAIL)
        if account is None:
            raise LookupError(CITIZEN_EMAIL)
        return tools.people.pairwise.sub_for(session, account.account_id, sector, at=at)


def _citizen_sub(tools: WorldTools, *, at: datetime) -> str:
    # The department knows the citizen by its own name for them, as if they had signed in to it before.
    return citizen_sub(tools, sector=DWP, at=at)


def _write_members(
    session: Session, audit: AuditLog, layout: Layout, signers: Mapping[str, PrivateKeySigner], *, at: datetime
) -> None:
    for code, name, kind in (
        (DWP, "Department for Work and Pensions", "department"),
        (BLACKBURN, "Blackburn with Darwen Borough Council", "council"),
        (OVERSIGHT, "Oversight Office (demonstration)", OVERSIGHT_BODY),
    ):
        keys = (signers[code].public_jwk(),) if code in signers else ()
        register_member(session, Member(code=code, name=name, kind=kind, keys=keys), audit=audit, by=BY, at=at)
    register_client(
        session,
        Client(
            client_id=PORTAL_CLIENT,
            member_code=BLACKBURN,
            name="Council portal",
            kinds=(ClientKind.RELYING_PARTY, ClientKind.CONSUMER),
            keys=(signers[PORTAL_CLIENT].public_jwk(),),
            redirect_uris=(f"{layout.portal}/callback",),
            grant_types=("authorization_code", "refresh_token", "client_credentials"),
            scopes=("openid", "profile", "email", "offline_access"),
            resources=(f"{layout.gateway}/sharing/v1",),
            account_kinds=(AccountKind.OFFICER.value,),
            oauth=OAuthSettings(id_token_signed_response_alg="ES256"),  # noqa: S106 - an algorithm's name
        ),
        audit=audit,
        by=BY,
        at=at,
    )
    register_client(
        session,
        Client(
            client_id=PROVIDER_CLIENT,
            member_code=DWP,
            name="Benefits records",
            kinds=(ClientKind.PROVIDER,),
            keys=(signers[PROVIDER_CLIENT].public_jwk(),),
        ),
        audit=audit,
        by=BY,
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
        register_account(session, new, people=tools.people, audit=tools.audit, by="demonstration", at=at)


def _accounts(layout: Layout) -> dict[str, DemoAccount]:
    """Return the ways in, made up on the first run and kept for later ones."""
    emails = {officer.key: officer.email for officer in OFFICERS} | {"citizen": CITIZEN_EMAIL}
    if not layout.people_file.exists():
        made = {
            key: asdict(DemoAccount(email=email, password=generate_password(), code_secret=generate_code_secret()))
            for key, email in emails.items()
        }
        write_private_file(layout.people_file, json.dumps(made, indent=2).encode())
    stored: dict[str, Any] = json.loads(layout.people_file.read_text(encoding="utf-8"))
    return {key: DemoAccount(**stored[key]) for key in emails}


def _signer(layout: Layout, owner: str) -> PrivateKeySigner:
    path = layout.key_file(owner)
    if not path.exists():
        write_private_file(path, PrivateKeySigner.generate("ES256").private_pem())
    return PrivateKeySigner.from_pem(path.read_bytes())
