"""The sandbox: each name does what the developers' table says, at every service."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.demo.browser import PageRefused
from gateway.demo.layout import BLACKBURN
from gateway.demo.people import OFFICERS
from gateway.demo.sandbox import OUTCOMES, VALUES, twin_of
from gateway.demo.sandbox_agreements import DEVELOPER
from gateway.demo.world import open_sandbox
from gateway.directory.members import find_client, record_client
from gateway.sdk.consumer import Answer, NotAnswered
from gateway.sharing.agreements.agreements import list_agreements, versions_of
from gateway.sharing.catalogue.service_files import load_services
from gateway.sharing.catalogue.services import find_service, record_service
from tests.demo.desks import officer_of
from tests.kit.policies import POLICIES
from tests.kit.world import World

PAGE = Path(__file__).resolve().parents[2] / "docs" / "sandbox.md"
FOUND = {"Found", "Otherwise", "Strong", "Fair", "Weak", "Elsewhere", "Slow"}
NO_RECORD = {"Nobody", "Double", "Withheld"}
NEVER_ANSWERED = {"Late", "Failing", "Malformed"}
BLUE_BADGE, DEBT = "sandbox/blue-badge/v1", "sandbox/income/v1"


PATIENCE = 4.0
"""Seconds until "no record" leaves: time enough for Slow on a busy machine, and too little for Late."""
AT_ONCE = 4
"""As many as the sandbox answers at once, without one waiting for another."""


@pytest.fixture(scope="module")
def sandbox(world: World) -> World:
    open_sandbox(world.tools, world.layout)
    with world.gateway.database.write() as session:
        for twin in map(twin_of, VALUES):
            service = find_service(session, twin)
            assert service is not None
            record_service(session, replace(service, answer_seconds=PATIENCE), at=world.tools.clock.now())
    return world


@pytest.fixture(scope="module")
def token(sandbox: World) -> str:
    return sandbox.officer_token(next(officer.roles for officer in OFFICERS if officer.member == BLACKBURN))


def ask(sandbox: World, token: str, family_name: str, *, service: str, purpose: str, fields: list[str]) -> str | Answer:
    match = {"family_name": family_name, "birthdate": "1980-01-01", "nino": "QQ000000A"}
    try:
        answer = sandbox.consumer().ask(
            service=service,
            purpose=purpose,
            subject={"match": match},
            fields=fields,
            case_reference="TEST/1",
            access_token=token,
        )
    except NotAnswered as error:
        return error.code
    return answer if isinstance(answer, Answer) else answer.code


@pytest.fixture(scope="module")
def outcomes(sandbox: World, token: str) -> Iterator[dict[str, str | Answer]]:
    """What came of asking about each name, some at once: most of the time is spent waiting."""

    def asked(name: str) -> str | Answer:
        fields = ["employer_name", "self_assessment_income"]
        return ask(sandbox, token, name, service=DEBT, purpose="council-tax-debt", fields=fields)

    names = [outcome.family_name for outcome in OUTCOMES]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield dict(zip(names, pool.map(asked, names), strict=True))


def test_every_name_does_what_it_says(outcomes: dict[str, str | Answer]) -> None:
    # The agreement is for the own area, and asks for a match that is at least strong.
    found = FOUND - {"Fair", "Weak", "Elsewhere"}
    assert {name for name, came in outcomes.items() if isinstance(came, Answer)} == found
    assert {name for name, came in outcomes.items() if came == "no_record"} == NO_RECORD | {"Fair", "Weak", "Elsewhere"}
    assert outcomes["Late"] == "provider_timeout"
    assert outcomes["Malformed"] == "provider_answer_invalid"
    assert str(outcomes["Failing"]).startswith("provider_")
    assert set(outcomes) == FOUND | NO_RECORD | NEVER_ANSWERED


def test_found_and_otherwise_hold_the_values_of_the_table(outcomes: dict[str, str | Answer]) -> None:
    for name, held in zip(("Found", "Otherwise"), VALUES["hmrc/income/v1"], strict=True):
        came = outcomes[name]
        assert isinstance(came, Answer)
        assert came.fields == {field: held[field] for field in ("employer_name", "self_assessment_income")}


def test_a_check_is_computed_from_what_the_sandbox_holds(sandbox: World, token: str) -> None:
    checks = ["higher_rate_mobility", "moving_around", "planning_a_journey"]
    for name, expected in (("Found", True), ("Otherwise", False)):
        came = ask(sandbox, token, name, service=BLUE_BADGE, purpose="blue-badge", fields=checks)
        assert isinstance(came, Answer)
        assert came.fields == dict.fromkeys(checks, expected)


def test_every_service_has_a_twin_whose_values_fit_it() -> None:
    services = {service.id: service for service in load_services(POLICIES)}
    assert set(services) == set(VALUES)
    for service_id, both in VALUES.items():
        for held in both:
            values = held or {"match_level": "exact"}
            assert services[service_id].problems_in(values) == ()
            assert set(values) == set(services[service_id].fields)


def test_every_council_with_a_client_may_ask_every_twin_and_a_new_client_is_let_in_by_a_new_version(
    sandbox: World,
) -> None:
    def versions() -> dict[str, list[int]]:
        with sandbox.gateway.database.read() as session:
            references = {each.reference for each in list_agreements(session) if each.provider == "sandbox"}
            return {name: [each.version for each in versions_of(session, name)] for name in sorted(references)}

    first = versions()
    assert {
        f"SBX-{council}-{number}" for council in (BLACKBURN, "E07000117") for number in ("003", "005", "016")
    } <= set(first)
    assert len(first) == 2 * len(VALUES)
    open_sandbox(sandbox.tools, sandbox.layout)
    assert versions() == first
    now = sandbox.tools.clock.now()
    with sandbox.gateway.database.write() as session:
        portal = find_client(session, "burnley-portal")
        assert portal is not None
        record_client(session, replace(portal, client_id="burnley-second"), at=now)
    open_sandbox(sandbox.tools, sandbox.layout)
    after = versions()
    assert after == first | {name: [1, 2] for name in first if "E07000117" in name}


def test_the_developers_page_has_every_outcome_and_twin_in_the_codes_own_words() -> None:
    text = PAGE.read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `([A-Z][a-z]+)` \| (.+?) \|$", text, flags=re.MULTILINE))
    assert rows == {outcome.family_name: outcome.brings for outcome in OUTCOMES}
    assert all(f"`{twin_of(service)}`" in text for service in VALUES)


def test_an_officer_whose_question_failed_is_told_in_an_officers_words(sandbox: World) -> None:
    officer = officer_of(sandbox, BLACKBURN, DEVELOPER)
    described = {"family_name": "Malformed", "birthdate": "1980-01-01", "nino": "QQ000000A"}
    with pytest.raises(PageRefused):
        officer.ask("sandbox-free-school-meals", ["eligible"], described)
    assert "Try again in a minute." in officer.browser.text.splitlines()
    assert "Idempotency-Key" not in officer.browser.text


def test_the_developers_page_has_the_role_that_each_twin_asks_for(sandbox: World) -> None:
    page = PAGE.read_text(encoding="utf-8")
    with sandbox.gateway.database.read() as session:
        agreements = [each.terms for each in list_agreements(session) if each.terms.reference.startswith("SBX-")]
    assert agreements
    for terms in agreements:
        [role] = set(terms.conditions.roles) - {DEVELOPER}
        assert f"| `{terms.service}` | `{role}` |" in page
