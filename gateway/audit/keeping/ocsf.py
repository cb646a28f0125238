"""Events as the Open Cybersecurity Schema Framework has them, version 1.5.0 (schema.ocsf.io).

Classes: Authentication (3002), Account Change (3001), Entity Management (3004), API Activity (6003); what has no class
of its own is a Base Event (0). Times are milliseconds since 1970. What OCSF has no attribute for is in `unmapped`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.audit.events import EVENTS
from gateway.audit.keeping.published import PublishedEntry
from gateway.audit.keeping.reading import Details
from gateway.clock import parse_rfc3339
from gateway.wire.encoding import b64_encode

VERSION = "1.5.0"

_BASE, _ACCOUNT_CHANGE, _AUTHENTICATION, _ENTITY, _API = 0, 3001, 3002, 3004, 6003
_CATEGORIES = {_BASE: 0, _ACCOUNT_CHANGE: 3, _AUTHENTICATION: 3, _ENTITY: 3, _API: 6}
_OTHER = 99
_INFORMATIONAL, _LOW, _HIGH = 1, 2, 4
_SUCCESS, _FAILURE = 1, 2
# Outcomes of what was asked and not done; everything else was done.
_FAILED = frozenset({"refused", "failed", "abandoned"})
_UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Class:
    """An OCSF class and activity; `severity` where it is not that of the outcome."""

    uid: int
    activity: int
    severity: int | None = None


_CLASSES: Mapping[str, _Class] = {
    "identity.officer.signed_in": _Class(uid=_AUTHENTICATION, activity=1),
    "identity.citizen.signed_in": _Class(uid=_AUTHENTICATION, activity=1),
    "identity.sign_in.failed": _Class(uid=_AUTHENTICATION, activity=1),
    "identity.session.ended": _Class(uid=_AUTHENTICATION, activity=2),
    "identity.account.registered": _Class(uid=_ACCOUNT_CHANGE, activity=1),
    "identity.account.reinstated": _Class(uid=_ACCOUNT_CHANGE, activity=2),
    "identity.account.suspended": _Class(uid=_ACCOUNT_CHANGE, activity=5),
    "oidc.tokens.issued": _Class(uid=_API, activity=1),
    "oidc.tokens.refused": _Class(uid=_API, activity=1),
    "oidc.tokens.refreshed": _Class(uid=_API, activity=3),
    "oidc.client.rejected": _Class(uid=_API, activity=1),
    "oidc.code.replayed": _Class(uid=_API, activity=1, severity=_HIGH),
    "oidc.refresh_token.replayed": _Class(uid=_API, activity=3, severity=_HIGH),
    "agreements.agreement.imported": _Class(uid=_ENTITY, activity=1),
    "agreements.agreement.signed": _Class(uid=_ENTITY, activity=3),
    "agreements.agreement.suspended": _Class(uid=_ENTITY, activity=12),
    "agreements.agreement.resumed": _Class(uid=_ENTITY, activity=13),
    "sharing.objections.changed": _Class(uid=_ENTITY, activity=3),
    "sharing.restrictions.changed": _Class(uid=_ENTITY, activity=3),
    "directory.member.registered": _Class(uid=_ENTITY, activity=1),
    "directory.client.registered": _Class(uid=_ENTITY, activity=1),
    "sharing.record.disclosed": _Class(uid=_API, activity=2),
    "sharing.record.refused": _Class(uid=_API, activity=2),
    "sharing.exchange.failed": _Class(uid=_API, activity=2),
    "sharing.exchange.abandoned": _Class(uid=_API, activity=2),
    "sharing.answer.repeated": _Class(uid=_API, activity=2),
    "sharing.retry.refused": _Class(uid=_API, activity=2),
    "sharing.attachment.released": _Class(uid=_API, activity=2),
    "sharing.attachment.refused": _Class(uid=_API, activity=2),
    "sharing.request.rejected": _Class(uid=_API, activity=2),
    "oversight.exchanges.viewed": _Class(uid=_API, activity=2),
    "oversight.proof.downloaded": _Class(uid=_API, activity=2),
    "audit.details.read": _Class(uid=_API, activity=2),
    "audit.subject.erased": _Class(uid=_ENTITY, activity=4),
    "audit.details.expired": _Class(uid=_ENTITY, activity=4),
    "audit.range.archived": _Class(uid=_ENTITY, activity=5),
}


def ocsf_event(entry: PublishedEntry, details: Details | None, *, origin: str) -> dict[str, Any]:
    """Return one entry of the log `origin` as an OCSF event; `details` None where they were not asked for."""
    leaf, values = entry.leaf, details.values if details is not None else {}
    kind = _CLASSES.get(leaf.event, _Class(uid=_BASE, activity=_OTHER))
    failed = leaf.outcome in _FAILED
    registered = EVENTS.get(leaf.event)
    event = {
        "class_uid": kind.uid,
        "category_uid": _CATEGORIES[kind.uid],
        "activity_id": kind.activity,
        "type_uid": kind.uid * 100 + kind.activity,
        "time": int(parse_rfc3339(leaf.at).timestamp() * 1000),
        "severity_id": kind.severity or (_LOW if failed else _INFORMATIONAL),
        "status_id": _FAILURE if failed else _SUCCESS,
        "status_code": leaf.outcome or _UNKNOWN,
        "message": registered.description if registered is not None else leaf.event,
        "metadata": {
            "version": VERSION,
            "product": {"name": "Gateway", "vendor_name": origin},
            "uid": leaf.event_id,
            "event_code": leaf.event,
            "log_name": origin,
            "original_time": leaf.at,
            "sequence": entry.index,
        },
        "unmapped": _unmapped(entry, details),
        **_class_attributes(kind, entry, values, origin=origin),
    }
    if kind.activity == _OTHER:
        event["activity_name"] = leaf.event
    if isinstance(values.get("count"), int):
        event["count"] = values["count"]
    if values.get("reason"):
        event["status_detail"] = str(values["reason"])
    return event


def _class_attributes(kind: _Class, entry: PublishedEntry, values: Mapping[str, Any], *, origin: str) -> dict[str, Any]:
    leaf = entry.leaf
    if kind.uid == _AUTHENTICATION:
        return {"user": _user(values), "service": {"name": origin}}
    if kind.uid == _ACCOUNT_CHANGE:
        return {"user": _user(values)}
    if kind.uid == _ENTITY:
        return {"entity": {"name": leaf.reference or _first(leaf.members) or origin, "type": leaf.event.split(".")[1]}}
    if kind.uid == _API:
        asker = str(values.get("client") or values.get("by") or _first(leaf.members) or _UNKNOWN)
        return {
            "actor": {"user": _user(values), "app_uid": asker},
            "api": {"operation": leaf.event, "service": {"name": str(values.get("service") or origin)}},
            "src_endpoint": {"name": asker},
        }
    return {}


def _user(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return who acted: the log's public part names no person."""
    account = values.get("account") or values.get("officer")
    if not account:
        return {"name": _UNKNOWN, "type_id": 0}
    user: dict[str, Any] = {"uid": str(account), "type_id": 1}
    if values.get("roles"):
        user["groups"] = [{"name": str(role)} for role in values["roles"]]
    return user


def _unmapped(entry: PublishedEntry, details: Details | None) -> dict[str, Any]:
    leaf = entry.leaf
    unmapped: dict[str, Any] = {
        "members": list(leaf.members),
        "reference": leaf.reference,
        "commitment": leaf.commitment,
        "leaf_hash": b64_encode(entry.leaf_hash),
    }
    if details is not None:
        unmapped |= {"details_state": details.state, "details": dict(details.values)}
    return unmapped


def _first(members: tuple[str, ...]) -> str | None:
    return members[0] if members else None
