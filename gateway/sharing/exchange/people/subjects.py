"""The person asked about: from the consumer's name for them to the provider's, with nothing shared between the two."""

import string
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from secrets import choice, randbelow, token_urlsafe
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from gateway.directory.members import Client
from gateway.identity.accounts import Account, AccountKind, find_account_even_suspended
from gateway.identity.caller import Caller
from gateway.identity.pairwise import Pairwise
from gateway.identity.subjects import SubjectReferences
from gateway.sharing.exchange.people.subject_names import (
    Name,
    description_of,
    names_counted,
    names_in_doubt,
    names_kept,
    names_sought,
)
from gateway.sharing.exchange.schemas import Subject, SubjectByMatch


@dataclass(frozen=True, slots=True, kw_only=True)
class TranslatedSubject:
    """A person as the gateway and the consumer know them."""

    reference: str
    """Ours: opaque, never leaves."""
    consumer_sub: str | None
    account: UUID | None
    attributes: Mapping[str, str] | None = field(repr=False)
    references: tuple[str, ...]
    """All under which this person may stand on a list; `reference` is the first."""
    counted: tuple[str, ...]
    """Those under which questions about them are counted."""

    @property
    def known(self) -> bool:
        """Whether the gateway can name this person to a provider."""
        return self.account is not None or self.attributes is not None


class Translator:
    """Translates names of people between sectors."""

    def __init__(self, *, pairwise: Pairwise, references: SubjectReferences) -> None:
        self._pairwise = pairwise
        self._references = references

    def translate(self, session: Session, subject: Subject, *, caller: Caller) -> TranslatedSubject:
        """Find the subject of a request; reads only. A `sub` that names nobody here gives a person who is not known."""
        if isinstance(subject, SubjectByMatch):
            reference = self._references.reference_of_attributes(_however_spelt(subject.attributes))
            return TranslatedSubject(
                reference=reference,
                consumer_sub=None,
                account=None,
                attributes=dict(subject.attributes),
                references=(reference, *self._references_of(names_sought(subject.attributes))),
                counted=self._references_of(names_counted(subject.attributes)) or (reference,),
            )
        sector = caller.client.sector
        account = self._pairwise.find_account(session, subject.sub, sector=sector)
        # Records are about citizens. An officer has a sub too, and must not be asked about as if it were one of theirs.
        person = find_account_even_suspended(session, account) if account is not None else None
        if person is None or person.kind is not AccountKind.CITIZEN:
            reference = self._references.reference_of_attributes({"sector": sector, "sub": subject.sub})
            return TranslatedSubject(
                reference=reference,
                consumer_sub=subject.sub,
                account=None,
                attributes=None,
                references=(reference,),
                counted=(reference,),
            )
        reference = self._references.reference_of_account(person.account_id)
        described = description_of(person)
        return TranslatedSubject(
            reference=reference,
            consumer_sub=subject.sub,
            account=person.account_id,
            attributes=None,
            references=(reference, *self._references_of(names_sought(described))),
            # Not by what the account says: a budget shared with descriptions would tell whom a `sub` names.
            counted=(reference,),
        )

    def references_kept(self, *, account: Account | None = None, description: Mapping[str, str]) -> tuple[str, ...]:
        """Return under which references a person is entered on a list; empty for what names nobody.

        With an account, under all that it says of the person as well.
        """
        references = list(self._references_of(names_kept(description)))
        if account is not None:
            references.append(self._references.reference_of_account(account.account_id))
            # The number belongs to the same person: with it they are told apart from whoever has the same name.
            known = description_of(account) | {
                name: text for name, text in description.items() if name in {"nino", "nino_fragment"}
            }
            references.extend(self._references_of(names_kept(known)))
        return tuple(dict.fromkeys(references))

    def references_in_doubt(self, subject: Subject) -> tuple[str, ...]:
        """Return under which further references to look where nobody says that the question's number was compared."""
        described = subject.attributes if isinstance(subject, SubjectByMatch) else {}
        return self._references_of(names_in_doubt(described))

    def _references_of(self, names: Iterable[Name]) -> tuple[str, ...]:
        return tuple(self._references.reference_of_attributes(name) for name in names)

    def for_provider(
        self, session: Session, subject: TranslatedSubject, *, provider: Client, at: datetime
    ) -> dict[str, Any]:
        """Return what a provider is told of a known person: its own `sub`, made now if need be, or the attributes.

        Needs a write transaction. Only for a question that may be asked: a refused one leaves no name behind.
        """
        if subject.account is None:
            return {"match": dict(subject.attributes or {})}
        return {"sub": self._pairwise.sub_for(session, subject.account, sector=provider.sector, at=at)}


def nobody(*, like: Subject) -> dict[str, Any]:
    """Return a name that nobody has, of the question's own form: same kind, same attributes, all of them random.

    A provider is asked about it where its answer would not matter but its failure does.
    """
    if not isinstance(like, SubjectByMatch):
        return {"sub": token_urlsafe(32)}
    invented = _invented_person()
    return {"match": {name: invented[name] for name in like.attributes}}


def _invented_person() -> dict[str, str]:
    digits = _random(string.digits, 6)
    return {
        "family_name": _random(string.ascii_lowercase, 12).capitalize(),
        "given_name": _random(string.ascii_lowercase, 8).capitalize(),
        "birthdate": (date(1930, 1, 1) + timedelta(days=randbelow(365 * 75))).isoformat(),
        # HMRC NIM39110: no number with this prefix is ever given to anybody.
        "nino": f"QQ{digits}{choice('ABCD')}",
        "nino_fragment": digits[2:],
        "access_code": _random(string.ascii_uppercase + string.digits, 12),
        # The Office for National Statistics' pseudo postcodes, for those without one, begin so.
        "postcode": f"ZZ99 {choice(string.digits)}{_random(string.ascii_uppercase, 2)}",
    }


def _random(letters: str, length: int) -> str:
    return "".join(choice(letters) for _ in range(length))


def _however_spelt(attributes: Mapping[str, str]) -> dict[str, str]:
    """One spelling for what providers match alike: else capitals or a space would make another person of somebody."""
    return {name: " ".join(unicodedata.normalize("NFKC", text).casefold().split()) for name, text in attributes.items()}
