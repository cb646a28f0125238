"""This room assembled: everything that others need from it, made once."""

from dataclasses import dataclass

from gateway.audit.append import AuditLog
from gateway.db import Database
from gateway.identity.events import IdentityEvents
from gateway.identity.keys import IdentityKeys
from gateway.identity.pairwise import Pairwise
from gateway.identity.passwords import Passwords
from gateway.identity.sealing import Sealing
from gateway.identity.session_ends import Consequences, NoConsequences, SessionEnds
from gateway.identity.sessions import SessionCookie, session_cookie
from gateway.identity.sign_in import SignIn
from gateway.identity.subjects import SubjectReferences
from gateway.identity.throttling import Throttle


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """The identity room of one gateway."""

    sign_in: SignIn
    ends: SessionEnds
    cookie: SessionCookie
    pairwise: Pairwise
    references: SubjectReferences
    events: IdentityEvents
    passwords: Passwords
    sealing: Sealing


def assemble_people(
    *,
    database: Database,
    audit: AuditLog,
    keys: IdentityKeys,
    secure_cookies: bool,
    passwords: Passwords | None = None,
    consequences: Consequences | None = None,
) -> People:
    """Put the room together; nothing is read or written yet. `consequences` is what follows when sessions end."""
    passwords = passwords or Passwords()
    sealing = Sealing(keys.sealing)
    references = SubjectReferences(keys.references)
    events = IdentityEvents(references)
    ends = SessionEnds(audit=audit, events=events, consequences=consequences or NoConsequences())
    sign_in = SignIn(
        database=database,
        audit=audit,
        events=events,
        passwords=passwords,
        sealing=sealing,
        throttle=Throttle(keys.references),
        ends=ends,
    )
    return People(
        sign_in=sign_in,
        ends=ends,
        cookie=session_cookie(secure=secure_cookies),
        pairwise=Pairwise(keys.pairwise),
        references=references,
        events=events,
        passwords=passwords,
        sealing=sealing,
    )
