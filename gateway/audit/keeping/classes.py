"""How long the details of each kind of event are kept: one table of classes, with reasons.

Only details are forgotten. The entry, its commitment and every proof stay for ever. An operator whose law asks for
other times sets them (`GATEWAY_RETENTION`); what is here is what a gateway does that was told nothing.
"""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from enum import StrEnum

from gateway.errors import SettingsError

_DAYS_A_YEAR = 365.25


class Retention(StrEnum):
    """A class of events whose details are kept equally long."""

    DISCLOSURES = "disclosures"
    OVERSIGHT = "oversight"
    AGREEMENTS = "agreements"
    SIGN_INS = "sign-ins"
    TOKENS = "tokens"
    NOISE = "noise"
    LOG = "log"


def _years(years: int) -> timedelta:
    return timedelta(days=round(years * _DAYS_A_YEAR))


PERIODS: Mapping[Retention, timedelta | None] = {
    Retention.DISCLOSURES: _years(7),
    Retention.OVERSIGHT: _years(7),
    Retention.AGREEMENTS: _years(7),
    Retention.SIGN_INS: _years(2),
    Retention.TOKENS: timedelta(days=396),
    Retention.NOISE: timedelta(days=90),
    Retention.LOG: None,
}
"""The periods of a gateway that was told nothing; None is for ever."""

REASONS: Mapping[Retention, str] = {
    Retention.DISCLOSURES: "who was told what about whom, and who was refused: as long as a complaint may come; "
    "government audits of identity keep as much",
    Retention.OVERSIGHT: "who looked at what of others: as long as what they looked at",
    Retention.AGREEMENTS: "under which terms, and by whose word, records were disclosed: as long as the disclosures",
    Retention.SIGN_INS: "security records of people: two years is the most that government practice keeps by default",
    Retention.TOKENS: "security records of systems: thirteen months, so that a year can be compared with the last",
    Retention.NOISE: "counts of anonymous requests: useful while an attack is looked into",
    Retention.LOG: "what was done to the log itself: without it nobody could tell why details are gone",
}


def periods_with(changes: Iterable[str]) -> dict[Retention, timedelta | None]:
    """Return `PERIODS` with an operator's changes, each written `class=days`.

    Raises `SettingsError` for a class that there is not, for the log's own, and for days that are no whole number
    above 0.
    """
    periods = dict(PERIODS)
    for change in changes:
        name, _, days = change.partition("=")
        changeable = [item.value for item in Retention if item is not Retention.LOG]
        if name not in changeable:
            raise SettingsError(f"GATEWAY_RETENTION: {name!r} is none of {', '.join(changeable)}.")
        if not (days.isascii() and days.isdecimal() and 0 < len(days) < 6 and int(days)):  # noqa: PLR2004 - 273 years
            raise SettingsError(f"GATEWAY_RETENTION: {name} is kept a whole number of days, not {days!r}.")
        periods[Retention(name)] = timedelta(days=int(days))
    return periods
