"""The `gateway` command as operators meet it: help everywhere, settings without secrets, faults in one line."""

from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from gateway import cli
from gateway.cli import main
from gateway.settings import Settings

SECRET = "p@ss/wo?rd"
ENCODED = "p%40ss%2Fwo%3Frd"


def commands(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name, child in command.commands.items():
            yield from commands(child, (*path, name))


ALL = dict(commands(main))


@pytest.fixture(autouse=True)
def _nothing_kept_between_tests() -> Iterator[None]:
    cli._settings.cache_clear()
    cli._gateway.cache_clear()
    yield
    cli._settings.cache_clear()
    cli._gateway.cache_clear()


def run(*arguments: str, **environment: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, arguments, env={"GATEWAY_ISSUER": None, **environment})
    return result.exit_code, result.output


@pytest.mark.parametrize("path", ALL, ids=lambda path: " ".join(path) or "gateway")
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_every_command_explains_itself_without_any_settings(path: tuple[str, ...], flag: str) -> None:
    status, told = run(*path, flag)
    assert status == 0
    described = " ".join((ALL[path].help or "").split())
    assert len(described) > 20
    assert described.partition(".")[0] in " ".join(told.split())
    for parameter in ALL[path].params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{parameter.name} is not explained"
            assert parameter.opts[0] in told


@pytest.mark.parametrize(
    ("database", "shown"),
    [
        (
            f"postgresql+psycopg://gw:{ENCODED}@db.example:5433/gateway",
            "postgresql+psycopg://***@db.example:5433/gateway",
        ),
        (f"postgresql+psycopg://gw@db.example/gateway?password={ENCODED}&sslmode=require", "db.example/gateway?***"),
        (f"postgresql+psycopg:///gateway?host=/run&password={ENCODED}", "postgresql+psycopg:///gateway?***"),
        (f"postgresql+psycopg://:{ENCODED}@/gateway", "postgresql+psycopg://***@/gateway"),
        ("sqlite:////var/lib/gateway/gateway.sqlite3", "sqlite:////var/lib/gateway/gateway.sqlite3"),
        (
            f"postgresql://gw:{ENCODED}@db-1:5433,db-2:5434/gateway?target_session_attrs=read-write",
            "postgresql://***@db-1:5433,db-2:5434/gateway?***",
        ),
    ],
)
def test_settings_are_shown_without_secrets(database: str, shown: str) -> None:
    status, told = run("settings", GATEWAY_ISSUER="https://gateway.example", GATEWAY_DATABASE_URL=database)
    assert status == 0
    lines = dict(line.partition("=")[::2] for line in told.splitlines())
    assert shown in lines["GATEWAY_DATABASE_URL"]
    for trace in (SECRET, ENCODED, "gw:", "wo"):
        assert trace not in lines["GATEWAY_DATABASE_URL"].replace("password", "")
    assert lines["GATEWAY_ISSUER"] == "https://gateway.example"
    assert set(lines) == {f"GATEWAY_{name.upper()}" for name in Settings.__dataclass_fields__}


@pytest.mark.parametrize(
    "database", [f"no address {SECRET}", f"mysql://gw:{ENCODED}@db.example/x", "postgresql://h:x/g"]
)
def test_a_database_that_cannot_be_used_is_refused_without_showing_its_address(database: str) -> None:
    status, told = run("settings", GATEWAY_ISSUER="https://gateway.example", GATEWAY_DATABASE_URL=database)
    assert status == 1
    assert told.startswith("gateway: GATEWAY_DATABASE_URL must be ")
    assert database not in told
    assert SECRET not in told
    assert ENCODED not in told


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GATEWAY_LISTEN", "9705"),
        ("GATEWAY_RETENTION", "everything=3"),
        ("GATEWAY_WITNESS_POLICY", "/nowhere/policy.txt"),
        ("GATEWAY_OUTGOING_CA_FILE", "/nowhere/ca.pem"),
    ],
)
def test_a_wrong_setting_is_named_in_one_line(name: str, value: str) -> None:
    status, told = run("settings", GATEWAY_ISSUER="https://gateway.example", **{name: value})
    assert status == 1
    assert told.startswith(f"gateway: {name}")
    assert len(told.splitlines()) == 1


@pytest.mark.parametrize("command", ["migrate", "init"])
def test_a_database_that_does_not_answer_is_told_in_one_line(command: str, tmp_path: Path) -> None:
    nobody = {"GATEWAY_ISSUER": "https://gateway.example", "GATEWAY_STATE_DIR": str(tmp_path)}
    status, told = run(command, **nobody, GATEWAY_DATABASE_URL=f"postgresql://gw@/gateway?host={tmp_path}")
    assert status == 1
    assert "gateway: the database does not answer: " in told
    assert "Traceback" not in told


def test_whoever_may_not_read_the_keys_is_told_whose_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbid(_folder: Path, *_how: object, **_more: object) -> None:
        raise PermissionError(13, "Permission denied", str(tmp_path / "keys"))

    monkeypatch.setattr("gateway.app.SigningKeys.load", forbid)  # root, who runs the tests, may read everything
    status, told = run("audit", "key", GATEWAY_ISSUER="https://gateway.example", GATEWAY_STATE_DIR=str(tmp_path))
    assert status == 1
    assert "keys: permission denied. Run this as the user who runs the gateway." in told


def test_serving_without_keys_is_told_in_one_line(tmp_path: Path) -> None:
    status, told = run("serve", GATEWAY_ISSUER="https://gateway.example", GATEWAY_STATE_DIR=str(tmp_path))
    assert (status, len(told.splitlines())) == (1, 1)
    assert "run `gateway init`" in told


def test_settings_never_show_their_secrets_in_a_representation(tmp_path: Path) -> None:
    settings = Settings(
        issuer="https://gateway.example",
        state_dir=tmp_path,
        database_url=f"postgresql+psycopg://gw:{ENCODED}@db.example/gateway",
        policies_dir=tmp_path,
        log_origin="gateway.example/log",
    )
    assert ENCODED not in repr(settings)
    assert ENCODED in settings.environment()["GATEWAY_DATABASE_URL"]


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({}, "GATEWAY_ISSUER"),
        ({"GATEWAY_ISSUER": "http://gateway.example"}, "https"),
        ({"GATEWAY_ISSUER": "http://gateway.example", "GATEWAY_UNSAFE_ALLOW_PLAIN_HTTP": "true"}, "loopback"),
        ({"GATEWAY_ISSUER": "https://gateway.example/"}, "slash"),
        ({"GATEWAY_ISSUER": "https://gateway.example", "GATEWAY_WORKERS": "many"}, "WORKERS"),
        ({"GATEWAY_ISSUER": "https://gateway.example", "GATEWAY_WORKERS": "0"}, "WORKERS"),
        ({"GATEWAY_ISSUER": "https://gateway.example", "GATEWAY_LOG_LEVEL": "CHATTY"}, "LOG_LEVEL"),
        ({"GATEWAY_ISSUER": "https://gateway.example", "GATEWAY_EXCHANGE_LEASE": "5"}, "GATEWAY_EXCHANGE_LEASE"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_setting_that_cannot_be_used_is_named_in_one_line(environment: dict[str, str], named: str) -> None:
    status, told = run("settings", **environment)
    assert status == 1
    assert len(told.splitlines()) == 1
    assert told.startswith("gateway: ")
    assert named in told


def test_a_gateway_that_was_not_initialised_says_so_in_one_line(tmp_path: Path) -> None:
    status, told = run("keys", "export", GATEWAY_ISSUER="https://gateway.example", GATEWAY_STATE_DIR=str(tmp_path))
    assert status == 1
    assert len(told.splitlines()) == 1
    assert "gateway init" in told
    assert list(tmp_path.iterdir()) == []
