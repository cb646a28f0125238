"""Records asked for by a council's system and disclosed: how many, at what cost, how much later than without a gateway.

The requests are signed beforehand and the department answers at once, so that what is measured is the gateway's part.
"""

import random
import secrets
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urljoin

from benchmarks.connection import Answer, Connection, one_each
from benchmarks.department import LARGE, MEDIA_TYPE, SIZES, SMALL
from benchmarks.figures import Figure, Work, figure
from benchmarks.floor import THREADS, WORKERS, Floor
from benchmarks.measuring import Measured, OutOfWork, run_for
from benchmarks.over_http import NotGranted, gateway_time, with_spent
from gateway.clock import SystemClock
from gateway.demo.layout import DWP, PORTAL_CLIENT, PROVIDER_CLIENT
from gateway.demo.runner import gunicorn
from gateway.sharing.catalogue.services import find_service, record_service
from gateway.sharing.exchange.checks import plan_for
from gateway.sharing.exchange.provider_call import Question
from gateway.signing.purposes import Purpose
from gateway.wire.contracts import EXCHANGE_TAG, PROVIDER_TAG
from gateway.wire.encoding import parse_json_object
from gateway.wire.message_signatures import HttpRequest, sign_request
from tests.kit.processes import Processes, free_port
from tests.kit.world import PROJECT, Asking, World

CLIENTS = WORKERS * THREADS
MOST_A_SECOND = 500
"""Above anything that could happen: each request works once, and all are signed before the clock starts."""
MIX = (
    ("dwp/bench-2-kb/v1", 0.3),
    ("dwp/bench-10-kb/v1", 0.6),
    ("dwp/bench-100-kb/v1", 0.09),
    ("dwp/bench-2-mb/v1", 0.009),
    ("dwp/bench-10-mb/v1", 0.001),
)
"""Shares of sizes: most answers are small, some are scans of documents."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Council:
    """A council's system with an officer's token, and an agreement about each of the department's services."""

    world: World
    department: str
    askings: dict[str, Asking]
    token: str

    def request(self, service: str) -> bytes:
        """The bytes of a signed question."""
        asking = self.askings[service]
        fields = ["eligible", "tier"] if service == SMALL else ["eligible", "tier", "text"]
        signed = self.world.signed(self.world.body(asking, fields=fields), token=self.token)
        return Connection(self.world.issuer).built(
            "POST", "/sharing/v1/exchanges", headers=dict(signed.headers), body=signed.body
        )

    def fetch(self, href: str) -> bytes:
        """The bytes of a signed request for an attachment; `href` is relative to where was asked."""
        address = urljoin(self.world.exchanges, href)
        signed = sign_request(
            HttpRequest(
                method="GET",
                target_uri=address,
                headers={"Authorization": f"Bearer {self.token}", "Idempotency-Key": str(uuid.uuid4())},
            ),
            signer=self.world.signer(PORTAL_CLIENT),
            client_id=PORTAL_CLIENT,
            nonce=secrets.token_urlsafe(18),
            created=SystemClock().now(),
            tag=EXCHANGE_TAG,
        )
        return Connection(self.world.issuer).built(
            "GET", address.removeprefix(self.world.issuer), headers=dict(signed.headers)
        )

    def question(self) -> bytes:
        """The bytes of the gateway's own question to the department, as if nobody stood before it."""
        world = self.world
        with world.gateway.database.read() as session:
            service = find_service(session, self.askings[SMALL].service)
        assert service is not None
        assert service.endpoint is not None
        asked = Question(
            exchange=uuid.uuid4(),
            service=service,
            purpose="free-school-meals",
            agreement=self.askings[SMALL].reference,
            consumer="E06000008",
            subject={"sub": "bench"},
            handle=secrets.token_urlsafe(24),
            plan=plan_for(("eligible", "tier"), ()),
            agreement_version=1,
        )
        signed = sign_request(
            HttpRequest(
                method="POST",
                target_uri=service.endpoint,
                headers={"Content-Type": "application/json"},
                body=asked.body(),
            ),
            signer=world.gateway.signing.current(Purpose.EXCHANGE),
            client_id=world.issuer,
            nonce=secrets.token_urlsafe(16),
            created=SystemClock().now(),
            tag=PROVIDER_TAG,
        )
        path = service.endpoint.removeprefix(self.department)
        return Connection(self.department).built("POST", path, headers=dict(signed.headers), body=signed.body)


@contextmanager
def council(world: World, processes: Processes, port: int) -> Iterator[Council]:
    """Start the department on this port of loopback, which the gateway may call, and sign the agreements."""
    origin = f"http://localhost:{port}"
    application = (
        f"benchmarks.department:make_app({DWP!r}, {str(world.layout.key_file(PROVIDER_CLIENT))!r}, "
        f"{world.issuer!r}, {origin!r}, {str(world.layout.world_dir / 'documents')!r})"
    )
    processes.start(
        gunicorn(application, port, world.layout),
        env={},
        name="bench-department",
        ready_url=f"{origin}/readyz",
        ca_file=None,
        cwd=PROJECT,
    )
    yield Council(
        world=world,
        department=origin,
        askings={service: _agree(world, service, origin=origin) for service in (SMALL, *SIZES)},
        token=world.officer_token(),
    )


def exchanges(council: Council, floor: Floor, *, database: str, seconds: float) -> Figure:
    """Small records, from as many clients as are answered at once."""
    connection = one_each(council.world.issuer)
    requests = _supply(lambda: council.request(SMALL), number=int(MOST_A_SECOND * (seconds + 2)))

    def ask(_client: int) -> None:
        _disclosed(connection().send(requests()))

    with gateway_time(council.world) as spent:
        measured = run_for(seconds, ask, clients=CLIENTS, when_warm=spent.begin)
    # The gateway's own signatures: its question, receipt and answer; and it verifies token, request, answer, record.
    # Two commits: the intent and the outcome. Two round trips: the consumer's and the one to the department.
    work = Work(signs=3, verifies=4, commits=2, lean_round_trips=2)
    return with_spent("exchanges, small", measured, work, floor, database=database, spent=spent)


def added(council: Council, *, database: str, seconds: float) -> list[Figure]:
    """One small exchange at a time, beside the department asked directly in the same way: what the gateway adds."""
    number = int(MOST_A_SECOND * (seconds + 2))
    directly = _one_at_a_time(council.department, _supply(council.question, number=2 * number), seconds=seconds / 2)
    through = _one_at_a_time(
        council.world.issuer, _supply(lambda: council.request(SMALL), number=number), seconds=seconds
    )
    median, slowest = (through.milliseconds(share) - directly.milliseconds(share) for share in (0.5, 0.99))
    alone = figure(
        "department alone, one at a time",
        directly,
        database=database,
        clients=1,
        floor_per_second=directly.per_second,
        floor_of="itself",
    )
    both = figure(
        "exchange, one at a time",
        through,
        database=database,
        clients=1,
        floor_per_second=directly.per_second,
        floor_of="the department alone",
    )
    return [alone, replace(both, note=f"the gateway adds {median:.1f} ms in the median, {slowest:.1f} ms at 99 %")]


def mixed(council: Council, floor: Floor, *, database: str, seconds: float) -> Figure:
    """Records of several sizes; what is large is fetched by itself. A duration is that of the whole answer."""
    connection = one_each(council.world.issuer)
    services = _schedule(int(MOST_A_SECOND * (seconds + 2)))
    requests = _supply(lambda: council.request(next(services)), number=int(MOST_A_SECOND * (seconds + 2)))

    def ask(_client: int) -> None:
        answer = _disclosed(connection().send(requests()))
        for attachment in answer.get("attachments", ()):
            fetched = connection().send(council.fetch(attachment["href"]))
            if fetched.status != 200 or len(fetched.body) != attachment["size"]:
                raise NotGranted(f"status {fetched.status}")

    with gateway_time(council.world) as spent:
        measured = run_for(seconds, ask, clients=CLIENTS, when_warm=spent.begin)
    work = Work(signs=3, verifies=4, commits=2, lean_round_trips=2)
    return with_spent("exchanges, mixed sizes", measured, work, floor, database=database, spent=spent)


def _schedule(number: int) -> Iterator[str]:
    # Every thousand holds the exact shares, in an order that is the same each time.
    thousand = [service for service, share in MIX for _ in range(round(1000 * share))]
    random.Random(1).shuffle(thousand)  # noqa: S311 - an order, not a secret
    return iter((thousand * (number // 1000 + 1))[:number])


def _one_at_a_time(origin: str, requests: Callable[[], bytes], *, seconds: float) -> Measured:
    connection = Connection(origin)

    def ask(_client: int) -> None:
        answer = connection.send(requests())
        if answer.status != 200:
            raise NotGranted(f"status {answer.status}")

    return run_for(seconds, ask, clients=1)


def _agree(world: World, service: str, *, origin: str) -> Asking:
    """Register the department's service and an agreement that covers all of it."""
    size = SIZES.get(service)
    with world.gateway.database.write() as session:
        shipped = find_service(session, "dwp/free-school-meals/v1")
        assert shipped is not None
        properties = {name: shipped.schema["properties"][name] for name in ("eligible", "tier")}
        if size is not None:
            text: dict[str, Any] = {"description": "As much text as is asked for."}
            properties["text"] = text | ({"type": "string"} if size <= LARGE else {"x-attachment": [MEDIA_TYPE]})
        record_service(
            session,
            replace(
                shipped,
                id=service,
                schema={**shipped.schema, "properties": properties},
                endpoint=f"{origin}/records",
                max_answer_bytes=500_000,
                max_attachment_bytes=20_000_000,
            ),
            at=SystemClock().now(),
        )
    fields = ["eligible", "tier"] if size is None else ["eligible", "tier", "text"]
    return world.agreed(service, fields=fields, volume_per_day=10_000_000)


def _disclosed(answer: Answer) -> dict[str, Any]:
    body = parse_json_object(answer.body)
    if answer.status != 200:
        raise NotGranted(str(body.get("code")))
    return body


def _supply(make: Callable[[], bytes], *, number: int) -> Callable[[], bytes]:
    made: Sequence[bytes] = [make() for _ in range(number)]
    left, lock = iter(made), threading.Lock()

    def take() -> bytes:
        with lock:
            for one in left:
                return one
        raise OutOfWork

    return take


def department_port() -> int:
    """A port for the department, to be named in the gateway's settings before it starts."""
    return free_port()
