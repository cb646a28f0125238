"""A token for a client in its own name (RFC 6749 §4.4), for a resource it is registered for.

Systems ask for these by the thousand, and nothing that is written for one depends on another. So those that are asked
for at once share a transaction: each is judged and signed first, then all are written together.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from gateway.audit.append import AuditLog, PreparedEntry
from gateway.audit.recording import GroupCommit
from gateway.db import Database
from gateway.directory.members import active_clients
from gateway.oidc.authorization.checks import SCOPES
from gateway.oidc.tokens.access_tokens import IssuedAccessToken, write_tokens
from gateway.oidc.tokens.issuing import IssuedTokens
from gateway.oidc.tokens.token_request import GrantAsked, GrantRefused, TokenRequest
from gateway.once.once import Claim, first_uses

ISSUED = "oidc.tokens.issued"


def grant_client(request: TokenRequest) -> dict[str, Any]:
    """Issue an access token whose subject is the client itself; raises `GrantRefused`."""
    issued = _issued(request)
    write_tokens(request.session.connection(), (issued.access,))
    return request.record_issued(ISSUED, issued, family=None, account=None)


@dataclass(slots=True, kw_only=True, eq=False)
class _Grant:
    """One grant on its way: what it uses up, what it writes, and whether it was written."""

    client_id: str
    claim: Claim | None
    token: IssuedAccessToken = field(repr=False)
    entry: PreparedEntry
    written: bool = False


class GrantsTogether:
    """Grants of one process to clients in their own names."""

    def __init__(self, *, database: Database, audit: AuditLog) -> None:
        self._audit = audit
        self._grants = GroupCommit(database, self._write)

    def grant(self, asked: GrantAsked, claim: Claim | None) -> dict[str, Any] | None:
        """Issue an access token, using up `claim` if there is one; returns the answer's members once all is durable.

        None when it was not so: what is claimed was used before, or the client is not active any more. Nothing was
        written then, and the caller says what is wrong. Raises `GrantRefused` before anything is tried.
        """
        issued = _issued(asked)
        entry = self._audit.prepared(asked.issued_event(ISSUED, issued), at=asked.now)
        grant = _Grant(client_id=asked.client.client_id, claim=claim, token=issued.access, entry=entry)
        self._grants.write(grant)
        return issued.as_response() if grant.written else None

    def _write(self, connection: Connection, grants: Sequence[_Grant]) -> None:
        # Asked again here, because between the look at the client and this turn to write it may have been disabled.
        active = active_clients(connection, {grant.client_id for grant in grants})
        candidates = [grant for grant in grants if grant.client_id in active]
        claiming = [grant for grant in candidates if grant.claim is not None]
        first = first_uses(connection, [grant.claim for grant in claiming if grant.claim is not None])
        used_before = [grant for grant, is_first in zip(claiming, first, strict=True) if not is_first]
        written = [grant for grant in candidates if grant not in used_before]
        if written:
            write_tokens(connection, [grant.token for grant in written])
            self._audit.append_all(connection, [grant.entry for grant in written])
        for grant in written:
            grant.written = True


def _issued(asked: GrantAsked) -> IssuedTokens:
    for check in CHECKS:
        check(asked)
    scope = " ".join(dict.fromkeys((asked.form.one("scope") or "").split()))
    resources = asked.chosen_resources(asked.client.resources)
    return asked.issuing.for_client(asked.asked(scope=scope, resources=resources), now=asked.now)


def check_scope(asked: GrantAsked) -> None:
    """RFC 6749 §3.3: scopes it is registered for. Those of OpenID Connect are about people, which no client is."""
    allowed = set(asked.client.scopes) - set(SCOPES)
    if not set((asked.form.one("scope") or "").split()) <= allowed:
        raise GrantRefused("invalid_scope", "This client is not registered for one of these scopes")


def check_resource_is_clear(asked: GrantAsked) -> None:
    """RFC 9068 §3: with one registered resource it need not be named; of several, one has to be."""
    if not asked.resources and len(asked.client.resources) != 1:
        raise GrantRefused("invalid_target", "Name the resource this token is for")


CHECKS = (check_scope, check_resource_is_clear)
