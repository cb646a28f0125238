"""Controls, direction marks, half characters and a megabyte, sent through the real doors: refused or written escaped.

Whatever was accepted is then read everywhere it can be: in the published files, in every export, on auditors' pages.
"""

import json
import secrets
from collections.abc import Iterator

import pytest
import requests

from gateway.audit.append import Event
from gateway.audit.keeping.export import Format, export_lines
from gateway.audit.keeping.published import PublishedLog
from gateway.audit.keeping.reading import account_for
from gateway.clock import SystemClock
from gateway.demo.browser import Browser
from gateway.demo.layout import BLACKBURN, OVERSIGHT, PORTAL_CLIENT
from gateway.identity.accounts import AccountKind, find_account_by_email
from gateway.identity.registration import suspend
from gateway.wire.jws import issue_jwt
from gateway.wire.signer import PrivateKeySigner
from tests.kit.world import World

MISLEADING = {
    "escape": "\x1b[2J\x1b[31mDENIED",
    "right-to-left": "\u202eDECNARG",
    "isolate": "\u2066hidden\u2069",
    "newline": "one\ntwo\r\nthree",
    "nul": "be\x00fore",
    "c1": "\x9b31m",
    "line separator": "one\u2028two",
    "lone surrogate": "\ud800",
}
CONTROLS = frozenset("\x1b\u202e\u2066\u2069\r\x00\x9b\u2028\ud800")
MEGABYTE = "x" * 1_000_000


@pytest.fixture(scope="module")
def mark() -> str:
    """By which what these tests wrote is known among all else."""
    return f"mark{secrets.token_hex(8)}"


@pytest.fixture(scope="module", autouse=True)
def read_everywhere(world: World, mark: str) -> Iterator[None]:
    """After all of them: nothing that misleads stands in the published files or in any export."""
    world.assert_log_verifies()
    first = published_by(world).checkpoint.size
    yield
    world.assert_log_verifies()
    published = published_by(world)
    reading = Event(name="audit.details.read", outcome="done", members=(), details={"by": "tests"})
    reader = account_for(world.gateway.audit, reading, at=SystemClock().now())
    size = published.checkpoint.size
    assert not [entry.index for entry in published.entries(first, size) if mark.encode() in entry.data]
    for form in Format:
        lines = list(export_lines(published, world.gateway.database, form=form, first=first, end=size, reader=reader))
        assert [line for line in lines if mark in line], "what was accepted is in the export"
        for line in lines:
            assert line.isascii()
            assert not CONTROLS & set(texts_of(json.loads(line)))


def published_by(world: World) -> PublishedLog:
    return PublishedLog(world.settings.log_dir, verifier_keys=(world.gateway.log_key,))


def texts_of(value: object) -> Iterator[str]:
    """Every character of every string of a JSON value."""
    if isinstance(value, str):
        yield from value
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from name
            yield from texts_of(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts_of(item)


@pytest.mark.parametrize("text", MISLEADING.values(), ids=MISLEADING)
def test_a_case_reference_that_misleads_is_refused(world: World, text: str, mark: str) -> None:
    asking = world.asking()
    body = json.dumps(world.body(asking, case_reference=f"{mark}{text}")).encode()
    answer = world.send(world.signed(body))
    assert answer.status == 422, answer.body
    assert mark.encode() not in answer.body


def test_a_megabyte_is_refused_and_nothing_of_it_is_recorded(world: World, mark: str) -> None:
    asking = world.asking()
    before = world.events(names=["sharing.record.disclosed"])
    answer = world.send(world.signed(world.body(asking, case_reference=mark + MEGABYTE)))
    assert answer.status == 413
    assert world.events(names=["sharing.record.disclosed"]) == before


@pytest.mark.parametrize("text", ["\x1b[2J", "\x9b31m", "a" * 60_000], ids=["escape", "c1", "long"])
def test_a_user_agent_is_recorded_nowhere(world: World, text: str, mark: str) -> None:
    answer = requests.post(
        f"{world.issuer}/token", data={"grant_type": "x"}, headers={"User-Agent": f"{mark}{text}"}, timeout=10
    )
    assert 400 <= answer.status_code < 500
    for name in ("audit.noise.counted", "oidc.client.rejected"):
        for event in world.events(names=[name]):
            assert mark not in json.dumps(world.details(event))


@pytest.mark.parametrize("kind", sorted(MISLEADING.keys() - {"lone surrogate"}))  # which no signer can encode
def test_a_rejected_assertion_leaves_none_of_its_words(world: World, kind: str, mark: str) -> None:
    stranger, text = PrivateKeySigner.generate("ES256"), f"{mark}{MISLEADING[kind]}"
    claims = {"iss": PORTAL_CLIENT, "sub": PORTAL_CLIENT, "aud": text, "jti": text, "exp": 1}
    assertion = issue_jwt(claims, typ="JWT", signer=stranger)
    answer = world.token_request({"grant_type": "client_credentials"}, assertion=assertion)
    assert answer.status_code == 401
    newest = world.events(names=["oidc.client.rejected"])[0]
    assert mark not in json.dumps(world.details(newest))


@pytest.mark.parametrize("text", MISLEADING.values(), ids=MISLEADING)
def test_an_operators_reason_is_written_escaped(world: World, text: str, mark: str) -> None:
    account = world.officer(member=BLACKBURN)
    people, audit, now = world.gateway.people, world.gateway.audit, SystemClock().now()
    with world.gateway.database.write() as session:
        found = find_account_by_email(session, AccountKind.OFFICER, account.email)
        assert found is not None
        suspend(session, found, people=people, audit=audit, by="tests", reason=f"{mark} {text}", at=now)
    details = world.details(world.events(names=["identity.account.suspended"])[0])
    assert details["reason"].startswith(mark)
    assert details["reason"].isprintable()
    assert not CONTROLS & set(details["reason"])
    # Nothing of it is lost: each character that was taken out is named.
    assert details["reason"].count("\\u") == sum(1 for character in text if character in CONTROLS | {"\n"})


def test_an_auditors_page_shows_no_control(world: World) -> None:
    browser: Browser = world.signed_in_browser(world.officer(member=OVERSIGHT, roles=("auditor",)))
    browser.open(f"{world.issuer}/auditor/exchanges")
    assert not CONTROLS & set(browser.text)
