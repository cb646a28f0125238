"""The invented people. Surnames, addresses and numbers are chosen so that nobody can be meant.

National Insurance numbers begin with QQ, which is never issued; postcodes with ZZ, which is no area; mail addresses end
in `.example` (RFC 2606); every row says that it is synthetic.
"""

from dataclasses import dataclass
from datetime import date
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntheticPerson:
    """Somebody in departments' own databases. `award_amount` is in pence a month, `area` a GSS code."""

    number: int
    family_name: str
    given_name: str
    birthdate: date
    nino: str
    eligible: bool
    tier: str | None
    award_amount: int
    withheld: bool = False
    postcode: str = "ZZ1 1AA"
    area: str = "E06000008"
    access_code: str | None = None
    """Which the attorney of this person gives out, where there is a lasting power of attorney."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntheticOfficer:
    """Somebody who signs in as an officer."""

    key: str
    email: str
    given_name: str
    family_name: str
    member: str
    roles: tuple[str, ...]


PEOPLE = (
    SyntheticPerson(
        number=1,
        family_name="Testcase",
        given_name="Ada",
        birthdate=date(1988, 1, 1),
        nino="QQ123456C",
        eligible=True,
        tier="targeted",
        award_amount=54_210,
        access_code="V123456789ABC",
    ),
    SyntheticPerson(
        number=2,
        family_name="Sample",
        given_name="Ben",
        birthdate=date(1992, 2, 29),
        nino="QQ123457A",
        eligible=True,
        tier="expanded",
        award_amount=91_005,
        postcode="ZZ2 2BB",
        area="E07000117",
    ),
    SyntheticPerson(
        number=3,
        family_name="Specimen",
        given_name="Cleo",
        birthdate=date(1979, 1, 1),
        nino="QQ123458B",
        eligible=False,
        tier=None,
        award_amount=0,
    ),
    SyntheticPerson(
        number=4,
        family_name="Demo",
        given_name="Dee",
        birthdate=date(1985, 1, 1),
        nino="QQ123459D",
        eligible=True,
        tier="targeted",
        award_amount=48_800,
        withheld=True,
    ),
)
"""In every department's database; the first also has an account as a citizen, the second lives in Burnley, the last is
withheld from everyone."""

HELD: dict[tuple[str, int], dict[str, Any]] = {
    ("dwp/blue-badge/v1", 1): {
        "dla_mobility": "none",
        "moving_around_points": 10,
        "planning_a_journey_points": 4,
        "award_ends": "2031-01-01",
    },
    ("hmrc/income/v1", 1): {
        "employer_name": "Sample Catering (demonstration)",
        "employer_address": "1 Specimen Street, ZZ1 1AA",
        "self_assessment_income": 4_200,
        "self_assessment_year": "2024-25",
    },
    ("mod-jpa/pension-entitlement/v1", 1): {"weekly_amount": 18_000},
}
"""What is held of these people where a story is told about them, by service and person; the rest is drawn."""

CITIZEN_EMAIL = "ada.testcase@people.example"

OFFICERS = (
    SyntheticOfficer(
        key="officer",
        email="o.sample@blackburn.example",
        given_name="Olive",
        family_name="Sample",
        member="E06000008",
        roles=(
            "benefits-officer",
            "blue-badge-officer",
            "electoral-officer",
            "recovery-officer",
            "social-care-officer",
        ),
    ),
    SyntheticOfficer(
        key="auditor",
        email="a.specimen@oversight.example",
        given_name="Aubrey",
        family_name="Specimen",
        member="oversight",
        roles=("auditor",),
    ),
    SyntheticOfficer(
        key="burnley",
        email="b.testcase@burnley.example",
        given_name="Bernard",
        family_name="Testcase",
        member="E07000117",
        roles=(
            "benefits-officer",
            "blue-badge-officer",
            "electoral-officer",
            "recovery-officer",
            "social-care-officer",
        ),
    ),
    SyntheticOfficer(
        key="dwp",
        email="d.demo@dwp.example",
        given_name="Dora",
        family_name="Demo",
        member="dwp",
        roles=("pension-decision-maker", "transfer-manager"),
    ),
    SyntheticOfficer(
        key="cabinet",
        email="c.sample@cabinet-office.example",
        given_name="Cecil",
        family_name="Sample",
        member="cabinet-office",
        roles=("finance-officer", "identity-caseworker"),
    ),
    SyntheticOfficer(
        key="tfl",
        email="t.specimen@tfl.example",
        given_name="Tess",
        family_name="Specimen",
        member="tfl",
        roles=("concessions-officer",),
    ),
)
"""Those who sign in; each has a password."""
