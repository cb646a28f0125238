"""Every change of the gateway's own keys is an entry of the log: by whoever made it, or else by `gateway work`."""

from datetime import datetime

from sqlalchemy.orm import Session

from gateway.audit.append import AuditLog, Event
from gateway.audit.events import DONE
from gateway.audit.recorded import find_events
from gateway.clock import rfc3339
from gateway.signing.key_files import Key
from gateway.signing.purposes import Purpose
from gateway.signing.rotation import PastKey

ADDED = "signing.key.added"
RETIRED = "signing.key.retired"
REVOKED = "signing.key.revoked"


def record_added(session: Session, audit: AuditLog, purpose: Purpose, key: Key, *, by: str, now: datetime) -> None:
    """Record that a key was made, unless the log holds it already."""
    facts = _facts(purpose, key.number, key.key_id, key.algorithm, by=by)
    if key.signs_from is not None:
        facts["signs_from"] = rfc3339(key.signs_from)
    _record(session, audit, ADDED, facts, now=now)


def record_past(session: Session, audit: AuditLog, past: PastKey, *, by: str, now: datetime) -> None:
    """Record that a key of the tokens was retired or revoked, unless the log holds it already."""
    facts = _facts(Purpose.TOKENS, past.number, past.key_id, past.jwk["alg"], by=by)
    _record(session, audit, REVOKED if past.revoked else RETIRED, facts, now=now)


def record_log_key_retired(session: Session, audit: AuditLog, key: Key, *, by: str, now: datetime) -> None:
    """Record that a key of the log signs no more."""
    _record(session, audit, RETIRED, _facts(Purpose.LOG, key.number, key.key_id, key.algorithm, by=by), now=now)


def _facts(purpose: Purpose, number: str, key_id: str, algorithm: str, *, by: str) -> dict[str, str]:
    return {"key_use": purpose.value, "key_number": number, "key_id": key_id, "by": by, "algorithm": algorithm}


def _record(session: Session, audit: AuditLog, name: str, facts: dict[str, str], *, now: datetime) -> None:
    # A key's id names nobody, and finds the entry whichever process looks for it.
    reference = f"signing-key:{facts['key_id']}"
    if find_events(session, reference=reference, names=[name], limit=1):
        return
    event = Event(name=name, outcome=DONE, members=(), details=facts, reference=reference)
    audit.append(session, event, at=now)
