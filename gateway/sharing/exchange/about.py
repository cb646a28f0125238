"""What a provider tells us, and us alone, of the person beside the record, and what an agreement demands of it.

The signature of the provider's answer covers it. The consumer learns nothing of it but the match level of a person
about whom it is told: where a demand is not met, there is no record.
"""

import re
from dataclasses import dataclass
from typing import Literal, get_args

from gateway.sharing.agreements.agreements import Agreement
from gateway.sharing.exchange.people.subject_names import has_number
from gateway.sharing.exchange.schemas import RecordRequest, SubjectByMatch

MatchLevel = Literal["exact", "strong", "fair", "weak"]
MATCH_LEVELS: tuple[MatchLevel, ...] = get_args(MatchLevel)
NUMBERLESS: MatchLevel = "weak"
"""Of somebody who was found by names alone."""
_AREA = re.compile(r"[A-Z][0-9]{8}\Z")  # a GSS code of the Office for National Statistics


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What is said of one person; None where it was not said."""

    match_level: MatchLevel | None = None
    """How surely they were found by attributes."""
    area: str | None = None
    """The GSS code of the council in whose area they live."""


SAID_NOTHING = About()


@dataclass(frozen=True, slots=True, kw_only=True)
class Demands:
    """What an agreement demands of a person that only the provider knows; None where it demands nothing."""

    area: str | None = None
    """Where they must live: the consumer's own area, whose code is the member's."""
    match_level: str | None = None
    """How surely they must have been found at least."""
    has_number: bool = False
    """Whether the question has a number: whoever was found without it is somebody else."""

    def are_met_by(self, about: About) -> bool:
        """Tell whether this may be told of; what was not said is not met."""
        if self.area is not None and about.area != self.area:
            return False
        if self.has_number and about.match_level == NUMBERLESS:
            return False
        if self.match_level is None:
            return True
        # The levels stand in their order, the surest first; one that we do not know is met by none.
        surest = MATCH_LEVELS[: MATCH_LEVELS.index(self.match_level) + 1] if self.match_level in MATCH_LEVELS else ()
        return about.match_level in surest


def demands_of(agreement: Agreement, request: RecordRequest) -> Demands:
    """Return what this agreement demands of whoever is asked about."""
    conditions = agreement.terms.conditions
    described = isinstance(request.subject, SubjectByMatch)
    return Demands(
        area=agreement.consumer if conditions.own_area_only else None,
        match_level=conditions.minimum_match if described else None,
        has_number=isinstance(request.subject, SubjectByMatch) and has_number(request.subject.attributes),
    )


def read_about(said: object) -> About | None:
    """Read what is said of a person; None where it has not the agreed form. Unknown members are passed over."""
    if not isinstance(said, dict):
        return None
    level, area = said.get("match_level"), said.get("area")
    if level is not None and level not in MATCH_LEVELS:
        return None
    if area is not None and not (isinstance(area, str) and _AREA.match(area)):
        return None
    return About(match_level=level, area=area)
