"""Serve a table of a database that is there already, with no code: `gateway-client serve-table department.toml`.

Any database that SQLAlchemy knows (SQLite, PostgreSQL, Oracle, SQL Server, …). It is only read: one SELECT a question,
with bound parameters, of columns that were found in the real table when the provider started.
"""

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

from gateway.sdk.matching import Attributes, Person, attributes_of, find_match
from gateway.sdk.questions import AskedQuestion, Found, MatchLevel, NoRecord, RecordUnusable
from gateway.sdk.table_mapping import FieldColumn, MappingInvalid, MatchColumns, TableMapping

MOST_CANDIDATES = 20_000
"""People with one date of birth. Where there are more, something is wrong, and certainty about nobody."""


class TooManyCandidates(RecordUnusable):
    """More people share a date of birth than can be compared: the column is not what the mapping says."""

    def __init__(self, column: str) -> None:
        super().__init__(f"{column}: too many people have this one")


class TableAnswers:
    """Answers one service out of one table: an answer function for `provider.Provider`."""

    def __init__(self, engine: Any, mapping: TableMapping) -> None:
        """Take an SQLAlchemy engine. Raises `MappingInvalid` when the database has no such table or column."""
        self._engine = engine
        self._mapping = mapping
        self._table = _table(engine, mapping.table)
        self._sought_by = self._columns()

    def __call__(self, question: AskedQuestion) -> Found | NoRecord:
        """Answer one question; raises `RecordUnusable` for a person whose columns cannot be read."""
        mapping = self._mapping
        # What nobody asked for is not even read: it can neither be told nor be in the way.
        asked = {name: mapping.fields[name] for name in question.fields if name in mapping.fields}
        wanted = tuple(dict.fromkeys((*self._sought_by, *(each.column for each in asked.values()))))
        match = question.subject.get("match")
        found: tuple[Mapping[str, Any], MatchLevel | None] | NoRecord
        if isinstance(match, dict) and mapping.match is not None:
            found = self._by_match(attributes_of(match), mapping.match, wanted)
        elif isinstance(question.subject.get("sub"), str) and mapping.sub is not None:
            found = self._by_sub(question.subject["sub"], mapping.sub, wanted)
        else:
            # A department that does not keep its pairwise names knows nobody by one.
            found = NoRecord(reason="unknown")
        if isinstance(found, NoRecord):
            return found
        row, level = found
        if mapping.withheld is not None and not _clearly_no(row[mapping.withheld]):
            return NoRecord(reason="withheld")
        kept = row[mapping.area] if mapping.area is not None else None
        area = str(kept) if kept is not None else None
        fields = {}
        for name, column in asked.items():
            try:
                fields[name] = disclosed(row[column.column], column)
            except (ValueError, TypeError, ArithmeticError):
                # The error quotes the value.
                raise RecordUnusable(f"{name}: cannot be read", match_level=level, area=area) from None
        return Found(fields=fields, match_level=level, area=area)

    def _by_sub(self, sub: str, column: str, wanted: tuple[str, ...]) -> tuple[Mapping[str, Any], None] | NoRecord:
        rows = self._rows(column, sub, wanted, most=2)
        if len(rows) > 1:
            return NoRecord(reason="ambiguous")
        return (rows[0], None) if rows else NoRecord(reason="unknown")

    def _by_match(
        self, asked: Attributes | None, columns: MatchColumns, wanted: tuple[str, ...]
    ) -> tuple[Mapping[str, Any], MatchLevel] | NoRecord:
        if asked is None:
            return NoRecord(reason="unknown")
        # The date of birth must be equal on every rung: whoever has another one need not be looked at.
        day = _as_kept(date.fromisoformat(asked.birthdate), self._table.columns[columns.birthdate])
        rows = self._rows(columns.birthdate, day, wanted, most=MOST_CANDIDATES + 1)
        if len(rows) > MOST_CANDIDATES:
            raise TooManyCandidates(columns.birthdate)
        matched = find_match(asked, (_person(number, row, columns) for number, row in enumerate(rows)))
        return matched if isinstance(matched, NoRecord) else (rows[matched.key], matched.level)

    def _rows(self, column: str, value: object, wanted: tuple[str, ...], *, most: int) -> list[Mapping[str, Any]]:
        columns = self._table.columns
        read = (columns[name] for name in wanted)
        statement = self._table.select().with_only_columns(*read).where(columns[column] == value).limit(most)
        with self._engine.connect() as connection:
            result = connection.execute(statement)
            try:
                return [dict(row) for row in result.mappings()]
            except (ValueError, TypeError, ArithmeticError):
                # A column of dates with something else in it, which the database's driver was to convert.
                raise RecordUnusable("a row cannot be read") from None

    def _columns(self) -> tuple[str, ...]:
        """Return the columns by which people are found and judged, once those of the fields are there as well."""
        mapping = self._mapping
        wanted = [mapping.sub, mapping.withheld, mapping.area]
        if mapping.match is not None:
            match = mapping.match
            wanted += [*match.family_name, *match.given_name, match.birthdate, match.nino, match.postcode]
        named = tuple(dict.fromkeys(name for name in wanted if name is not None))
        missing = [
            name
            for name in (*named, *(each.column for each in mapping.fields.values()))
            if name not in self._table.columns
        ]
        if missing:
            there = ", ".join(self._table.columns.keys())
            raise MappingInvalid(f"The table {mapping.table} has no column {missing[0]}. It has: {there}")
        return named


def open_database(url: str, *, folder: Path) -> Any:
    """Return an SQLAlchemy engine that only reads; an SQLite file's path is relative to `folder`.

    Raises `MappingInvalid` for what is no URL, has no driver, or is not there.
    """
    try:
        from sqlalchemy import create_engine, make_url  # noqa: PLC0415 - only who serves a table needs it
        from sqlalchemy.exc import ArgumentError, NoSuchModuleError  # noqa: PLC0415 - as above
    except ImportError as error:
        raise MappingInvalid("To serve a table, SQLAlchemy is needed: pip install sqlalchemy") from error
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() == "sqlite":
            file = folder / (parsed.database or "")
            if not file.is_file():
                raise MappingInvalid(f"There is no database {file}")
            # SQLite itself refuses to write, and makes no file where there is none.
            parsed = parsed.set(database=f"file:{quote(str(file.resolve()))}", query={"mode": "ro", "uri": "true"})
            return create_engine(parsed)
        engine = create_engine(parsed)
    except (ArgumentError, NoSuchModuleError, ImportError) as error:
        # The error may quote the URL, and with it a password.
        raise MappingInvalid("The database is not an SQLAlchemy URL, or its driver is not installed") from error
    return engine.execution_options(postgresql_readonly=True) if engine.dialect.name == "postgresql" else engine


def _table(engine: Any, name: str) -> Any:
    from sqlalchemy import MetaData, Table  # noqa: PLC0415 - only who serves a table needs it
    from sqlalchemy.exc import NoSuchTableError, SQLAlchemyError  # noqa: PLC0415 - as above

    schema, _, table = name.rpartition(".")
    try:
        return Table(table, MetaData(), schema=schema or None, autoload_with=engine, resolve_fks=False)
    except NoSuchTableError as error:
        raise MappingInvalid(f"The database has no table {name}") from error
    except SQLAlchemyError as error:
        raise MappingInvalid("The database cannot be opened", detail=type(error).__name__) from error


def _person(number: int, row: Mapping[str, Any], columns: MatchColumns) -> Person[int]:
    def text(column: str | None) -> str | None:
        value = row[column] if column is not None else None
        return str(value) if value is not None else None

    return Person(
        key=number,
        family_names=tuple(name for name in map(text, columns.family_name) if name),
        given_names=tuple(name for name in map(text, columns.given_name) if name),
        birthdate=row[columns.birthdate],
        nino=text(columns.nino),
        postcode=text(columns.postcode),
    )


def _as_kept(day: date, column: Any) -> date | str:
    """Return a date as the column keeps dates: as a date, a moment at its beginning, or ISO 8601 text."""
    try:
        kept = column.type.python_type
    except NotImplementedError:
        kept = str
    if kept is datetime:
        return datetime(day.year, day.month, day.day)  # noqa: DTZ001 - a column without a time zone
    return day if kept is date else day.isoformat()


# --- Values

_NO = frozenset({"", "0", "f", "false", "n", "no", "none"})
"""Old systems write Y and N, T and F, 1 and 0."""


def disclosed(value: object, column: FieldColumn) -> object:
    """Return a column's value as JSON has it; raises `ValueError` when it is not what the mapping says."""
    if value is None:
        return None
    if column.kind is not None:
        return _READINGS[column.kind](value)
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value.isoformat() if isinstance(value, date) else value


def _clearly_no(value: object) -> bool:
    # A mark that nobody foresaw (R, P, "protected", a date) is one all the same: in doubt nothing is told.
    return value is None or value == 0 or str(value).strip().lower() in _NO


def _boolean(value: object) -> bool:
    text = str(value).strip().lower()
    if text in _NO:
        return False
    if text in {"1", "t", "true", "y", "yes"}:
        return True
    raise ValueError("not a yes or no")


def _date(value: object) -> str:
    return value.isoformat()[:10] if isinstance(value, date) else date.fromisoformat(str(value)[:10]).isoformat()


_READINGS: Mapping[str, Any] = {"boolean": _boolean, "date": _date, "integer": int, "number": float, "text": str}
