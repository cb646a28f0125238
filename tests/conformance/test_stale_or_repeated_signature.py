"""A request that was good once is sent again, or was signed at another time than now."""

import secrets
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from gateway.clock import SystemClock
from tests.conformance.expectations import assert_turned_away, problem_of, watching
from tests.kit.world import World


@pytest.mark.parametrize("seconds", [-3600, -70, 15, 3600])
def test_a_signature_of_another_time_is_turned_away(world: World, seconds: int) -> None:
    created = SystemClock().now() + timedelta(seconds=seconds)
    assert_turned_away(
        world,
        world.signed(world.body(world.asking()), created=created),
        status=401,
        code="invalid_request_signature",
        cause="stale_message_signature",
        binding="target",
    )


def test_a_signature_made_within_the_minute_is_good(world: World) -> None:
    created = SystemClock().now() - timedelta(seconds=45)
    assert world.send(world.signed(world.body(world.asking()), created=created)).status == 200


def test_the_very_same_request_is_answered_once(world: World) -> None:
    request = world.signed(world.body(world.asking()))
    assert world.send(request).status == 200
    assert_turned_away(world, request, status=401, code="nonce_replayed")


def test_a_nonce_is_good_for_one_request_whatever_it_says(world: World) -> None:
    asking, nonce = world.asking(), secrets.token_urlsafe(16)
    assert world.send(world.signed(world.body(asking), nonce=nonce)).status == 200
    assert_turned_away(world, world.signed(world.body(asking), nonce=nonce), status=401, code="nonce_replayed")


def test_of_copies_sent_at_once_to_both_workers_one_is_answered(world: World) -> None:
    request = world.signed(world.body(world.asking()))
    with watching(world) as watched, ThreadPoolExecutor(8) as senders:
        answers = list(senders.map(world.send, [request] * 8))
    assert sorted(answer.status for answer in answers) == [200] + [401] * 7
    codes = {problem_of(world, request, answer)["code"] for answer in answers if answer.status == 401}
    assert codes == {"nonce_replayed"}
    assert [event.name for event in watched.events].count("sharing.record.disclosed") == 1
    assert [event.name for event in watched.events].count("sharing.request.rejected") == 7
    world.assert_log_verifies()
