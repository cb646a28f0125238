"""Many rows at once in every table that grows with use, as years of use would leave them behind."""

import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID

from sqlalchemy import Connection, Table, func, insert, select

from gateway.db import Base, Database, new_id
from gateway.identity.models import AttemptsRow, SessionRow
from gateway.oidc.clients.models import InitialAccessTokenRow
from gateway.oidc.models import AccessTokenRow, AuthorizationRow, ClientSessionRow, PushedRequestRow, RefreshTokenRow
from gateway.once.models import UsedRow
from gateway.outbox.models import DeliveryRow
from gateway.sharing.exchange.models import AttachmentRow, ExchangeRow, QueryRow, QuotaRow
from tests.kit.oidc_world import COUNCIL, OidcWorld

EXPIRING: tuple[type[Base], ...] = (
    UsedRow,
    AccessTokenRow,
    RefreshTokenRow,
    AuthorizationRow,
    PushedRequestRow,
    AttemptsRow,
    DeliveryRow,
    InitialAccessTokenRow,
    QueryRow,
    QuotaRow,
    AttachmentRow,
    SessionRow,
)
"""What is deleted once it is over. `client_sessions` go with sessions."""
ROWS_AT_ONCE = 5000


@dataclass(frozen=True, slots=True, kw_only=True)
class Amounts:
    """How many rows of each kind. Half the authorizations are codes that nobody used; the others share the tokens."""

    used: int
    access: int
    refresh: int
    authorizations: int
    pushed: int
    attempts: int
    deliveries: int
    initial: int
    queries: int
    windows: int
    attachments: int
    """All of one exchange, which is not over."""
    sessions: int
    """Each with two clients."""
    answers: int = 0
    """Refresh tokens and exchanges that go on, of which the kept answer is over."""

    @classmethod
    def alike(cls, each: int) -> "Amounts":
        return cls(
            used=each,
            access=each,
            refresh=each,
            authorizations=each,
            pushed=each,
            attempts=each,
            deliveries=each,
            initial=each,
            queries=each,
            windows=each,
            attachments=each,
            sessions=each,
        )

    def by_table(self) -> dict[str, int]:
        numbers = (
            *(self.used, self.access, self.refresh, self.authorizations, self.pushed),
            *(self.attempts, self.deliveries, self.initial, self.queries, self.windows),
            *(self.attachments, self.sessions),
        )
        return {row.__tablename__: number for row, number in zip(EXPIRING, numbers, strict=True)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """Where rows are put, and until when they hold."""

    client_id: str
    account_id: UUID
    now: datetime
    expires_at: datetime


def grow(world: OidcWorld, amounts: Amounts, *, expires_at: datetime) -> None:
    """Put rows that end at `expires_at` into every table that grows, beside what is there."""
    growth = Growth(
        client_id=world.relying_party().client.client_id,
        account_id=world.citizen().account.account_id,
        now=world.clock.now(),
        expires_at=expires_at,
    )
    _put(world.gateway.database, UsedRow, _used(growth, amounts.used))
    families = _put(world.gateway.database, AuthorizationRow, _authorizations(growth, amounts.authorizations))
    # One family has a third of all tokens, as that of a client which refreshes every minute has in the end.
    with_tokens = [row["authorization_id"] for row in families[: len(families) // 2]] or [None]
    of_families = [with_tokens[0] if n % 3 == 0 else with_tokens[n % len(with_tokens)] for n in range(amounts.refresh)]
    _put(world.gateway.database, RefreshTokenRow, _refresh_tokens(growth, of_families))
    _put_access_tokens(world.gateway.database, growth, amounts.access, with_tokens)
    _put(world.gateway.database, PushedRequestRow, _pushed(growth, amounts.pushed))
    _put(world.gateway.database, AttemptsRow, _attempts(growth, amounts.attempts))
    _put(world.gateway.database, DeliveryRow, _deliveries(growth, amounts.deliveries))
    _put(world.gateway.database, InitialAccessTokenRow, _initial_tokens(growth, amounts.initial))
    _put(world.gateway.database, QueryRow, _queries(growth, amounts.queries))
    _put(world.gateway.database, QuotaRow, _windows(growth, amounts.windows))
    if amounts.attachments:
        _put_attachments(world.gateway.database, growth, amounts.attachments)
    begun = _put(world.gateway.database, SessionRow, _sessions(growth, amounts.sessions))
    other = replace(growth, client_id=world.relying_party().client.client_id)
    for part in (growth, other):
        _put(world.gateway.database, ClientSessionRow, _client_sessions(part, [row["session_id"] for row in begun]))
    if amounts.answers:
        _put_answers(
            world.gateway.database, replace(growth, expires_at=growth.now + timedelta(days=1)), amounts.answers
        )


def _queries(growth: Growth, number: int) -> list[dict[str, Any]]:
    return [
        {
            "id": new_id(),
            "scope": "DSA-SAMPLE",
            "subject": secrets.token_urlsafe(32),
            "asked_at": growth.now,
            "expires_at": growth.expires_at,
        }
        for _ in range(number)
    ]


def _windows(growth: Growth, number: int) -> list[dict[str, Any]]:
    return [
        {"scope": f"member {secrets.token_hex(8)}", "starts_at": growth.now, "used": 1, "expires_at": growth.expires_at}
        for _ in range(number)
    ]


def _put_attachments(database: Database, growth: Growth, number: int) -> None:
    (exchange,) = _exchanges(growth, 1)
    _put(database, ExchangeRow, [{**exchange, "answer": None, "answer_status": None, "answer_until": None}])
    rows = [
        {
            "exchange": exchange["id"],
            "number": one,
            "field": "letter",
            "digest": secrets.token_urlsafe(48),
            "size": 1,
            "media_type": "application/pdf",
            "expires_at": growth.expires_at,
        }
        for one in range(1, number + 1)
    ]
    _put(database, AttachmentRow, rows)


def counted(database: Database, row: type[Base], *conditions: Any) -> int:
    with database.read() as session:
        return session.scalar(select(func.count()).select_from(row).where(*conditions)) or 0


def counts(database: Database, *, over_by: datetime) -> tuple[dict[str, int], dict[str, int]]:
    """How many rows of each table are over by then, and how many are not."""
    over: dict[str, int] = {}
    live: dict[str, int] = {}
    for row in EXPIRING:
        ends = SessionRow.idle_until if row is SessionRow else cast("Any", row).expires_at
        over[row.__tablename__] = counted(database, row, ends < over_by)
        live[row.__tablename__] = counted(database, row, ends >= over_by)
    return over, live


def _put(database: Database, row: type[Base], rows: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    for start in range(0, len(rows), ROWS_AT_ONCE):
        with database.write_rows() as connection:
            _insert(connection, row, rows[start : start + ROWS_AT_ONCE])
    return rows


def _insert(connection: Connection, row: type[Base], rows: Sequence[Mapping[str, Any]]) -> None:
    connection.execute(insert(cast("Table", row.__table__)), rows)


def _put_access_tokens(database: Database, growth: Growth, number: int, families: Sequence[UUID | None]) -> None:
    # A quarter was given to clients in their own names; a quarter was made from one of the others' tokens.
    first = _access_tokens(growth, [families[n % len(families)] for n in range(number // 2)])
    _put(database, AccessTokenRow, first)
    made_from = first[0]["token_hash"] if first else None
    family = first[0]["authorization_id"] if first else None
    _put(database, AccessTokenRow, _access_tokens(growth, [family] * (number // 4), made_from=made_from))
    _put(database, AccessTokenRow, _access_tokens(growth, [None] * (number - number // 2 - number // 4)))


def _put_answers(database: Database, growth: Growth, number: int) -> None:
    (family,) = _put(database, AuthorizationRow, list(_authorizations(growth, 1)))
    used = {"used_at": growth.now - timedelta(hours=1), "request_digest": os.urandom(32), "sealed_answer": b"sealed"}
    tokens = _refresh_tokens(growth, [family["authorization_id"]] * number)
    _put(database, RefreshTokenRow, [{**token, **used} for token in tokens])
    _put(database, ExchangeRow, _exchanges(growth, number))


def _used(growth: Growth, number: int) -> list[dict[str, Any]]:
    return [{"kind": "nonce", "digest": os.urandom(32), "expires_at": growth.expires_at} for _ in range(number)]


def _authorizations(growth: Growth, number: int) -> list[dict[str, Any]]:
    begun = growth.expires_at - timedelta(minutes=10)
    return [
        {
            "authorization_id": new_id(),
            "code_hash": os.urandom(32),
            "client_id": growth.client_id,
            "account_id": growth.account_id,
            "session_id": new_id(),
            "redirect_uri": "http://localhost:9/callback",
            "scope": "openid offline_access",
            "resources": [],
            "nonce": "n",
            "code_challenge": secrets.token_urlsafe(32),
            "offline": True,
            "acr": "AAL2",
            "methods": ["pwd"],
            "auth_time": begun,
            "issued_at": begun,
            "code_expires_at": begun + timedelta(minutes=1),
            "expires_at": growth.expires_at,
        }
        for _ in range(number)
    ]


def _access_tokens(
    growth: Growth, families: Sequence[UUID | None], *, made_from: bytes | None = None
) -> list[dict[str, Any]]:
    return [
        {
            "token_hash": os.urandom(32),
            "authorization_id": family,
            "client_id": growth.client_id,
            "made_from": made_from,
            "expires_at": growth.expires_at,
        }
        for family in families
    ]


def _refresh_tokens(growth: Growth, families: Sequence[UUID | None]) -> list[dict[str, Any]]:
    return [
        {
            "token_hash": os.urandom(32),
            "authorization_id": family,
            "issued_at": growth.expires_at - timedelta(minutes=10),
            "expires_at": growth.expires_at,
        }
        for family in families
    ]


def _pushed(growth: Growth, number: int) -> list[dict[str, Any]]:
    return [
        {
            "reference_hash": os.urandom(32),
            "client_id": growth.client_id,
            "sealed": os.urandom(600),
            "usable_until": growth.expires_at,
            "expires_at": growth.expires_at,
        }
        for _ in range(number)
    ]


def _attempts(growth: Growth, number: int) -> list[dict[str, Any]]:
    return [{"key": os.urandom(32), "attempts": 3, "expires_at": growth.expires_at} for _ in range(number)]


def _deliveries(growth: Growth, number: int) -> list[dict[str, Any]]:
    return [
        {
            "delivery_id": new_id(),
            "kind": "logout",
            "recipient": growth.client_id,
            "payload": {},
            "state": "delivered",
            "attempts": 1,
            "attempts_allowed": 10,
            "due_at": growth.expires_at,
            "created_at": growth.expires_at,
            "settled_at": growth.expires_at,
            "expires_at": growth.expires_at,
        }
        for _ in range(number)
    ]


def _initial_tokens(growth: Growth, number: int) -> list[dict[str, Any]]:
    return [
        {
            "token_id": new_id(),
            "token_hash": os.urandom(32),
            "member_code": COUNCIL,
            "limits": {},
            "uses_left": 1,
            "issued_at": growth.expires_at,
            "issued_by": "test",
            "expires_at": growth.expires_at,
        }
        for _ in range(number)
    ]


def _sessions(growth: Growth, number: int) -> list[dict[str, Any]]:
    return [
        {
            "session_id": new_id(),
            "secret_hash": os.urandom(32),
            "account_id": growth.account_id,
            "methods": ["pwd"],
            "awaiting_code": False,
            "authenticated_at": growth.expires_at - timedelta(hours=1),
            "idle_until": growth.expires_at,
            "expires_at": growth.expires_at,
            "continues": None,
        }
        for _ in range(number)
    ]


def _client_sessions(growth: Growth, session_ids: Sequence[UUID]) -> list[dict[str, Any]]:
    return [
        {
            "session_id": session_id,
            "client_id": growth.client_id,
            "sid": secrets.token_urlsafe(32),
            "sub": secrets.token_urlsafe(32),
            "began_at": growth.now,
        }
        for session_id in session_ids
    ]


def _exchanges(growth: Growth, number: int) -> list[dict[str, Any]]:
    return [
        {
            "id": new_id(),
            "state": "closed",
            "retry_mac": os.urandom(32),
            "request_digest": secrets.token_hex(32),
            "client_id": growth.client_id,
            "consumer": COUNCIL,
            "service": "s",
            "purpose": "p",
            "policy_digest": "d",
            "subject": "matched",
            "handle": secrets.token_hex(16),
            "requested_fields": [],
            "decision": "permit",
            "decision_record": {},
            "rules": [],
            "fields_disclosed": [],
            "fields_withheld": [],
            "opened_at": growth.now - timedelta(hours=1),
            "lease_until": growth.now - timedelta(hours=1),
            "closed_at": growth.now - timedelta(hours=1),
            "answer_status": 200,
            "answer": os.urandom(600),
            "answer_until": growth.now - timedelta(minutes=30),
        }
        for _ in range(number)
    ]
