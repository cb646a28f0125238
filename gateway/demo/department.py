"""The department's own system: a small database of synthetic people behind `gateway.sdk`'s provider kit.

It knows nothing of the gateway but its address and keys; the gateway knows nothing of its database.
"""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from gateway.demo.layout import DWP, SERVICE
from gateway.demo.people import SyntheticPerson
from gateway.sdk.provider import AskedQuestion, NoRecord, Provider, WsgiApplication

SCHEMA = """
CREATE TABLE IF NOT EXISTS people (
    number INTEGER PRIMARY KEY, sub TEXT UNIQUE, family_name TEXT NOT NULL, birthdate TEXT NOT NULL,
    nino TEXT NOT NULL UNIQUE, eligible INTEGER NOT NULL, tier TEXT, award_amount INTEGER NOT NULL,
    withheld INTEGER NOT NULL, synthetic INTEGER NOT NULL CHECK (synthetic = 1)
)
"""


def record_people(path: Path, people: tuple[SyntheticPerson, ...], *, subs: Mapping[int, str]) -> None:
    """Write the department's database. `subs` are its own pairwise names of people who signed in to it, by number."""
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(SCHEMA)
        database.executemany(
            "INSERT OR REPLACE INTO people VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 1)",
            [
                (
                    person.number,
                    subs.get(person.number),
                    person.family_name,
                    person.birthdate.isoformat(),
                    person.nino,
                    person.eligible,
                    person.tier,
                    person.award_amount,
                    person.withheld,
                )
                for person in people
            ],
        )


def free_school_meals(path: Path, question: AskedQuestion) -> Mapping[str, Any] | NoRecord:
    """Answer one question: the person is found by our own name for them, or by all three attributes together."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        database.row_factory = sqlite3.Row
        row = _find(database, question.subject)
    if row is None:
        return NoRecord(reason="unknown")
    if row["withheld"]:
        return NoRecord(reason="withheld")
    return {"eligible": bool(row["eligible"]), "tier": row["tier"], "award_amount": row["award_amount"]}


def _find(database: sqlite3.Connection, subject: Mapping[str, Any]) -> sqlite3.Row | None:
    if "sub" in subject:
        found = database.execute("SELECT * FROM people WHERE sub = ?", (subject["sub"],))
    else:
        match = subject.get("match", {})
        found = database.execute(
            "SELECT * FROM people WHERE family_name = ? COLLATE NOCASE AND birthdate = ? AND nino = ?",
            (match.get("family_name"), match.get("birthdate"), match.get("nino")),
        )
    row: sqlite3.Row | None = found.fetchone()
    return row


def make_app(database: str, key_file: str, gateway: str, origin: str, ca_file: str = "") -> WsgiApplication:
    """Return the WSGI application; gunicorn calls this."""
    path = Path(database)
    provider = Provider(
        member=DWP,
        key=key_file,
        gateway=gateway,
        origin=origin,
        services={SERVICE: lambda question: free_school_meals(path, question)},
        ca_file=Path(ca_file) if ca_file else None,
    )
    return provider.wsgi
