"""How somebody uses a page: with a pointer, or with nothing but a keyboard. Both are given the same errands."""

from typing import Protocol

from playwright.sync_api import Locator, Page, expect

MOST_TABS = 80


class Hands(Protocol):
    """What the journeys ask of a person at a page; fields and buttons are named as they are announced."""

    def type_into(self, page: Page, label: str, text: str) -> None: ...

    def tick(self, page: Page, label: str) -> None: ...

    def choose(self, page: Page, label: str, option: str) -> None: ...

    def press(self, page: Page, button: str) -> None: ...

    def follow(self, page: Page, link: Locator) -> None: ...


class Pointer:
    """Clicks on things."""

    def type_into(self, page: Page, label: str, text: str) -> None:
        page.get_by_label(label, exact=True).fill(text)

    def tick(self, page: Page, label: str) -> None:
        page.get_by_label(label).check()

    def choose(self, page: Page, label: str, option: str) -> None:
        page.get_by_label(label).select_option(label=option)

    def press(self, page: Page, button: str) -> None:
        page.get_by_role("button", name=button, exact=True).first.click()

    def follow(self, page: Page, link: Locator) -> None:  # noqa: ARG002 - the keyboard needs it
        link.click()


class Keyboard:
    """Reaches things by Tab, and must be able to see where it is."""

    def type_into(self, page: Page, label: str, text: str) -> None:
        self._reach(page, page.get_by_label(label, exact=True))
        page.keyboard.type(text)

    def tick(self, page: Page, label: str) -> None:
        self._reach(page, page.get_by_label(label))
        page.keyboard.press("Space")
        expect(page.get_by_label(label)).to_be_checked()

    def choose(self, page: Page, label: str, option: str) -> None:
        self._reach(page, page.get_by_label(label))
        page.keyboard.type(option)
        expect(page.get_by_label(label).locator("option:checked")).to_have_text(option)

    def press(self, page: Page, button: str) -> None:
        self._reach(page, page.get_by_role("button", name=button, exact=True).first)
        page.keyboard.press("Enter")

    def follow(self, page: Page, link: Locator) -> None:
        self._reach(page, link)
        page.keyboard.press("Enter")

    def _reach(self, page: Page, wanted: Locator) -> None:
        for _ in range(MOST_TABS):
            page.keyboard.press("Tab")
            if wanted.evaluate("element => element === document.activeElement"):
                look = wanted.evaluate(
                    "element => { const s = getComputedStyle(element), b = element.getBoundingClientRect();"
                    " const label = element.labels && element.labels[0];"
                    " const l = label ? getComputedStyle(label, '::before').boxShadow : 'none';"
                    " return [s.outlineStyle !== 'none' || s.boxShadow !== 'none' || l !== 'none', b.height > 0] }"
                )
                assert look == [True, True], f"the focus on {wanted} cannot be seen"
                return
        raise AssertionError(f"{MOST_TABS} times Tab does not lead to {wanted}")
