"""Gather what is kept of one exchange into an evidence file."""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.orm import Session

from gateway.audit.append import Event
from gateway.audit.checking.prove import ExchangeProof, prove_when_published
from gateway.audit.checking.trust import Trust
from gateway.audit.context import AuditContext
from gateway.audit.errors import EventNotFound, LogNotVerified
from gateway.audit.events import DONE
from gateway.audit.keeping.reading import account_for
from gateway.audit.log_keys import LogKeys
from gateway.policy.kept_texts import find_texts
from gateway.sharing.exchange.models import ExchangeRow
from gateway.wire.errors import InvalidNote, MalformedInput
from gateway.wire.evidence import Details, Evidence, ProviderPart, with_one_signature
from gateway.wire.jws import unverified_claims
from gateway.wire.leaves import parse_leaf
from gateway.wire.proofs import Proof

Why = Callable[[str], None]
"""Told, in a sentence, what an evidence file does not hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Who opens the details of an entry, and for what; recorded before they are opened."""

    by: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    """What the database holds of an exchange: nothing of it is a value of a record."""

    receipt: str
    provider: ProviderPart | None
    checks: str | None


def export_evidence(context: AuditContext, exchange: UUID, *, reading: Reading | None, say: Why) -> Evidence:
    """Return the evidence of one exchange that has ended, however it ended.

    With `reading`, the details of its log entry are in it: personal data. `say` hears what is not there, and why.
    Raises `EventNotFound`, `NotYetPublished`, `LogNotVerified` or `LogUnreadable`.
    """
    with context.database.read() as session:
        kept = _find_kept(session, exchange)
        told = unverified_claims(kept.receipt)  # our own receipt from our own table
        policy, agreement = (_texts(session, told, name, say) for name in ("policy_digest", "agreement_digest"))
    proof = prove_when_published(
        context.database,
        log_dir=context.log_dir,
        trust=Trust(keys=context.trusted_keys),
        reference=str(exchange),
        receipt=kept.receipt,
        wait_seconds=context.merge_delay,
    )
    return Evidence(
        proof=_as_proof(proof, context.log_keys),
        provider=kept.provider,
        checks=kept.checks,
        agreement=agreement,
        policy=policy,
        details=None if reading is None else _read_details(context, proof, reading, say),
    )


def _find_kept(session: Session, exchange: UUID) -> _Kept:
    row = session.get(ExchangeRow, exchange)
    if row is None or row.receipt is None:
        raise EventNotFound(f"there is no exchange {exchange}, or it has no outcome yet")
    provider = None
    if row.provider_jwt is not None and row.provider_jwk is not None:
        provider = ProviderPart(jwt=row.provider_jwt, jwk=row.provider_jwk)
    return _Kept(receipt=row.receipt, provider=provider, checks=row.checks_jwt)


def _texts(session: Session, told: dict[str, object], name: str, say: Why) -> dict[str, object] | None:
    digest = told.get(name)
    if not isinstance(digest, str):
        return None
    texts = find_texts(session, digest)
    if texts is None:
        say(f"The text behind {name} {digest} was not kept when this exchange was decided, and is not in the file.")
    return texts


def _as_proof(proof: ExchangeProof, log_keys: LogKeys) -> Proof:
    return Proof(
        exchange=proof.exchange,
        leaf=proof.entry.entry,
        leaf_index=proof.entry.index,
        inclusion_proof=proof.entry.hashes,
        checkpoint=_by_oldest_key(proof.entry.note, log_keys),
        receipt=proof.receipt,
    )


def _by_oldest_key(note: bytes, log_keys: LogKeys) -> bytes:
    # Of several keys that sign, everybody knows the oldest: those too whose copy of the public keys is an old one.
    for key in log_keys.known:
        try:
            return with_one_signature(note, name=key.name, key_id=key.key_id)
        except (MalformedInput, InvalidNote):
            continue
    raise LogNotVerified("the checkpoint bears no signature of this log's keys")


def _read_details(context: AuditContext, proof: ExchangeProof, reading: Reading, say: Why) -> Details | None:
    told = {"by": reading.by, "reason": reading.reason, "format": "evidence", "count": 1}
    place = {"first": proof.entry.index, "end": proof.entry.index + 1}
    event = Event(name="audit.details.read", outcome=DONE, members=(), details=told | place)
    reader = account_for(context.audit_log, event, at=context.clock.now())
    with context.database.read() as session:
        details = reader.read(session, UUID(parse_leaf(proof.entry.entry).event_id))
    if details.state == "kept":
        return Details(salt=details.salt, values=details.values)
    say(NOT_THERE[details.state])
    return None


NOT_THERE = {
    "erased": "The details were erased: the key of the person they are about is destroyed. The evidence holds without.",
    "expired": "The details were kept for their time and then forgotten. The evidence holds without.",
    "lost": "The details were lost with an earlier database, or archived. The evidence holds without.",
}


def exchange_id(text: str) -> UUID:
    """Read the id of an exchange; raises `EventNotFound` for what is none."""
    try:
        return UUID(text)
    except ValueError as error:
        raise EventNotFound(f"{text} is not the id of an exchange") from error
