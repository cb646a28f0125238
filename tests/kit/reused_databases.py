"""Databases for one test after another: given back, each is made as the template was, for a tenth of a new one's cost.

Rows go, those that the template had come back, and nobody stays connected. A database whose shape is no longer the
template's (a table, a column, an index, a constraint, a trigger, a sequence that has counted) is dropped instead.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql

from tests.kit.postgres import OWNER, Cluster

_GOODBYE_MILLISECONDS = 5000
_TABLES = (
    "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace ORDER BY 1"
)
_SHAPE = """
    SELECT md5(string_agg(line, ';' ORDER BY line)) FROM (
        SELECT format('%s %s %s', relkind, relname, reloptions) AS line
            FROM pg_class WHERE relnamespace = 'public'::regnamespace
        UNION ALL SELECT
            format('%s %s %s %s', attrelid::regclass, attname, format_type(atttypid, atttypmod), attnotnull)
            FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
            WHERE relnamespace = 'public'::regnamespace AND attnum > 0
        UNION ALL SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef
        UNION ALL SELECT pg_get_indexdef(indexrelid) FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
            WHERE relnamespace = 'public'::regnamespace
        UNION ALL SELECT format('%s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid))
            FROM pg_constraint WHERE connamespace = 'public'::regnamespace
        UNION ALL SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
        UNION ALL SELECT oid::regprocedure::text FROM pg_proc WHERE pronamespace = 'public'::regnamespace
        UNION ALL SELECT nspname FROM pg_namespace
        UNION ALL SELECT format('%s %s', setrole, setconfig) FROM pg_db_role_setting
        UNION ALL SELECT format('%s %s', sequencename, last_value) FROM pg_sequences
    ) AS everything
"""


class ReusedDatabases:
    """Copies of one template, of which each may be used again once it is given back."""

    def __init__(self, cluster: Cluster, *, template: str, prefix: str) -> None:
        """Look at the template as it is now; it must not change any more."""
        self._cluster, self._template, self._prefix = cluster, template, prefix
        self._free: list[str] = []
        self._made = 0
        with self._connection(template) as connection:
            self._shape = _value(connection, _SHAPE)
            self._tables = [name for (name,) in connection.execute(_TABLES)]
            self._rows = {name: rows for name in self._tables if (rows := _copied_out(connection, name))}

    @contextmanager
    def one(self) -> Iterator[str]:
        """The URL of a database as the template was, nobody else's until the end of the block."""
        name = self._free.pop() if self._free else self._new()
        yield self._cluster.url(name)
        try:
            again = self._made_anew(name)
        except psycopg.Error:  # It was renamed, broken or dropped by its test.
            again = False
        if again:
            self._free.append(name)
        else:
            self._cluster.drop(name)

    def _new(self) -> str:
        self._made += 1
        name = f"{self._prefix}_{self._made}"
        self._cluster.create(name, template=self._template)
        return name

    def _made_anew(self, name: str) -> bool:
        with self._connection(name) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid, %s) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()",
                (_GOODBYE_MILLISECONDS,),
            )
            if _value(connection, _SHAPE) != self._shape:
                return False
            with connection.transaction():
                self._empty(connection)
                for table, rows in self._rows.items():
                    copy_in = sql.SQL("COPY {} FROM STDIN").format(sql.Identifier(table))
                    with connection.cursor() as cursor, cursor.copy(copy_in) as copy:
                        copy.write(rows)
        return True

    def _empty(self, connection: psycopg.Connection[Any]) -> None:
        # Most tests touch few tables, and to truncate an empty one costs as much as a full one.
        question = sql.SQL(" UNION ALL ").join(
            sql.SQL("SELECT {} WHERE EXISTS (SELECT FROM {})").format(sql.Literal(name), sql.Identifier(name))
            for name in self._tables
        )
        filled = [name for (name,) in connection.execute(question)]
        if filled:
            names = sql.SQL(", ").join(map(sql.Identifier, filled))
            connection.execute(sql.SQL("TRUNCATE {} CASCADE").format(names))

    def _connection(self, name: str) -> psycopg.Connection[Any]:
        return psycopg.connect(host=self._cluster.socket_folder, user=OWNER, dbname=name, autocommit=True)


def _value(connection: psycopg.Connection[Any], question: str) -> object:
    row = connection.execute(question.encode()).fetchone()
    return row[0] if row else None


def _copied_out(connection: psycopg.Connection[Any], table: str) -> bytes:
    with connection.cursor() as cursor, cursor.copy(sql.SQL("COPY {} TO STDOUT").format(sql.Identifier(table))) as copy:
        return b"".join(bytes(part) for part in copy)
