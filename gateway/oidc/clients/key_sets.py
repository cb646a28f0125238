"""With which keys a client's signatures verify: those it handed over, or those at its `jwks_uri` (RFC 7591 §2).

The one place where such keys are asked for. What was fetched is kept in the database, for all workers and nodes:

- kept for as long as the answer's `max-age` says, at least five minutes and at most an hour;
- fetched again at once for a `kid` that is not among them, so that a client can change its keys when it likes;
- never begun more than once a minute for one client, whatever is asked and by whom: a flood of invented `kid`s is one
  request a minute to the client's server, and a new key is known after a minute at the latest;
- when the address does not answer rightly, used as they are for 24 hours after they last came, and then no more. A
  client that must take a key back at once has an operator disable it.

No transaction is open while something is fetched. Whoever needs a key that is being fetched waits for it, as long as
the fetch may take; whoever needs one that is known does not wait.
"""

import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from gateway.db import Database
from gateway.directory.members import Client
from gateway.errors import GatewayError
from gateway.oidc.clients.key_rules import KeysUnusable, published_keys
from gateway.oidc.clients.models import KeySetRow
from gateway.outgoing.http_client import AddressForbidden, HttpClient
from gateway.wire.encoding import parse_json_object
from gateway.wire.keys import Jwk

SECONDS = 3.0
LARGEST_BYTES = 64 * 1024
FRESH_AT_LEAST = timedelta(minutes=5)
FRESH_AT_MOST = timedelta(hours=1)
BETWEEN_FETCHES = timedelta(minutes=1)
STALE_AT_MOST = timedelta(hours=24)
MEDIA_TYPES = ("application/json", "application/jwk-set+json")
LONGEST_WAIT = SECONDS + 1
LOOK_AGAIN_SECONDS = 0.1
MOST_WAITING = 2
"""How many threads of a process may wait for servers that gave nothing last time; for the others there is no key."""
_MAX_AGE = re.compile(r"(?:^|[,\s])max-age=([0-9]{1,9})(?:$|[,\s])")


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchedKeys:
    """The usable keys at an address, and for how long they need not be asked for again."""

    keys: tuple[Jwk, ...]
    fresh_for: timedelta


def fetch_keys(http: HttpClient, uri: str) -> FetchedKeys:
    """Fetch a client's JWK set; raises `KeysUnusable`, or what `HttpClient.request` raises."""
    answer = http.request(
        "GET",
        uri,
        headers={"Accept": ", ".join(MEDIA_TYPES)},
        timeout_seconds=SECONDS,
        max_bytes=LARGEST_BYTES,
    )
    if answer.status != 200:  # noqa: PLR2004 - HTTP's own number
        raise KeysUnusable(f"The jwks_uri answered with status {answer.status}; redirects are not followed")
    if answer.headers.get("content-type", "").partition(";")[0].strip().lower() not in MEDIA_TYPES:
        raise KeysUnusable("The jwks_uri answered with another content type than application/json")
    try:
        document = parse_json_object(answer.body)
    except GatewayError as error:
        raise KeysUnusable("The jwks_uri answered with something that is not a JSON object") from error
    return FetchedKeys(keys=published_keys(document), fresh_for=_fresh_for(answer.headers))


def _fresh_for(headers: Mapping[str, str]) -> timedelta:
    stated = _MAX_AGE.search(headers.get("cache-control", "").lower())
    seconds = timedelta(seconds=int(stated[1])) if stated else FRESH_AT_LEAST
    return min(max(seconds, FRESH_AT_LEAST), FRESH_AT_MOST)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What the database holds for one address."""

    keys: tuple[Jwk, ...]
    fetched_at: datetime | None
    fresh_until: datetime | None
    attempted_at: datetime
    failure: str | None

    def in_flight(self, now: datetime) -> bool:
        """Whether somebody may be fetching: an attempt began just now, and nothing has come of it yet."""
        unanswered = self.failure is None and (self.fetched_at is None or self.fetched_at < self.attempted_at)
        return unanswered and abs(now - self.attempted_at) < timedelta(seconds=LONGEST_WAIT)

    def answered(self, now: datetime) -> bool:
        return self.failure is None and not self.in_flight(now)

    def has(self, kid: str | None) -> bool:
        return bool(self.keys) and (kid is None or any(key["kid"] == kid for key in self.keys))

    def usable(self, now: datetime) -> bool:
        return self.fetched_at is not None and now - self.fetched_at <= STALE_AT_MOST

    def wants_fetching(self, kid: str | None, now: datetime) -> bool:
        # Told both ways, so that a clock that was ahead for a while does not silence us for as long.
        if abs(now - self.attempted_at) < BETWEEN_FETCHES:
            return False
        return self.fresh_until is None or self.fresh_until <= now or not self.has(kid)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySets:
    """The keys of one gateway's clients."""

    database: Database
    http: HttpClient
    _turns: dict[str, threading.Lock] = field(default_factory=dict, repr=False)
    _gave_nothing: set[str] = field(default_factory=set, repr=False)
    _waiting: threading.BoundedSemaphore = field(
        default_factory=lambda: threading.BoundedSemaphore(MOST_WAITING), repr=False
    )

    def keys_of(self, client: Client, *, kid: str | None, now: datetime) -> tuple[Jwk, ...]:
        """Return the public keys of a client, of which `kid` is needed; none when they cannot be had.

        Call it outside any transaction: it may fetch, for up to three seconds. `kid` None: any of them will do.
        """
        uri = client.oauth.jwks_uri
        if uri is None:
            return client.keys
        known = self._known(client.client_id, uri)
        if known is None or known.wants_fetching(kid, now) or (known.in_flight(now) and not known.has(kid)):
            with self._patience_with(client.client_id) as there_is:
                if there_is:
                    known = self._refreshed(client.client_id, uri, known, kid=kid, now=now)
                    # Whether it has this very key says nothing of it: anybody can invent a `kid`.
                    self._remember(client.client_id, answered=known is not None and known.answered(now))
        return known.keys if known is not None and known.usable(now) else ()

    def _refreshed(
        self, client_id: str, uri: str, known: _Known | None, *, kid: str | None, now: datetime
    ) -> _Known | None:
        # What is known, though old, serves while another thread fetches.
        patience = 0.0 if known is not None and known.usable(now) and known.has(kid) else LONGEST_WAIT
        with self._turn(client_id, seconds=patience) as mine:
            known = self._known(client_id, uri)
            if not mine:
                return known
            if known is None or known.wants_fetching(kid, now):
                with self.database.write() as session:
                    claimed = _claim_fetch(session, client_id, uri, now=now)
                if claimed:
                    return self._fetched(client_id, uri, now=now)
                known = self._known(client_id, uri)
            return known if patience == 0.0 else self._awaited(client_id, uri, known, kid=kid, now=now)

    def _fetched(self, client_id: str, uri: str, *, now: datetime) -> _Known | None:
        failure: str | None = None
        values: dict[str, object] = {}
        try:
            fetched = fetch_keys(self.http, uri)
            values = {
                "keys": [dict(key) for key in fetched.keys],
                "fetched_at": now,
                "fresh_until": now + fetched.fresh_for,
            }
        except GatewayError as error:
            # Operators alone see it: the detail names the setting that would allow an address.
            failure = (f"{error.public}: {error.detail}" if isinstance(error, AddressForbidden) else error.public)[:200]
        with self.database.write() as session:
            session.execute(
                update(KeySetRow)
                .where(KeySetRow.client_id == client_id, KeySetRow.jwks_uri == uri)
                .values(failure=failure, **values)
            )
        return self._known(client_id, uri)

    def _awaited(
        self, client_id: str, uri: str, known: _Known | None, *, kid: str | None, now: datetime
    ) -> _Known | None:
        """Look again while another process fetches, for as long as that may take."""
        deadline = time.monotonic() + LONGEST_WAIT
        while known is not None and known.in_flight(now) and not known.has(kid) and time.monotonic() < deadline:
            time.sleep(LOOK_AGAIN_SECONDS)
            known = self._known(client_id, uri)
        return known

    def _known(self, client_id: str, uri: str) -> _Known | None:
        with self.database.read() as session:
            row = session.scalar(select(KeySetRow).where(KeySetRow.client_id == client_id, KeySetRow.jwks_uri == uri))
            if row is None:
                return None
            return _Known(
                keys=tuple(row.keys),
                fetched_at=row.fetched_at,
                fresh_until=row.fresh_until,
                attempted_at=row.attempted_at,
                failure=row.failure,
            )

    @contextmanager
    def _patience_with(self, client_id: str) -> Iterator[bool]:
        # Anybody can name a client whose server hangs. For one that gave nothing last time, few threads of all wait.
        if client_id not in self._gave_nothing:
            yield True
            return
        mine = self._waiting.acquire(blocking=False)
        try:
            yield mine
        finally:
            if mine:
                self._waiting.release()

    def _remember(self, client_id: str, *, answered: bool) -> None:
        (self._gave_nothing.discard if answered else self._gave_nothing.add)(client_id)

    @contextmanager
    def _turn(self, client_id: str, *, seconds: float) -> Iterator[bool]:
        lock = self._turns.setdefault(client_id, threading.Lock())
        mine = lock.acquire(timeout=seconds) if seconds else lock.acquire(blocking=False)
        try:
            yield mine
        finally:
            if mine:
                lock.release()


def _claim_fetch(session: Session, client_id: str, uri: str, *, now: datetime) -> bool:
    """Take the next minute's fetch for ourselves; false when somebody else has it. The caller commits, then fetches."""
    insert = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    first = (
        insert(KeySetRow)
        .values(client_id=client_id, jwks_uri=uri, keys=[], attempted_at=now)
        .on_conflict_do_nothing()
        .returning(KeySetRow.client_id)
    )
    if session.execute(first).first() is not None:
        return True
    # Keys of the address that was registered before are not this address's.
    moved = (
        update(KeySetRow)
        .where(KeySetRow.client_id == client_id, KeySetRow.jwks_uri != uri)
        .values(jwks_uri=uri, keys=[], fetched_at=None, fresh_until=None, attempted_at=now, failure=None)
        .returning(KeySetRow.client_id)
    )
    if session.execute(moved).first() is not None:
        return True
    again = (
        update(KeySetRow)
        .where(
            KeySetRow.client_id == client_id,
            or_(KeySetRow.attempted_at <= now - BETWEEN_FETCHES, KeySetRow.attempted_at >= now + BETWEEN_FETCHES),
        )
        .values(attempted_at=now, failure=None)
        .returning(KeySetRow.client_id)
    )
    return session.execute(again).first() is not None
