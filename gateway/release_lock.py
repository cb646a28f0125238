"""Whoever releases something and whoever takes a permission away take turns.

A release rests on much beside its agreement: both systems and their keys, the officer, the service, the person. It
keeps all of that as it is from its last decision to its commit; who changes any of it waits for releases that have
begun, and those that follow see the change. On SQLite writers take turns, which does the same.
"""

from collections.abc import Iterable

from sqlalchemy import ARRAY, String, bindparam, func, select
from sqlalchemy.orm import Session


def keep_as_they_are(session: Session, things: Iterable[str]) -> None:
    """Let nobody change these things until this transaction ends; many may keep the same.

    A thing is its kind and its name, `client blackburn-portal`. To be called before they are read.
    """
    _lock(session, sorted(set(things)), to_change=False)


def wait_for_releases(session: Session, thing: str) -> None:
    """Wait for the releases that rest on this thing, and let no other begin until this transaction ends.

    To be called before the thing is changed, so that nobody waits for us meanwhile.
    """
    _lock(session, [thing], to_change=True)


def take_turns(session: Session, things: Iterable[str]) -> None:
    """Let nobody else take a turn at these things until this transaction ends."""
    _lock(session, sorted(set(things)), to_change=True)


def _lock(session: Session, names: list[str], *, to_change: bool) -> None:
    connection = session.connection()
    if connection.dialect.name == "postgresql":
        # An advisory lock queues fairly: with locks on rows, those who keep them could overlap for ever.
        connection.execute(_TO_CHANGE if to_change else _TO_KEEP, {"names": names})


# Each in the order of the names: of two who keep the same things, neither waits for the other half-way.
_NAMES = func.unnest(bindparam("names", type_=ARRAY(String))).table_valued("name").render_derived()
_KEY = func.hashtextextended(_NAMES.c.name, 0)
_TO_KEEP = select(func.pg_advisory_xact_lock_shared(_KEY)).select_from(_NAMES)
_TO_CHANGE = select(func.pg_advisory_xact_lock(_KEY)).select_from(_NAMES)
