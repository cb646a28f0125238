"""The invented people. Surnames, addresses and numbers are chosen so that nobody can be meant.

National Insurance numbers begin with QQ, which is never issued; mail addresses end in `.example` (RFC 2606); every
row says that it is synthetic.
"""

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntheticPerson:
    """Somebody in the department's own database. `award_amount` is in pence a month."""

    number: int
    family_name: str
    given_name: str
    birthdate: date
    nino: str
    eligible: bool
    tier: str | None
    award_amount: int
    withheld: bool = False


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
"""In the department's database; the first also has an account as a citizen, the last is withheld from everyone."""

CITIZEN_EMAIL = "ada.testcase@people.example"

OFFICERS = (
    SyntheticOfficer(
        key="officer",
        email="o.sample@blackburn.example",
        given_name="Olive",
        family_name="Sample",
        member="E06000008",
        roles=("benefits-officer",),
    ),
    SyntheticOfficer(
        key="auditor",
        email="a.specimen@oversight.example",
        given_name="Aubrey",
        family_name="Specimen",
        member="oversight",
        roles=("auditor",),
    ),
)
