"""Files of people who are to stand on a list: CSV with a heading, one person a line.

The columns are any of `nino`, `nino_fragment`, `family_name`, `given_name`, `birthdate`, `postcode`. A line needs a
NINO, or a family name with a date of birth. A file is read twice: first all of it is checked, so that a mistake in the
last line changes nothing.
"""

import csv
from collections.abc import Iterator
from pathlib import Path

from gateway.errors import GatewayError, Kind
from gateway.sdk.matching import standard_date, standard_nino
from gateway.sharing.exchange.people.subject_names import names_kept

COLUMNS = ("nino", "nino_fragment", "family_name", "given_name", "birthdate", "postcode")
_FRAGMENT_DIGITS = 4


class PeopleFileUnreadable(GatewayError):
    """A file is not a list of people; the message names the line and the column, never what stands there."""

    kind = Kind.MALFORMED
    code = "people_file_unreadable"
    title = "The file cannot be read"


class NumberMissing(GatewayError):
    """Whoever is entered without their whole number is walked around by one letter of the name."""

    kind = Kind.INVALID
    code = "number_missing"
    title = "Give the whole NINO: without it another spelling of the name is not found (or say --without-number)"


class PersonUnnamed(GatewayError):
    """What was said names nobody in particular."""

    kind = Kind.INVALID
    code = "person_unnamed"
    title = "Give a NINO, or a family name and a date of birth"


def check_number(description: dict[str, str]) -> None:
    """Refuse a person without a whole National Insurance number; raises `NumberMissing`."""
    if standard_nino(description.get("nino")) is None:
        raise NumberMissing


def check_description(description: dict[str, str]) -> None:
    """Refuse what is misspelt or names nobody; raises `PersonUnnamed` naming what is wrong, never the value."""
    nino, born = description.get("nino"), description.get("birthdate")
    fragment = description.get("nino_fragment")
    if nino is not None and standard_nino(nino) is None:
        raise PersonUnnamed("nino: not a National Insurance number")
    if fragment is not None and not (fragment.isascii() and fragment.isdigit() and len(fragment) == _FRAGMENT_DIGITS):
        raise PersonUnnamed("nino_fragment: not four digits")
    if born is not None and (standard_date(born) is None or standard_date(born) != born):
        raise PersonUnnamed("birthdate: not a date, YYYY-MM-DD")
    if not names_kept(description):
        raise PersonUnnamed


def read_people(path: Path, *, without_number: bool) -> Iterator[dict[str, str]]:
    """Give what each line says of a person; raises `PeopleFileUnreadable` at the first line that is wrong.

    So is one of a person without a whole National Insurance number, unless `without_number`.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = csv.DictReader(file, strict=True)
            _check_heading(lines.fieldnames)
            for line in lines:
                yield _person(line, number=lines.line_num, without_number=without_number)
    except UnicodeDecodeError as error:
        raise PeopleFileUnreadable("The file is not UTF-8") from error
    except csv.Error as error:
        raise PeopleFileUnreadable("The file is not CSV") from error


def _check_heading(columns: object) -> None:
    names = list(columns) if isinstance(columns, list) else []
    unknown = [name for name in names if name not in COLUMNS]
    if not names or unknown or len(set(names)) != len(names):
        raise PeopleFileUnreadable(f"line 1: the heading names each once of {', '.join(COLUMNS)}, and no other")


def _person(line: dict[str, str | None], *, number: int, without_number: bool) -> dict[str, str]:
    if None in line or None in line.values():
        raise PeopleFileUnreadable(f"line {number}: not as many values as the heading has")
    description = {name: text.strip() for name, text in line.items() if text and text.strip()}
    try:
        check_description(description)
        if not without_number:
            check_number(description)
    except (NumberMissing, PersonUnnamed) as error:
        raise PeopleFileUnreadable(f"line {number}: {error.public}") from error
    return description
