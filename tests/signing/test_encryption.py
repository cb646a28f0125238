"""Keys and secrets encrypted at rest: nothing of them on the disk, the same gateway before and after."""

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from structlog.testing import capture_logs

from gateway.backup.manifest import needed_keys
from gateway.identity.keys import load_identity_keys
from gateway.settings import Settings
from gateway.signing import keeping as keeping_module
from gateway.signing import private_files as private_files_module
from gateway.signing.encryption import LOCK_FILE, KeyLock, open_lock
from gateway.signing.errors import KeysEncrypted, SecretDamaged
from gateway.signing.keeping import encrypt_keys, private_files, unprotected_files, warn_of_unprotected_keys
from gateway.signing.key_files import Keeping
from gateway.signing.rotation import add_key, make_missing_keys
from gateway.signing.secret_files import load_or_make_secret
from gateway.signing.signing_keys import Purpose, SigningKeys
from gateway.signing.storage_commands import storage_commands
from tests.kit.clock import MIDDAY
from tests.kit.processes import REPOSITORY

PASSPHRASE = "correct-horse-battery-specimen"
OTHER = "another-horse-battery-specimen"


@pytest.fixture(autouse=True)
def _cheap_stretching(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.signing.encryption._COST", 1 << 4)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A gateway with every kind of key and secret, in the clear."""
    keys_dir = tmp_path / "keys"
    make_missing_keys(keys_dir)
    load_identity_keys(keys_dir, None)
    load_or_make_secret(keys_dir / "retry.key", None)
    return Settings(
        issuer="https://gateway.example",
        state_dir=tmp_path,
        database_url="sqlite:///nowhere.sqlite3",
        policies_dir=REPOSITORY / "policies",
        log_origin="gateway.example/log",
        keys_passphrase=PASSPHRASE,
    )


def run(settings: Settings, *arguments: str) -> Result:
    commands = {command.name: command for command in storage_commands(lambda: settings)}
    return CliRunner().invoke(commands[arguments[0]], arguments[1:])


def in_the_clear(keys_dir: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in private_files(keys_dir)}


def identity(keys_dir: Path, lock: KeyLock | None) -> tuple[object, ...]:
    """All that a gateway is by its keys."""
    keys = SigningKeys.load(keys_dir, Keeping(lock=lock))
    secret = load_or_make_secret(keys_dir / "retry.key", lock)
    jwks = [[jwk["kid"] for jwk in keys.public_jwks(purpose)] for purpose in Purpose]
    return (jwks, repr(vars(keys)["_log"][0].key_id), load_identity_keys(keys_dir, lock), secret)


def test_encrypted_nothing_can_be_read_and_everything_is_the_same(settings: Settings) -> None:
    keys_dir, plain = settings.keys_dir, in_the_clear(settings.keys_dir)
    before, needed = identity(keys_dir, None), needed_keys(keys_dir, None)
    assert len(plain) == 9
    done = run(settings, "encrypt")
    assert done.exit_code == 0, done.output
    assert unprotected_files(keys_dir) == []
    for path, content in plain.items():
        now = path.read_bytes()
        assert path.stat().st_mode & 0o777 == 0o600
        if path.suffix == ".key":
            assert content not in now
        else:
            with pytest.raises(TypeError, match="encrypted"):
                load_pem_private_key(now[now.index(b"-----") :], None)
            assert now.splitlines()[0] == content.splitlines()[0]  # its facts stay
    lock = open_lock(keys_dir, PASSPHRASE)
    assert identity(keys_dir, lock) == before
    assert needed_keys(keys_dir, lock) == needed
    assert run(settings, "encrypt").output.startswith("0 files")

    done = run(settings, "decrypt")
    assert done.exit_code == 0, done.output
    assert not (keys_dir / LOCK_FILE).exists()
    assert identity(keys_dir, None) == before
    assert {path: path.read_bytes() for path in plain if path.suffix == ".key"} == {
        path: content for path, content in plain.items() if path.suffix == ".key"
    }


def test_without_the_passphrase_nothing_starts_and_nothing_changes(settings: Settings) -> None:
    run(settings, "encrypt")
    before = {path: path.read_bytes() for path in settings.keys_dir.rglob("*") if path.is_file()}
    with pytest.raises(KeysEncrypted, match="set GATEWAY_KEYS_PASSPHRASE"):
        open_lock(settings.keys_dir, None)
    with pytest.raises(KeysEncrypted, match="not the passphrase"):
        open_lock(settings.keys_dir, OTHER)
    with pytest.raises(KeysEncrypted, match=r"0001\.pem"):
        SigningKeys.load(settings.keys_dir)
    with pytest.raises(KeysEncrypted, match=r"retry\.key"):
        load_or_make_secret(settings.keys_dir / "retry.key", None)
    refused = run(replace(settings, keys_passphrase=OTHER), "decrypt")
    assert isinstance(refused.exception, KeysEncrypted)
    assert before == {path: path.read_bytes() for path in settings.keys_dir.rglob("*") if path.is_file()}


def test_a_short_passphrase_is_refused_and_makes_nothing(settings: Settings) -> None:
    assert isinstance(run(replace(settings, keys_passphrase="specimen"), "encrypt").exception, KeysEncrypted)
    assert not (settings.keys_dir / LOCK_FILE).exists()


def test_the_passphrase_is_changed_by_one_file(settings: Settings, tmp_path: Path) -> None:
    before = identity(settings.keys_dir, None)
    run(settings, "encrypt")
    files = in_the_clear(settings.keys_dir)
    (tmp_path / "new").write_text(OTHER + "\n")
    assert run(settings, "passphrase", str(tmp_path / "new")).exit_code == 0
    assert in_the_clear(settings.keys_dir) == files
    with pytest.raises(KeysEncrypted):
        open_lock(settings.keys_dir, PASSPHRASE)
    assert identity(settings.keys_dir, open_lock(settings.keys_dir, OTHER)) == before


@pytest.mark.parametrize("command", ["encrypt", "decrypt"])
def test_a_crash_between_two_files_costs_nothing(
    settings: Settings, command: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = identity(settings.keys_dir, None)
    if command == "decrypt":
        run(settings, "encrypt")
    whole = tmp_path / "whole"
    shutil.copytree(settings.keys_dir, whole)
    replace_file = private_files_module.replace_private_file
    for kept in range(len(private_files(whole)) + 1):
        shutil.rmtree(settings.keys_dir)
        shutil.copytree(whole, settings.keys_dir)
        left = iter(range(kept))

        def until_killed(path: Path, content: bytes, left: Iterator[int] = left) -> None:
            if next(left, None) is None:
                raise KeyboardInterrupt
            replace_file(path, content)

        with monkeypatch.context() as patch:
            patch.setattr(keeping_module, "replace_private_file", until_killed)
            run(settings, command)
        if (settings.keys_dir / LOCK_FILE).exists():
            assert identity(settings.keys_dir, open_lock(settings.keys_dir, PASSPHRASE)) == before
        again = run(settings, command)
        assert again.exit_code == 0, again.output
        lock = open_lock(settings.keys_dir, PASSPHRASE) if command == "encrypt" else None
        assert identity(settings.keys_dir, lock) == before


def test_new_keys_and_secrets_are_encrypted_from_the_first(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    lock = open_lock(tmp_path / "keys", PASSPHRASE)
    make_missing_keys(tmp_path / "keys", Keeping(lock=lock))
    add_key(tmp_path / "keys", Purpose.TOKENS, "ES256", Keeping(lock=lock), now=MIDDAY)
    load_identity_keys(tmp_path / "keys", lock)
    assert len(private_files(tmp_path / "keys")) == 9
    assert unprotected_files(tmp_path / "keys") == []
    other = open_lock(tmp_path / "keys", PASSPHRASE)
    assert load_identity_keys(tmp_path / "keys", other) == load_identity_keys(tmp_path / "keys", lock)


def test_a_sealed_secret_opens_in_no_other_place_and_not_when_changed(settings: Settings) -> None:
    run(settings, "encrypt")
    lock = open_lock(settings.keys_dir, PASSPHRASE)
    retry, sealing = settings.keys_dir / "retry.key", settings.keys_dir / "identity" / "sealing.key"
    content = retry.read_bytes()
    shutil.copyfile(sealing, retry)
    with pytest.raises(SecretDamaged):
        load_or_make_secret(retry, lock)
    for damaged in (content[:-1], content[:-1] + bytes([content[-1] ^ 1]), content + b"\n"):
        retry.write_bytes(damaged)
        with pytest.raises(SecretDamaged):
            load_or_make_secret(retry, lock)


def test_a_lock_that_is_gone_is_not_made_anew_over_what_it_locked(settings: Settings) -> None:
    run(settings, "encrypt")
    (settings.keys_dir / LOCK_FILE).unlink()
    with pytest.raises(KeysEncrypted, match="is gone: restore it"):
        open_lock(settings.keys_dir, PASSPHRASE)
    assert not (settings.keys_dir / LOCK_FILE).exists()


@pytest.mark.parametrize("content", ["", "{}", '{"format": 2, "kdf": "scrypt"}', "[]"])
def test_a_damaged_lock_is_named(settings: Settings, content: str) -> None:
    run(settings, "encrypt")
    (settings.keys_dir / LOCK_FILE).write_text(content)
    with pytest.raises(KeysEncrypted, match=LOCK_FILE):
        open_lock(settings.keys_dir, PASSPHRASE)


def test_who_began_before_the_change_writes_no_key_that_nobody_could_open(settings: Settings) -> None:
    """Encrypted, decrypted or encrypted anew while `gateway work` runs: it goes on signing, and makes no key."""
    began_plain = SigningKeys.load(settings.keys_dir)
    run(settings, "encrypt")
    lock = open_lock(settings.keys_dir, PASSPHRASE)
    for stale in (Keeping(), Keeping(lock=KeyLock(os.urandom(32)))):
        with pytest.raises(KeysEncrypted, match="start it again"):
            add_key(settings.keys_dir, Purpose.TOKENS, "ES256", stale, now=MIDDAY)
    began_plain.look()
    assert (
        began_plain.current(Purpose.TOKENS).key_id
        == SigningKeys.load(settings.keys_dir, Keeping(lock=lock)).current(Purpose.TOKENS).key_id
    )
    run(settings, "decrypt")
    with pytest.raises(KeysEncrypted, match="start it again"):
        add_key(settings.keys_dir, Purpose.TOKENS, "ES256", Keeping(lock=lock), now=MIDDAY)
    assert len(list((settings.keys_dir / "tokens").glob("*.pem"))) == 3


def test_the_passphrase_is_shown_nowhere(settings: Settings) -> None:
    run(settings, "encrypt")
    assert settings.masked()["GATEWAY_KEYS_PASSPHRASE"] == "***"
    assert PASSPHRASE not in repr(settings) + repr(open_lock(settings.keys_dir, PASSPHRASE))
    document = json.loads((settings.keys_dir / LOCK_FILE).read_text())
    assert PASSPHRASE not in json.dumps(document)
    done = run(settings, "encrypt")
    assert PASSPHRASE not in done.output


def test_encrypting_leaves_public_halves_alone(settings: Settings) -> None:
    lock = open_lock(settings.keys_dir, PASSPHRASE)
    assert lock is not None
    retired = settings.keys_dir / "tokens" / "retired" / "0009.json"
    retired.parent.mkdir()
    retired.write_text("{}")
    encrypt_keys(settings.keys_dir, lock)
    assert retired.read_text() == "{}"


def test_what_lies_in_the_clear_is_said_by_name_at_the_start(settings: Settings) -> None:
    with capture_logs() as said:
        warn_of_unprotected_keys(settings.keys_dir)
        run(settings, "encrypt")
        warn_of_unprotected_keys(settings.keys_dir)
    (warning,) = said
    assert warning["log_level"] == "warning"
    assert "GATEWAY_KEYS_PASSPHRASE" in warning["event"]
    assert "tokens/0001.pem" in warning["files"]
    assert "identity/sealing.key" in warning["files"]
