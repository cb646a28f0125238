"""Lists that commands print: nothing is cut off, and programs can read them."""

import json

import click
import pytest
from click.testing import CliRunner

from gateway.listings import AS_JSON, print_listing

LONG = "0197-" + "x" * 300
COLUMNS = ("delivery", "due_at", "active", "kinds", "reason")
ROWS: list[dict[str, object]] = [
    {"delivery": LONG, "due_at": None, "active": True, "kinds": ["one", "two"], "reason": "[bold]no[/bold] answer"},
    {"delivery": "short", "due_at": "noon", "active": False, "kinds": [], "reason": None},
]


@click.command
@AS_JSON
def listed(*, as_json: bool) -> None:
    print_listing(COLUMNS, ROWS, as_json=as_json)


def test_what_is_piped_has_one_line_a_row_and_nothing_cut_off() -> None:
    heading, long, short = CliRunner().invoke(listed, env={"COLUMNS": "40"}).output.splitlines()
    assert heading.split() == ["delivery", "due", "at", "active", "kinds", "reason"]
    assert long.split() == [LONG, "-", "yes", "one,", "two", "[bold]no[/bold]", "answer"]
    assert short.split() == ["short", "noon", "no", "-", "-"]


def test_a_program_reads_json() -> None:
    assert json.loads(CliRunner().invoke(listed, ["--json"]).output) == ROWS


def test_an_empty_list_is_a_heading_and_an_empty_array() -> None:
    @click.command
    @AS_JSON
    def empty(*, as_json: bool) -> None:
        print_listing(COLUMNS, [], as_json=as_json)

    assert len(CliRunner().invoke(empty).output.splitlines()) == 1
    assert json.loads(CliRunner().invoke(empty, ["--json"]).output) == []


@pytest.mark.parametrize(("columns", "paragraphs"), [("80", True), ("600", False)])
def test_a_terminal_shows_everything_as_a_table_if_it_fits(columns: str, *, paragraphs: bool) -> None:
    shown = CliRunner().invoke(listed, env={"COLUMNS": columns, "TTY_COMPATIBLE": "1", "NO_COLOR": "1"}).output
    assert any(LONG in line for line in shown.splitlines())
    assert "[bold]no[/bold] answer" in shown
    assert any(line.startswith("reason ") for line in shown.splitlines()) is paragraphs
    assert ("delivery  short\n" in shown) is paragraphs
