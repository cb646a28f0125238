"""How commands print lists: as JSON for programs, else as a table of which nothing is cut off.

An id cut in two cannot be typed again, and half a reason explains nothing. So what goes into a pipe or a file is as
wide as it needs to be, and on a terminal that is too narrow each row is a paragraph.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import click
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print a JSON array of objects instead.")
SHOWN_AS_JSON = click.option(
    "--json", "as_json", is_flag=True, expose_value=False, help="Print JSON: as it does anyway."
)
WIDEST = 100_000


def print_listing(columns: Sequence[str], rows: Sequence[Mapping[str, Any]], *, as_json: bool = False) -> None:
    """Print one row for each mapping, which has a value of JSON for each of `columns`: None, text, numbers, lists."""
    if as_json:
        click.echo(json.dumps([{name: row[name] for name in columns} for row in rows], indent=2, ensure_ascii=False))
        return
    headings = [name.replace("_", " ") for name in columns]
    cells = [[_cell(row[name]) for name in columns] for row in rows]
    console = Console()
    wide_enough = Console(width=WIDEST)
    table = Table(*(Column(heading, no_wrap=True) for heading in headings))
    for row in cells:
        # As text: what others chose, a name say, is no markup of ours.
        table.add_row(*map(Text, row))
    if not console.is_terminal:
        # Lines around it are for eyes; in a pipe they would be in the way.
        table.box, table.pad_edge, table.padding = None, False, (0, 2, 0, 0)
        wide_enough.print(table)
    elif wide_enough.measure(table).maximum <= console.width:
        console.print(table)
    else:
        click.echo("\n\n".join(_paragraph(headings, row) for row in cells))


def _paragraph(headings: Sequence[str], row: Sequence[str]) -> str:
    width = max(map(len, headings))
    return "\n".join(f"{heading:{width}}  {cell}" for heading, cell in zip(headings, row, strict=True))


def _cell(value: object) -> str:
    if value is None or value in ("", [], ()):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return str(value)
