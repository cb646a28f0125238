"""Erasing a person: what they were recorded with can never be read again, and everything else goes on."""

import shutil
from pathlib import Path

import pytest
from sqlalchemy import select, update

from gateway.audit.append import AuditLog, Entry
from gateway.audit.errors import DetailsErased, NothingToErase
from gateway.audit.keeping.erase import erase_subject, reapply_erasures, returned_keys
from gateway.audit.models import EventRow
from gateway.audit.recorded import ERASED, find_events
from gateway.audit.subject_keys import SubjectKeys
from gateway.wire.leaves import parse_leaf
from tests.kit.log import TestLog

PERSON = "person-1"


def erase(log: TestLog, subject: str = PERSON) -> bool:
    erasure = erase_subject(
        log.database, log.audit, subject=subject, by="O Sample", reason="right to erasure", at=log.clock.now()
    )
    return erasure.newly_recorded


def read(log: TestLog, entry: Entry, *, audit: AuditLog | None = None) -> object:
    with log.database.read() as session:
        return (audit or log.audit).details_of(session, entry.event_id)


def erasures(log: TestLog) -> int:
    with log.database.read() as session:
        return len(find_events(session, names=[ERASED]))


def key_file(log: TestLog, subject: str = PERSON) -> Path:
    tag = log.subject_keys.tag(f"subject\x00{subject}")
    return log.directory / "subject-keys" / tag[:2] / tag


def test_what_is_erased_is_read_by_nobody_and_still_proved(log: TestLog) -> None:
    mine, others = log.record(3), log.record(2, subject="person-2")
    log.publish()
    assert erase(log)
    log.publish()
    for entry in mine:
        with pytest.raises(DetailsErased):
            read(log, entry)
    assert all(read(log, entry) for entry in others)
    leaves = log.assert_verifies([*mine, *others])
    assert [leaf.event for leaf in leaves].count(ERASED) == 1
    assert len(leaves) == 6


def test_the_entry_says_who_and_why_and_not_about_whom(log: TestLog) -> None:
    [mine] = log.record()
    erase(log)
    with log.database.read() as session:
        [recorded] = find_events(session, names=[ERASED])
        details = log.audit.details_of(session, recorded.event_id)
        row = session.scalars(select(EventRow).where(EventRow.id == mine.event_id)).one()
        leaf = session.scalars(select(EventRow.leaf).where(EventRow.id == recorded.event_id)).one()
    assert (details["by"], details["reason"]) == ("O Sample", "right to erasure")
    assert (details["key_id"], details["subject_tag"]) == (row.key_id.hex(), row.subject_tag)
    assert parse_leaf(leaf).reference == f"key:{row.key_id.hex()}"
    # Not in public, and not by the reference itself even among the details.
    assert row.subject_tag.encode() not in leaf
    assert PERSON not in str(details)
    assert PERSON.encode() not in leaf


def test_what_happens_afterwards_is_recorded_under_a_new_key(log: TestLog) -> None:
    [before] = log.record()
    erase(log)
    [after] = log.record()
    assert read(log, after)
    with pytest.raises(DetailsErased):
        read(log, before)
    assert erase(log)
    with pytest.raises(DetailsErased):
        read(log, after)
    assert erasures(log) == 2


def test_a_mistyped_reference_erases_nothing_and_records_nothing(log: TestLog) -> None:
    [mine] = log.record()
    with pytest.raises(NothingToErase):
        erase(log, "person-l")
    assert read(log, mine)
    assert erasures(log) == 0
    # Looking for a key must not make one.
    assert not key_file(log, "person-l").exists()


class _Killed(BaseException):
    pass


def test_a_stop_between_entry_and_key_is_finished_by_asking_again(
    log: TestLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    [mine] = log.record()

    def killed(self: SubjectKeys, tag: str, key_id: bytes) -> bool:
        raise _Killed

    with monkeypatch.context() as patched:
        patched.setattr(SubjectKeys, "destroy_key", killed)
        with pytest.raises(_Killed):
            erase(log)
    # The entry stands and the key is still there: nobody is shown anything under it from now on.
    assert erasures(log) == 1
    assert key_file(log).exists()
    with pytest.raises(DetailsErased):
        read(log, mine)
    assert not erase(log)
    assert not key_file(log).exists()
    assert erasures(log) == 1


def test_a_stop_before_the_entry_leaves_everything_as_it_was(log: TestLog, monkeypatch: pytest.MonkeyPatch) -> None:
    [mine] = log.record()

    def killed(self: AuditLog, *_arguments: object, **_named: object) -> Entry:
        raise _Killed

    with monkeypatch.context() as patched:
        patched.setattr(AuditLog, "append", killed)
        with pytest.raises(_Killed):
            erase(log)
    assert erasures(log) == 0
    assert read(log, mine)


@pytest.fixture
def key_backup(log: TestLog, tmp_path: Path) -> Path:
    """The folder of keys as it was before the erasure."""
    log.record()
    return Path(shutil.copytree(log.directory / "subject-keys", tmp_path / "copy"))


def restore_keys(log: TestLog, backup: Path) -> None:
    shutil.rmtree(log.directory / "subject-keys")
    shutil.copytree(backup, log.directory / "subject-keys")


def test_a_key_that_comes_back_with_a_backup_opens_nothing_and_is_destroyed_again(
    log: TestLog, key_backup: Path
) -> None:
    with log.database.read() as session:
        [mine] = session.scalars(select(EventRow.id)).all()
    erase(log)
    restore_keys(log, key_backup)
    assert key_file(log).exists()
    with log.database.read() as session, pytest.raises(DetailsErased):
        log.audit.details_of(session, mine)
    assert len(returned_keys(log.database, log.audit)) == 1
    assert reapply_erasures(log.database, log.audit) == 1
    assert not key_file(log).exists()
    assert reapply_erasures(log.database, log.audit) == 0


def test_a_later_key_of_the_same_person_survives_the_search_for_the_erased_one(log: TestLog, key_backup: Path) -> None:
    erase(log)
    [after] = log.record()
    assert reapply_erasures(log.database, log.audit) == 0
    assert read(log, after)


def test_an_erasure_is_known_from_the_published_log_alone(log: TestLog, key_backup: Path) -> None:
    # As after a restore: the rows come from the published entries, and the details of the erasure are lost.
    erase(log)
    log.record(subject="person-2")
    with log.database.write() as session:
        lost = update(EventRow).where(EventRow.name == ERASED).values(details=b"", key_id=b"", subject_tag="")
        session.execute(lost)
    kept = (key_backup / "names.key").read_bytes()
    restore_keys(log, key_backup)
    assert (log.directory / "subject-keys" / "names.key").read_bytes() == kept
    assert reapply_erasures(log.database, log.audit) == 1
    assert not key_file(log).exists()
