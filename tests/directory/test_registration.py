"""Who takes part, and with which keys, is evidence."""

from datetime import UTC, datetime
from pathlib import Path

from gateway.audit.append import AuditLog
from gateway.audit.recorded import find_events
from gateway.audit.subject_keys import SubjectKeys
from gateway.db import Database
from gateway.directory.members import Client, ClientKind, Member, find_client, find_member
from gateway.directory.registration import register_client, register_member
from gateway.wire.signer import PrivateKeySigner

NOW = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
NAMES = ("directory.client.registered", "directory.member.registered")


def test_members_and_clients_enter_the_log_once_for_each_change(database: Database, tmp_path: Path) -> None:
    audit = AuditLog(database=database, subject_keys=SubjectKeys(tmp_path / "subject-keys"))
    key = PrivateKeySigner.generate("ES256").public_jwk()
    member = Member(code="dwp", name="Department for Work and Pensions", kind="department", keys=(key,))
    client = Client(client_id="dwp-benefits", member_code="dwp", name="Records", kinds=(ClientKind.PROVIDER,))
    changed = Client(
        client_id="dwp-benefits", member_code="dwp", name="Records", kinds=(ClientKind.PROVIDER,), keys=(key,)
    )
    with database.write() as session:
        for one in (client, client, changed):
            register_member(session, member, audit=audit, by="tests", at=NOW)
            register_client(session, one, audit=audit, by="tests", at=NOW)
    with database.read() as session:
        assert find_member(session, "dwp") == member
        found = find_client(session, "dwp-benefits")
        assert found is not None
        assert found.key(key["kid"]) == key
        events = find_events(session, names=NAMES)
        assert [event.name for event in reversed(events)] == [
            "directory.member.registered",
            "directory.client.registered",
            "directory.client.registered",
        ]
        assert audit.details_of(session, events[0].event_id)["key_ids"] == [key["kid"]]
