"""`gateway audit erase`, `archive` and `export`, as an operator types them."""

import json
import stat
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.audit.append import AuditLog
from gateway.audit.commands import audit_group
from gateway.audit.context import AuditContext
from gateway.audit.errors import DetailsErased
from gateway.audit.keeping.classes import periods_with
from gateway.audit.keeping.forget import forget_expired
from gateway.audit.log_keys import LogKeys
from gateway.audit.recorded import ERASED, find_events
from gateway.clock import SystemClock
from tests.kit.clock import FrozenClock
from tests.kit.log import ORIGIN, TestLog

BY = ("--by", "O Sample", "--reason", "request 2026/17")
PEOPLE = {("citizen", "ada.testcase@people.example"): "person-1", ("exchange", "exchange-1"): "person-1"}


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock(SystemClock().now())


def run(log: TestLog, *arguments: str, answer: str | None = None) -> Result:
    context = AuditContext(
        database=log.database,
        log_dir=log.files,
        log_keys=LogKeys(origin=ORIGIN, signers=(log.signer,)),
        clock=log.clock,
        receipt_of=lambda _session, _exchange: None,
        audit_log=log.audit,
        find_subject=lambda _session, kind, value: PEOPLE.get((kind, value)),
    )
    return CliRunner().invoke(audit_group(lambda: context), arguments, input=answer)


def events(log: TestLog, name: str) -> list[dict[str, object]]:
    with log.database.read() as session:
        return [log.audit.details_of(session, event.event_id) for event in find_events(session, names=[name])]


@pytest.mark.parametrize(
    "person", [["person-1"], ["--citizen", "ada.testcase@people.example"], ["--exchange", "exchange-1"]]
)
def test_a_person_is_erased_by_whichever_name_the_operator_has(log: TestLog, person: list[str]) -> None:
    [entry, *_] = log.record(3)
    result = run(log, "erase", *person, *BY, "--yes")
    assert result.exit_code == 0, result.output
    assert "with the details of 3 entries" in result.stdout
    assert "subject-keys/" in result.stdout
    with log.database.read() as session, pytest.raises(DetailsErased):
        log.audit.details_of(session, entry.event_id)
    assert [event["reason"] for event in events(log, ERASED)] == ["request 2026/17"]


def test_nothing_is_erased_without_a_yes(log: TestLog) -> None:
    log.record(3)
    refused = run(log, "erase", "person-1", *BY, answer="n\n")
    assert refused.exit_code == 1
    assert "3 entries have details under this person's key" in refused.stdout
    assert not events(log, ERASED)
    assert run(log, "erase", "person-1", *BY, answer="y\n").exit_code == 0
    assert len(events(log, ERASED)) == 1


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([*BY], 2, "name the person in one way"),
        (["person-1", "--citizen", "ada.testcase@people.example", *BY], 2, "name the person in one way"),
        (["person-1", "--by", "O Sample"], 2, "--reason"),
        (["nobody", *BY, "--yes"], 1, "Nothing is recorded under this reference"),
        (["--citizen", "nobody@people.example", *BY, "--yes"], 1, "there is no citizen nobody@people.example"),
    ],
)
def test_an_erasure_that_names_nobody_or_gives_no_ground_changes_nothing(
    log: TestLog, arguments: list[str], code: int, words: str
) -> None:
    [entry] = log.record()
    result = run(log, "erase", *arguments)
    assert (result.exit_code, words in result.output) == (code, True), result.output
    assert not events(log, ERASED)
    with log.database.read() as session:
        assert log.audit.details_of(session, entry.event_id)


def test_a_reason_too_large_to_record_erases_nothing(log: TestLog) -> None:
    [entry] = log.record()
    result = run(log, "erase", "person-1", "--by", "O Sample", "--reason", "x" * 1_000_000, "--yes")
    assert result.exit_code == 1
    assert "too large to be recorded" in result.output
    with log.database.read() as session:
        assert log.audit.details_of(session, entry.event_id)


def test_a_range_is_archived_checked_by_an_outsider_and_its_rows_deleted(log: TestLog, tmp_path: Path) -> None:
    log.record(600)
    log.clock.advance(days=1)
    log.record(300)
    log.publish()
    with log.database.write() as session:
        later = log.clock.now() + timedelta(days=9000)
        forget_expired(session, log.audit, periods=periods_with([]), now=later)
    day = f"{log.clock.now():%Y-%m-%d}"
    folder = tmp_path / "archive"
    made = run(log, "archive", "--before", day, "-o", str(folder), "--delete-rows", "--by", "O Sample")
    assert made.exit_code == 0, made.output
    assert "entries 0 to 511 of 900, verified" in made.stdout
    assert "512 rows deleted" in made.stdout
    verified = run(log, "verify", "--archive", "--from", str(folder), "--key", log.vkey)
    assert verified.exit_code == 0, verified.output
    assert run(log, "verify").exit_code == 0
    assert "0 rows deleted" in run(log, "archive", "--delete-rows").stdout
    again = run(log, "archive", "--up-to", "600", "-o", str(tmp_path / "again"))
    assert again.exit_code == 1
    assert "entries below 512 are archived" in again.output


@pytest.mark.parametrize(
    "arguments",
    [[], ["--up-to", "256"], ["-o", "archive"], ["--up-to", "256", "--before", "2026-01-01", "-o", "archive"]],
)
def test_an_archive_says_what_it_needs(log: TestLog, arguments: list[str]) -> None:
    assert run(log, "archive", *arguments).exit_code == 2


def test_an_export_is_a_file_of_ones_own_or_none_at_all(
    log: TestLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.record(300)
    log.publish()
    file = tmp_path / "entries.jsonl"
    assert run(log, "export", "-o", str(file)).exit_code == 0
    lines = [json.loads(line) for line in file.read_text(encoding="ascii").splitlines()]
    assert len(lines) == 301
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert run(log, "export").stdout == file.read_text(encoding="ascii")

    bundle = log.files / "tile/entries/000"
    bundle.write_bytes(bundle.read_bytes()[:-1] + b"X")
    other = tmp_path / "other.jsonl"
    failed = run(log, "export", "-o", str(other))
    assert failed.exit_code == 1
    assert "entry 255" in failed.output
    assert sorted(path.name for path in tmp_path.glob("*other*")) == []


def test_an_export_is_narrowed_by_time_and_by_index(log: TestLog) -> None:
    for _ in range(4):
        log.record(10)
        log.clock.advance(days=1)
    log.publish()
    days = [f"{log.clock.now() + timedelta(days=back):%Y-%m-%dT%H:%M:%SZ}" for back in (-4, -3, -2, -1)]

    def indexes(*arguments: str) -> list[int]:
        lines = run(log, "export", *arguments).stdout.splitlines()
        return [json.loads(line)["index"] for line in lines[1:]]

    assert indexes("--from-index", "12", "--to-index", "14") == [12, 13]
    assert indexes("--since", days[3]) == list(range(30, 40))
    assert indexes("--until", days[1], "--from-index", "8") == [8, 9]
    assert indexes("--since", days[1], "--to-index", "12") == [10, 11]
    assert indexes("--from-index", "40") == []
    assert run(log, "export", "--since", days[1], "--from-index", "3").exit_code == 2


def test_details_are_exported_for_somebody_and_something_only(log: TestLog) -> None:
    log.record(2)
    log.publish()
    assert run(log, "export", "--details").exit_code == 2
    assert not events(log, "audit.details.read")
    result = run(log, "export", "--details", "--by", "S Operator", "--reason", "incident 7", "--format", "ecs")
    assert result.stdout.count("free-school-meals") == 2
    [reading] = events(log, "audit.details.read")
    assert (reading["by"], reading["reason"], reading["format"]) == ("S Operator", "incident 7", "ecs")
    assert (reading["first"], reading["end"], reading["count"]) == (0, 2, 2)


def test_an_export_whose_reading_cannot_be_recorded_shows_nothing(
    log: TestLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.record(2)
    log.publish()

    class _Killed(Exception):
        pass

    def fails(*_arguments: object, **_named: object) -> None:
        raise _Killed

    monkeypatch.setattr(AuditLog, "record", fails)
    result = run(log, "export", "--details", "--by", "S Operator", "--reason", "incident 7")
    assert isinstance(result.exception, _Killed)
    assert result.stdout == ""


@pytest.mark.parametrize("command", ["erase", "archive", "export"])
def test_every_command_explains_itself_with_an_example(log: TestLog, command: str) -> None:
    result = run(log, command, "--help")
    assert result.exit_code == 0
    assert f"gateway audit {command} " in result.stdout
