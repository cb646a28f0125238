"""A real Chromium for tests, and what every page is held to in it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

AXE = Path(__file__).parent / "axe.min.js"
CHROMIUM = "/usr/bin/chromium"
DESKTOP: ViewportSize = {"width": 1100, "height": 800}
PHONE: ViewportSize = {"width": 320, "height": 640}
"""The narrowest screen on which everything must still be had without scrolling sideways (WCAG 2.2, 1.4.10)."""
ABORTED = "net::ERR_ABORTED"
ARGUMENTS = (
    # Chromium's own sandbox cannot be had as root, which is who containers run as.
    "--no-sandbox",
    # It talks to nobody but the pages under test.
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--no-first-run",
    "--no-pings",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser without a window."""
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield started
        started.close()


def complaints_of(page: Page) -> list[str]:
    """What the browser says against the page from now on: console messages, errors, anything that did not load."""
    heard: list[str] = []
    page.on("console", lambda message: heard.append(message.text))
    page.on("pageerror", lambda error: heard.append(str(error)))
    page.on("response", lambda response: heard.append(response.url) if response.status >= 400 else None)
    # A download is aborted as a page, and saved.
    page.on("requestfailed", lambda request: heard.append(request.url) if request.failure != ABORTED else None)
    return heard


def assert_accessible(page: Page) -> None:
    """No rule of axe-core is broken, best practice included."""
    page.evaluate(AXE.read_text())
    violations = page.evaluate("async () => (await axe.run()).violations")
    assert [(rule["id"], [node["html"] for node in rule["nodes"]]) for rule in violations] == []


def assert_fits(page: Page) -> None:
    """Nothing is cut off or reached only by scrolling sideways (WCAG 2.2, 1.4.10)."""
    assert page.evaluate("document.documentElement.scrollWidth") == page.viewport_size["width"]  # type: ignore[index]
