"""Officers at their desks, as a browser without a screen sees them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gateway.demo.browser import Browser
from gateway.demo.errands import ERRANDS
from gateway.demo.people import PEOPLE, SyntheticPerson
from gateway.demo.systems import DESKS
from gateway.policy.registers import load_registers
from tests.kit.policies import POLICIES
from tests.kit.world import World

ADA, BEN, CLEO, DEE = PEOPLE
NOBODY = {**dict.fromkeys(("given_name", "postcode", "access_code"), "V000000000000"), "family_name": "Nobody"}
NOBODY |= {"birthdate": "1990-01-01", "nino": "QQ999999C", "postcode": "ZZ1 1AA"}
ASKED_FOR = {errand.slug: errand.asks_for for errands in ERRANDS.values() for errand in errands}
CODES = {"no_record", *(reason.code for reason in load_registers(POLICIES).reasons.values())}


@dataclass(frozen=True, slots=True, kw_only=True)
class Officer:
    """Somebody signed in at a desk."""

    desk: str
    browser: Browser

    def ask(self, slug: str, fields: Sequence[str], person: Mapping[str, str] | SyntheticPerson) -> list[str]:
        """Ask about a person; the lines of the page that follows."""
        described = describing(person) if isinstance(person, SyntheticPerson) else dict(person)
        year, month, day = described.pop("birthdate").split("-")
        self.browser.open(f"{self.desk}/ask/{slug}")
        described = {name: described[name] for name in ("family_name", *ASKED_FOR[slug])}
        answers = {**described, "birthdate": [day, month, year], "case_reference": "CASE/2026/00017"}
        return self.browser.submit({**answers, "fields": list(fields)}).splitlines()


def officer_of(world: World, member: str, *roles: str) -> Officer:
    """A new officer of a member, signed in at the member's desk."""
    desk = next(desk for desk in DESKS if desk.member == member)
    browser = Browser(ca_file=world.layout.ca_file)
    browser.open(f"{world.layout.portal}{desk.path}/sign-in")
    world.sign_in(browser, world.officer(member=member, roles=roles))
    return Officer(desk=f"{world.layout.portal}{desk.path}", browser=browser)


def describing(person: SyntheticPerson) -> dict[str, str]:
    """All that a desk may ask for to describe this person."""
    return {
        "family_name": person.family_name,
        "given_name": person.given_name,
        "birthdate": person.birthdate.isoformat(),
        "nino": person.nino,
        "postcode": person.postcode,
        "access_code": person.access_code or "V000000000000",
    }


def said(page: Sequence[str], label: str) -> str:
    """What stands beside a label."""
    return page[page.index(label) + 1]


def codes(page: Sequence[str]) -> set[str]:
    """The codes of the rules for which a question was refused."""
    assert "The question was refused" in page, page
    return CODES & set(page)
