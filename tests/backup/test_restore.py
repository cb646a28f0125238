"""A restored gateway continues the log that others remember; whatever is wrong is found before anything is changed."""

import hashlib
import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest
from click.testing import CliRunner
from sqlalchemy import select, text

from gateway.audit.commands import audit_group
from gateway.audit.errors import DetailsErased, LogForked, LogNotVerified, LogUnreadable
from gateway.audit.keeping.erase import erase_subject
from gateway.audit.merge_delay import DatabaseOlderThanLog
from gateway.audit.models import EventRow
from gateway.backup import restoring
from gateway.backup.database_copy import restore_database
from gateway.backup.errors import BackupDamaged, RestoreUnfinished
from gateway.errors import GatewayError
from gateway.settings import process_environment
from gateway.wire.canonical import canonical_json
from gateway.wire.merkle import leaf_hash
from gateway.wire.tiles import decode_entry_bundle, encode_entry_bundle, entries_path, tile_path
from tests.backup.house import House, files_under, flip_a_bit
from tests.kit.log import assert_log_verifies


def test_a_restored_gateway_goes_on_where_the_log_was(house: House, empty_database_url: str, tmp_path: Path) -> None:
    ids = house.record(300)
    house.publish()
    outsider = house.outsider()
    size = outsider.look()
    assert house.backup(tmp_path / "copy").exit_code == 0

    restored = house.with_database(empty_database_url)
    done = restored.restore(tmp_path / "copy")
    assert done.exit_code == 0, done.output
    assert f"all {size} entries verify" in done.output
    ids += restored.record(5)
    restored.publish()
    assert outsider.look() == size + 1 + 5, "the restore itself is an entry"
    assert outsider.leaves[size].event == "audit.database.restored"
    assert set(ids) <= set(outsider.events)


def test_an_old_backup_is_brought_forward_and_the_log_does_not_fork(
    house: House, empty_database_url: str, tmp_path: Path
) -> None:
    """Published since: in whole tiles, in partial ones, and an event that the copy held without its index."""
    house.record(250)
    house.publish()
    waiting = house.record(4)
    assert house.backup(tmp_path / "copy").exit_code == 0
    house.publish()
    lost = house.record(600)
    house.publish()
    outsider = house.outsider()
    size = outsider.look()

    restored = house.with_database(empty_database_url)
    done = restored.restore(tmp_path / "copy")
    assert done.exit_code == 0, done.output
    assert "600 entries were taken from the published log" in done.output
    assert "   600  sharing.record.disclosed" in done.output
    ids = restored.record(3)
    restored.publish()
    assert outsider.look() == size + 4
    sound = CliRunner().invoke(audit_group(restored.gateway.audit_context), ["fsck"])
    assert sound.exit_code == 0, sound.output
    assert {*waiting, *lost, *ids} <= set(outsider.events)


def test_before_it_is_brought_forward_nothing_is_signed(house: House, empty_database_url: str, tmp_path: Path) -> None:
    """The copy was put back by other means: refused with its index, then one command makes it go on."""
    house.record(10)
    house.publish()
    assert house.backup(tmp_path / "copy").exit_code == 0
    size = house.outsider().look()
    house.record(7)
    house.publish()
    outsider = house.outsider()
    published = outsider.look()

    old = house.with_database(empty_database_url)
    put_back_by_other_means(old, tmp_path / "copy")
    recorded = old.record(20)
    with pytest.raises(LogForked, match=f"entry {size} is the first it has lost"):
        old.publish()
    # And nothing is released: an agreement may have been suspended since.
    with pytest.raises(DatabaseOlderThanLog):
        old.gateway.merge_delay().check()

    done = old.restore("--forward")
    assert done.exit_code == 0, done.output
    old.gateway.merge_delay().check()
    old.publish()
    outsider.look()
    assert outsider.size == published + 20 + 1
    assert set(recorded) <= set(outsider.events), "what was answered meanwhile is not lost"


def put_back_by_other_means(house: House, backup: Path) -> None:
    """As an operator does by hand: the database alone, and nothing of what `gateway restore` adds."""
    [copy] = backup.glob("database.*")
    restore_database(house.database, copy, environment=process_environment(house.settings))


def test_a_restore_that_stops_half_way_is_finished_by_going_forward(
    house: House, empty_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.record(10)
    house.publish()
    assert house.backup(tmp_path / "copy").exit_code == 0
    house.record(7)
    house.publish()
    outsider = house.outsider()
    size = outsider.look()
    restored = house.with_database(empty_database_url)

    def stop(*_arguments: object, **_options: object) -> None:
        raise LogUnreadable("the disk went away")

    with monkeypatch.context() as patch:
        patch.setattr(restoring, "take_back", stop)
        unfinished = restored.restore(tmp_path / "copy")
    assert isinstance(unfinished.exception, RestoreUnfinished)
    assert "the disk went away" in str(unfinished.exception)
    assert "gateway restore --forward" in str(unfinished.exception)
    with pytest.raises(LogForked):
        restored.publish()
    assert restored.restore("--forward").exit_code == 0
    restored.publish()
    assert outsider.look() == size + 1


def test_a_database_that_tells_another_story_is_not_brought_forward(house: House, tmp_path: Path) -> None:
    house.record(10)
    house.publish()
    with house.database.write() as session:
        row = session.scalars(select(EventRow).where(EventRow.leaf_index == 4)).one()
        row.leaf = row.leaf.replace(b'"outcome":"done"', b'"outcome":"dune"')
    before = house.outsider().look()
    refused = house.restore("--forward")
    assert "entry 4 in the database is not the published one" in str(refused.exception)
    with house.database.read() as session:
        ended = session.scalars(select(EventRow.name).where(EventRow.name == "audit.database.restored")).all()
    assert (ended, house.outsider().look()) == ([], before), "nothing was changed"


def test_a_database_whose_log_is_not_there_is_not_said_to_be_sound(house: House) -> None:
    house.record(10)
    house.publish()
    house.log_dir.rename(house.log_dir.with_name("elsewhere"))
    refused = house.restore("--forward")
    assert isinstance(refused.exception, LogUnreadable)
    assert "holds no published log" in str(refused.exception)
    with house.database.read() as session:
        assert not session.scalars(select(EventRow.id).where(EventRow.name == "audit.database.restored")).all()
    house.log_dir.with_name("elsewhere").rename(house.log_dir)
    assert house.restore("--forward").exit_code == 0


def test_no_row_comes_from_a_log_that_was_not_signed(house: House, empty_database_url: str, tmp_path: Path) -> None:
    """Entries and tiles beyond the copy were made up, each fitting the other; the checkpoint is the true one."""
    house.record(10)
    house.publish()
    assert house.backup(tmp_path / "copy").exit_code == 0
    house.record(5)
    house.publish()
    size = house.outsider().look()
    old = house.with_database(empty_database_url)
    put_back_by_other_means(old, tmp_path / "copy")
    bundle = house.log_dir / entries_path(0, size)
    forged = decode_entry_bundle(bundle.read_bytes())
    forged[-1] = forged[-1].replace(b"disclosed", b"refused.d")
    bundle.write_bytes(encode_entry_bundle(forged))
    (house.log_dir / tile_path(0, 0, size)).write_bytes(b"".join(map(leaf_hash, forged)))
    with old.database.read() as session:
        before = session.scalars(select(EventRow.id).order_by(EventRow.id)).all()
    refused = old.restore("--forward")
    assert isinstance(refused.exception, LogNotVerified)
    assert "another root" in str(refused.exception)
    with old.database.read() as session:
        assert session.scalars(select(EventRow.id).order_by(EventRow.id)).all() == before


@pytest.mark.parametrize("said", [{"size": 0}, {"size": "11"}, {"size": 10**9}, {"keys": 5}, {"files": []}])
def test_a_manifest_that_was_made_up_is_a_clear_error(
    house: House, empty_database_url: str, tmp_path: Path, said: dict[str, object]
) -> None:
    """It bears its own right digest, as anybody can make it."""
    house.record(10)
    house.publish()
    assert house.backup(tmp_path / "copy").exit_code == 0
    manifest = tmp_path / "copy" / "manifest.json"
    document = json.loads(manifest.read_text())["manifest"] | said
    wrapped = {"manifest": document, "sha256": hashlib.sha256(canonical_json(document)).hexdigest()}
    manifest.write_text(json.dumps(wrapped, indent=2, ensure_ascii=False) + "\n")
    shutil.rmtree(house.log_dir)
    restored = house.with_database(empty_database_url)
    refused = restored.restore(tmp_path / "copy", "--nothing-was-published-since")
    assert isinstance(refused.exception, BackupDamaged), refused.exception
    assert not house.log_dir.exists()


def test_bringing_forward_twice_changes_nothing_more(house: House, tmp_path: Path) -> None:
    house.record(5)
    house.publish()
    assert house.restore("--forward").exit_code == 0
    assert house.restore("--forward").exit_code == 0
    house.publish()
    outsider = house.outsider()
    outsider.look()
    assert [leaf.event for leaf in outsider.leaves][-2:] == ["audit.database.restored"] * 2


def test_an_empty_log_folder_needs_the_operators_word(house: House, empty_database_url: str, tmp_path: Path) -> None:
    house.record(300)
    house.publish()
    outsider = house.outsider()
    size = outsider.look()
    assert house.backup(tmp_path / "copy").exit_code == 0
    shutil.rmtree(house.log_dir)
    restored = house.with_database(empty_database_url)
    refused = restored.restore(tmp_path / "copy")
    assert "would be forgotten" in str(refused.exception)
    assert not house.log_dir.exists()
    done = restored.restore(tmp_path / "copy", "--nothing-was-published-since")
    assert done.exit_code == 0, done.output
    restored.record(1)
    restored.publish()
    assert outsider.look() == size + 2


def test_every_file_of_a_backup_is_held_to_the_byte(house: House, empty_database_url: str, tmp_path: Path) -> None:
    house.record(260)
    house.publish()
    assert house.backup(tmp_path / "copy").exit_code == 0
    restored = house.with_database(empty_database_url)
    names = list(files_under(tmp_path / "copy"))
    assert len(names) >= 8
    for name in names:
        shutil.rmtree(tmp_path / "damaged", ignore_errors=True)
        shutil.copytree(tmp_path / "copy", tmp_path / "damaged")
        flip_a_bit(tmp_path / "damaged" / name)
        refused = restored.restore(tmp_path / "damaged")
        assert isinstance(refused.exception, GatewayError), name
        flip_a_bit(tmp_path / "damaged" / name)
        (tmp_path / "damaged" / name).unlink()
        assert isinstance(restored.restore(tmp_path / "damaged").exception, GatewayError), name
    shutil.rmtree(tmp_path / "damaged")
    shutil.copytree(tmp_path / "copy", tmp_path / "damaged")
    manifest = tmp_path / "damaged" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"made_at": "20', '"made_at": "21'))
    assert "was changed after it was written" in str(restored.restore(tmp_path / "damaged").exception)
    # Nothing was touched: the sound one goes in.
    assert restored.restore(tmp_path / "copy").exit_code == 0


def test_nothing_that_is_there_is_overwritten(house: House, tmp_path: Path) -> None:
    ids = house.record(3)
    house.publish()
    assert house.backup(tmp_path / "copy").exit_code == 0
    refused = house.restore(tmp_path / "copy")
    assert "there already" in str(refused.exception) or "tables already" in str(refused.exception)
    house.publish()
    outsider = house.outsider()
    outsider.look()
    assert set(ids) <= set(outsider.events)


def test_the_database_of_a_running_gateway_is_left_alone(house: House, empty_database_url: str, tmp_path: Path) -> None:
    house.record(5)
    house.publish()
    running = house.with_database(house.settings.database_url)
    with running.database.read() as session:
        session.execute(text("SELECT 1"))
    assert "Another process is using the database" in str(house.restore("--forward").exception)
    running.database.close()
    assert house.restore("--forward").exit_code == 0


@pytest.mark.postgresql
def test_a_connection_that_is_on_its_way_out_is_nobody(house: House) -> None:
    house.record(5)
    house.publish()
    going = house.with_database(house.settings.database_url)
    with going.database.read() as session:
        session.execute(text("SELECT 1"))
    goodbye = threading.Timer(0.3, going.database.close)
    goodbye.start()
    assert house.restore("--forward").exit_code == 0
    goodbye.join()


def test_a_database_without_its_keys_is_not_restored(house: House, empty_database_url: str, tmp_path: Path) -> None:
    assert house.backup(tmp_path / "copy").exit_code == 0
    sealing = house.settings.keys_dir / "identity" / "sealing.key"
    kept = sealing.read_bytes()
    restored = house.with_database(empty_database_url)
    sealing.write_bytes(bytes(32))
    assert "lacks keys that this database was written with: identity/sealing.key" in str(
        restored.restore(tmp_path / "copy").exception
    )
    sealing.write_bytes(kept)
    assert restored.restore(tmp_path / "copy").exit_code == 0


def test_a_log_that_went_another_way_is_refused(
    house: House, empty_database: Callable[[], str], tmp_path: Path
) -> None:
    """The folder's log and the backup's are both validly signed, and are two histories."""
    house.record(5)
    house.publish()
    assert house.backup(tmp_path / "before").exit_code == 0
    shutil.copytree(house.log_dir, tmp_path / "kept")
    house.record(5)
    house.publish()
    assert house.backup(tmp_path / "copy").exit_code == 0
    # Somebody restores the older one by force and goes on differently.
    shutil.rmtree(house.log_dir)
    shutil.copytree(tmp_path / "kept", house.log_dir)
    other = house.with_database(empty_database())
    assert other.restore(tmp_path / "before").exit_code == 0
    other.record(9)
    other.publish()
    other.database.close()
    assert_log_verifies(house.log_dir, house.vkey)
    third = house.with_database(empty_database())
    assert "two histories" in str(third.restore(tmp_path / "copy").exception)


def test_erased_stays_erased(house: House, empty_database_url: str, tmp_path: Path) -> None:
    """Neither an older backup of the database, nor an older copy of the keys beside it, brings details back."""
    [event_id] = house.record(subject="person-7")
    house.publish()
    assert house.backup(tmp_path / "copy").exit_code == 0
    shutil.copytree(house.settings.subject_keys_dir, tmp_path / "copied-keys")
    erase_subject(
        house.database,
        house.gateway.audit,
        subject="person-7",
        by="A Sample",
        reason="asked",
        at=house.gateway.clock.now(),
    )
    house.publish()
    shutil.rmtree(house.settings.subject_keys_dir)
    shutil.copytree(tmp_path / "copied-keys", house.settings.subject_keys_dir)
    restored = house.with_database(empty_database_url)
    done = restored.restore(tmp_path / "copy")
    assert done.exit_code == 0, done.output
    assert "1 keys of people that were erased had come back" in done.output
    with restored.database.read() as session, pytest.raises(DetailsErased):
        restored.gateway.audit.details_of(session, UUID(event_id))
    assert restored.gateway.audit.subject_keys.find_subject("person-7") is None
