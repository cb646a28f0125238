"""design.md §4: a flood of strangers' requests is counted to the last one, and cannot become a permanent log."""

import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from gateway.app import create_app
from gateway.audit.noise import ENTRIES_A_MINUTE, MAX_SOURCES
from gateway.audit.recorded import RecordedEvent, find_events
from gateway.wire.signer import PrivateKeySigner
from tests.kit.clock import FrozenClock
from tests.kit.log import assert_log_verifies
from tests.kit.oidc_world import ASSERTION_TYPE, OidcWorld, RelyingParty, in_this_process

MINUTES = 2
FORGED_A_MINUTE, SIGNED_A_MINUTE = 190, 10
THREADS = 8
NINO = "QQ123456C"


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """How often each of two kinds of requests comes within a minute; even the smaller amount passes every ceiling."""

    without_token: int
    unknown: int
    in_all: int


QUICK = Amount(without_token=200, unknown=200, in_all=2_000)
WHOLE = Amount(without_token=2000, unknown=400, in_all=10_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """One bad request, and what it is counted as; None where the sender was authenticated."""

    path: str
    method: str = "POST"
    headers: dict[str, str] = field(default_factory=dict)
    form: dict[str, str] = field(default_factory=dict)
    status: int
    code: str | None


@pytest.fixture
def world(database_url: str, tmp_path: Path, clock: FrozenClock) -> Iterator[OidcWorld]:
    with in_this_process(database_url=database_url, state_dir=tmp_path / "state", clock=clock) as made:
        yield made


def the_flood(rp: RelyingParty, amount: Amount) -> list[Sent]:
    """What arrives within one minute: many kinds of requests of nobody, some that name a client, some it signed."""
    junk, nobody = PrivateKeySigner.generate("ES256"), {"iss": NINO, "sub": NINO}
    exchanges, exchange = "/sharing/v1/exchanges", "invalid_token"

    def asking(assertion: str) -> dict[str, str]:
        form = {"client_assertion_type": ASSERTION_TYPE, "client_assertion": assertion}
        return {**form, "grant_type": "client_credentials"}

    stranger = asking(rp.assertion(signer=junk, **nobody))
    without_token = [
        Sent(path=exchanges, status=401, code=exchange),
        Sent(path=exchanges, headers={"Authorization": f"Bearer {NINO}"}, status=401, code=exchange),
    ]
    unknown = [
        Sent(path=f"/authorize?client_id={NINO}", method="GET", status=400, code="oidc.sign_in_request_unusable"),
        Sent(path="/token", form=stranger, status=401, code="oidc.unknown_client"),
    ]
    forged = asking(rp.assertion(signer=PrivateKeySigner.generate("ES256", key_id=rp.signer.key_id)))
    signed = [asking(rp.assertion(aud="https://elsewhere.example")) for _ in range(SIGNED_A_MINUTE)]
    return [
        *(without_token * amount.without_token),
        *(unknown * amount.unknown),
        *([Sent(path="/token", form=forged, status=401, code="oidc.client_unproved")] * FORGED_A_MINUTE),
        *(Sent(path="/token", form=form, status=401, code=None) for form in signed),
    ]


def send(client: FlaskClient, sent: Sent, source: str) -> int:
    answer = client.open(
        sent.path,
        method=sent.method,
        headers=sent.headers,
        data=sent.form or None,
        environ_overrides={"REMOTE_ADDR": source},
    )
    return answer.status_code


def source_of(number: int) -> str:
    return f"192.0.2.{number % 200}" if number % 3 else f"2001:db8:{number % 100:x}::{number:x}"


def events_of(world: OidcWorld, name: str) -> list[tuple[RecordedEvent, dict[str, Any]]]:
    found: list[tuple[RecordedEvent, dict[str, Any]]] = []
    with world.gateway.database.read() as session:
        while page := find_events(session, names=(name,), after=found[-1][0].event_id if found else None, limit=500):
            found += [(event, world.gateway.audit.details_of(session, event.event_id)) for event in page]
    return found


@pytest.mark.parametrize(
    "amount", [pytest.param(QUICK, id="2,000"), pytest.param(WHOLE, id="10,000", marks=pytest.mark.prove)]
)
def test_thousands_of_bad_requests_leave_few_entries_with_exact_counts(
    world: OidcWorld, clock: FrozenClock, amount: Amount
) -> None:
    rp, app = world.relying_party(), create_app(world.gateway)
    gateway = world.gateway
    sent_codes: Counter[str] = Counter()
    total = 0
    for _ in range(MINUTES):
        flood = the_flood(rp, amount)
        total += len(flood)
        sent_codes.update(sent.code for sent in flood if sent.code is not None)
        with ThreadPoolExecutor(THREADS) as pool:
            clients = [app.test_client(use_cookies=False) for _ in range(THREADS)]
            jobs = [
                pool.submit(send, clients[number % THREADS], sent, source_of(number))
                for number, sent in enumerate(flood)
            ]
            assert [job.result() for job in jobs] == [sent.status for sent in flood]
        clock.advance(minutes=1)
    assert total == amount.in_all

    with gateway.database.write() as session:
        counting = 0
        while some := gateway.audit.flush_noise(session, now=clock.now()):
            counting += some
    # One entry a minute, code and source, the many sources beyond the ceiling together in one more. Transactions that
    # reach the ceiling side by side do not see each other, so as many sources as there are threads may be above it.
    at_least = MINUTES * len(sent_codes) * (MAX_SOURCES + 1)
    assert at_least <= counting <= at_least + MINUTES * len(sent_codes) * (THREADS - 1)
    counted: Counter[str] = Counter()
    counts = events_of(world, "audit.noise.counted")
    for event, details in counts:
        counted[details["code"]] += details["count"]
        assert (event.members, event.reference) == ((), None)
    assert counted == sent_codes

    # What a client had signed is entered one by one; of what merely names it only so many, and these name no member.
    rejected = [event for event, _ in events_of(world, "oidc.client.rejected")]
    assert sum(event.members != () for event in rejected) == MINUTES * SIGNED_A_MINUTE
    assert sum(event.members == () for event in rejected) == MINUTES * min(FORGED_A_MINUTE, ENTRIES_A_MINUTE)
    assert_nothing_personal(world, counts)


def assert_nothing_personal(world: OidcWorld, counts: list[tuple[RecordedEvent, dict[str, Any]]]) -> None:
    gateway = world.gateway
    sequencer = gateway.sequencer()
    while sequencer.run_once():
        pass
    assert_log_verifies(gateway.settings.log_dir, gateway.log_key.encode())
    published = b"".join(path.read_bytes() for path in gateway.settings.log_dir.rglob("*") if path.is_file())
    told = json.dumps([details for _, details in counts])
    for secret in (NINO, "192.0.2.", "2001:db8"):
        assert secret.encode() not in published
        assert secret not in told
