"""Register members and their systems so that the log knows of it: who takes part, and with which keys, is evidence."""

from datetime import datetime

from sqlalchemy.orm import Session

from gateway.audit.append import AuditLog, Event
from gateway.directory.members import Client, Jwk, Member, record_client, record_member


def register_member(session: Session, member: Member, *, audit: AuditLog, by: str, at: datetime) -> None:
    """Write a member, new or changed, and its event; writing what is there already changes nothing."""
    if not record_member(session, member, at=at):
        return
    details = {
        "member": member.code,
        "name": member.name,
        "kind": member.kind,
        "active": member.active,
        "key_ids": _key_ids(member.keys),
        "functions": list(member.functions),
        "contacts": [f"{contact.role}: {contact.email}, {contact.telephone}" for contact in member.contacts],
        "by": by,
    }
    _append(session, audit, "directory.member.registered", member.code, details, at=at)


def register_client(session: Session, client: Client, *, audit: AuditLog, by: str, at: datetime) -> None:
    """Write a member's system, new or changed, and its event; writing what is there already changes nothing."""
    if not record_client(session, client, at=at):
        return
    details = {
        "member": client.member_code,
        "client": client.client_id,
        "name": client.name,
        "kinds": [kind.value for kind in client.kinds],
        "active": client.active,
        "key_ids": _key_ids((*client.keys, *client.encryption_keys)),
        "by": by,
    }
    _append(session, audit, "directory.client.registered", client.member_code, details, at=at)


def _key_ids(keys: tuple[Jwk, ...]) -> list[str]:
    return [str(key.get("kid")) for key in keys]


def _append(
    session: Session, audit: AuditLog, name: str, member: str, details: dict[str, object], *, at: datetime
) -> None:
    audit.append(session, Event(name=name, outcome="done", members=(member,), details=details), at=at)
