"""People and systems at work who never ask twice: whatever fails, failed."""

import secrets
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus

import requests

from gateway.demo.browser import PageRefused
from gateway.wire.encoding import parse_json_object
from gateway.wire.receipts import Receipt
from tests.faults.pressure import verified
from tests.kit.world import Asking, World


@dataclass(slots=True, kw_only=True)
class Visits:
    """What was answered, by kind of visit, and what was not. Safe in threads."""

    answered: Counter[str] = field(default_factory=Counter)
    receipts: list[Receipt] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, kind: str, receipt: Receipt | None) -> None:
        """Count a visit that went as it should."""
        with self._lock:
            self.answered[kind] += 1
            if receipt is not None:
                self.receipts.append(receipt)

    def note_failure(self, kind: str, error: Exception) -> None:
        """Keep what went wrong."""
        with self._lock:
            self.failed.append(f"{kind}: {error!r}")


@contextmanager
def visited_all_the_while(world: World, asking: Asking) -> Iterator[Visits]:
    """Ask, look at pages, read the log and sign in until the block ends, each request sent exactly once."""
    token, visits, stop = world.officer_token(), Visits(), threading.Event()

    def question(_http: requests.Session) -> Receipt:
        answer = world.send(world.signed(world.body(asking), token=token))
        assert answer.status == HTTPStatus.OK, answer.body
        return verified(world, parse_json_object(answer.body)["receipt"])

    def refused_question(_http: requests.Session) -> Receipt:
        body = world.body(asking, fields=["award_amount"], case_reference=secrets.token_hex(4))
        answer = world.send(world.signed(body, token=token))
        assert answer.status == HTTPStatus.FORBIDDEN, answer.body
        return verified(world, parse_json_object(answer.body)["receipt"])

    def reading(http: requests.Session) -> None:
        for path in ("/sign-in", "/log/checkpoint", "/.well-known/openid-configuration"):
            http.get(world.issuer + path, timeout=30).raise_for_status()

    def sign_in(_http: requests.Session) -> None:
        # Several pages and the token endpoint, each maybe at another node.
        world.tokens(world.officer())

    def client(visit: Callable[[requests.Session], Receipt | None]) -> None:
        with requests.Session() as http:  # kept open all the while, as a browser does
            http.trust_env = False
            http.verify = str(world.layout.ca_file)
            while not stop.wait(0.02):  # somebody else needs the machine too
                try:
                    visits.note(visit.__name__, visit(http))
                except (requests.RequestException, PageRefused, AssertionError, LookupError) as error:
                    visits.note_failure(visit.__name__, error)

    kinds = (question, question, refused_question, reading, sign_in)
    with ThreadPoolExecutor(len(kinds)) as pool:
        clients = [pool.submit(client, visit) for visit in kinds]
        try:
            yield visits
        finally:
            stop.set()
        for each in clients:
            each.result()
