"""What the decision that opened an exchange knew, for those that follow it: no transaction and no time is shared.

It is read from the record of the decision, so that a retry, or a document that is fetched later, is judged on the same
person and the same counts, whoever asks for it in whatever process.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.policy.decision import SubjectFacts
from gateway.sharing.exchange.about import NUMBERLESS
from gateway.sharing.exchange.decisions import Before
from gateway.sharing.exchange.minimise import MinimisedRecord
from gateway.sharing.exchange.models import ExchangeRow
from gateway.sharing.exchange.people.objections import list_lock
from gateway.sharing.exchange.people.restrictions import subject_name
from gateway.sharing.exchange.people.subject_names import has_number
from gateway.sharing.exchange.provider_call import NoRecord, ProviderFailed
from gateway.sharing.exchange.schemas import Subject, SubjectByMatch

UNSAID = "unsaid"
"""The match level of a person of whom the provider does not say how surely they were found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstDecision:
    """The facts of the first decision that later ones start from; those of older records may be fewer."""

    references: tuple[str, ...]
    objections: tuple[str, ...]
    heeded: tuple[str, ...]
    """The lists of objections that the agreement heeds."""
    consumer: str
    match_level: str | None
    before: Before

    @classmethod
    def of(cls, row: ExchangeRow) -> "FirstDecision":
        """Read it from an exchange."""
        subject: Mapping[str, Any] = row.decision_record["subject"]
        request: Mapping[str, Any] = row.decision_record["request"]
        agreement: Mapping[str, Any] = row.decision_record["agreement"] or {}
        return cls(
            references=tuple(subject.get("references") or (row.subject,)),
            objections=tuple(subject.get("objections", ())),
            heeded=tuple(agreement.get("objection_lists", ())),
            consumer=row.consumer,
            match_level=row.match_level,
            before=Before(
                exchanges_today=request.get("exchanges_today", 0), earlier_queries=request.get("earlier_queries", 0)
            ),
        )

    @property
    def rests_on(self) -> tuple[str, ...]:
        """What must stay as it is while something is released (`release_lock`): what is restricted, who objected."""
        return (*map(subject_name, self.references), *map(list_lock, self.heeded))

    def subject_after(
        self,
        fetched: MinimisedRecord | NoRecord | ProviderFailed | None,
        *,
        asked: Subject,
        in_doubt: tuple[str, ...] = (),
    ) -> SubjectFacts:
        """Return what is known of the person once the provider was asked; `fetched` is None where that was before.

        Named by attributes, there is a level. Where none is said, nobody knows whether a number that was given was
        compared: so the references `in_doubt` are looked up too.
        """
        described = isinstance(asked, SubjectByMatch)
        numbered = isinstance(asked, SubjectByMatch) and has_number(asked.attributes)
        reason = fetched.reason if isinstance(fetched, NoRecord) else None
        about = None if fetched is None or isinstance(fetched, ProviderFailed) else fetched.about
        level = self.match_level if about is None else about.match_level or UNSAID
        return SubjectFacts(
            # Whoever is found without the number that was given is not the person asked about.
            known=reason not in {"unknown", "ambiguous"} and not (numbered and level == NUMBERLESS),
            withheld=reason == "withheld",
            # Who objected when the exchange was opened is not asked about, even if the objection ended since.
            objections=self.objections if reason == "objected" else (),
            in_consumer_area=about is None or about.area == self.consumer,
            match_level=level if described else None,
            references=tuple(
                dict.fromkeys((*self.references, *(in_doubt if level == UNSAID else ()))),
            ),
        )
