"""What is promised is delivered, at least once, whatever happens to workers and recipients meanwhile."""

import threading
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from gateway.audit.recorded import find_events
from gateway.outbox.deliveries import (
    JITTER,
    KEPT_WHEN_DONE,
    LEASE,
    LONGEST_PAUSE,
    MOST_ATTEMPTS,
    Delivered,
    Delivery,
    Letter,
    NoLongerNeeded,
    Outcome,
    State,
    TryAgain,
    Undeliverable,
    claim_next,
    enqueue,
    list_deliveries,
    pause_after,
    purge_deliveries,
    recipients_due,
    settle,
)
from gateway.outbox.models import DeliveryRow
from tests.outbox.conftest import KIND, Post


def only(post: Post) -> Delivery:
    with post.database.read() as session:
        [found] = list_deliveries(session, limit=2)
    return found


def try_again(_delivery: Delivery) -> Outcome:
    return TryAgain("the recipient answered 503")


def down(_delivery: Delivery) -> Outcome:
    return TryAgain("too_slow", recipient_down=True)


def test_what_is_promised_is_delivered_once(post: Post) -> None:
    post.enqueue("council", sid="s1")
    courier = post.courier()
    assert courier.run_once() == 1
    assert courier.run_once() == 0
    [delivery] = post.received["council"]
    assert delivery.payload == {"sid": "s1"}
    assert only(post).state is State.DELIVERED


def test_what_was_rolled_back_is_not_delivered(post: Post) -> None:
    def promise_in_vain() -> None:
        with post.database.write() as session:
            enqueue(session, [Letter(kind=KIND, recipient="council", payload={})], at=post.clock.now())
            raise RuntimeError

    with pytest.raises(RuntimeError):
        promise_in_vain()
    assert post.courier().run_once() == 0
    assert not post.received


def test_a_settled_delivery_keeps_nothing_of_its_payload(post: Post) -> None:
    post.enqueue("council", sid="s1")
    post.courier().run_once()
    assert only(post).payload == {}


def test_a_recipient_that_was_down_gets_it_when_it_is_back(post: Post) -> None:
    post.enqueue("council", sid="s1")
    post.answers["council"] = down
    courier = post.courier()
    courier.run_once()
    assert only(post).state is State.WAITING
    assert only(post).reason == "too_slow"
    assert courier.run_once() == 0  # not before its time
    del post.answers["council"]
    post.later(hours=1)
    courier.run_once()
    assert only(post).state is State.DELIVERED


def test_a_fault_of_a_handler_is_an_attempt_that_failed(post: Post) -> None:
    def broken(_delivery: Delivery) -> Outcome:
        raise ValueError("with something private in it")

    post.enqueue("council")
    post.answers["council"] = broken
    post.courier().run_once()
    assert only(post).state is State.WAITING
    assert only(post).reason == "ValueError"


def test_what_fails_every_time_is_given_up_with_an_event_and_an_alert(post: Post) -> None:
    post.enqueue("council", sid="s1")
    post.answers["council"] = try_again
    courier = post.courier()
    for _ in range(MOST_ATTEMPTS + 3):
        courier.run_once()
        post.later(hours=2)
    assert len(post.received["council"]) == MOST_ATTEMPTS
    assert only(post).state is State.DEAD
    assert only(post).payload == {"sid": "s1"}  # an operator may yet retry it
    with post.database.read() as session:
        [event] = find_events(session, names=("outbox.delivery.given_up",), limit=2)
        assert post.audit.details_of(session, event.event_id)["reason"] == "the recipient answered 503"
    post.alerts = type(post.alerts)()
    with capture_logs() as lines:
        post.courier().run_once()
    assert {"alert": "deliveries_given_up", "count": 1, "event": "alert", "log_level": "error"} in lines


def test_what_the_recipient_refuses_for_good_is_not_tried_again(post: Post) -> None:
    post.enqueue("council")
    post.answers["council"] = lambda _delivery: Undeliverable("the recipient answered 400")
    courier = post.courier()
    courier.run_once()
    post.later(hours=2)
    courier.run_once()
    assert len(post.received["council"]) == 1
    assert only(post).state is State.DEAD


def test_what_nobody_needs_any_more_is_discarded_without_an_alarm(post: Post) -> None:
    post.enqueue("council")
    post.answers["council"] = lambda _delivery: NoLongerNeeded("the client was removed")
    post.courier().run_once()
    assert only(post).state is State.DISCARDED
    with capture_logs() as lines:
        post.courier().run_once()
    assert not [line for line in lines if line["event"] == "alert"]


def test_what_a_killed_worker_had_claimed_is_delivered_by_another(post: Post) -> None:
    post.enqueue("council", sid="s1")
    with post.database.write() as session:
        assert claim_next(session, "council", now=post.clock.now())
    other = post.courier()
    assert other.run_once() == 0  # its lease still runs
    post.clock.advance(seconds=LEASE.total_seconds())
    assert other.run_once() == 1
    assert only(post).state is State.DELIVERED


def test_a_worker_that_comes_back_after_its_lease_changes_nothing(post: Post) -> None:
    post.enqueue("council", sid="s1")
    with post.database.write() as session:
        slow = claim_next(session, "council", now=post.clock.now())
    assert slow is not None
    post.clock.advance(seconds=LEASE.total_seconds())
    with post.database.write() as session:
        quick = claim_next(session, "council", now=post.clock.now())
        assert quick is not None
        assert settle(session, slow, Undeliverable("late"), now=post.clock.now()) is None
        assert settle(session, quick, Delivered(), now=post.clock.now()) is State.DELIVERED


def test_a_delivery_that_kills_every_worker_is_given_up(post: Post) -> None:
    post.enqueue("council")
    for _ in range(MOST_ATTEMPTS):
        with post.database.write() as session:
            assert claim_next(session, "council", now=post.clock.now())
        post.clock.advance(seconds=LEASE.total_seconds())
    post.courier().run_once()
    assert not post.received
    assert only(post).state is State.DEAD


def test_two_workers_make_each_delivery_once(post: Post) -> None:
    for number in range(40):
        post.enqueue(f"client-{number % 4}", number=number)
    workers = [threading.Thread(target=post.courier().run_once) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    post.courier().run_once()  # what all of them left to each other
    made = [delivery.payload["number"] for deliveries in post.received.values() for delivery in deliveries]
    assert sorted(made) == list(range(40))


def test_a_recipient_that_hangs_holds_up_nobody_else(post: Post, gate: threading.Event) -> None:
    """The one that hangs goes first, and hangs until the last of the others has been served."""
    others = {f"client-{number}" for number in range(12)}

    def hang(_delivery: Delivery) -> Outcome:
        assert gate.wait(timeout=30), "the others were not served meanwhile"
        return TryAgain("too_slow", recipient_down=True)

    def take(delivery: Delivery) -> Outcome:
        others.discard(delivery.recipient)
        if not others:
            gate.set()
        return Delivered()

    post.answers = {"hangs": hang, **dict.fromkeys(set(others), take)}
    for _ in range(5):
        post.enqueue("hangs")
    post.clock.advance(seconds=1)
    for recipient in tuple(others):
        post.enqueue(recipient)
    post.courier().run_once()
    assert not others
    # It cost one attempt, not five: who is down is left in peace.
    assert len(post.received["hangs"]) == 1


def test_a_recipient_that_is_down_is_left_in_peace_longer_each_time(post: Post) -> None:
    post.answers["down"] = down
    courier = post.courier()
    pauses = []
    for _ in range(4):
        post.enqueue("down")
        waited = 0.0
        while not courier.run_once():
            post.seconds += 1
            waited += 1
        pauses.append(waited)
    assert pauses == [0, 5, 10, 20]


def test_pauses_grow_are_bounded_and_do_not_fall_together() -> None:
    low, middle, high = (pause_after(3, chance=chance) for chance in (0.0, 0.5, 1.0))
    assert (low, middle, high) == (timedelta(seconds=15), timedelta(seconds=20), timedelta(seconds=25))
    assert pause_after(1000, chance=1.0) == LONGEST_PAUSE * (1 + JITTER)
    total = sum((pause_after(attempt, chance=0.5) for attempt in range(1, MOST_ATTEMPTS)), timedelta())
    assert timedelta(hours=8) < total < timedelta(hours=12)


def test_settled_deliveries_are_purged_in_bounded_batches_and_waiting_ones_never(post: Post) -> None:
    for _ in range(5):
        post.enqueue("council")
    post.courier().run_once()
    post.enqueue("council", sid="waits")
    after = post.clock.now() + KEPT_WHEN_DONE + timedelta(seconds=1)
    with post.database.write() as session:
        assert purge_deliveries(session, now=after, limit=3) == 3
        assert purge_deliveries(session, now=after, limit=3) == 2
        assert purge_deliveries(session, now=after + timedelta(days=999), limit=3) == 0
    assert only(post).payload == {"sid": "waits"}


def test_who_has_waited_longest_is_served_first(post: Post) -> None:
    for recipient in ("second", "first"):
        post.enqueue(recipient)
    with post.database.write() as session:
        for row in session.query(DeliveryRow).where(DeliveryRow.recipient == "first"):
            row.due_at -= timedelta(minutes=1)
    with post.database.read() as session:
        assert recipients_due(session, now=post.clock.now()) == ("first", "second")
