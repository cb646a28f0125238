"""A browser without a screen: follows links and fills in the forms of real pages over real HTTP."""

from collections.abc import Mapping, Sequence
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urljoin

import requests

TIMEOUT = 30.0


class PageRefused(Exception):
    """A page was not what was expected of it."""


class _Forms(HTMLParser):
    """The first form of a page that has a field of the given name, with its hidden fields."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[tuple[str, dict[str, str]]] = []
        self.links: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect forms and their inputs."""
        attributes = {name: value or "" for name, value in attrs}
        if tag == "a" and "href" in attributes:
            self.links.append(attributes["href"])
        elif tag == "form":
            self.forms.append((attributes.get("action", ""), {}))
        elif (
            tag in {"input", "button"}
            and self.forms
            and "name" in attributes
            and attributes.get("type") not in {"checkbox", "radio"}
        ):
            self.forms[-1][1][attributes["name"]] = attributes.get("value", "")

    def handle_data(self, data: str) -> None:
        """Collect the words of the page."""
        if data.strip():
            self.text.append(data.strip())


class Browser:
    """Keeps cookies, follows redirects, posts forms with whatever hidden fields they carry."""

    def __init__(self, *, ca_file: Path | None = None, session: requests.Session | None = None) -> None:
        self._session = session or requests.Session()
        self._session.trust_env = False
        if ca_file is not None:
            self._session.verify = str(ca_file)
        self.address = ""
        self.text = ""
        self.links: list[str] = []
        self._forms: list[tuple[str, dict[str, str]]] = []

    def open(self, address: str) -> str:
        """Open a page; returns its words."""
        return self._show(self._session.get(address, headers={"Accept": "text/html"}, timeout=TIMEOUT))

    def download(self, address: str) -> bytes:
        """Fetch a file."""
        response = self._session.get(address, timeout=TIMEOUT)
        response.raise_for_status()
        return response.content

    def submit(self, answers: Mapping[str, str | Sequence[str]]) -> str:
        """Fill in the form that asks for these answers and send it; returns the words of the page that follows."""
        for action, hidden in self._forms:
            if set(answers) <= set(hidden) | {name for name in answers if not isinstance(answers[name], str)}:
                data = {**hidden, **answers}
                address = urljoin(self.address, action) if action else self.address
                response = self._session.post(address, data=data, headers={"Accept": "text/html"}, timeout=TIMEOUT)
                return self._show(response)
        raise PageRefused(f"the page at {self.address} has no form for {', '.join(sorted(answers))}")

    def _show(self, response: requests.Response) -> str:
        parser = _Forms()
        parser.feed(response.text)
        self.address, self._forms, self.text = response.url, parser.forms, "\n".join(parser.text)
        self.links = parser.links
        if response.status_code >= 500:  # noqa: PLR2004 - HTTP's classes
            raise PageRefused(f"{response.url.partition('?')[0]} answered {response.status_code}")
        return self.text
