"""The registry: every event the gateway can record. What is not here cannot be written.

A name is a fact in the past tense, `room.thing.happened`. Name, time, members, outcome and reference are public in
the log's leaf; the details are encrypted, and only a salted commitment to them is public. To record something new, add
it here, give every new detail its meaning in `event_document`, and remake docs/audit-events.md with
`gateway audit events`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.audit.errors import UnknownEvent
from gateway.audit.keeping.classes import Retention


@dataclass(frozen=True, slots=True, kw_only=True)
class EventType:
    """One kind of event: what it states, the details it may carry, the outcomes it may have, how long they are kept."""

    name: str
    description: str
    fields: tuple[str, ...]
    outcomes: tuple[str, ...]
    retention: Retention


# The outcome of something that was done, and of something that was asked and not done. The four outcomes of an
# exchange have names of their own, the same as in its receipt.
DONE = "done"
REFUSED = "refused"

_EXCHANGE = (
    "exchange",
    "client",
    "consumer",
    "provider",
    "officer",
    "officer_name",
    "roles",
    "acr",
    "service",
    "purpose",
    "legal_gateway",
    "agreement",
    "agreement_version",
    "policy_digest",
    "decision",
    "rules",
    "decision_inputs",
    "subject",
    "subject_kind",
    "handle",
    "case_reference",
    "fields_requested",
    "fields_disclosed",
    "fields_withheld",
    "fields_dropped",
    "request_digest",
    "provider_jwt_digest",
    "reason",
)
_SIGN_IN = ("account", "account_kind", "member", "roles", "session", "client", "acr", "amr", "source", "reason")
_TOKENS = (
    "client",
    "member",
    "account",
    "account_kind",
    "roles",
    "grant_type",
    "scope",
    "resource",
    "audience",
    "acr",
    "session",
    "family",
    "token",
    "source",
    "reason",
    "code",
    "key_id",
)
_AGREEMENT = (
    "agreement",
    "version",
    "consumer",
    "provider",
    "service",
    "member",
    "digest",
    "key_id",
    "status",
    "by",
    "reason",
)
_DELIVERY = ("delivery", "delivery_kind", "recipient", "attempts", "reason")
_DIRECTORY = ("member", "client", "name", "kind", "kinds", "key_ids", "functions", "contacts", "active", "by")
_REGISTRATION = ("member", "client", "by", "reason")

_TYPES = (
    EventType(
        name="sharing.record.disclosed",
        description="A record was disclosed to a consumer under an agreement. The reference is the exchange id.",
        fields=_EXCHANGE,
        outcomes=("disclosed",),
        retention=Retention.DISCLOSURES,
    ),
    EventType(
        name="sharing.record.refused",
        description="A request for a record was understood and refused by policy. The reference is the exchange id.",
        fields=_EXCHANGE,
        outcomes=(REFUSED,),
        retention=Retention.DISCLOSURES,
    ),
    EventType(
        name="sharing.exchange.failed",
        description="A permitted exchange ended without an answer, most often through the provider's fault.",
        fields=_EXCHANGE,
        outcomes=("failed",),
        retention=Retention.DISCLOSURES,
    ),
    EventType(
        name="sharing.exchange.abandoned",
        description="An exchange whose lease ran out was closed by recovery; nothing was released.",
        fields=_EXCHANGE,
        outcomes=("abandoned",),
        retention=Retention.DISCLOSURES,
    ),
    EventType(
        name="sharing.answer.repeated",
        description="An honest retry was given the original answer once more. The reference is the exchange id.",
        fields=_EXCHANGE,
        outcomes=("repeated",),
        retention=Retention.DISCLOSURES,
    ),
    EventType(
        name="sharing.retry.refused",
        description="A retry was refused: what was permitted at first is no longer. The reference is the exchange id.",
        fields=_EXCHANGE,
        outcomes=(REFUSED,),
        retention=Retention.DISCLOSURES,
    ),
    EventType(
        name="sharing.attachment.released",
        description="A document of a disclosed record was about to be sent: for the first time, or once more to an "
        "honest retry. The reference is the exchange id.",
        fields=_EXCHANGE,
        outcomes=("released", "repeated"),
        retention=Retention.DISCLOSURES,
    ),
    EventType(
        name="sharing.attachment.refused",
        description="A document of a disclosed record was not sent, or not to its end: what was permitted at first is "
        "no longer. The reference is the exchange id.",
        fields=_EXCHANGE,
        outcomes=(REFUSED,),
        retention=Retention.DISCLOSURES,
    ),
    EventType(
        name="sharing.request.rejected",
        description="A known client sent a request that was malformed, replayed, stale or wrongly signed.",
        fields=(*_EXCHANGE, "code", "detail", "source", "key_id"),
        outcomes=(REFUSED,),
        retention=Retention.DISCLOSURES,
    ),
    EventType(
        name="identity.officer.signed_in",
        description="An officer of a member signed in, or stepped up to a stronger level.",
        fields=_SIGN_IN,
        outcomes=(DONE,),
        retention=Retention.SIGN_INS,
    ),
    EventType(
        name="identity.citizen.signed_in",
        description="A citizen signed in, or stepped up to a stronger level.",
        fields=_SIGN_IN,
        outcomes=(DONE,),
        retention=Retention.SIGN_INS,
    ),
    EventType(
        name="identity.sign_in.failed",
        description="Signing in failed: wrong password or code, suspended, or nobody we know. "
        "In public these look the same.",
        fields=_SIGN_IN,
        outcomes=(REFUSED,),
        retention=Retention.SIGN_INS,
    ),
    EventType(
        name="identity.session.ended",
        description="A signed-in session ended: by signing out, by its time, or because somebody ended it.",
        fields=(*_SIGN_IN, "by"),
        outcomes=(DONE,),
        retention=Retention.SIGN_INS,
    ),
    EventType(
        name="identity.account.registered",
        description="An account was made, with its kind, member and roles.",
        fields=("account", "account_kind", "member", "roles", "by"),
        outcomes=(DONE,),
        retention=Retention.AGREEMENTS,
    ),
    EventType(
        name="identity.account.suspended",
        description="An account was suspended: it can no longer sign in, and its sessions end.",
        fields=("account", "account_kind", "member", "by", "reason"),
        outcomes=(DONE,),
        retention=Retention.AGREEMENTS,
    ),
    EventType(
        name="identity.account.reinstated",
        description="A suspended account may sign in again.",
        fields=("account", "account_kind", "member", "by"),
        outcomes=(DONE,),
        retention=Retention.AGREEMENTS,
    ),
    EventType(
        name="oidc.authorization.refused",
        description="A client asked about somebody who is signed in, and was refused: by a rule, or by that person.",
        fields=_TOKENS,
        outcomes=(REFUSED,),
        retention=Retention.TOKENS,
    ),
    EventType(
        name="oidc.tokens.issued",
        description="A client received tokens for a code or in its own name.",
        fields=_TOKENS,
        outcomes=(DONE,),
        retention=Retention.TOKENS,
    ),
    EventType(
        name="oidc.tokens.refused",
        description="An authenticated client asked for tokens it may not have.",
        fields=_TOKENS,
        outcomes=(REFUSED,),
        retention=Retention.TOKENS,
    ),
    EventType(
        name="oidc.tokens.refreshed",
        description="A client exchanged a refresh token for new tokens.",
        fields=_TOKENS,
        outcomes=(DONE,),
        retention=Retention.TOKENS,
    ),
    EventType(
        name="oidc.request.refused",
        description="An authenticated client pushed an authorization request that it may not make.",
        fields=_TOKENS,
        outcomes=(REFUSED,),
        retention=Retention.TOKENS,
    ),
    EventType(
        name="oidc.client.rejected",
        description="An assertion named a known client and failed: bad signature, wrong audience, expired, replayed. "
        "The member is named publicly only when the client's own key had signed it.",
        fields=_TOKENS,
        outcomes=(REFUSED,),
        retention=Retention.TOKENS,
    ),
    EventType(
        name="oidc.code.replayed",
        description="An authorization code was used again; the tokens of its first use were revoked.",
        fields=_TOKENS,
        outcomes=(REFUSED,),
        retention=Retention.TOKENS,
    ),
    EventType(
        name="oidc.refresh_token.replayed",
        description="A refresh token was used again; every token of its family was revoked.",
        fields=_TOKENS,
        outcomes=(REFUSED,),
        retention=Retention.TOKENS,
    ),
    EventType(
        name="oidc.tokens.repeated",
        description="A client asked for the answer to a refresh once more, within the grace, and was given the same.",
        fields=_TOKENS,
        outcomes=(DONE,),
        retention=Retention.TOKENS,
    ),
    EventType(
        name="oidc.tokens.exchanged",
        description="A system received a token to act for an officer, through the system that gave it theirs.",
        fields=(*_TOKENS, "through"),
        outcomes=(DONE,),
        retention=Retention.TOKENS,
    ),
    EventType(
        name="oidc.tokens.revoked",
        description="A client gave a token back; with a refresh token, every token of its family was revoked.",
        fields=_TOKENS,
        outcomes=(DONE,),
        retention=Retention.TOKENS,
    ),
    EventType(
        name="oidc.revocation.refused",
        description="A client tried to revoke a token that is not its own; nothing was changed.",
        fields=_TOKENS,
        outcomes=(REFUSED,),
        retention=Retention.TOKENS,
    ),
    EventType(
        name="oidc.token.introspected",
        description="A resource server learned what a token says; recorded the first time that it asks about this one.",
        fields=(*_TOKENS, "through"),
        outcomes=(DONE,),
        retention=Retention.TOKENS,
    ),
    EventType(
        name="oidc.introspection.refused",
        description="A client asked about a good token that is neither its own nor for a resource it serves.",
        fields=(*_TOKENS, "through"),
        outcomes=(REFUSED,),
        retention=Retention.TOKENS,
    ),
    EventType(
        name="oidc.access_token.refused",
        description="A good access token was shown where it opens nothing: at another resource, without the key it is "
        "bound to, without the scope. Whoever showed it has not proved to be its client.",
        fields=_TOKENS,
        outcomes=(REFUSED,),
        retention=Retention.TOKENS,
    ),
    EventType(
        name="oidc.logout.refused",
        description="A request to sign out was refused: a relying party's that does not hold, or a form that was not "
        "ours. Nobody was signed out.",
        fields=("client", "member", "account", "account_kind", "session", "code", "reason", "source"),
        outcomes=(REFUSED,),
        retention=Retention.SIGN_INS,
    ),
    EventType(
        name="agreements.agreement.imported",
        description="An agreement was read into the database, as a draft unless both signatures verified.",
        fields=_AGREEMENT,
        outcomes=(DONE,),
        retention=Retention.AGREEMENTS,
    ),
    EventType(
        name="agreements.agreement.signed",
        description="A member's signature over an agreement was verified and recorded.",
        fields=_AGREEMENT,
        outcomes=(DONE,),
        retention=Retention.AGREEMENTS,
    ),
    EventType(
        name="agreements.agreement.suspended",
        description="An agreement was suspended: nothing is released under it after this commits.",
        fields=_AGREEMENT,
        outcomes=(DONE,),
        retention=Retention.AGREEMENTS,
    ),
    EventType(
        name="agreements.agreement.resumed",
        description="A suspended agreement was put in force again.",
        fields=_AGREEMENT,
        outcomes=(DONE,),
        retention=Retention.AGREEMENTS,
    ),
    EventType(
        name="directory.client.registered",
        description="A member's system was registered or changed.",
        fields=_DIRECTORY,
        outcomes=(DONE,),
        retention=Retention.AGREEMENTS,
    ),
    EventType(
        name="directory.client.disabled",
        description="A member's system was disabled: it is authenticated no more, and the tokens it had are revoked.",
        fields=_REGISTRATION,
        outcomes=(DONE,),
        retention=Retention.AGREEMENTS,
    ),
    EventType(
        name="directory.client.enabled",
        description="A disabled system may be used again; tokens it had stay revoked.",
        fields=_REGISTRATION,
        outcomes=(DONE,),
        retention=Retention.AGREEMENTS,
    ),
    EventType(
        name="directory.client.secret_rotated",
        description="A system that authenticates with a secret, as an exception, was given a new one.",
        fields=_REGISTRATION,
        outcomes=(DONE,),
        retention=Retention.AGREEMENTS,
    ),
    EventType(
        name="directory.registration_token.issued",
        description="A token was made with which systems of one member may be registered, so many and until then.",
        fields=("member", "token", "kinds", "scope", "resource", "count", "before", "by"),
        outcomes=(DONE,),
        retention=Retention.AGREEMENTS,
    ),
    EventType(
        name="directory.registration.refused",
        description="A registration, or a change of one, was asked for with a token that allows it, and refused.",
        fields=("member", "client", "code", "reason", "source"),
        outcomes=(REFUSED,),
        retention=Retention.TOKENS,
    ),
    EventType(
        name="sharing.objections.changed",
        description="People were put on a list of objections, or taken off it.",
        fields=("list", "added", "removed", "by", "reason"),
        outcomes=(DONE,),
        retention=Retention.AGREEMENTS,
    ),
    EventType(
        name="sharing.restrictions.changed",
        description="A person was restricted for a service (* is every one): nothing is told of them; or that ended.",
        fields=("service", "added", "removed", "by", "reason"),
        outcomes=(DONE,),
        retention=Retention.AGREEMENTS,
    ),
    EventType(
        name="sharing.service.endpoint_changed",
        description="The address at which a provider answers a service was recorded or changed.",
        fields=("service", "provider", "endpoint", "before", "by"),
        outcomes=(DONE,),
        retention=Retention.AGREEMENTS,
    ),
    EventType(
        name="directory.member.registered",
        description="A member was registered or changed.",
        fields=_DIRECTORY,
        outcomes=(DONE,),
        retention=Retention.AGREEMENTS,
    ),
    EventType(
        name="oversight.exchanges.viewed",
        description="An auditor looked at exchanges: the search, or one exchange in full.",
        fields=("account", "member", "roles", "exchange", "search", "count", "session"),
        outcomes=(DONE,),
        retention=Retention.OVERSIGHT,
    ),
    EventType(
        name="oversight.proof.downloaded",
        description="An auditor downloaded the proof of one exchange.",
        fields=("account", "member", "roles", "exchange", "session"),
        outcomes=(DONE,),
        retention=Retention.OVERSIGHT,
    ),
    EventType(
        name="audit.noise.counted",
        description="How many unauthenticated requests of one kind one source sent within one minute.",
        fields=("source", "code", "count", "minute"),
        outcomes=("counted",),
        retention=Retention.NOISE,
    ),
    EventType(
        name="audit.subject.erased",
        description="The key of one person was destroyed: nothing recorded about them until then can be read again. "
        "Recorded just before it is done. The reference is the key's random id; who it was is nowhere.",
        fields=("subject_tag", "key_id", "by", "reason"),
        outcomes=(DONE,),
        retention=Retention.LOG,
    ),
    EventType(
        name="audit.details.expired",
        description="Details that were kept for as long as their class says were forgotten.",
        fields=("counts", "before"),
        outcomes=(DONE,),
        retention=Retention.LOG,
    ),
    EventType(
        name="audit.details.read",
        description="Details of entries were opened for somebody. Recorded before they are shown.",
        fields=("by", "reason", "format", "first", "end", "count"),
        outcomes=(DONE,),
        retention=Retention.OVERSIGHT,
    ),
    EventType(
        name="audit.database.restored",
        description="A copy of the database was put back and brought forward to what was published. Details of the "
        "entries it had lost are gone; what was stopped to be safe has entries of its own.",
        fields=("first", "end", "count", "by"),
        outcomes=(DONE,),
        retention=Retention.LOG,
    ),
    EventType(
        name="audit.witness.failed",
        description="A witness that the policy names was absent, or answered what no honest witness answers.",
        fields=("witness", "state", "reason"),
        outcomes=(DONE,),
        retention=Retention.LOG,
    ),
    EventType(
        name="audit.witness.recovered",
        description="A witness that had failed cosigned again.",
        fields=("witness",),
        outcomes=(DONE,),
        retention=Retention.LOG,
    ),
    EventType(
        name="signing.key.added",
        description="A key of the gateway's own was made. A key of the log signs from the next start on, another from "
        "`signs_from` on.",
        fields=("key_use", "key_number", "key_id", "by", "algorithm", "signs_from"),
        outcomes=(DONE,),
        retention=Retention.LOG,
    ),
    EventType(
        name="signing.key.retired",
        description="A key was set aside: one of the log signs nothing from the next start on, one of the tokens had "
        "signed nothing that could still live.",
        fields=("key_use", "key_number", "key_id", "by", "algorithm"),
        outcomes=(DONE,),
        retention=Retention.LOG,
    ),
    EventType(
        name="signing.key.revoked",
        description="A key of the tokens was taken out of use at once: nothing it signed is accepted any longer.",
        fields=("key_use", "key_number", "key_id", "by", "algorithm"),
        outcomes=(DONE,),
        retention=Retention.LOG,
    ),
    EventType(
        name="outbox.delivery.given_up",
        description="A delivery to another system was refused by it, or tried as often as it may be. It waits for an "
        "operator.",
        fields=_DELIVERY,
        outcomes=(DONE,),
        retention=Retention.TOKENS,
    ),
    EventType(
        name="outbox.delivery.retried",
        description="An operator had a delivery tried again.",
        fields=(*_DELIVERY, "by"),
        outcomes=(DONE,),
        retention=Retention.TOKENS,
    ),
    EventType(
        name="outbox.delivery.discarded",
        description="An operator gave up a delivery.",
        fields=(*_DELIVERY, "by"),
        outcomes=(DONE,),
        retention=Retention.TOKENS,
    ),
    EventType(
        name="audit.range.archived",
        description="A range of entries was written to files that verify on their own, before rows of it are deleted.",
        fields=("first", "end", "size", "root", "rows_deleted", "by"),
        outcomes=(DONE,),
        retention=Retention.LOG,
    ),
)

EVENTS: Mapping[str, EventType] = {event.name: event for event in _TYPES}


def check_registered(name: str, *, outcome: str, fields: frozenset[str]) -> None:
    """Raise `UnknownEvent` unless the registry holds this event with this outcome and at least these details."""
    known = EVENTS.get(name)
    if known is None:
        raise UnknownEvent(detail=f"no event is called {name!r}")
    if outcome not in known.outcomes:
        raise UnknownEvent(detail=f"{name} has no outcome {outcome!r}")
    if unknown := fields - set(known.fields):
        raise UnknownEvent(detail=f"{name} carries no {', '.join(sorted(unknown))}")
