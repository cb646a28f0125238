"""A provider that does not answer is left alone for a while, and one that answers slowly does not keep all threads."""

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from gateway.clock import SystemClock
from gateway.demo.layout import DWP
from gateway.directory.members import ClientKind, record_client
from gateway.sharing.catalogue.services import find_service, record_service
from gateway.wire.message_signatures import HttpRequest, HttpResponse
from gateway.wire.signer import PrivateKeySigner
from tests.conformance.expectations import assert_closed_without_a_record, problem_of, receipt_in
from tests.conformance.others import another_client
from tests.faults.pressure import wait_until
from tests.kit.world import ADA_MATCH, NOBODY_MATCH, WITHHELD_MATCH, Asking, World

EVERYBODY = {
    "known": {"match": ADA_MATCH},
    "unknown": {"match": NOBODY_MATCH},
    "withheld": {"match": WITHHELD_MATCH},
    "nobody": {"sub": "nobody-has-this-name"},
}


def asking_at(world: World, path: str, **changes: object) -> Asking:
    """A service of a test's own at the department whose server is a thread of ours."""
    asking = world.asking()
    with world.gateway.database.write() as session:
        service = find_service(session, asking.service)
        assert service is not None
        changed = replace(service, endpoint=world.raw.address + path, **changes)  # type: ignore[arg-type]
        record_service(session, changed, at=SystemClock().now())
    return asking


def asked(world: World, asking: Asking) -> tuple[HttpRequest, HttpResponse]:
    """One question and its answer."""
    request = world.signed(world.body(asking))
    return request, world.send(request)


def code_of(answer: HttpResponse) -> str:
    return "disclosed" if answer.status == 200 else str(json.loads(answer.body)["code"])


def test_a_provider_that_keeps_failing_is_left_alone_until_it_answers_again(world: World) -> None:
    path, settings = "/broken-until-mended", world.settings
    asking = asking_at(world, path)
    most = settings.workers * settings.provider_failures
    codes: Counter[str] = Counter()
    request, answer = asked(world, asking)
    # Each worker learns by itself: once one asks no more, none of its questions arrives there.
    while answer.status != 503 and codes.total() < most:
        codes[code_of(answer)] += 1
        request, answer = asked(world, asking)
    assert code_of(answer) == "provider_unavailable"
    assert set(codes) == {"provider_error"}
    assert codes["provider_error"] >= settings.provider_failures
    problem = problem_of(world, request, answer)
    assert 1 <= int(answer.headers["Retry-After"]) <= settings.provider_pause + 1
    receipt = receipt_in(world, request, problem)
    assert (receipt.decision, receipt.outcome) == ("permit", "failed")
    assert [rule.code for rule in receipt.rules] == ["provider_unavailable"]
    assert_closed_without_a_record(world, receipt.exchange)
    assert receipt.exchange not in {one.question["exchange"] for one in world.raw.received_at(path)}
    assert any('"provider_unavailable"' in line for line in alerts_about(world, asking))
    # Mended, it is asked again: in each worker that had stopped, first by one question, then by all.
    world.raw.mended.set()
    wait_until(
        lambda: (
            code_of(asked(world, asking)[1]) == "disclosed"
            and any('"alert ended"' in line for line in alerts_about(world, asking))
        ),
        within_seconds=20,
    )


def test_a_failing_provider_fails_alike_for_everybody(world: World) -> None:
    """Nobody learns from it who is known, unknown or withheld: neither before its circuit opens nor after."""
    asking, number = asking_at(world, "/closes-at-once"), world.settings.workers * world.settings.provider_failures
    codes: dict[str, list[str]] = {}
    for _ in range(number):
        for who, subject in EVERYBODY.items():
            answer = world.send(world.signed(world.body(asking, subject=subject)))
            codes.setdefault(who, []).append(code_of(answer))
    for told in codes.values():
        # Now and then one of them, whoever it is, is the question that tries again.
        assert set(told) == {"provider_unreachable", "provider_unavailable"}


def test_a_slow_provider_does_not_keep_the_threads_that_others_need(world: World) -> None:
    slow_system = another_client(world, member=DWP, kinds=(ClientKind.PROVIDER,), redirect_uris=())
    path, settings = f"/held/{slow_system.client_id}", world.settings
    slow = asking_at(world, path, provider_client=slow_system.client_id, answer_seconds=30.0)
    others, number = world.asking(), settings.workers * settings.threads + 4
    requests = [world.signed(world.body(slow)) for _ in range(number)]
    with ThreadPoolExecutor(number) as senders:
        answers = [senders.submit(world.send, request) for request in requests]
        try:
            wait_until(
                lambda: len(world.raw.received_at(path)) + sum(answer.done() for answer in answers) == number,
                within_seconds=8,
            )
            turned_away = [answer.result() for answer in answers if answer.done()]
            assert {code_of(answer) for answer in turned_away} == {"provider_busy"}
            assert {(answer.status, answer.headers["Retry-After"]) for answer in turned_away} == {(503, "1")}
            for _ in range(4):
                assert world.send(world.signed(world.body(others))).status == 200
            assert sum(answer.done() for answer in answers) == len(turned_away), "nobody was held any more"
        finally:
            world.raw.let_go(path)


@pytest.mark.parametrize("kept", [1, 0], ids=["beside the old one", "in place of the old one"])
def test_a_key_that_is_registered_while_the_provider_answers(world: World, kept: int) -> None:
    old, new = PrivateKeySigner.generate("ES256"), PrivateKeySigner.generate("ES256")
    system = another_client(world, member=DWP, kinds=(ClientKind.PROVIDER,), redirect_uris=(), keys=(old.public_jwk(),))
    path = f"/held/{system.client_id}"
    asking = asking_at(world, path, provider_client=system.client_id)
    request = world.signed(world.body(asking))
    with ThreadPoolExecutor(1) as sender:
        answer = sender.submit(world.send, request)
        wait_until(lambda: len(world.raw.received_at(path)) == 1, within_seconds=10)
        keys = (old.public_jwk(),) * kept + (new.public_jwk(),)
        with world.gateway.database.write() as session:
            record_client(session, replace(system.client, keys=keys), at=SystemClock().now())
        world.raw.signers[path] = new
        world.raw.let_go(path)
        assert answer.result(timeout=30).status == 200


def alerts_about(world: World, asking: Asking) -> list[str]:
    """The lines of the gateway's log that say an alert about this service."""
    lines = (world.layout.world_dir / "logs" / "gateway.log").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if '"alert' in line and asking.service in line]
