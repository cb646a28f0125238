"""A client is known as it is now, however often it was asked for before."""

from dataclasses import replace
from datetime import UTC, datetime

from gateway.db import Database
from gateway.directory.members import Client, ClientKind, Member, find_client, record_client, record_member

NOW = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
MEMBER = Member(code="dwp", name="Department for Work and Pensions", kind="department")
CLIENT = Client(
    client_id="dwp-benefits",
    member_code="dwp",
    name="Records",
    kinds=(ClientKind.PROVIDER,),
    scopes=("records",),
    sector="dwp",
)


def found(database: Database) -> Client | None:
    with database.read() as session:
        return find_client(session, CLIENT.client_id)


def written(database: Database, *, member: Member = MEMBER, client: Client = CLIENT) -> None:
    with database.write() as session:
        record_member(session, member, at=NOW)
        record_client(session, client, at=NOW)


def test_each_change_is_seen_by_the_next_question(database: Database) -> None:
    written(database)
    assert found(database) == found(database) == CLIENT
    for changed in (replace(CLIENT, scopes=()), replace(CLIENT, name="Other records"), CLIENT):
        written(database, client=changed)
        assert found(database) == found(database) == changed


def test_who_is_not_active_is_not_found_from_that_moment_on(database: Database) -> None:
    written(database)
    assert found(database) == CLIENT
    written(database, client=replace(CLIENT, active=False))
    assert found(database) is None
    written(database)
    assert found(database) == CLIENT
    written(database, member=replace(MEMBER, active=False))
    assert found(database) is None


def test_a_change_that_was_not_committed_is_forgotten(database: Database) -> None:
    written(database)
    assert found(database) == CLIENT
    with database.write() as session:
        record_client(session, replace(CLIENT, scopes=("records", "everything")), at=NOW)
        assert find_client(session, CLIENT.client_id) != CLIENT
        session.rollback()
    assert found(database) == CLIENT


def test_a_key_for_encryption_is_never_among_those_that_verify(database: Database) -> None:
    signing, sealing = {"kty": "EC", "kid": "a", "use": "sig"}, {"kty": "EC", "kid": "b", "use": "enc"}
    client = replace(CLIENT, keys=(signing,), encryption_keys=(sealing,))
    written(database, client=client)
    assert found(database) == client
    written(database, client=replace(client, encryption_keys=()))
    assert found(database) == replace(CLIENT, keys=(signing,))
