"""The project's own checks find what they are for."""

import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import click
import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


@pytest.fixture(autouse=True)
def _scripts_importable(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(SCRIPTS)
    yield
    for name in ("check_readme", "check_tracked_files", "check_dependencies"):
        sys.modules.pop(name, None)


@pytest.fixture
def readme() -> ModuleType:
    return import_module("check_readme")


@pytest.fixture
def program() -> click.Group:
    group = click.Group("gateway")
    audit = click.Group("audit")
    audit.add_command(
        click.Command("prove", params=[click.Argument(["exchange"]), click.Option(["--output", "-o"])]),
    )
    group.add_command(audit)
    group.add_command(click.Command("demo", params=[click.Option(["--once"], is_flag=True)]))
    return group


def test_commands_are_found_wherever_a_reader_would_see_them(readme: ModuleType) -> None:
    text = (
        "Run `make demo ONCE=1`, or:\n\n```sh\n$ gateway serve  # starts it\nGATEWAY_WORKERS=4 .venv/bin/gateway work\n"
        "gateway audit \\\n  verify\nls\n```\nThe gateway is not a command here. `making` is none either.\n"
    )
    assert list(readme.commands_in(text)) == [
        ["gateway", "serve"],
        ["gateway", "work"],
        ["gateway", "audit", "verify"],
        ["make", "demo", "ONCE=1"],
    ]


@pytest.mark.parametrize(
    ("command", "wrong"),
    [
        ("demo --once", None),
        ("audit prove 018f -o proof.json", None),
        ("audit prove 018f --output=proof.json", None),
        ("--help", None),
        ("audit …", None),
        ("audit prove 018f > proof.json", None),
        ("dmeo", "gateway has no command dmeo"),
        ("audit proof 018f", "gateway audit has no command proof"),
        ("demo --twice", "gateway demo has no option --twice"),
        ("audit prove --once", "gateway audit prove has no option --once"),
    ],
)
def test_a_documented_command_must_exist(
    readme: ModuleType, program: click.Group, command: str, wrong: str | None
) -> None:
    assert readme.wrong_with_gateway(command.split(), program) == wrong


def test_a_documented_make_target_must_exist(readme: ModuleType) -> None:
    targets = readme.make_targets()
    assert {"help", "demo", "test", "prove", "check", "fmt", "bench", "lock"} <= targets
    assert readme.wrong_with_make(["demo", "ONCE=1"], targets) is None
    assert readme.wrong_with_make(["dmeo"], targets) == "make has no target dmeo"


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("--index-url https://" + "pypi" + ".org/simple", "the host of a package index"),
        ('"resolved": "https://registry.' + "npmjs" + '.org/sass"', "the host of a package index"),
        (f"see {SCRIPTS.parent}/docs", "a folder of one machine"),
        ("cd /" + "home/someone/gateway", "a folder of one machine"),
        ("https://council.example/" + "home/page", None),
        ("requests==2.34.2 --hash=sha256:00", None),
    ],
)
def test_what_belongs_to_one_machine_is_found(line: str, found: str | None) -> None:
    findings = list(import_module("check_tracked_files").findings_in("a.txt", f"first\n{line}\n"))
    assert [finding.split(": ")[:2] for finding in findings] == ([["a.txt:2", found]] if found else [])


def test_a_requirement_is_compared_by_its_normalised_name() -> None:
    canonical_name = import_module("check_dependencies").canonical_name
    assert canonical_name("psycopg[binary]>=3.3") == "psycopg"
    assert canonical_name("types_PyYAML") == "types-pyyaml"
    assert canonical_name("tzdata==2026.6 ; sys_platform == 'win32'") == "tzdata"


def test_an_import_nobody_asked_for_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check = import_module("check_dependencies")
    monkeypatch.setattr(check, "REPOSITORY", tmp_path)
    (tmp_path / "gateway").mkdir()
    (tmp_path / "gateway/one.py").write_text("import json\nfrom flask.views import View\nimport left_pad.deep\n")
    provided = {"flask": ["Flask"], "left_pad": ["left-pad"]}
    assert list(check.unmet(["gateway"], {"flask"}, provided)) == [
        "gateway/one.py imports left_pad, which pyproject.toml does not ask for"
    ]


def test_a_dependency_missing_from_the_lock_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check = import_module("check_dependencies")
    monkeypatch.setattr(check, "REPOSITORY", tmp_path)
    (tmp_path / "requirements.txt").write_text("flask==3.1.3 \\\n    --hash=sha256:00\n")
    assert list(check.unlocked(["flask", "rich"], "requirements.txt")) == [
        "requirements.txt lacks rich: run `make lock`"
    ]
