"""The clock of the whole machine is two hours off, and steps back, while the gateway is asked."""

import json
import uuid
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from http import HTTPStatus
from pathlib import Path

import pytest
import requests

from gateway.wire.message_signatures import HttpResponse
from gateway.wire.receipts import Receipt
from tests.faults.conftest import StartWorld
from tests.faults.pressure import (
    ENDINGS,
    ask,
    assert_accounted_for,
    exchanges_of,
    open_exchanges,
    verified,
    wait_until,
    wait_until_none_is_open,
)
from tests.kit.faketime import machine_clock
from tests.kit.outsider import Outsider
from tests.kit.world import Asking, World

pytestmark = [pytest.mark.prove, pytest.mark.timeout(240)]

# Right, ahead, right again, behind, right again; two of the steps go back.
OFFSETS = (0, 2, 0, -2, 0)
QUESTIONS = 4


def test_the_log_goes_on_in_the_order_of_what_happened_whatever_the_clock_shows(
    start_world: StartWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = machine_clock(tmp_path / "clock", monkeypatch)
    with start_world(workers=2) as world:
        asking, gated, told = world.asking(), world.asking("gated"), list[Receipt]()
        outsider = Outsider(location=f"{world.issuer}/log", vkey=world.gateway.log_key.encode())
        with ThreadPoolExecutor(len(OFFSETS)) as pool:
            under_way: list[Future[HttpResponse]] = []
            for step, hours in enumerate(OFFSETS):
                before = world.officer_token()
                clock.set_off(hours=hours)
                # What was recorded a moment ago may look two hours late now, until it is published.
                wait_until(partial(_is_ready, world), within_seconds=10)
                _assert_no_token_from_the_future(
                    world, asking, before, went_back=step > 0 and hours < OFFSETS[step - 1]
                )
                world._tokens.clear()
                told += _told(world, asking)
                wait_until(partial(_has_seen, outsider, told[-1]), within_seconds=30)
                # One more question that waits at its department while the clock steps again.
                waiting = world.signed(world.body(gated), token=world.officer_token())
                under_way.append(pool.submit(world.send, waiting))
                wait_until(partial(_are_begun, world, gated, step + 1), within_seconds=10)
            world.open_gate(gated)
            answers = [each.result() for each in under_way]
        wait_until_none_is_open(world, gated)
        assert open_exchanges(world, asking) == 0

        leaves = world.assert_log_verifies()
        assert_accounted_for(world, asking, told, leaves=leaves)
        # Whatever the clock showed, and however the ids of the events are ordered: first come, first numbered.
        assert [
            leaf.reference for leaf in leaves if leaf.event in ENDINGS and leaf.reference in _ids(world, asking)
        ] == [receipt.exchange for receipt in told]
        receipts = [_outcome(world, answer) for answer in answers]
        assert_accounted_for(world, gated, receipts, leaves=leaves)
        assert outsider.look() == len(leaves)
        assert [leaf.event_id for leaf in leaves] == outsider.events


def test_an_answer_is_given_again_for_a_quarter_of_an_hour_and_no_longer(
    start_world: StartWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = machine_clock(tmp_path / "clock", monkeypatch)
    with start_world(workers=2) as world:
        officer, asking, key = world.officer(), world.asking(), str(uuid.uuid4())
        body = world.body(asking)

        def asked(*, after_minutes: float) -> HttpResponse:
            clock.set_off(hours=after_minutes / 60)
            wait_until(partial(_is_ready, world), within_seconds=10)
            # Tokens last for less; the officer signs in again and is the same person.
            token = world.tokens(officer)["access_token"]
            answer = world.send(world.signed(body, key=key, token=token))
            while answer.status == HTTPStatus.SERVICE_UNAVAILABLE:  # the patience of these worlds is short
                answer = world.send(world.signed(body, key=key, token=token))
            return answer

        first, again, late = asked(after_minutes=0), asked(after_minutes=14), asked(after_minutes=16)
        assert (first.status, again.status, again.body) == (HTTPStatus.OK, HTTPStatus.OK, first.body)
        told = json.loads(late.body)
        assert (late.status, told["code"]) == (HTTPStatus.CONFLICT, "answer_expired")
        assert (told["exchange"], told["receipt"]) == tuple(
            json.loads(first.body)[name] for name in ("exchange", "receipt")
        )


def _told(world: World, asking: Asking) -> list[Receipt]:
    """What an honest client is told, one question after the other."""
    token, consumer = world.officer_token(), world.consumer()
    receipts = [ask(world, consumer, asking, number, token=token) for number in range(QUESTIONS)]
    assert [receipt.outcome for receipt in receipts if receipt] == ["disclosed"] * (QUESTIONS - 1) + ["refused"]
    return [receipt for receipt in receipts if receipt]


def _assert_no_token_from_the_future(world: World, asking: Asking, token: str, *, went_back: bool) -> None:
    """A token that was issued under a clock ahead would live for hours too long: it opens nothing."""
    if went_back:
        answer = world.send(world.signed(world.body(asking), token=token))
        assert answer.status == HTTPStatus.UNAUTHORIZED, answer.body


def _is_ready(world: World) -> bool:
    return requests.get(f"{world.issuer}/readyz", timeout=10).ok


def _has_seen(outsider: Outsider, receipt: Receipt) -> bool:
    outsider.look()
    return receipt.exchange in {leaf.reference for leaf in outsider.leaves}


def _are_begun(world: World, asking: Asking, number: int) -> bool:
    return len(exchanges_of(world, asking)) == number


def _ids(world: World, asking: Asking) -> set[str]:
    return {str(row.id) for row in exchanges_of(world, asking)}


def _outcome(world: World, answer: HttpResponse) -> Receipt:
    """What came of a question that was under way when the clock stepped; nothing may be released that was given up."""
    told = json.loads(answer.body)
    receipt = verified(world, told["receipt"])
    assert ("record" in told) == (receipt.outcome == "disclosed")
    return receipt
