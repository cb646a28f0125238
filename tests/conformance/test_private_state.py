"""What lies on the machine's disk is nobody else's, damage is noticed, and plain http stays on this machine."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.cli import initialise
from gateway.errors import SettingsError
from gateway.settings import POLICIES_DIR, Settings
from gateway.signing.signing_keys import SecretDamaged, load_or_make_secret


@pytest.fixture
def everybody_may_read() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def settings_of(folder: Path) -> Settings:
    return Settings(
        issuer="http://localhost:8000",
        state_dir=folder,
        database_url=f"sqlite:///{folder / 'gateway.sqlite3'}",
        policies_dir=POLICIES_DIR,
        log_origin="test.gateway.example/log",
        unsafe_allow_plain_http=True,
    )


@pytest.mark.usefixtures("everybody_may_read")
def test_nobody_else_on_the_machine_can_read_what_the_gateway_keeps(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    initialise(settings_of(folder))
    open_to_others = [path for path in (folder, *folder.rglob("*")) if path.stat().st_mode & 0o077]
    assert open_to_others == []
    assert (folder / "gateway.sqlite3").exists()


def test_a_secret_that_was_cut_short_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "retry.key"
    assert load_or_make_secret(path, None) == load_or_make_secret(path, None)
    path.write_bytes(b"")
    with pytest.raises(SecretDamaged):
        load_or_make_secret(path, None)


@pytest.mark.parametrize("listen", ["0.0.0.0:8000", "[::]:8000", ":8000", "192.0.2.1:8000"])
def test_plain_http_is_not_offered_to_other_machines(tmp_path: Path, listen: str) -> None:
    with pytest.raises(SettingsError, match="GATEWAY_LISTEN"):
        replace(settings_of(tmp_path), listen=listen)


@pytest.mark.parametrize("listen", ["127.0.0.1:8000", "[::1]:8000", "localhost:8000", "unix:/run/gateway.sock"])
def test_plain_http_may_be_offered_to_this_machine(tmp_path: Path, listen: str) -> None:
    assert replace(settings_of(tmp_path), listen=listen).listen == listen
