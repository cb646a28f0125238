"""What was taken back after a backup was made stays taken back when that backup is restored."""

import secrets
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from gateway.db import new_id
from gateway.demo.layout import BLACKBURN, DWP, PORTAL_CLIENT, PROVIDER_CLIENT, PURPOSE, SERVICE
from gateway.demo.people import CITIZEN_EMAIL, OFFICERS
from gateway.directory.members import find_client, find_member
from gateway.directory.registration import register_client, register_member
from gateway.identity.accounts import AccountKind, find_account_by_email
from gateway.identity.models import SessionRow
from gateway.identity.registration import suspend
from gateway.oidc.models import AccessTokenRow, AuthorizationRow, RefreshTokenRow
from gateway.sharing.agreements.agreements import AgreementStatus, find_agreement
from gateway.sharing.agreements.lifecycle import resume_agreement, suspend_agreement
from gateway.sharing.exchange.models import AttachmentRow, ExchangeRow
from gateway.sharing.exchange.outcomes import Ending, close_abandoned
from gateway.wire.signer import PrivateKeySigner
from tests.backup.house import House
from tests.kit.outsider import Outsider

REFERENCE, VERSION = "DSA-003", 1
OFFICER = OFFICERS[0].email


@pytest.fixture
def copy(house: House, tmp_path: Path) -> Path:
    """A backup made before everything that the test does."""
    house.publish()
    assert house.backup(tmp_path / "copy").exit_code == 0
    return tmp_path / "copy"


def restored_from(copy: Path, house: House, empty_database_url: str) -> tuple[House, str]:
    house.publish()
    restored = house.with_database(empty_database_url)
    done = restored.restore(copy)
    assert done.exit_code == 0, done.output
    return restored, done.output


def status_of_agreement(house: House) -> AgreementStatus:
    with house.database.read() as session:
        agreement = find_agreement(session, REFERENCE, VERSION)
    assert agreement is not None
    return agreement.status


def change_agreement(house: House, *, suspended: bool) -> None:
    change = suspend_agreement if suspended else resume_agreement
    now = house.gateway.clock.now()
    with house.database.write() as session:
        change(session, REFERENCE, VERSION, audit=house.gateway.audit, by="A Sample", reason="incident 7", at=now)


def is_active(house: House, kind: AccountKind, email: str) -> bool:
    with house.database.read() as session:
        account = find_account_by_email(session, kind, email)
    assert account is not None
    return account.active


def suspend_account(house: House, kind: AccountKind, email: str) -> None:
    gateway = house.gateway
    with house.database.write() as session:
        account = find_account_by_email(session, kind, email)
        assert account is not None
        now = gateway.clock.now()
        suspend(session, account, people=gateway.people, audit=gateway.audit, by="A Sample", reason="left", at=now)


def test_an_agreement_suspended_since_is_suspended_again(house: House, copy: Path, empty_database_url: str) -> None:
    change_agreement(house, suspended=True)
    restored, told = restored_from(copy, house, empty_database_url)
    assert status_of_agreement(restored) is AgreementStatus.SUSPENDED
    assert "Suspended agreements (`gateway agreements resume`): DSA-003.1" in told


def test_an_agreement_suspended_and_resumed_since_stays_in_force(
    house: House, copy: Path, empty_database_url: str
) -> None:
    change_agreement(house, suspended=True)
    change_agreement(house, suspended=False)
    restored, _told = restored_from(copy, house, empty_database_url)
    assert status_of_agreement(restored) is AgreementStatus.ACTIVE


def test_an_officer_suspended_since_cannot_be_told_so_all_of_that_member_are(
    house: House, copy: Path, empty_database_url: str
) -> None:
    suspend_account(house, AccountKind.OFFICER, OFFICER)
    restored, told = restored_from(copy, house, empty_database_url)
    assert not is_active(restored, AccountKind.OFFICER, OFFICER)
    assert is_active(restored, AccountKind.OFFICER, OFFICERS[1].email), "another member's"
    assert OFFICER in told


def test_a_citizen_suspended_since_is_reported_and_nobody_else_is_stopped(
    house: House, copy: Path, empty_database_url: str
) -> None:
    suspend_account(house, AccountKind.CITIZEN, CITIZEN_EMAIL)
    restored, told = restored_from(copy, house, empty_database_url)
    assert is_active(restored, AccountKind.OFFICER, OFFICER)
    assert "1 suspensions of citizens' accounts are lost" in told


def test_a_system_whose_key_was_replaced_since_is_not_believed_with_the_old_one(
    house: House, copy: Path, empty_database_url: str
) -> None:
    key = {**PrivateKeySigner.generate("ES256").public_jwk(), "kid": "new"}
    now = house.gateway.clock.now()
    with house.database.write() as session:
        client = find_client(session, PORTAL_CLIENT)
        assert client is not None
        changed = replace(client, keys=(key,))
        register_client(session, changed, audit=house.gateway.audit, by="A Sample", at=now)
    restored, told = restored_from(copy, house, empty_database_url)
    with restored.database.read() as session:
        assert find_client(session, PORTAL_CLIENT) is None
        assert find_client(session, PROVIDER_CLIENT) is not None, "another member's"
    assert PORTAL_CLIENT in told


def test_a_member_that_was_stopped_since_is_stopped(house: House, copy: Path, empty_database_url: str) -> None:
    now = house.gateway.clock.now()
    with house.database.write() as session:
        member = find_member(session, BLACKBURN)
        assert member is not None
        register_member(session, replace(member, active=False), audit=house.gateway.audit, by="A Sample", at=now)
    restored, _told = restored_from(copy, house, empty_database_url)
    with restored.database.read() as session:
        assert find_member(session, BLACKBURN) is None
        assert find_member(session, DWP) is not None


def test_nobody_is_signed_in_and_no_token_or_code_lives(house: House, tmp_path: Path, empty_database_url: str) -> None:
    now = house.gateway.clock.now()
    later = now + timedelta(hours=1)
    with house.database.write() as session:
        account = find_account_by_email(session, AccountKind.OFFICER, OFFICER)
        assert account is not None
        browser = new_id()
        session.add(
            SessionRow(
                session_id=browser,
                secret_hash=secrets.token_bytes(32),
                account_id=account.account_id,
                methods=["pwd"],
                awaiting_code=False,
                authenticated_at=now,
                idle_until=later,
                expires_at=later,
            )
        )
        authorization = AuthorizationRow(
            authorization_id=new_id(),
            code_hash=secrets.token_bytes(32),
            client_id=PORTAL_CLIENT,
            account_id=account.account_id,
            session_id=browser,
            redirect_uri="https://portal.example/callback",
            scope="openid",
            resources=[],
            nonce=None,
            code_challenge="x" * 43,
            offline=False,
            acr="AAL2",
            methods=["pwd"],
            auth_time=now,
            issued_at=now,
            code_expires_at=later,
            redeemed_at=None,
            revoked_at=None,
            expires_at=later,
        )
        session.add(authorization)
        session.flush()
        family = {"authorization_id": authorization.authorization_id, "expires_at": later}
        session.add(AccessTokenRow(token_hash=secrets.token_bytes(32), client_id=PORTAL_CLIENT, **family))
        session.add(RefreshTokenRow(token_hash=secrets.token_bytes(32), issued_at=now, used_at=None, **family))
    assert house.backup(tmp_path / "copy").exit_code == 0
    restored = house.with_database(empty_database_url)
    done = restored.restore(tmp_path / "copy")
    assert "Ended: 1 sessions, 3 codes and tokens" in done.output
    with restored.database.read() as session:
        for row in (SessionRow, AuthorizationRow, AccessTokenRow, RefreshTokenRow):
            assert session.query(row).count() == 0


def test_a_document_that_was_fetched_since_cannot_be_fetched_again(
    house: House, tmp_path: Path, empty_database_url: str
) -> None:
    exchange = open_exchange(house)
    waiting = AttachmentRow(
        exchange=exchange.id,
        number=1,
        field="letter",
        digest="A" * 64,
        size=1,
        media_type="application/pdf",
        expires_at=house.gateway.clock.now() + timedelta(minutes=15),
    )
    with house.database.write() as session:
        session.add(waiting)
    house.publish()
    assert house.backup(tmp_path / "copy").exit_code == 0
    restored, _ = restored_from(tmp_path / "copy", house, empty_database_url)
    with restored.database.read() as session:
        assert session.get(ExchangeRow, exchange.id) is not None
        assert session.scalars(select(AttachmentRow)).all() == []


def test_an_exchange_that_ended_since_does_not_end_twice(house: House, tmp_path: Path, empty_database_url: str) -> None:
    """Open in the copy, disclosed since: recovery after the restore must not enter it as abandoned."""
    house.publish()
    exchange = open_exchange(house)
    assert house.backup(tmp_path / "copy").exit_code == 0
    now = house.gateway.clock.now()
    with house.database.write() as session:
        row = session.get_one(ExchangeRow, exchange.id)
        ending = Ending(outcome="disclosed", decision="permit")
        house.gateway.registrar.conclude(session, row, ending, idempotency_key=None, at=now)
    restored, told = restored_from(tmp_path / "copy", house, empty_database_url)
    assert "1 exchanges" in told
    with restored.database.write() as session:
        later = now + timedelta(hours=1)
        assert close_abandoned(session, restored.gateway.registrar, now=later) == 0
        assert session.get_one(ExchangeRow, exchange.id).state == "disclosed"
    restored.publish()
    outsider: Outsider = restored.outsider()
    outsider.look()
    assert [leaf.outcome for leaf in outsider.leaves if leaf.reference == str(exchange.id)] == ["disclosed"]


def open_exchange(house: House) -> ExchangeRow:
    now = house.gateway.clock.now()
    row = ExchangeRow(
        id=new_id(),
        state="open",
        retry_mac=secrets.token_bytes(32),
        request_digest="0" * 64,
        client_id=PORTAL_CLIENT,
        consumer=BLACKBURN,
        provider=DWP,
        officer_account=None,
        service=SERVICE,
        purpose=PURPOSE,
        agreement=REFERENCE,
        agreement_version=VERSION,
        legal_gateway="example",
        policy_digest="sha-256:0",
        subject="person-1",
        subject_sub=None,
        handle="handle",
        requested_fields=["eligible"],
        decision="permit",
        decision_record={},
        rules=[],
        fields_disclosed=[],
        fields_withheld=[],
        opened_at=now,
        lease_until=now + timedelta(seconds=30),
    )
    with house.database.write() as session:
        session.add(row)
    return row
