"""A backup is one moment of the gateway, made while it serves, without any key."""

import os
from pathlib import Path

import pytest

from gateway.backup import database_copy
from gateway.backup.errors import BackupRefused
from gateway.backup.making import back_up
from gateway.backup.manifest import MANIFEST, read_manifest
from gateway.backup.restoring import check_backup
from gateway.db import Database
from gateway.wire.tiles import decode_entry_bundle
from tests.backup.house import House, files_under
from tests.kit.log import assert_log_verifies
from tests.kit.postgres import find_programs


def quiet(_what: str, _done: int, _total: int) -> None:
    return


def test_a_backup_holds_a_log_that_strangers_verify_and_says_what_it_is(house: House, tmp_path: Path) -> None:
    house.record(600)
    house.publish()
    made = house.backup(tmp_path / "copy")
    assert made.exit_code == 0, made.output
    manifest = check_backup(tmp_path / "copy", house.settings)
    assert_log_verifies(tmp_path / "copy" / "log", house.vkey)
    assert manifest.size == house.outsider().look()
    assert (manifest.origin, manifest.issuer) == (house.settings.log_origin, house.settings.issuer)
    assert (tmp_path / "copy").stat().st_mode & 0o077 == 0, "nobody else may read people's data"


def test_no_key_is_in_a_backup(house: House, tmp_path: Path) -> None:
    house.record(3)
    house.publish()
    assert house.backup(tmp_path / "copy").exit_code == 0
    copied = b"".join(files_under(tmp_path / "copy").values())
    state = house.settings.state_dir
    keys = {**files_under(state / "keys"), **files_under(state / "subject-keys")}
    assert len(keys) > 5
    for name, content in keys.items():
        # A person's key stands behind its id, which the database knows; a private key is in the middle of its PEM.
        secret = content[16:] if len(content) == 48 else content[40:90] if content.startswith(b"-----") else content
        assert secret not in copied, name
    names = [name.rpartition("/")[2] for name in files_under(state / "subject-keys")]
    assert not any(name in listed for name in names for listed in files_under(tmp_path / "copy"))


def test_the_databases_password_is_on_no_command_line(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL's program is a wrapper that writes down how it was called, and then does its work."""
    if house.database.is_sqlite:
        pytest.skip("the embedded database has no password")
    real = find_programs() / "pg_dump"
    major = real.parent.parent.name
    wrapper = tmp_path / "programs" / major / "bin" / "pg_dump"
    wrapper.parent.mkdir(parents=True)
    wrapper.write_text(f'#!/bin/sh\necho "$0 $*" >>{tmp_path}/called\nexec {real} "$@"\n')
    wrapper.chmod(0o700)
    monkeypatch.setattr(database_copy, "_DEBIAN_PROGRAMS", tmp_path / "programs")
    with_password = house.database.url.set(password="Not4Everybody").render_as_string(hide_password=False)
    made = house.with_database(with_password).backup(tmp_path / "copy")
    assert made.exit_code == 0, made.output
    called = (tmp_path / "called").read_text()
    assert "--dbname=" in called
    assert "Not4Everybody" not in called


def test_of_several_servers_the_program_is_told_names_and_ports_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "pg_dump"
    program.write_text(f'#!/bin/sh\necho "$*" >{tmp_path}/called\n')
    program.chmod(0o700)
    monkeypatch.setattr(database_copy, "_server_major", lambda _database: 15)
    monkeypatch.setattr(database_copy, "_program", lambda _name, _major: program)
    database = Database("postgresql://gateway@db-1:5433,db-2:5434/gateway?target_session_attrs=read-write")
    database_copy._run(database, "pg_dump", [], {})
    told = set((tmp_path / "called").read_text().removeprefix("--dbname=").split())
    assert told == {
        "user=gateway", "dbname=gateway", "host=db-1,db-2", "port=5433,5434", "target_session_attrs=read-write"
    }  # fmt: skip


def test_what_is_published_meanwhile_is_left_out(house: House, tmp_path: Path) -> None:
    """The copy stays at its own checkpoint although partial tiles become full, and go, under its hands."""
    house.record(300)
    house.publish()
    size = house.outsider().look()
    happened: list[str] = []

    def meanwhile(what: str, _done: int, _total: int) -> None:
        if not happened:
            happened.append(what)
            house.record(300)
            house.publish()
            for partial in house.log_dir.rglob("*.p"):
                if partial.with_suffix("").exists():
                    for file in partial.iterdir():
                        file.unlink()

    manifest = back_up(house.gateway, tmp_path / "copy", progress=meanwhile)
    assert happened == ["copying the log"]
    assert manifest.size == size
    assert len(assert_log_verifies(tmp_path / "copy" / "log", house.vkey)) == size
    [cut] = (tmp_path / "copy" / "log" / "tile" / "entries" / "001.p").iterdir()
    assert len(decode_entry_bundle(cut.read_bytes())) == int(cut.name) == size - 256


def test_a_folder_that_is_there_is_left_alone(house: House, tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "precious").write_text("mine")
    with pytest.raises(BackupRefused, match="is there already"):
        back_up(house.gateway, tmp_path / "copy", progress=quiet)
    assert os.listdir(tmp_path / "copy") == ["precious"]  # noqa: PTH208 - the names alone


def test_a_gateway_that_never_published_can_be_backed_up(house: House, tmp_path: Path) -> None:
    made = house.backup(tmp_path / "copy")
    assert made.exit_code == 0, made.output
    assert read_manifest(tmp_path / "copy").size == 0


def test_a_backup_that_was_cut_short_has_no_manifest(house: House, tmp_path: Path) -> None:
    house.record(3)
    house.publish()

    def cut(what: str, _done: int, _total: int) -> None:
        if what != "copying the log":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        back_up(house.gateway, tmp_path / "copy", progress=cut)
    assert (tmp_path / "copy").exists()
    assert not (tmp_path / "copy" / MANIFEST).exists()
    assert "unfinished" in str(house.restore(tmp_path / "copy").exception)
