"""The person asked about: from the consumer's name for them to the provider's, with nothing shared between the two."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from gateway.directory.members import Client
from gateway.identity.caller import Caller
from gateway.identity.pairwise import Pairwise
from gateway.identity.subjects import SubjectReferences
from gateway.sharing.exchange.schemas import Subject, SubjectByMatch


@dataclass(frozen=True, slots=True, kw_only=True)
class TranslatedSubject:
    """A person as the gateway, the consumer and the provider each know them."""

    reference: str
    """Ours: opaque, never leaves."""
    consumer_sub: str | None
    for_provider: Mapping[str, Any]
    known: bool


class Translator:
    """Translates names of people between sectors."""

    def __init__(self, *, pairwise: Pairwise, references: SubjectReferences) -> None:
        self._pairwise = pairwise
        self._references = references

    def translate(
        self, session: Session, subject: Subject, *, caller: Caller, provider: Client | None, at: datetime
    ) -> TranslatedSubject:
        """Translate the subject of a request. A `sub` that names nobody here gives a person who is not known."""
        if isinstance(subject, SubjectByMatch):
            reference = self._references.reference_of_attributes(subject.attributes)
            return TranslatedSubject(
                reference=reference,
                consumer_sub=None,
                for_provider={"match": dict(subject.attributes)},
                known=True,
            )
        account = self._pairwise.find_account(session, subject.sub, sector=caller.client.sector)
        if account is None:
            return TranslatedSubject(
                reference=self._references.reference_of_attributes(
                    {"sector": caller.client.sector, "sub": subject.sub}
                ),
                consumer_sub=subject.sub,
                for_provider={},
                known=False,
            )
        return TranslatedSubject(
            reference=self._references.reference_of_account(account),
            consumer_sub=subject.sub,
            for_provider={"sub": self._pairwise.sub_for(session, account, sector=provider.sector, at=at)}
            if provider
            else {},
            known=True,
        )
