"""Grants that share a transaction.

Systems ask for tokens by the thousand, and what is written for one depends on no other. So a grant that is nothing out
of the ordinary is judged and signed first, without holding anything; then all that wait in this process are written in
one transaction, if what each was judged by is still so. Whatever is not so is left to a transaction of its own, which
says what is wrong.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast
from uuid import UUID

from sqlalchemy import Connection, Table, bindparam, select, update

from gateway.audit.append import AuditLog, PreparedEntry
from gateway.audit.recording import GroupCommit
from gateway.db import Database
from gateway.directory.members import Client, active_revisions
from gateway.identity.accounts import active_accounts
from gateway.oidc.models import AuthorizationRow, RefreshTokenRow
from gateway.oidc.tokens.access_tokens import write_tokens
from gateway.oidc.tokens.issuing import IssuedTokens, write_refresh_tokens
from gateway.once.once import Claim, first_uses, give_back

_TABLE = cast("Table", RefreshTokenRow.__table__)
# What another transaction holds is about to change: its grant is not one of these.
_STILL_GOOD = (
    select(RefreshTokenRow.token_hash)
    .join(AuthorizationRow, AuthorizationRow.authorization_id == RefreshTokenRow.authorization_id)
    .where(
        RefreshTokenRow.token_hash.in_(bindparam("hashes", expanding=True)),
        RefreshTokenRow.used_at.is_(None),
        AuthorizationRow.revoked_at.is_(None),
    )
    .with_for_update(skip_locked=True)
)
_USE = (
    update(_TABLE)
    .where(_TABLE.c.token_hash == bindparam("used"))
    .values({name: bindparam(name) for name in ("used_at", "request_digest", "sealed_answer")})
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """The refresh token that a grant was made for: not used before, of a family that is not revoked."""

    token_hash: bytes
    account_id: UUID
    used: Mapping[str, Any] | None = field(repr=False)
    """What is written of it; None when it is not rotated."""


@dataclass(slots=True, kw_only=True, eq=False)
class Grant:
    """A grant that was judged and signed."""

    client: Client
    """As it was when this was judged."""
    issued: IssuedTokens
    entry: PreparedEntry
    refreshed: Rotation | None = None
    claim: Claim | None = None
    """What it uses up: at most one thing."""
    written: bool = False


class GrantsTogether:
    """Writes the grants of one process."""

    def __init__(self, *, database: Database, audit: AuditLog) -> None:
        self._audit = audit
        self._grants = GroupCommit(database, self._write)

    def write(self, grant: Grant) -> bool:
        """Return once the grant is durable; false when it was not written, and nothing of it was."""
        self._grants.write(grant)
        return grant.written

    def _write(self, connection: Connection, grants: Sequence[Grant]) -> None:
        good = _of_unchanged_clients(connection, _one_a_token(grants))
        # Claims before rows are locked, as in a transaction of its own: nobody waits for each other in a circle.
        first = _claimed(connection, good)
        written = _still_good(connection, first)
        give_back(connection, [grant.claim for grant in first if grant.claim and grant not in written])
        if written:
            self._write_rows(connection, written)
        for grant in written:
            grant.written = True

    def _write_rows(self, connection: Connection, grants: Sequence[Grant]) -> None:
        write_tokens(connection, [grant.issued.access for grant in grants])
        successors = [grant.issued.refresh_row for grant in grants if grant.issued.refresh_row is not None]
        if successors:
            write_refresh_tokens(connection, successors)
        used = [grant.refreshed for grant in grants if grant.refreshed is not None and grant.refreshed.used is not None]
        if used:
            connection.execute(_USE, [{"used": token.token_hash, **(token.used or {})} for token in used])
        self._audit.append_all(connection, [grant.entry for grant in grants])


def _one_a_token(grants: Sequence[Grant]) -> list[Grant]:
    seen: set[bytes] = set()
    kept = []
    for grant in grants:
        token = grant.refreshed.token_hash if grant.refreshed is not None else None
        if token is None or token not in seen:
            kept.append(grant)
        if token is not None:
            seen.add(token)
    return kept


def _of_unchanged_clients(connection: Connection, grants: Sequence[Grant]) -> list[Grant]:
    # Asked again here: between the look at client and person and this turn to write, either may have been disabled, and
    # the client's registration may have been written anew.
    revisions = active_revisions(connection, {grant.client.client_id for grant in grants})
    people = {grant.refreshed.account_id for grant in grants if grant.refreshed is not None}
    accounts = active_accounts(connection, people) if people else frozenset()
    return [
        grant
        for grant in grants
        if revisions.get(grant.client.client_id) == grant.client.revision
        and (grant.refreshed is None or grant.refreshed.account_id in accounts)
    ]


def _claimed(connection: Connection, grants: Sequence[Grant]) -> list[Grant]:
    claiming = [(grant, grant.claim) for grant in grants if grant.claim is not None]
    firsts = first_uses(connection, [claim for _, claim in claiming])
    used_before = [grant for (grant, _), first in zip(claiming, firsts, strict=True) if not first]
    return [grant for grant in grants if grant not in used_before]


def _still_good(connection: Connection, grants: Sequence[Grant]) -> list[Grant]:
    hashes = [grant.refreshed.token_hash for grant in grants if grant.refreshed is not None]
    good = frozenset(connection.scalars(_STILL_GOOD, {"hashes": hashes})) if hashes else frozenset()
    return [grant for grant in grants if grant.refreshed is None or grant.refreshed.token_hash in good]
