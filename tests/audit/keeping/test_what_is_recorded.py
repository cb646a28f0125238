"""The code held against the registry: every registered event is recorded somewhere, nothing else is, nor read aside."""

import ast
import re
from functools import cache
from pathlib import Path

from gateway.audit.events import EVENTS
from tests.kit.processes import REPOSITORY

GATEWAY = REPOSITORY / "gateway"
# The registry itself, and what only translates it.
NOT_RECORDING = {"audit/events.py", "audit/keeping/ocsf.py", "audit/keeping/ecs.py"}
ROOMS = {name.partition(".")[0] for name in EVENTS}
EVENT_NAME = re.compile(rf"({'|'.join(ROOMS)})\.[a-z_]+\.[a-z_]+")


@cache
def nodes() -> list[tuple[str, ast.AST]]:
    """Every node of the gateway's code, with the file it stands in."""
    return [
        (path.relative_to(GATEWAY).as_posix(), node)
        for path in sorted(GATEWAY.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    ]


def named_in_code() -> dict[str, set[str]]:
    """Event names as the code writes them, as patterns where a part is worked out, and the files they stand in."""
    found: dict[str, set[str]] = {}
    for name, node in nodes():
        if name in NOT_RECORDING:
            continue
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and EVENT_NAME.fullmatch(node.value):
            found.setdefault(re.escape(node.value), set()).add(name)
        if isinstance(node, ast.JoinedStr) and isinstance(node.values[0], ast.Constant):
            parts = [
                re.escape(str(part.value)) if isinstance(part, ast.Constant) else "[a-z_]+" for part in node.values
            ]
            pattern = "".join(parts)
            # One part may be worked out; more of them would vouch for everything.
            if pattern.count("[a-z_]+") == 1 and any(re.fullmatch(pattern, event) for event in EVENTS):
                found.setdefault(pattern, set()).add(name)
    return found


def test_every_registered_event_is_recorded_somewhere() -> None:
    named = named_in_code()
    never = [event for event in EVENTS if not any(re.fullmatch(pattern, event) for pattern in named)]
    assert never == []


def test_nothing_else_is_named_like_an_event() -> None:
    unknown = {
        name: files
        for name, files in named_in_code().items()
        if not any(re.fullmatch(name, event) for event in EVENTS) and not _is_module(name)
    }
    assert unknown == {}


def _is_module(name: str) -> bool:
    return (GATEWAY / name.replace("\\.", "/")).with_suffix(".py").exists()


# Who may open details, and why: `reading` for somebody who was recorded; the others show nothing of them to anybody.
OPENING = {
    "audit/append.py",  # defines it
    "audit/keeping/reading.py",  # shows them, after it was recorded
    "audit/keeping/erase.py",  # finds the tag of an erased key
    "audit/checking/rows.py",  # holds them against their commitment
}


def test_details_are_opened_nowhere_but_behind_a_recorded_reading() -> None:
    opening = {
        name
        for name, node in nodes()
        if (isinstance(node, ast.Attribute) and node.attr in {"details_of", "opening_of", "find_key"})
        or (isinstance(node, ast.FunctionDef) and node.name in {"details_of", "opening_of"})
    }
    assert opening == OPENING


def test_a_reader_is_made_by_recording_alone() -> None:
    made = {
        name
        for name, node in nodes()
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Reader"
    }
    assert made == {"audit/keeping/reading.py"}


def test_event_rows_are_touched_in_the_audit_room_alone() -> None:
    using = {
        Path(name).parts[0]
        for name, node in nodes()
        if isinstance(node, ast.ImportFrom) and node.module == "gateway.audit.models"
    }
    assert using <= {"audit", "backup"}
