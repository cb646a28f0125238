"""Questions and changes about members and clients, as values that need no session."""

import time
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeAlias

from sqlalchemy import Connection, bindparam, select
from sqlalchemy.orm import Session

from gateway.directory.models import ClientRow, MemberRow
from gateway.directory.oauth import OAuthSettings
from gateway.release_lock import wait_for_releases

Jwk: TypeAlias = Mapping[str, Any]


OVERSIGHT_BODY = "oversight body"
"""The kind of member whose auditors may see what others asked."""


class ClientKind(StrEnum):
    """What a client does here; one client may do several."""

    RELYING_PARTY = "relying_party"
    CONSUMER = "consumer"
    PROVIDER = "provider"


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberContact:
    """How to reach a role at a member; never a named person."""

    role: str
    email: str
    telephone: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """An organisation. `code` is its short name in every contract: a slug (`dwp`) or a GSS code (`E06000008`)."""

    code: str
    name: str
    kind: str
    active: bool = True
    keys: tuple[Jwk, ...] = ()
    """Public keys with which the member signs agreements."""
    functions: tuple[str, ...] = ()
    """What it does for others here, in words: `benefits`, `human resources`."""
    contacts: tuple[MemberContact, ...] = ()
    """At most one for each role."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A member's system, with its public keys and what it may ask for. Deny by default: every list starts empty."""

    client_id: str
    member_code: str
    name: str
    kinds: tuple[ClientKind, ...]
    active: bool = True
    keys: tuple[Jwk, ...] = ()
    """With which it signs. Only these verify anything."""
    encryption_keys: tuple[Jwk, ...] = ()
    """To which may be encrypted what only it should read (RFC 7517 §4.2: `use` is `enc`)."""
    redirect_uris: tuple[str, ...] = ()
    post_logout_redirect_uris: tuple[str, ...] = ()
    grant_types: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    """Resource identifiers (RFC 8707) for which this client may have access tokens."""
    account_kinds: tuple[str, ...] = ()
    """Which kinds of account (`citizen`, `officer`) may sign in to this client."""
    sector: str = ""
    """The pairwise sector: the member's code unless the client declares its own sector identifier."""
    oauth: OAuthSettings = field(default_factory=OAuthSettings)
    """What its registration says about OAuth and OpenID Connect."""
    revision: str = field(default="", compare=False, repr=False)
    """Which writing of the registration this is; made by the database's side, and no part of what is registered."""

    def key(self, kid: str) -> Jwk | None:
        """Return the registered public key with this `kid`, or `None`."""
        return next((key for key in self.keys if key.get("kid") == kid), None)


def client_name(client_id: str) -> str:
    """Return how `release_lock` names a client."""
    return f"client {client_id}"


def member_name(code: str) -> str:
    """Return how `release_lock` names a member."""
    return f"member {code}"


_ACTIVE_REVISION = (
    select(ClientRow.revision)
    .join(MemberRow, MemberRow.code == ClientRow.member_code)
    .where(ClientRow.client_id == bindparam("client_id"), ClientRow.active, MemberRow.active)
)
MOST_SEEN = 1000
# A release from before there were revisions changes a client without making a new one, while both run side by side.
SEEN_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    revision: str
    client: Client
    until: float


_SEEN: dict[str, _Seen] = {}


def find_member(session: Session, code: str) -> Member | None:
    """Return the active member with this code."""
    row = session.get(MemberRow, code)
    return _member(row) if row is not None and row.active else None


_ACTIVE_MEMBER_KEYS = select(MemberRow.code, MemberRow.jwks).where(
    MemberRow.code.in_(bindparam("codes", expanding=True)), MemberRow.active
)


def active_member_keys(session: Session, codes: Collection[str]) -> dict[str, tuple[Jwk, ...]]:
    """Return the keys with which these members sign agreements; one that is not active is left out."""
    found = session.connection().execute(_ACTIVE_MEMBER_KEYS, {"codes": list(codes)})
    return {code: tuple(jwks["keys"]) for code, jwks in found}


def find_client(session: Session, client_id: str) -> Client | None:
    """Return the active client with this id, if its member is active too.

    Every request asks this, so the database is asked each time whether the client is active and which revision of it is
    there, and for all the rest only when that is another one than this process has seen lately.
    """
    # On the connection itself: a session makes half as much again of a question this small.
    revision = session.connection().scalar(_ACTIVE_REVISION, {"client_id": client_id})
    if revision is None:
        return None
    kept = _SEEN.get(client_id)
    if kept is not None and kept.revision == revision and time.monotonic() < kept.until:
        return kept.client
    row = session.get(ClientRow, client_id)
    if row is None or not row.active:
        return None
    client = _client(row)
    if row.revision:  # what was registered before revisions were kept has none
        if len(_SEEN) >= MOST_SEEN:
            _SEEN.clear()
        _SEEN[client_id] = _Seen(revision=row.revision, client=client, until=time.monotonic() + SEEN_SECONDS)
    return client


def find_registration(session: Session, client_id: str) -> tuple[Client, datetime] | None:
    """Return the client with this id, inactive or not, and when it was first registered."""
    row = session.get(ClientRow, client_id)
    return (_client(row), row.created_at) if row is not None else None


def active_revisions(connection: Connection, client_ids: Collection[str]) -> dict[str, str]:
    """Return the revision of each of these clients that is active, and whose member is too."""
    # One after the other: they are few, and a question about several is made anew each time.
    found = {one: connection.scalar(_ACTIVE_REVISION, {"client_id": one}) for one in client_ids}
    return {client_id: revision for client_id, revision in found.items() if revision is not None}


def list_members(session: Session) -> tuple[Member, ...]:
    """Return every member, inactive ones included, by code."""
    return tuple(_member(row) for row in session.scalars(select(MemberRow).order_by(MemberRow.code)))


def list_clients(session: Session) -> tuple[Client, ...]:
    """Return every client, inactive ones included, by id."""
    return tuple(_client(row) for row in session.scalars(select(ClientRow).order_by(ClientRow.client_id)))


def record_member(session: Session, member: Member, *, at: datetime) -> bool:
    """Write a member, new or changed; tells whether that changed anything. The log is `registration`'s business."""
    row = session.get(MemberRow, member.code)
    if row is not None and _member(row) == member:
        return False
    if row is not None:
        wait_for_releases(session, member_name(member.code))
    row = row or MemberRow(code=member.code, created_at=at)
    row.name, row.kind, row.active = member.name, member.kind, member.active
    row.jwks = {"keys": [dict(key) for key in member.keys]}
    row.functions = list(member.functions)
    row.contacts = [asdict(contact) for contact in member.contacts]
    session.add(row)
    session.flush()
    return True


def record_client(session: Session, client: Client, *, at: datetime) -> bool:
    """Write a client, new or changed; tells whether that changed anything. The log is `registration`'s business."""
    row = session.get(ClientRow, client.client_id)
    if row is not None and _client(row) == replace(client, sector=client.sector or client.member_code):
        return False
    if row is not None:
        wait_for_releases(session, client_name(client.client_id))
    row = row or ClientRow(client_id=client.client_id, created_at=at)
    values = asdict(client)
    row.jwks = {"keys": [dict(key) for key in (*values.pop("keys"), *values.pop("encryption_keys"))]}
    row.sector = values.pop("sector") or client.member_code
    row.oauth = client.oauth.as_stored()
    del values["oauth"], values["revision"]
    for name in ("client_id", "member_code", "name", "active"):
        setattr(row, name, values.pop(name))
    for name, items in values.items():
        setattr(row, name, [str(item) for item in items])
    session.add(row)
    session.flush()
    return True


def _member(row: MemberRow) -> Member:
    return Member(
        code=row.code,
        name=row.name,
        kind=row.kind,
        active=row.active,
        keys=tuple(row.jwks["keys"]),
        functions=tuple(row.functions or ()),
        contacts=tuple(MemberContact(**contact) for contact in row.contacts or ()),
    )


def _client(row: ClientRow) -> Client:
    return Client(
        client_id=row.client_id,
        member_code=row.member_code,
        name=row.name,
        kinds=tuple(ClientKind(kind) for kind in row.kinds),
        active=row.active,
        keys=tuple(key for key in row.jwks["keys"] if key.get("use") != "enc"),
        encryption_keys=tuple(key for key in row.jwks["keys"] if key.get("use") == "enc"),
        redirect_uris=tuple(row.redirect_uris),
        post_logout_redirect_uris=tuple(row.post_logout_redirect_uris),
        grant_types=tuple(row.grant_types),
        scopes=tuple(row.scopes),
        resources=tuple(row.resources),
        account_kinds=tuple(row.account_kinds),
        sector=row.sector,
        oauth=OAuthSettings.from_stored(row.oauth),
        revision=row.revision,
    )
