"""What happens to a registration, each with its event: written, its keys or secret changed, disabled, enabled again."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import delete, update
from sqlalchemy.orm import Session

from gateway.audit.append import AuditLog, Event
from gateway.audit.events import DONE
from gateway.directory.members import Client, find_registration
from gateway.directory.registration import register_client
from gateway.errors import GatewayError, Kind
from gateway.oidc.authorization.fapi import fapi_problems
from gateway.oidc.clients.addresses import AddressRules
from gateway.oidc.clients.key_rules import check_any_key, check_each_has_one_use, is_for_encryption
from gateway.oidc.clients.key_sets import LARGEST_BYTES, SECONDS
from gateway.oidc.clients.metadata_rules import SECRET_METHODS
from gateway.oidc.clients.registration_tokens import forget_registration_token
from gateway.oidc.clients.secrets import ClientSecrets, NewSecret, forget_secrets
from gateway.oidc.clients.submission import Surroundings
from gateway.oidc.models import AccessTokenRow, AuthorizationRow
from gateway.outgoing.http_client import HttpClient
from gateway.wire.encoding import parse_json
from gateway.wire.keys import Jwk


class ClientUnknown(GatewayError):
    """There is no such client."""

    kind = Kind.NOT_FOUND
    code = "client_unknown"
    title = "There is no client with this client_id"


class ChangeRefused(GatewayError):
    """A change that would leave a registration that cannot work. Nothing was changed."""

    kind = Kind.INVALID
    code = "change_refused"
    title = "The registration cannot be changed so"


@dataclass(frozen=True, slots=True, kw_only=True)
class Registrar:
    """Writes the registrations of one gateway. Every method is called in the caller's transaction."""

    audit: AuditLog
    secrets: ClientSecrets

    def write(self, session: Session, client: Client, *, by: str, now: datetime) -> NewSecret | None:
        """Write a client, new or changed; returns a secret where it needs one and had none."""
        found = find_registration(session, client.client_id)
        had_secret = found is not None and _has_secret(found[0])
        register_client(session, client, audit=self.audit, by=by, at=now)
        if not _has_secret(client):
            forget_secrets(session, client.client_id)
            return None
        return None if had_secret else self.secrets.issue_secret(session, client.client_id, now=now)

    def add_key(self, session: Session, client_id: str, key: Jwk, *, by: str, now: datetime) -> None:
        """Add a public key; those before it go on working."""
        client = self.registered(session, client_id)
        if client.oauth.jwks_uri is not None:
            raise ChangeRefused("The keys of this client are at its jwks_uri: add the key there")
        held = (*client.keys, *client.encryption_keys)
        check_any_key(key)
        check_each_has_one_use((key, *held))
        if any(one.get("kid") == key["kid"] for one in held):
            raise ChangeRefused(f"The client has a key with the kid {key['kid']} already")
        if is_for_encryption(key):
            changed = replace(client, encryption_keys=(*client.encryption_keys, key))
        else:
            changed = replace(client, keys=(*client.keys, key))
        self._change(session, changed, by=by, now=now)

    def remove_key(self, session: Session, client_id: str, kid: str, *, by: str, now: datetime) -> None:
        """Remove a public key: what it signed is refused, and nothing is encrypted to it, from then on."""
        client = self.registered(session, client_id)
        left, sealing = _without(client.keys, kid), _without(client.encryption_keys, kid)
        if (left, sealing) == (client.keys, client.encryption_keys):
            raise ChangeRefused("The client has no key with this kid; `gateway clients show` lists them")
        if client.keys and not left:
            raise ChangeRefused("This is the client's only key: add the new one first, or disable the client")
        self._change(session, replace(client, keys=left, encryption_keys=sealing), by=by, now=now)

    def rotate_secret(
        self, session: Session, client_id: str, *, overlap: timedelta, by: str, now: datetime
    ) -> NewSecret:
        """Make a new secret; the one before works for `overlap` longer."""
        client = self.registered(session, client_id)
        if not _has_secret(client):
            raise ChangeRefused(f"This client has no secret: it uses {client.oauth.token_endpoint_auth_method}")
        made = self.secrets.issue_secret(session, client_id, now=now, overlap=overlap)
        self._append(session, "directory.client.secret_rotated", client, {"by": by}, now=now)
        return made

    def disable(self, session: Session, client_id: str, *, by: str, reason: str | None, now: datetime) -> None:
        """Stop a client at once: it is authenticated no more, and every token it has is dead. Its rows stay."""
        client = self.registered(session, client_id)
        if not client.active:
            raise ChangeRefused("This client is disabled already")
        self._change(session, replace(client, active=False), by=by, now=now)
        revoke_tokens_of(session, client_id, now=now)
        details = {"by": by} | ({"reason": reason} if reason else {})
        self._append(session, "directory.client.disabled", client, details, now=now)

    def enable(self, session: Session, client_id: str, *, by: str, now: datetime) -> None:
        """Let a disabled client work again; tokens it had stay dead."""
        client = self.registered(session, client_id)
        if client.active:
            raise ChangeRefused("This client is not disabled")
        self._change(session, replace(client, active=True), by=by, now=now)
        self._append(session, "directory.client.enabled", client, {"by": by}, now=now)

    def end(self, session: Session, client_id: str, *, by: str, now: datetime) -> None:
        """End a registration for good, as its client asks (RFC 7592 §2.3); the rows are evidence, and stay."""
        self.disable(session, client_id, by=by, reason="deregistered", now=now)
        forget_registration_token(session, client_id)
        forget_secrets(session, client_id)

    def registered(self, session: Session, client_id: str) -> Client:
        """Return a client, active or not; raises `ClientUnknown`."""
        found = find_registration(session, client_id)
        if found is None:
            raise ClientUnknown
        return found[0]

    def _change(self, session: Session, client: Client, *, by: str, now: datetime) -> None:
        register_client(session, client, audit=self.audit, by=by, at=now)

    def _append(
        self, session: Session, name: str, client: Client, details: Mapping[str, object], *, now: datetime
    ) -> None:
        facts = {"client": client.client_id, "member": client.member_code, **details}
        event = Event(name=name, outcome=DONE, members=(client.member_code,), details=facts)
        self.audit.append(session, event, at=now)


def revoke_tokens_of(session: Session, client_id: str, *, now: datetime) -> None:
    """Revoke everything a client was given: families of tokens, and tokens in its own name."""
    session.execute(
        update(AuthorizationRow)
        .where(AuthorizationRow.client_id == client_id, AuthorizationRow.revoked_at.is_(None))
        .values(revoked_at=now)
    )
    session.execute(delete(AccessTokenRow).where(AccessTokenRow.client_id == client_id))


def fapi_rule(*, plain_http: bool) -> Callable[[Client], tuple[str, ...]]:
    """Return the rule for a client that claims to keep to FAPI 2.0."""
    return lambda client: fapi_problems(client, plain_http=plain_http) if client.oauth.fapi2 else ()


def surroundings_of(http: HttpClient, *, issuer: str, plain_http: bool, auth_methods: tuple[str, ...]) -> Surroundings:
    """Return what the rules of metadata ask of a deployment."""

    def fetch_sector(uri: str) -> object:
        answer = http.request(
            "GET",
            uri,
            headers={"Accept": "application/json"},
            timeout_seconds=SECONDS,
            max_bytes=LARGEST_BYTES,
        )
        if answer.status != 200:  # noqa: PLR2004 - HTTP's own number
            raise ChangeRefused(f"It answered with status {answer.status}; redirects are not followed")
        return parse_json(answer.body)

    return Surroundings(
        addresses=AddressRules(allow_loopback_http=plain_http, issuer=issuer),
        fetch_sector=fetch_sector,
        auth_methods=auth_methods,
    )


def _without(keys: tuple[Jwk, ...], kid: str) -> tuple[Jwk, ...]:
    return tuple(key for key in keys if key.get("kid") != kid)


def _has_secret(client: Client) -> bool:
    return client.oauth.token_endpoint_auth_method in SECRET_METHODS
