"""The departments' own systems: for each a small database of synthetic people behind `gateway.sdk`'s provider kit.

They know nothing of the gateway but its address and keys; the gateway knows nothing of their databases. For the
demonstration all of them are one process, one path for each member, each with its own key.
"""

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from gateway.demo.holdings import HOLDINGS, holding
from gateway.demo.layout import SANDBOX
from gateway.demo.people import SyntheticPerson
from gateway.demo.sandbox import SandboxAnswers, twin_of
from gateway.demo.systems import ANSWERING
from gateway.sdk.matching import (
    Attributes,
    Person,
    attributes_of,
    find_match,
    standard_name,
    standard_nino,
    standard_postcode,
)
from gateway.sdk.provider import AnswerFunction, AskedQuestion, Found, NoRecord, Provider, WsgiApplication
from gateway.sdk.questions import MatchLevel

SCHEMA = """
CREATE TABLE IF NOT EXISTS people (
    number INTEGER PRIMARY KEY, sub TEXT UNIQUE, family_name TEXT NOT NULL, given_name TEXT NOT NULL,
    birthdate TEXT NOT NULL, nino TEXT NOT NULL UNIQUE, postcode TEXT NOT NULL, area TEXT NOT NULL,
    access_code TEXT UNIQUE, withheld INTEGER NOT NULL, synthetic INTEGER NOT NULL CHECK (synthetic = 1)
);
CREATE INDEX IF NOT EXISTS people_by_birthdate ON people (birthdate);
CREATE TABLE IF NOT EXISTS records (
    service TEXT NOT NULL, number INTEGER NOT NULL REFERENCES people (number), fields TEXT NOT NULL,
    PRIMARY KEY (service, number)
);
"""
ELECTORAL_MATCH = "dwp/electoral-match/v1"
IDENTITY_ATTRIBUTES = "hmrc/identity-attributes/v1"
POWER_OF_ATTORNEY = "moj/lasting-power-of-attorney/v1"

Finding = tuple[sqlite3.Row, MatchLevel | None]


def services_of(member: str) -> tuple[str, ...]:
    """Return the services that a member's department answers."""
    return tuple(service for service in HOLDINGS if service.partition("/")[0] == member)


def record_people(
    path: Path, people: Iterable[SyntheticPerson], *, services: Iterable[str], subs: Mapping[int, str] | None = None
) -> None:
    """Write people and what is held of them. `subs` are the department's own pairwise names of people, by number."""
    services, subs = tuple(services), subs or {}
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as database, database:
        database.executescript(SCHEMA)
        for person in people:
            database.execute(
                "INSERT OR REPLACE INTO people VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1)",
                (
                    person.number,
                    subs.get(person.number),
                    person.family_name,
                    person.given_name,
                    person.birthdate.isoformat(),
                    person.nino,
                    person.postcode,
                    person.area,
                    person.access_code,
                    person.withheld,
                ),
            )
            database.executemany(
                "INSERT OR REPLACE INTO records VALUES (?, ?, ?)",
                [(service, person.number, json.dumps(holding(service, person))) for service in services],
            )


def highest_number(path: Path, *, first: int, last: int) -> int | None:
    """Return the highest number of a person from `first` to `last`, or None when there is none."""
    with _reading(path) as database:
        [highest] = database.execute(
            "SELECT max(number) FROM people WHERE number BETWEEN ? AND ?", (first, last)
        ).fetchone()
    return None if highest is None else int(highest)


def answer_from(path: Path, service: str, question: AskedQuestion) -> Found | NoRecord:
    """Answer one question out of a department's database."""
    with _reading(path) as database:
        found = FINDERS.get(service, _by_ladder)(database, question.subject)
        if isinstance(found, NoRecord):
            return found
        row, level = found
        if row["withheld"]:
            return NoRecord(reason="withheld")
        held = database.execute(
            "SELECT fields FROM records WHERE service = ? AND number = ?", (service, row["number"])
        ).fetchone()
    if held is None:
        return NoRecord(reason="unknown")
    fields = json.loads(held["fields"])
    if service == ELECTORAL_MATCH:
        fields["match_level"] = level or "exact"
    elif service == IDENTITY_ATTRIBUTES:
        fields |= _what_agrees(row, question.subject.get("match", {}))
    return Found(fields=fields, match_level=level, area=row["area"])


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        database.row_factory = sqlite3.Row
        yield database


# --- Finding the person


def _by_sub(database: sqlite3.Connection, sub: object) -> Finding | NoRecord:
    row = database.execute("SELECT * FROM people WHERE sub = ?", (sub,)).fetchone()
    return (row, None) if row is not None else NoRecord(reason="unknown")


def _by_ladder(database: sqlite3.Connection, subject: Mapping[str, Any]) -> Finding | NoRecord:
    if "sub" in subject:
        return _by_sub(database, subject["sub"])
    asked = attributes_of(subject.get("match", {}))
    if asked is None:
        return NoRecord(reason="unknown")
    rows = {row["number"]: row for row in _candidates(database, asked)}
    matched = find_match(asked, [_person(row) for row in rows.values()])
    return matched if isinstance(matched, NoRecord) else (rows[matched.key], matched.level)


def _candidates(database: sqlite3.Connection, asked: Attributes) -> list[sqlite3.Row]:
    # The date of birth is equal on every rung; a number or a postcode that was given leaves few to be compared.
    if asked.nino is not None:
        return database.execute(
            "SELECT * FROM people WHERE birthdate = ? AND nino = ?", (asked.birthdate, asked.nino)
        ).fetchall()
    if asked.nino_fragment is not None:
        return database.execute(
            "SELECT * FROM people WHERE birthdate = ? AND substr(nino, 5, 4) = ?",
            (asked.birthdate, asked.nino_fragment),
        ).fetchall()
    return database.execute(
        "SELECT * FROM people WHERE birthdate = ? AND replace(postcode, ' ', '') = ?",
        (asked.birthdate, asked.postcode),
    ).fetchall()


def _person(row: sqlite3.Row) -> Person[int]:
    return Person(
        key=row["number"],
        family_names=(row["family_name"],),
        given_names=(row["given_name"],),
        birthdate=row["birthdate"],
        nino=row["nino"],
        postcode=row["postcode"],
    )


def _by_access_code(database: sqlite3.Connection, subject: Mapping[str, Any]) -> Finding | NoRecord:
    """Find the donor by the code that the attorney gave out; the donor's name and date of birth must agree."""
    match = subject.get("match", {})
    row = database.execute("SELECT * FROM people WHERE access_code = ?", (match.get("access_code"),)).fetchone()
    agrees = row is not None and (standard_name(row["family_name"]), row["birthdate"]) == (
        standard_name(match.get("family_name")),
        match.get("birthdate"),
    )
    return (row, None) if agrees else NoRecord(reason="unknown")


def _by_number(database: sqlite3.Connection, subject: Mapping[str, Any]) -> Finding | NoRecord:
    """Find the person by number and date of birth alone: whether the names agree is what is asked."""
    match = subject.get("match", {})
    row = database.execute(
        "SELECT * FROM people WHERE nino = ? AND birthdate = ?",
        (standard_nino(match.get("nino")), match.get("birthdate")),
    ).fetchone()
    return (row, None) if row is not None else NoRecord(reason="unknown")


FINDERS: Mapping[str, Callable[[sqlite3.Connection, Mapping[str, Any]], Finding | NoRecord]] = {
    POWER_OF_ATTORNEY: _by_access_code,
    IDENTITY_ATTRIBUTES: _by_number,
}


def _what_agrees(row: sqlite3.Row, match: Mapping[str, Any]) -> dict[str, bool | None]:
    given, postcode = match.get("given_name"), match.get("postcode")
    return {
        "family_name_agrees": standard_name(row["family_name"]) == standard_name(match.get("family_name")),
        "given_name_agrees": standard_name(row["given_name"]) == standard_name(given) if given else None,
        "postcode_agrees": standard_postcode(row["postcode"]) == standard_postcode(postcode) if postcode else None,
    }


# --- The application


def make_app(world_dir: str, gateway: str, origin: str, ca_file: str = "") -> WsgiApplication:
    """Return the WSGI application that answers for every department; gunicorn calls this."""
    world = Path(world_dir)
    answering: dict[str, WsgiApplication] = {}
    for system in ANSWERING:
        provider = Provider(
            member=system.member,
            key=world / "keys" / f"{system.client_id}.pem",
            gateway=gateway,
            origin=origin,
            services=_answers(system.member, world / "departments" / f"{system.member}.sqlite3"),
            ca_file=Path(ca_file) if ca_file else None,
        )
        answering[system.member] = provider.wsgi

    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        member = environ["PATH_INFO"].strip("/").partition("/")[0]
        # Whatever is nobody's path, the health check among it, any of them answers alike.
        return answering.get(member, answering[ANSWERING[0].member])(environ, start_response)

    return application


def _answers(member: str, path: Path) -> dict[str, AnswerFunction]:
    if member == SANDBOX:
        return {twin_of(service): SandboxAnswers(service) for service in HOLDINGS}

    def answering(service: str) -> AnswerFunction:
        return lambda question: answer_from(path, service, question)

    return {service: answering(service) for service in services_of(member)}
