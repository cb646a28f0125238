"""Every page in a real browser, under the policy the gateway sends: accessible, quiet, whole on a phone."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext

from tests.kit.browser import DESKTOP, PHONE, assert_accessible, assert_fits, chromium, complaints_of
from tests.web.sample_pages import GATEWAY_PAGES, PORTAL_PAGES, gateway_app, portal_app, serve

pytestmark = pytest.mark.browser

SITES = (("gateway", GATEWAY_PAGES), ("portal", PORTAL_PAGES))
# The error pages differ in words only, so one stands for all.
ALL_PATHS = [
    pytest.param(name, page.path, id=f"{name}{page.path}")
    for name, pages in SITES
    for page in pages
    if page.template != "error.html" or page.path == "/error/sign-in-request-problem"
]
FORM_PATHS = [
    pytest.param(name, page.path, id=f"{name}{page.path}")
    for name, pages in SITES
    for page in pages
    if page.form and page.asks
]


@pytest.fixture(scope="module")
def sites() -> Iterator[dict[str, str]]:
    servers = {"gateway": serve(gateway_app()), "portal": serve(portal_app())}
    yield {name: f"http://127.0.0.1:{server.server_port}" for name, server in servers.items()}
    for server in servers.values():
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture
def desktop(browser: Browser) -> Iterator[BrowserContext]:
    with browser.new_context(viewport=DESKTOP) as context:
        yield context


@pytest.fixture
def phone(browser: Browser) -> Iterator[BrowserContext]:
    with browser.new_context(viewport=PHONE) as context:
        yield context


@pytest.mark.parametrize(("site", "path"), ALL_PATHS)
def test_a_page_is_accessible_quiet_and_whole_on_desktop_and_phone(
    site: str, path: str, sites: dict[str, str], desktop: BrowserContext, phone: BrowserContext
) -> None:
    for context in (desktop, phone):
        page = context.new_page()
        complaints = complaints_of(page)
        page.goto(sites[site] + path)
        assert_fits(page)
        assert_accessible(page)
        assert complaints == []
        # The scripts did run: the policy let them.
        assert "govuk-frontend-supported" in str(page.locator("body").get_attribute("class"))


@pytest.mark.parametrize(("site", "path"), FORM_PATHS)
def test_a_form_with_errors_is_accessible_and_puts_the_reader_at_the_errors(
    site: str, path: str, sites: dict[str, str], phone: BrowserContext
) -> None:
    page = phone.new_page()
    complaints = complaints_of(page)
    page.goto(sites[site] + path)
    page.locator("main form button[type=submit]").click()
    summary = page.locator(".govuk-error-summary")
    summary.wait_for()
    assert page.title().startswith("Error: ")
    assert summary.evaluate("element => element === document.activeElement")
    assert_fits(page)
    assert_accessible(page)
    summary.get_by_role("link").first.click()
    assert page.evaluate("document.activeElement.tagName") == "INPUT"
    assert complaints == []


def test_without_scripts_everything_is_still_there(sites: dict[str, str], browser: Browser) -> None:
    with browser.new_context(viewport=PHONE, java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(sites["gateway"] + "/sign-in")
        assert page.get_by_role("button", name="Show").is_hidden()
        page.get_by_role("button", name="Sign in").click()
        assert page.get_by_role("link", name="Enter your password").is_visible()
        page.goto(sites["gateway"] + "/auditor/exchanges")
        # The menu has no button to open it, so it is open.
        assert page.get_by_role("link", name="Account").is_visible()
        assert page.get_by_role("button", name="Sign out").is_visible()


def test_a_password_can_be_shown_and_hidden(sites: dict[str, str], desktop: BrowserContext) -> None:
    page = desktop.new_page()
    page.goto(sites["gateway"] + "/sign-in")
    password = page.get_by_label("Password", exact=True)
    password.fill("correct horse")
    page.get_by_role("button", name="Show password").click()
    assert password.get_attribute("type") == "text"
    page.get_by_role("button", name="Hide password").click()
    assert password.get_attribute("type") == "password"


def test_a_table_stays_a_table_when_it_stacks(sites: dict[str, str], phone: BrowserContext) -> None:
    page = phone.new_page()
    page.goto(sites["gateway"] + "/auditor/exchanges")
    table = page.get_by_role("table", name="1,312 exchanges, newest first")
    assert table.get_by_role("columnheader").count() == 6
    assert table.get_by_role("rowheader").count() == 5
    # The column's name shows above each cell for the eye, and is announced once, by the heading.
    assert table.get_by_text("About whom", exact=True).nth(1).is_visible()
