"""What the tests of this folder have in common: an answer of any response mode, and what became of an authorization."""

import html
import re
from urllib.parse import parse_qsl, urlsplit

import requests
from sqlalchemy import select

from gateway.oidc.authorization.codes import hash_of
from gateway.oidc.models import AuthorizationRow
from tests.kit.oidc_world import Browser, OidcWorld


def answer_of(response: requests.Response) -> dict[str, str]:
    """The members of an answer by query or fragment."""
    address = urlsplit(response.headers.get("Location") or "")
    assert address.netloc, response.text
    return dict(parse_qsl(address.fragment or address.query))


def error_of(response: requests.Response) -> str:
    return answer_of(response)["error"]


def links(page: requests.Response) -> dict[str, str]:
    """The links of a page's main part, by their text."""
    main = page.text.partition("<main")[2]
    found = re.findall(r'<a href="([^"]*)"[^>]*>(.*?)</a>', main, re.DOTALL)
    found += re.findall(r'<a [^>]*href="([^"]*)"[^>]*>(.*?)</a>', main, re.DOTALL)
    return {" ".join(html.unescape(text).split()): html.unescape(address) for address, text in found}


def form_action(page: requests.Response) -> str:
    """Where the form of a page's main part leads."""
    found = re.search(r'<form[^>]*action="([^"]*)"', page.text.partition("<main")[2])
    assert found, page.text
    return html.unescape(found.group(1))


def decide(browser: Browser, page: requests.Response, decision: str) -> requests.Response:
    """Answer a consent page."""
    return browser.submit(page, {"decision": decision})


def authorization_of(world: OidcWorld, code: str) -> AuthorizationRow:
    """What was written down with a code."""
    with world.gateway.database.read() as session:
        return session.scalars(select(AuthorizationRow).where(AuthorizationRow.code_hash == hash_of(code))).one()
