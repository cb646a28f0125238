"""The documents say what the code has: rooms, tables, settings, codes, links. What the code gains, they must gain."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from sqlalchemy import inspect

from gateway.audit.event_document import events_document
from gateway.db import Database
from gateway.errors import GatewayError
from gateway.policy.registers import load_registers
from gateway.settings import POLICIES_DIR, Settings, load_settings
from gateway.sharing.exchange import errors as exchange_errors
from gateway.sharing.exchange import provider_call
from gateway.wire.receipts import Receipt

REPOSITORY = Path(__file__).resolve().parents[2]
DOCS = REPOSITORY / "docs"
DOCUMENTS = sorted(
    path
    for path in (
        *REPOSITORY.glob("*.md"),
        *DOCS.rglob("*.md"),
        *REPOSITORY.glob("policies/*.md"),
        *REPOSITORY.glob("keys/*.md"),
    )
)
# Raised where nobody asks for a record over the wire.
ELSEWHERE = {"exchange_not_found"}
TEST = re.compile(r"`((?:c|tests)/[^`]+\.py)`")


def text(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def rooms() -> set[str]:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    [layers] = [contract for contract in project["tool"]["importlinter"]["contracts"] if contract["type"] == "layers"]
    return {name for floor in layers["layers"] for name in re.findall(r"[a-z_]+", floor)} - {"__main__"}


def codes_of(module: ModuleType) -> Iterator[str]:
    for value in vars(module).values():
        if isinstance(value, type) and issubclass(value, GatewayError) and value is not GatewayError:
            yield value.code


def test_the_map_has_every_room() -> None:
    missing = {room for room in rooms() if f"`{room}`" not in text("map.md")}
    assert not missing


def test_the_map_has_every_table_and_no_other(database: Database) -> None:
    tables = set(inspect(database.engine).get_table_names()) - {"alembic_version"}
    section = text("map.md").partition("## Tables")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `\w+` \| (.*) \|$", section, re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == tables


def test_the_fault_table_names_every_test_of_a_fault_and_none_that_is_not_there() -> None:
    named = {path for path in re.findall(r"`(tests/[^`]+)`", text("operations.md")) if path.endswith(".py")}
    assert not {path for path in named if not (REPOSITORY / path).is_file()}
    assert {f"tests/faults/{file.name}" for file in (REPOSITORY / "tests/faults").glob("test_*.py")} <= named


def test_the_table_of_attacks_names_every_test_of_one_and_none_that_is_not_there() -> None:
    folder = "tests/conformance/oidc/"
    named = {
        path.replace("c/", folder, 1) if path.startswith("c/") else path for path in TEST.findall(text("attacks.md"))
    }
    assert not {path for path in named if not (REPOSITORY / path).is_file()}
    assert {folder + file.name for file in (REPOSITORY / folder).glob("test_*.py")} <= named
    sections = set(re.findall(r"^\| .* \| (§4\.\d+) \|", text("attacks.md"), re.MULTILINE))
    assert sections == {f"§4.{number}" for number in range(1, 18)}


def test_every_setting_is_explained_with_its_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GATEWAY_ISSUER", "https://gateway.example")
    defaults = load_settings().masked()
    explained = dict(re.findall(r"^\| `(GATEWAY_\w+)` \| (.*?) \|", text("operations.md"), re.MULTILINE))
    assert set(explained) == {f"GATEWAY_{name.upper()}" for name in Settings.__dataclass_fields__}
    for name, default in explained.items():
        if default.startswith("`") and name != "GATEWAY_STATE_DIR":
            assert default == f"`{defaults[name]}`", name


def test_the_wire_protocol_has_every_code_that_a_consumer_can_meet() -> None:
    codes = {*codes_of(exchange_errors), *provider_call.FAILURES, "no_record", "refused"} - ELSEWHERE
    codes |= {reason.code for reason in load_registers(POLICIES_DIR).reasons.values() if not reason.about_subject}
    missing = {code for code in codes if f"`{code}`" not in text("wire-protocol.md")}
    assert not missing


def test_no_reason_that_lies_in_the_person_is_among_the_codes_told() -> None:
    hidden = {reason.code for reason in load_registers(POLICIES_DIR).reasons.values() if reason.about_subject}
    assert hidden
    assert not {code for code in hidden if f"`{code}`" in text("wire-protocol.md")}


def test_the_wire_protocol_explains_every_member_of_a_receipt() -> None:
    section = text("wire-protocol.md").partition("## 10 Receipts")[2].partition("\n## ")[0]
    table = section[section.index("| member | holds |") :]
    assert not {name for name in Receipt.__dataclass_fields__ if f"`{name}`" not in table}


def test_the_page_of_events_is_the_one_the_command_writes() -> None:
    assert text("audit-events.md") == events_document()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_every_link_leads_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, fragment = target.partition("#")
        linked = (document.parent / path).resolve() if path else document
        assert linked.exists(), target
        if fragment:
            headings = re.findall(r"^#+ (.*)$", linked.read_text(encoding="utf-8"), re.MULTILINE)
            assert fragment in {anchor(heading) for heading in headings}, target


def test_every_decision_has_the_same_parts_and_stands_in_the_list() -> None:
    listed = (DOCS / "adr" / "README.md").read_text(encoding="utf-8")
    decisions = sorted((DOCS / "adr").glob("[0-9]*.md"))
    assert [path.name[:4] for path in decisions] == [f"{number:04d}" for number in range(1, len(decisions) + 1)]
    for path in decisions:
        record = path.read_text(encoding="utf-8")
        assert re.search(r"^Date: \d{4}-\d\d-\d\d\. Status: ", record, re.MULTILINE), path.name
        assert re.findall(r"^## (.*)$", record, re.MULTILINE) == ["Context", "Decision", "Consequences"], path.name
        assert f"({path.name})" in listed


def anchor(heading: str) -> str:
    """The fragment under which a heading is reached."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
