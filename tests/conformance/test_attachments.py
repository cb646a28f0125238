"""A document beside a record: streamed from the department through the spool to whoever asked, whole, once, or not."""

import http.client
import socket
import stat
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from sqlalchemy import select, update

from gateway.app import create_app
from gateway.clock import SystemClock
from gateway.demo.layout import PROVIDER_CLIENT
from gateway.directory.members import find_client, record_client
from gateway.sdk.answers import NotAnswered
from gateway.sharing.agreements.lifecycle import resume_agreement
from gateway.sharing.exchange.documents.releasing import LOOK_EVERY
from gateway.sharing.exchange.documents.sweeping import purge_attachments, sweep_spool
from gateway.sharing.exchange.models import AttachmentRow, ExchangeRow
from gateway.signing.signing_keys import Purpose
from gateway.wire.contracts import EXCHANGE_TAG
from gateway.wire.encoding import b64url_encode
from gateway.wire.message_signatures import HttpRequest, HttpResponse, verify_response
from gateway.wire.signer import PrivateKeySigner
from tests.conformance.attached import ask, attached, fetch, request_for, spooled, while_spooling
from tests.conformance.expectations import problem_of, receipt_in, watching
from tests.conformance.others import another_client, officer_token_of
from tests.kit.attaching_department import FIELD, PDF, document
from tests.kit.world import Asking, World

TEN_MEGABYTES = 10 * 1024 * 1024


def test_ten_megabytes_arrive_byte_for_byte(world: World, tmp_path: Path) -> None:
    asking = attached(world, size=TEN_MEGABYTES, answer_seconds=30.0)
    answer = ask(world, asking)
    letter = answer.attachments[FIELD]
    assert answer.fields[FIELD]["size"] == letter.size == TEN_MEGABYTES
    # Its size and name may be seen in the spool, and nothing else: no two bytes of it lie there as they are.
    (file,) = spooled(world, answer.exchange)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert document(TEN_MEGABYTES)[:64] not in file.read_bytes()
    letter.save(tmp_path / "letter.pdf")
    assert (tmp_path / "letter.pdf").read_bytes() == document(TEN_MEGABYTES)
    with letter.open() as again:  # the same key: an honest retry
        assert again.read(100) == document(TEN_MEGABYTES)[:100]
    assert world.outcomes_of(answer.exchange) == ["disclosed", "released", "repeated"]
    assert answer.receipt.fields_disclosed == ("eligible", FIELD)
    world.assert_log_verifies()


@pytest.mark.parametrize("size", [0, 1, 65_536, 65_537])
def test_any_size_arrives(world: World, tmp_path: Path, size: int) -> None:
    ask(world, attached(world, size=size)).attachments[FIELD].save(tmp_path / "letter.pdf")
    assert (tmp_path / "letter.pdf").read_bytes() == document(size)


def test_the_answer_is_signed_over_the_whole_document(world: World) -> None:
    letter = ask(world, attached(world, size=1000)).attachments[FIELD]
    request = request_for(world, letter.address)
    response = world.send(request)
    assert (response.status, response.headers["Content-Type"]) == (200, PDF)
    assert response.headers["Cache-Control"] == "no-store"
    verified = verify_response(
        response,
        request=request,
        keys=world.gateway.signing.public_jwks(Purpose.EXCHANGE),
        tag=EXCHANGE_TAG,
        now=SystemClock().now(),
    )
    assert verified.binding == "request"
    assert response.body == document(1000)


@pytest.mark.parametrize(
    ("behaviour", "status", "code"),
    [
        ("another", 502, "provider_answer_invalid"),
        ("another-honestly", 502, "provider_answer_invalid"),
        ("size-too-small", 502, "provider_answer_invalid"),
        ("size-too-large", 502, "provider_answer_invalid"),
        ("another-type", 502, "provider_answer_invalid"),
        ("sent-as-html", 502, "provider_answer_invalid"),
        ("endless", 502, "provider_answer_invalid"),
        ("unsigned", 502, "provider_answer_unsigned"),
        ("signed-by-another", 502, "provider_answer_unsigned"),
        ("cut", 502, "provider_answer_invalid"),
        ("cut-off", 502, "provider_unreachable"),
        ("dripping", 504, "provider_timeout"),
    ],
)
def test_a_document_that_is_not_what_the_department_signed(
    world: World, behaviour: str, status: int, code: str
) -> None:
    asking = attached(world, behaviour, answer_seconds=2.0 if code == "provider_timeout" else 5.0)
    request = world.signed(world.body(asking, fields=["eligible", FIELD]))
    with watching(world) as watched:
        response = world.send(request)
    problem = problem_of(world, request, response)
    assert (response.status, problem["code"]) == (status, code)
    receipt = receipt_in(world, request, problem)
    assert (receipt.outcome, receipt.fields_disclosed) == ("failed", ())
    assert [event.name for event in watched.events] == ["sharing.exchange.failed"]
    assert spooled(world, receipt.exchange) == []
    assert rows_of(world, receipt.exchange) == []
    gone = fetch(world, f"exchanges/{receipt.exchange}/attachments/1")
    assert gone.status == 404


def test_a_document_larger_than_the_service_says(world: World) -> None:
    asking = attached(world, size=2000, most=1999)
    request = world.signed(world.body(asking, fields=["eligible", FIELD]))
    problem = problem_of(world, request, world.send(request))
    assert problem["code"] == "provider_answer_too_large"
    assert spooled(world, problem["exchange"]) == []
    assert not (world.gates / f"fetched-{problem['exchange']}").exists()


def test_a_disk_without_room_fails_the_exchange_and_keeps_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    asking = attached(world, size=10)
    request = world.signed(world.body(asking, fields=["eligible", FIELD]))
    monkeypatch.setattr("gateway.sharing.exchange.documents.spool.LEFT_FREE", 2**62)
    # In this process, where the disk can be said to be full.
    answer = (
        create_app(world.gateway)
        .test_client()
        .post("/sharing/v1/exchanges", base_url=world.issuer, headers=dict(request.headers), data=request.body)
    )
    response = HttpResponse(status=answer.status_code, headers=dict(answer.headers), body=answer.data)
    problem = problem_of(world, request, response)
    assert (problem["status"], problem["code"]) == (502, "attachment_not_kept")
    assert world.outcomes_of(problem["exchange"]) == ["failed"]
    assert spooled(world, problem["exchange"]) == []


def test_a_document_that_was_not_asked_for_is_not_fetched(world: World) -> None:
    asking = attached(world)
    request = world.signed(world.body(asking, fields=["eligible"]))
    response = world.send(request)
    assert response.status == 200
    assert b"attachments" not in response.body
    exchange = world.events(names=["sharing.record.disclosed"])[0].reference
    assert not (world.gates / f"fetched-{exchange}").exists()


def test_another_key_does_not_get_it(world: World, tmp_path: Path) -> None:
    letter = ask(world, attached(world)).attachments[FIELD]
    letter.save(tmp_path / "letter.pdf")
    request = request_for(world, letter.address)
    with watching(world) as watched:
        problem = problem_of(world, request, world.send(request))
    assert (problem["status"], problem["code"]) == (409, "attachment_already_fetched")
    assert [event.name for event in watched.events] == ["sharing.request.rejected"]


def test_a_cut_fetch_is_made_again_with_the_same_key(world: World, tmp_path: Path) -> None:
    letter = ask(world, attached(world, size=2_000_000)).attachments[FIELD]
    sender = letter.fetcher.sender
    cut = request_for(world, letter.address, key=letter.idempotency_key)
    with sender.documents.session().get(cut.target_uri, headers=dict(cut.headers), stream=True, timeout=10) as response:
        assert next(response.iter_content(1000)) == document(2_000_000)[:1000]
    letter.save(tmp_path / "letter.pdf")
    assert (tmp_path / "letter.pdf").read_bytes() == document(2_000_000)


def test_a_request_that_is_sent_again_as_it_was(world: World) -> None:
    letter = ask(world, attached(world, size=10)).attachments[FIELD]
    request = request_for(world, letter.address)
    assert world.send(request).status == 200
    assert problem_of(world, request, world.send(request))["code"] == "nonce_replayed"


def test_others_learn_nothing_of_it(world: World) -> None:
    """Another system, another officer, another number, an exchange that never was: one answer for all of them."""
    letter = ask(world, attached(world)).attachments[FIELD]
    other = another_client(world)
    their_token = officer_token_of(world, other)
    another_officers = world.tokens(world.officer())["access_token"]
    tried = [
        request_for(world, letter.address, token=their_token, signer=other.signer, client_id=other.client_id),
        request_for(world, letter.address, token=another_officers),
        request_for(world, letter.address.removesuffix("1") + "2"),
        request_for(world, f"exchanges/{uuid.uuid4()}/attachments/1"),
    ]
    told = [problem_of(world, request, world.send(request)) for request in tried]
    for problem in told:
        problem.pop("instance")
    assert told[0]["code"] == "attachment_not_found"
    assert all(problem == told[0] for problem in told)
    assert world.send(request_for(world, letter.address)).status == 200


@pytest.mark.parametrize(
    "changes",
    [{"tag": "gateway-provider"}, {"client_id": "another"}],
)
def test_a_request_that_is_not_signed_for_this(world: World, changes: dict[str, str]) -> None:
    letter = ask(world, attached(world, size=10)).attachments[FIELD]
    request = request_for(world, letter.address, **changes)
    problem = problem_of(world, request, world.send(request), binding="target")
    assert problem["code"] == "invalid_request_signature"
    assert world.send(request_for(world, letter.address)).status == 200


def test_asking_for_the_head_alone_uses_nothing_up(world: World) -> None:
    letter = ask(world, attached(world, size=10)).attachments[FIELD]
    request = request_for(world, letter.address)
    headers = dict(request.headers)
    answer = letter.fetcher.sender.documents.session().head(letter.address, headers=headers, timeout=10)
    assert answer.status_code == 405
    assert world.send(request_for(world, letter.address)).status == 200


def test_an_agreement_suspended_before_the_document_is_fetched(world: World, tmp_path: Path) -> None:
    asking = attached(world)
    letter = ask(world, asking).attachments[FIELD]
    world.suspend(asking)
    with watching(world) as watched, pytest.raises(NotAnswered) as refused:
        letter.save(tmp_path / "letter.pdf")
    assert refused.value.code == "refused"
    assert [rule["code"] for rule in refused.value.problem["rules"]] == ["agreement_suspended"]
    assert [event.name for event in watched.events] == ["sharing.attachment.refused"]
    assert refused.value.problem["receipt"]
    assert list(tmp_path.iterdir()) == []
    resume(world, asking)
    letter.save(tmp_path / "letter.pdf")
    assert (tmp_path / "letter.pdf").read_bytes() == document(letter.size)


def test_an_agreement_suspended_while_the_department_sends_the_document(world: World) -> None:
    size = 300_123
    asking = attached(world, "gated", size=size, answer_seconds=20.0)
    request = world.signed(world.body(asking, fields=["eligible", FIELD]))
    with while_spooling(world, asking, request) as (exchange, answer):
        world.suspend(asking)
        (world.gates / f"open-document-{size}").touch()
        response = answer.result(timeout=30)
    assert problem_of(world, request, response)["code"] == "refused"
    assert spooled(world, exchange) == []
    assert rows_of(world, exchange) == []


def test_an_agreement_suspended_while_the_document_is_being_sent(world: World) -> None:
    """Whoever reads slowly does not get to the end of what is no longer permitted; nor does anybody after them."""
    asking = attached(world, size=TEN_MEGABYTES, answer_seconds=30.0)
    letter = ask(world, asking).attachments[FIELD]
    request = request_for(world, letter.address, key=letter.idempotency_key)
    with reading_slowly(world, request) as response:
        assert response.read(1000) == document(TEN_MEGABYTES)[:1000]
        world.suspend(asking)
        time.sleep(LOOK_EVERY + 0.2)  # what is looked at again is looked at after this time, by its own clock
        # What was under way in the buffers of both machines could not be called back.
        with pytest.raises(http.client.IncompleteRead):
            response.read()
    exchange = letter.address.split("/")[-3]
    assert world.outcomes_of(exchange) == ["disclosed", "released", "refused"]
    assert fetch(world, letter.address, key=letter.idempotency_key).status == 403


def test_the_departments_key_withdrawn_before_the_document_is_fetched(world: World) -> None:
    letter = ask(world, attached(world, size=10)).attachments[FIELD]
    with world.gateway.database.read() as session:
        department = find_client(session, PROVIDER_CLIENT)
    assert department is not None
    try:
        with world.gateway.database.write() as session:
            another = PrivateKeySigner.generate("ES256").public_jwk()
            record_client(session, replace(department, keys=(another,)), at=SystemClock().now())
        assert told_of(world, letter.address) == (409, "answer_withdrawn")
    finally:
        with world.gateway.database.write() as session:
            record_client(session, department, at=SystemClock().now())
    assert fetch(world, letter.address).body == document(10)


def test_a_document_whose_time_is_over(world: World) -> None:
    letter = ask(world, attached(world, size=10)).attachments[FIELD]
    exchange = uuid.UUID(letter.address.split("/")[-3])
    now, past = SystemClock().now(), SystemClock().now() - timedelta(minutes=16)
    with world.gateway.database.write() as session:
        session.execute(update(AttachmentRow).where(AttachmentRow.exchange == exchange).values(expires_at=past))
        session.execute(update(ExchangeRow).where(ExchangeRow.id == exchange).values(closed_at=past))
    assert told_of(world, letter.address) == (409, "attachment_expired")
    sweep_spool(world.gateway.database, world.gateway.spool, now=now)
    assert spooled(world, str(exchange)) == []
    with world.gateway.database.write() as session:
        purge_attachments(session, now=now)
    assert rows_of(world, str(exchange)) == []
    # The same words when nothing is left of it.
    assert told_of(world, letter.address) == (409, "attachment_expired")


def test_what_waits_for_somebody_is_not_swept(world: World) -> None:
    asking = attached(world, "gated", size=200_321, answer_seconds=20.0)
    request = world.signed(world.body(asking, fields=["eligible", FIELD]))
    with while_spooling(world, asking, request) as (exchange, answer):
        sweep_spool(world.gateway.database, world.gateway.spool, now=SystemClock().now())
        assert spooled(world, exchange)
        (world.gates / "open-document-200321").touch()
        assert answer.result(timeout=30).status == 200
    sweep_spool(world.gateway.database, world.gateway.spool, now=SystemClock().now())
    assert fetch(world, f"exchanges/{exchange}/attachments/1").body == document(200_321)


@pytest.mark.parametrize("damage", ["gone", "cut", "changed"])
def test_a_damaged_file_of_the_spool_gives_nothing(world: World, damage: str) -> None:
    letter = ask(world, attached(world, size=1000)).attachments[FIELD]
    exchange = letter.address.split("/")[-3]
    (file,) = spooled(world, exchange)
    if damage == "gone":
        file.unlink()
    else:
        whole = file.read_bytes()
        file.write_bytes(whole[:-1] if damage == "cut" else whole[:-1] + bytes([whole[-1] ^ 1]))
    assert told_of(world, letter.address) == (409, "attachment_lost")
    assert world.outcomes_of(exchange) == ["disclosed"]


def test_the_database_holds_nothing_by_which_a_document_could_be_guessed(world: World) -> None:
    answer = ask(world, attached(world, size=10))
    (row,) = rows_of(world, answer.exchange)
    digest = answer.attachments[FIELD].digest
    assert b64url_encode(digest) not in row.digest
    assert row.digest != b64url_encode(digest)
    assert row.claimed_by is None


@contextmanager
def reading_slowly(world: World, request: HttpRequest) -> Iterator[http.client.HTTPResponse]:
    """Send this, and take in what comes by little and little: only so much waits in the machine's buffers."""
    parts = urlsplit(request.target_uri)
    connection = http.client.HTTPConnection(parts.netloc, timeout=30)
    connection.sock = socket.socket()
    connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
    connection.sock.connect((parts.hostname, parts.port))
    with closing(connection):
        connection.request("GET", parts.path, headers=dict(request.headers))
        yield connection.getresponse()


def told_of(world: World, address: str) -> tuple[int, str]:
    """How a new fetch of this is turned away: status and code."""
    request = request_for(world, address)
    problem = problem_of(world, request, world.send(request))
    return problem["status"], problem["code"]


def resume(world: World, asking: Asking) -> None:
    with world.gateway.database.write() as session:
        resume_agreement(
            session,
            asking.reference,
            asking.version,
            audit=world.gateway.audit,
            by="tests",
            reason="a test",
            at=SystemClock().now(),
        )


def rows_of(world: World, exchange: str) -> list[AttachmentRow]:
    with world.gateway.database.read() as session:
        found = select(AttachmentRow).where(AttachmentRow.exchange == uuid.UUID(exchange))
        return list(session.scalars(found))
