"""The main journey in a real browser: by pointer, by keyboard alone, without scripts, on the narrowest screen."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyotp
import pytest
from playwright.sync_api import Browser, Page, expect

from gateway.clock import SystemClock
from gateway.demo.layout import OVERSIGHT
from gateway.demo.people import PEOPLE
from gateway.demo.world import DemoAccount
from gateway.sdk.verify import verify
from tests.journeys.hands import Hands, Keyboard, Pointer
from tests.kit.browser import DESKTOP, PHONE, assert_accessible, assert_fits, chromium, complaints_of
from tests.kit.endings import abandoned, disclosed, failed, without_record
from tests.kit.world import World

pytestmark = pytest.mark.browser

ADA = PEOPLE[0]
Look = Callable[[Page], None]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


def look_closely(page: Page) -> None:
    assert_fits(page)
    assert_accessible(page)


def glance(page: Page) -> None:
    """Where scripts are off, axe cannot run; where it ran already, once is enough."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Journey:
    """One way of walking: whose hands, and what is looked at on every page on the way."""

    world: World
    hands: Hands
    look: Look

    def sign_in(self, page: Page, account: DemoAccount) -> None:
        """Both steps, at the page where the browser stands."""
        expect(page).to_have_title("Sign in – Gateway")
        self.look(page)
        self.hands.type_into(page, "Email address", account.email)
        self.hands.type_into(page, "Password", account.password)
        self.hands.press(page, "Sign in")
        expect(page).to_have_title("Enter your security code – Gateway")
        self.look(page)
        self.hands.type_into(page, "Security code", pyotp.TOTP(account.code_secret).at(SystemClock().now()))
        self.hands.press(page, "Continue")

    def ask(self, page: Page, *, amount: bool) -> None:
        """Fill in the portal's question about Ada."""
        expect(page.get_by_role("heading", level=1)).to_contain_text("Ask about a person")
        self.look(page)
        self.hands.type_into(page, "Family name", ADA.family_name)
        for part in ("Day", "Month", "Year"):
            self.hands.type_into(page, part, str(getattr(ADA.birthdate, part.lower())))
        self.hands.type_into(page, "National Insurance number", ADA.nino)
        self.hands.type_into(page, "Case reference", "FSM/2026/00017")
        if amount:
            self.hands.tick(page, "The amount of the benefit award")
        self.hands.press(page, "Ask the department")

    def officer(self, page: Page) -> None:
        """Sign in at the portal, be answered, be refused, sign out."""
        page.goto(self.world.layout.portal)
        self.look(page)
        self.hands.press(page, "Sign in")
        self.sign_in(page, self.world.officer())
        expect(page.get_by_role("heading", name="You are signed in")).to_be_visible()
        expect(page.get_by_text("Benefits officer")).to_be_visible()
        self.look(page)
        self.hands.follow(page, page.get_by_role("link", name="Free school meals", exact=True))
        self.ask(page, amount=False)
        expect(page.get_by_role("heading", level=1)).to_contain_text("The department’s answer")
        expect(page.get_by_text("targeted")).to_be_visible()
        expect(page.locator("main")).not_to_contain_text(str(ADA.award_amount))
        self.look(page)
        self.hands.press(page, "Ask another question")
        self.ask(page, amount=True)
        expect(page.get_by_role("heading", level=1)).to_contain_text("The question was refused")
        expect(page.get_by_text("field_not_covered")).to_be_visible()
        self.look(page)
        self.sign_out(page)
        expect(page.get_by_role("button", name="Sign in")).to_be_visible()
        page.goto(self.world.layout.portal + "/ask")
        assert "/ask" not in page.url

    def auditor(self, page: Page, folder: Path) -> Path:
        """Sign in, filter the list, look at one exchange, take its proof away, sign out."""
        page.goto(f"{self.world.issuer}/auditor/exchanges?outcome=disclosed")
        self.sign_in(page, self.world.officer(member=OVERSIGHT, roles=("auditor",)))
        expect(page).to_have_title("Exchanges – Gateway")
        assert page.url.endswith("/auditor/exchanges?outcome=disclosed")
        self.look(page)
        self.hands.choose(page, "Outcome", "Refused")
        self.hands.press(page, "Apply filters")
        expect(page).to_have_url(f"{self.world.issuer}/auditor/exchanges?outcome=refused&consumer=")
        table = page.get_by_role("table")
        expect(table.get_by_role("row").nth(1)).to_contain_text("A field was asked for that the agreement does not")
        assert table.get_by_text("Disclosed", exact=True).count() == 0
        self.look(page)
        self.hands.follow(page, table.get_by_role("link").first)
        expect(page.get_by_role("heading", level=1)).to_contain_text("Exchange")
        for words in ("Test Specimen", "Blackburn with Darwen Borough Council", "FSM/2026/00017", "field_not_covered"):
            expect(page.locator("main")).to_contain_text(words)
        self.look(page)
        proof = self.proof(page, folder)
        self.hands.follow(page, page.get_by_role("link", name="Back to exchanges"))
        expect(page).to_have_url(f"{self.world.issuer}/auditor/exchanges?outcome=refused")
        self.sign_out(page)
        expect(page.get_by_role("heading", level=1)).to_have_text("You have signed out")
        self.look(page)
        return proof

    def proof(self, page: Page, folder: Path) -> Path:
        """Download the proof of the exchange at hand, as soon as the log has published it."""
        for _ in range(40):
            button = page.get_by_role("button", name="Download proof")
            if button.count():
                break
            page.wait_for_timeout(250)
            page.reload()
        with page.expect_download() as downloading:
            self.hands.press(page, "Download proof")
        path = folder / downloading.value.suggested_filename
        downloading.value.save_as(path)
        return path

    def sign_out(self, page: Page) -> None:
        """On a narrow screen the way out is in the menu."""
        if page.get_by_role("button", name="Sign out").first.is_hidden():
            self.hands.press(page, "Menu")
        self.hands.press(page, "Sign out")


WAYS: dict[str, tuple[Hands, dict[str, Any], Look]] = {
    "pointer": (Pointer(), {"viewport": DESKTOP}, look_closely),
    "phone": (Pointer(), {"viewport": PHONE}, look_closely),
    "keyboard": (Keyboard(), {"viewport": DESKTOP}, glance),
    "without-scripts": (Pointer(), {"viewport": DESKTOP, "java_script_enabled": False}, glance),
}


@pytest.mark.parametrize("way", WAYS)
def test_an_officer_asks_and_an_auditor_takes_the_proof_away(
    way: str, world: World, browser: Browser, tmp_path: Path
) -> None:
    hands, options, look = WAYS[way]
    journey = Journey(world=world, hands=hands, look=look)
    # Two people, two browsers.
    with browser.new_context(**options) as officers, browser.new_context(**options) as auditors:
        desk, office = officers.new_page(), auditors.new_page()
        complaints = [complaints_of(page) for page in (desk, office)]
        journey.officer(desk)
        proof = journey.auditor(office, tmp_path)
        assert complaints == [[], []]

    receipt = verify(proof, world.public_keys_file()).receipt
    assert receipt.outcome == "refused"
    assert [rule.code for rule in receipt.rules] == ["field_not_covered"]
    world.assert_log_verifies()


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_every_other_page_somebody_may_meet_is_accessible_and_whole(
    viewport: Any, world: World, browser: Browser
) -> None:
    exchanges = [make(world) for make in (disclosed, without_record, failed, abandoned)]
    journey = Journey(world=world, hands=Pointer(), look=look_closely)
    with browser.new_context(viewport=viewport) as context:
        page = context.new_page()
        complaints = complaints_of(page)
        page.goto(world.issuer)
        look_closely(page)
        page.goto(f"{world.issuer}/auditor/exchanges")
        journey.sign_in(page, world.officer(member=OVERSIGHT, roles=("auditor",)))
        for path in (*exchanges, "", "?outcome=open&consumer=oversight"):
            page.goto(f"{world.issuer}/auditor/exchanges" + (path if path.startswith("?") else f"/{path}" * bool(path)))
            look_closely(page)
        for path in ("/", "/account"):
            page.goto(world.issuer + path)
            expect(page.locator("body")).to_contain_text("Test Specimen")
            look_closely(page)
        assert complaints == []


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_pages_that_say_no_are_accessible_whole_and_within_the_policy(
    viewport: Any, world: World, browser: Browser
) -> None:
    journey = Journey(world=world, hands=Pointer(), look=look_closely)
    gateway, portal = world.issuer, world.layout.portal
    with browser.new_context(viewport=viewport) as context:
        page = context.new_page()
        complaints = complaints_of(page)
        for address, status in (
            (f"{gateway}/no-such-page", 404),
            (f"{gateway}/authorize?client_id=nobody", 400),
            (f"{portal}/no-such-page", 404),
            (f"{portal}/callback?iss={gateway}&code=forged&state=forged", 400),
            (f"{portal}/callback?iss=é", 400),
        ):
            answer = page.goto(address)
            assert answer is not None
            assert answer.status == status, address
            look_closely(page)
        # Wrong words at every form.
        page.goto(f"{gateway}/sign-in?next=/auditor/exchanges")
        officer = world.officer()
        journey.hands.type_into(page, "Email address", officer.email)
        journey.hands.type_into(page, "Password", "not the password")
        journey.hands.press(page, "Sign in")
        expect(page.get_by_role("alert")).to_contain_text("Enter a correct email address and password")
        look_closely(page)
        page.goto(f"{gateway}/sign-in?next=/auditor/exchanges")
        journey.sign_in(page, officer)
        expect(page.get_by_role("heading", level=1)).to_have_text("You do not have permission to see this page")
        look_closely(page)
        journey.hands.follow(page, page.get_by_role("link", name="Go to the start page"))
        expect(page.get_by_text("You are signed in.")).to_be_visible()
        # What was answered with an error is told by the browser as that, and as nothing else.
        assert [words for words in complaints if not is_error_answer(words)] == []


def is_error_answer(words: str) -> bool:
    return words.startswith(("http://", "Failed to load resource: the server responded with a status of 4"))
