"""Events as the Elastic Common Schema has them, version 8.12.

What ECS has no field for is under `gateway`, as it asks of custom fields: a name that no field set of its own bears.
"""

from collections.abc import Mapping
from typing import Any

from gateway.audit.events import EVENTS
from gateway.audit.keeping.published import PublishedEntry
from gateway.audit.keeping.reading import Details
from gateway.wire.encoding import b64_encode

VERSION = "8.12.0"

_FAILED = frozenset({"refused", "failed", "abandoned"})
# Category and types (ECS categorisation fields) of an event, by the beginning of its name; the longest wins.
_CATEGORIES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "identity.": ("authentication", ("info",)),
    "identity.officer.signed_in": ("authentication", ("start",)),
    "identity.citizen.signed_in": ("authentication", ("start",)),
    "identity.sign_in.failed": ("authentication", ("start",)),
    "identity.session.ended": ("session", ("end",)),
    "identity.account.": ("iam", ("user", "change")),
    "identity.account.registered": ("iam", ("user", "creation")),
    "oidc.": ("authentication", ("info",)),
    "sharing.": ("api", ("access",)),
    "oversight.": ("api", ("access",)),
    "agreements.": ("configuration", ("change",)),
    "agreements.agreement.imported": ("configuration", ("creation",)),
    "directory.": ("configuration", ("change",)),
    "audit.": ("api", ("info",)),
    "audit.details.read": ("api", ("access",)),
    "audit.details.expired": ("api", ("deletion",)),
    "audit.subject.erased": ("api", ("deletion",)),
}


def ecs_event(entry: PublishedEntry, details: Details | None, *, origin: str) -> dict[str, Any]:
    """Return one entry of the log `origin` as an ECS document; `details` None where they were not asked for."""
    leaf, values = entry.leaf, details.values if details is not None else {}
    registered = EVENTS.get(leaf.event)
    category, types = _category(leaf.event)
    failed = leaf.outcome in _FAILED
    event: dict[str, Any] = {
        "kind": "event",
        "category": [category],
        "type": [*types, "denied"] if failed and category == "api" else list(types),
        "outcome": "failure" if failed else "success",
        "action": leaf.event,
        "id": leaf.event_id,
        "module": "gateway",
        "dataset": "gateway.audit",
        "provider": origin,
        "sequence": entry.index,
        "hash": b64_encode(entry.leaf_hash),
    }
    if values.get("reason"):
        event["reason"] = str(values["reason"])
    document: dict[str, Any] = {
        "@timestamp": leaf.at,
        "ecs": {"version": VERSION},
        "message": registered.description if registered is not None else leaf.event,
        "event": event,
        "gateway": _own(entry, details),
    }
    if leaf.members:
        document["organization"] = {"id": leaf.members[0]}
    if account := values.get("account") or values.get("officer"):
        roles = values.get("roles")
        document["user"] = {"id": str(account), **({"roles": list(roles)} if roles else {})}
    return document


def _category(name: str) -> tuple[str, tuple[str, ...]]:
    known = [beginning for beginning in _CATEGORIES if name.startswith(beginning)]
    return _CATEGORIES[max(known, key=len)] if known else ("api", ("info",))


def _own(entry: PublishedEntry, details: Details | None) -> dict[str, Any]:
    leaf = entry.leaf
    own: dict[str, Any] = {
        "members": list(leaf.members),
        "outcome": leaf.outcome,
        "reference": leaf.reference,
        "commitment": leaf.commitment,
    }
    if details is not None:
        own |= {"details_state": details.state, "details": dict(details.values)}
    return own
