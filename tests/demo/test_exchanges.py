"""Every exchange of the demonstration, asked at the desk of the organisation that may ask, over real HTTP."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from zoneinfo import ZoneInfo

import pytest

from gateway.clock import SystemClock
from gateway.demo.errands import ERRANDS
from gateway.demo.holdings import HOLDINGS
from gateway.demo.layout import BLACKBURN
from gateway.demo.people import OFFICERS, SyntheticPerson
from gateway.sdk.consumer import Answer, Refusal
from gateway.sharing.catalogue.services import list_services, record_service
from tests.demo.desks import ADA, BEN, DEE, NOBODY, Officer, codes, describing, officer_of, said
from tests.kit.world import ENOUGH_SECONDS, World

ROLES = {officer.member: officer.roles for officer in OFFICERS}
At = Callable[[str], Officer]


@pytest.fixture(scope="module", autouse=True)
def _patience(world: World) -> None:
    """Give departments time enough on a busy machine."""
    with world.gateway.database.write() as session:
        for service in list_services(session):
            if service.id in HOLDINGS:
                record_service(session, replace(service, answer_seconds=ENOUGH_SECONDS), at=world.tools.clock.now())


@pytest.fixture(scope="module")
def at(world: World) -> At:
    """The officer of a member, with every role that the demonstration's has; signed in once."""
    return cache(lambda member: officer_of(world, member, *ROLES[member]))


EVERY_FIELD = pytest.mark.parametrize(
    ("member", "slug", "expected"),
    [
        (BLACKBURN, "free-school-meals", {"eligible": "Yes", "tier": "targeted"}),
        (
            BLACKBURN,
            "blue-badge",
            {
                "higher_rate_mobility": "No",
                "moving_around": "Yes",
                "planning_a_journey": "No",
                "award_ends": "2031-01-01",
            },
        ),
        (
            BLACKBURN,
            "council-tax-debt",
            {"employer_name": "Sample Catering (demonstration)", "self_assessment_income": "4200"},
        ),
        (BLACKBURN, "electoral-match", {"match_level": "exact"}),
        (BLACKBURN, "lasting-power-of-attorney", {"standing": "registered"}),
        ("dwp", "pension-entitlement", {"in_payment": "Yes", "weekly_amount_band": "middle"}),
        ("cabinet-office", "supplier", {"supplier_number": "S0000001"}),
        (
            "cabinet-office",
            "identity-attributes",
            {"family_name_agrees": "Yes", "given_name_agrees": "Yes", "postcode_agrees": "Yes"},
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)


@EVERY_FIELD
def test_what_the_agreement_covers_is_answered(at: At, member: str, slug: str, expected: dict[str, str]) -> None:
    [errand] = [errand for errand in ERRANDS[member] if errand.slug == slug]
    page = at(member).ask(slug, [name for name, _ in errand.covered], ADA)
    assert "The department’s answer" in page, page
    assert {name: said(page, errand.labels[name]) for name in expected} == expected
    # Everything covered was disclosed, and nothing else has a line.
    assert all(label in page for _, label in errand.covered)
    assert not any(label in page for _, label in errand.uncovered)


@pytest.mark.parametrize(
    ("member", "slug"),
    [
        (member, errand.slug)
        for member, errands in ERRANDS.items()
        for errand in errands
        if errand.uncovered and "sandbox" not in errand.slug
    ],
)
def test_what_the_agreement_excludes_is_refused(at: At, member: str, slug: str) -> None:
    [errand] = [errand for errand in ERRANDS[member] if errand.slug == slug]
    page = at(member).ask(slug, [errand.covered[0][0], errand.uncovered[0][0]], ADA)
    assert codes(page) - {"outside_hours"} == {"field_not_covered"}


def test_a_staff_transfer_is_answered_in_working_hours_and_refused_outside_them(at: At) -> None:
    def in_hours() -> bool:
        local = SystemClock().now().astimezone(ZoneInfo("Europe/London"))
        return local.weekday() < 5 and 7 <= local.hour < 19

    before = in_hours()
    page = at("dwp").ask("staff-transfer", ["grade", "leave_days"], ADA)
    allowed = {before, in_hours()}
    answered = "The department’s answer" in page
    assert answered in allowed, page
    assert answered or codes(page) == {"outside_hours"}


@pytest.mark.parametrize(
    ("member", "slug", "code"),
    [
        (BLACKBURN, "council-tax-vulnerability", {"agreement_expired"}),
        (BLACKBURN, "holiday-activities", {"agreement_suspended"}),
        ("tfl", "travel-pass", {"agreement_not_in_force", "agreement_not_started", "provider_signature_missing"}),
    ],
)
def test_an_agreement_that_is_over_suspended_or_under_review_answers_nothing(
    at: At, member: str, slug: str, code: set[str]
) -> None:
    [errand] = [errand for errand in ERRANDS[member] if errand.slug == slug]
    found = codes(at(member).ask(slug, [errand.covered[0][0]], ADA))
    # The draft of the travel pass begins on 1 December 2026.
    assert found | {"agreement_not_started"} == code | {"agreement_not_started"}


WITHOUT_RECORD: dict[str, tuple[str, SyntheticPerson | dict[str, str], dict[str, str]]] = {
    "lives elsewhere": ("blue-badge", BEN, {}),
    "withheld": ("blue-badge", DEE, {}),
    "nobody": ("blue-badge", NOBODY, {}),
    "a debtor who lives elsewhere": ("council-tax-debt", BEN, {}),
    "an attorney's code of somebody else": ("lasting-power-of-attorney", ADA, {"family_name": "Sample"}),
    "a code that nobody gave out": ("lasting-power-of-attorney", ADA, {"access_code": "V123456789ABD"}),
    "an elector with another date of birth": ("electoral-match", ADA, {"birthdate": "1988-01-02"}),
}


def test_whoever_must_not_be_told_of_cannot_be_told_from_nobody(world: World) -> None:
    token, consumer = world.officer_token(ROLES[BLACKBURN]), world.consumer()

    def ask(case: str) -> Answer | Refusal:
        slug, person, changes = WITHOUT_RECORD[case]
        described = (describing(person) if isinstance(person, SyntheticPerson) else person) | changes
        [errand] = [errand for errand in ERRANDS[BLACKBURN] if errand.slug == slug]
        return consumer.ask(
            service=errand.service,
            purpose=errand.purpose,
            subject={"match": {name: described[name] for name in ("family_name", "birthdate", *errand.asks_for)}},
            fields=[errand.covered[0][0]],
            case_reference="CASE/2026/00017",
            access_token=token,
        )

    with ThreadPoolExecutor(len(WITHOUT_RECORD)) as pool:  # most of the time is spent waiting
        answers = dict(zip(WITHOUT_RECORD, pool.map(ask, WITHOUT_RECORD), strict=True))
    told = {case: getattr(answer, "code", "answered") for case, answer in answers.items()}
    assert told == dict.fromkeys(WITHOUT_RECORD, "no_record")


def test_an_identity_check_says_no_and_never_what_would_be_right(at: At) -> None:
    wrong = describing(ADA) | {"given_name": "Adam", "postcode": "ZZ9 9ZZ"}
    fields = ["family_name_agrees", "given_name_agrees", "postcode_agrees"]
    page = at("cabinet-office").ask("identity-attributes", fields, wrong)
    labels = dict(next(errand for errand in ERRANDS["cabinet-office"] if errand.slug == "identity-attributes").covered)
    assert [said(page, labels[name]) for name in fields] == ["Yes", "No", "No"]
    assert ADA.postcode not in "\n".join(page)
