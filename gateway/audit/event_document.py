"""What every detail of an event means, and docs/audit-events.md, which is made from this and from the registry."""

from collections.abc import Mapping

from gateway.audit.events import EVENTS, EventType
from gateway.audit.keeping.classes import PERIODS, REASONS, Retention

FIELDS: Mapping[str, str] = {
    "account": "id of the account that acted, or that it happened to",
    "account_kind": "citizen or officer",
    "acr": "how strongly the person had signed in",
    "algorithm": "the JOSE algorithm a key signs with",
    "active": "whether the member or system may be used from then on",
    "agreement": "reference of the agreement",
    "agreement_version": "version of the agreement",
    "amr": "how the person proved who they are",
    "attempts": "how often it had been tried",
    "audience": "whom the tokens are for",
    "before": "the moment before which details of each class were forgotten, or until which a token may be used; of an "
    "address, the one before it",
    "by": "who did it, as they named themselves, or the command line",
    "case_reference": "the consumer's own reference for its case",
    "client": "id of the member's system",
    "code": "what was wrong, by our own stable word",
    "consumer": "code of the member that asked",
    "count": "how many",
    "counts": "how many of each kind of event",
    "decision": "permit or deny",
    "decision_inputs": "what the decision was made from, so that it can be made again",
    "delivery": "id of the delivery",
    "delivery_kind": "what sort of delivery it is",
    "detail": "what was wrong, in our own words",
    "digest": "digest of the agreement's canonical JSON",
    "end": "index after the last entry concerned",
    "endpoint": "the address at which a provider answers",
    "exchange": "id of the exchange",
    "family": "id that a refresh token and its successors share",
    "fields_disclosed": "names of the fields passed on",
    "fields_dropped": "names of fields the provider sent and nobody had asked for",
    "fields_requested": "names of the fields asked for",
    "fields_withheld": "names of the fields asked for and not passed on",
    "first": "index of the first entry concerned",
    "format": "in which form details were written out",
    "grant_type": "which OAuth grant was used",
    "handle": "the one-time name under which the provider's answer speaks of the person",
    "key_id": "which key was used, or destroyed",
    "key_ids": "ids of the keys registered",
    "functions": "what a member does for others here",
    "contacts": "how a member's roles are reached",
    "list": "name of the list of objections",
    "added": "how many people were added",
    "removed": "how many people, or names of people, were taken off",
    "key_number": "number of the key's file",
    "key_use": "what the key signs",
    "kind": "what sort of member it is",
    "kinds": "what the system may do",
    "legal_gateway": "the power under which the record was asked for",
    "member": "code of the member concerned",
    "minute": "the minute counted",
    "name": "what the member or system is called",
    "officer": "id of the officer's account; none when a system asked by itself",
    "officer_name": "the officer's name at that time",
    "policy_digest": "digest of the rules that decided",
    "provider": "code of the member that was asked, or would have been",
    "provider_jwt_digest": "digest of the provider's signed answer",
    "purpose": "what the record was asked for",
    "reason": "why, in our own words or those of whoever did it",
    "recipient": "id of the system it is for",
    "request_digest": "digest of the request's body",
    "resource": "for which service tokens were asked",
    "roles": "roles held at that time",
    "root": "root hash of the log at that size",
    "rows_deleted": "whether rows of the range were then deleted from the database",
    "rules": "every rule that stood against it, the person's own included",
    "scope": "what the tokens allow",
    "search": "the filters of a list that was looked at",
    "service": "id of the service asked",
    "session": "id of the signed-in session",
    "signs_from": "when the key begins to sign",
    "size": "how many entries the log had",
    "source": "network address it came from; of noise, a keyed hash of it",
    "state": "absent or lying",
    "status": "the agreement's state afterwards",
    "subject": "the person, by the gateway's own opaque reference",
    "subject_kind": "how the person was named",
    "subject_tag": "the keyed hash that named the person's key",
    "through": "the client whose token it was",
    "token": "id of the token",
    "version": "version of the agreement",
    "witness": "name of the witness",
}
"""Every detail any event may carry; one name means one thing wherever it stands."""

_INTRODUCTION = """\
# Audit events

Every event the gateway can record. This page is written by `gateway audit events`; do not edit it.

Public, in the leaf of the log: the event's name and id, the time, the members concerned, the outcome, a
reference where there is one, and a salted commitment to the details. The details themselves are encrypted
under the key of the person they are about, and are read by those whose role allows it, which is recorded too.
No event carries a value of any record.

## How long details are kept

Entries and proofs stay for ever; details are forgotten after their class's time. `GATEWAY_RETENTION` changes
times ([operations.md](operations.md#retention-and-archives)).

| class | days | because of |
|---|---|---|
"""


def events_document() -> str:
    """Return docs/audit-events.md: the registry as a document for people."""
    lines = [_INTRODUCTION.rstrip("\n")]
    for kind in Retention:
        period = PERIODS[kind]
        lines.append(f"| {kind} | {period.days if period is not None else 'for ever'} | {REASONS[kind]} |")
    lines += ["", "## Events", ""]
    for event in sorted(EVENTS.values(), key=lambda event: event.name):
        lines += _described(event)
    lines += ["## Details", "", "| field | means |", "|---|---|"]
    lines += [f"| `{name}` | {meaning} |" for name, meaning in sorted(FIELDS.items())]
    return "\n".join(lines) + "\n"


def _described(event: EventType) -> list[str]:
    return [
        f"### {event.name}",
        "",
        event.description,
        "",
        f"- Outcome: {', '.join(event.outcomes)}",
        f"- Kept: {event.retention}",
        f"- Details: {', '.join(f'`{name}`' for name in event.fields)}",
        "",
    ]
