"""A worker dies while it spools a document, or while it sends one: no half of it counts, and nothing is given twice."""

import http.client
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from sqlalchemy import select

from gateway.sharing.exchange.documents.spool import Place, SpoolUnreadable
from gateway.sharing.exchange.models import AttachmentRow
from tests.conformance.attached import ask, attached, fetch, request_for, spooled, while_spooling
from tests.conformance.expectations import exchange_row
from tests.faults.pressure import wait_until, web_workers
from tests.kit.attaching_department import FIELD, document
from tests.kit.processes import kill
from tests.kit.world import World

pytestmark = [pytest.mark.prove, pytest.mark.timeout(150)]

SIZE = 500_123


def holding(world: World, exchange: str) -> int:
    """The worker that has the spool's file of this exchange open."""
    for pid in web_workers(world):
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            if f"/spool/{exchange}-" in str(descriptor.readlink()):
                return pid
    raise AssertionError("nobody has it open")


def whole(world: World, place: Place, digest: bytes) -> bytes:
    spool = world.gateway.spool
    return b"".join(spool.read(spool.open(place, digest=digest), place, digest=digest))


def test_a_worker_killed_while_it_spools_leaves_nothing_that_opens_and_nothing_for_long(world: World) -> None:
    asking = attached(world, "gated", size=SIZE, answer_seconds=20.0)
    request = world.signed(world.body(asking, fields=["eligible", FIELD]))
    with while_spooling(world, asking, request) as (exchange, answer):
        kill(holding(world, exchange))
        assert answer.exception(timeout=30) is not None
        row = exchange_row(world, exchange)
        place = Place(exchange=row.id, number=1)
        # What it had written so far is no document, not even to us, who have every key and know what it should be.
        with pytest.raises(SpoolUnreadable):
            whole(world, place, sha256(document(SIZE)).digest())
        assert fetch(world, f"exchanges/{exchange}/attachments/1").status == 404
        (world.gates / f"open-document-{SIZE}").touch()
    # Recovery closes the exchange past its lease; what is for nobody is swept.
    wait_until(lambda: exchange_row(world, exchange).state == "abandoned", within_seconds=60)
    wait_until(lambda: spooled(world, exchange) == [], within_seconds=30)
    assert world.outcomes_of(exchange) == ["abandoned"]
    with world.gateway.database.read() as session:
        assert session.scalar(select(AttachmentRow.number).where(AttachmentRow.exchange == row.id)) is None
    assert fetch(world, f"exchanges/{exchange}/attachments/1").status == 404


def test_a_worker_killed_while_it_sends_is_followed_by_another_under_the_same_key_alone(
    world: World, tmp_path: Path
) -> None:
    size = 10_000_001
    letter = ask(world, attached(world, size=size, answer_seconds=60.0)).attachments[FIELD]
    exchange = letter.address.split("/")[-3]
    request = request_for(world, letter.address, key=letter.idempotency_key)
    parts = urlsplit(letter.address)
    with closing(http.client.HTTPConnection(parts.netloc, timeout=30)) as connection:
        connection.request("GET", parts.path, headers=dict(request.headers))
        answer = connection.getresponse()
        assert answer.read(1000) == document(size)[:1000]
        kill(holding(world, exchange))
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            answer.read()
    assert fetch(world, letter.address).status == 409
    letter.save(tmp_path / "letter.pdf")
    assert (tmp_path / "letter.pdf").read_bytes() == document(size)
    assert world.outcomes_of(exchange) == ["disclosed", "released", "repeated"]
