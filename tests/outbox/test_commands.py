"""What an operator sees of deliveries, and does about those that were given up."""

import json

import pytest
from click.testing import CliRunner, Result

from gateway.audit.recorded import find_events
from gateway.outbox.commands import OutboxContext, outbox_group
from gateway.outbox.deliveries import Delivered, State, Undeliverable, list_deliveries
from tests.outbox.conftest import Post

DECIDED = ("--by", "A Sample", "--reason", "incident 7")


def run(post: Post, *arguments: str) -> Result:
    group = outbox_group(lambda: OutboxContext(database=post.database, audit=post.audit, clock=post.clock))
    return CliRunner().invoke(group, list(arguments), env={"COLUMNS": "200"})


@pytest.fixture
def dead(post: Post) -> str:
    """The id of a delivery that was given up."""
    post.enqueue("council", sid="s1")
    post.answers["council"] = lambda _delivery: Undeliverable("the recipient answered 400")
    post.courier().run_once()
    with post.database.read() as session:
        [delivery] = list_deliveries(session, limit=2)
    return str(delivery.delivery_id)


def details(post: Post, name: str) -> dict[str, object]:
    with post.database.read() as session:
        [event] = find_events(session, names=(name,), limit=2)
        return post.audit.details_of(session, event.event_id)


def test_a_dead_letter_is_listed_with_its_reason(post: Post, dead: str) -> None:
    post.enqueue("other")
    listed = run(post, "list", "--state", "dead").output
    assert dead in listed
    assert "the recipient answered 400" in listed
    assert "1 waiting, 0 delivered, 1 dead, 0 discarded" in listed
    assert "other" not in listed
    assert dead not in run(post, "list", "--recipient", "other").output


def test_a_delivery_is_shown(post: Post, dead: str) -> None:
    shown = json.loads(run(post, "show", dead).output)
    assert shown["state"] == "dead"
    assert shown["attempts"] == 1
    assert shown["payload"] == {"sid": "s1"}


def test_a_dead_letter_that_is_retried_is_delivered_and_the_log_says_who_did_it(post: Post, dead: str) -> None:
    assert run(post, "retry", dead, *DECIDED).exit_code == 0
    post.answers["council"] = lambda _delivery: Delivered()
    post.courier().run_once()
    assert json.loads(run(post, "show", dead).output)["state"] == State.DELIVERED
    event = details(post, "outbox.delivery.retried")
    assert (event["by"], event["reason"], event["delivery"]) == ("A Sample", "incident 7", dead)


def test_a_discarded_delivery_is_not_tried_again_and_the_log_says_who_did_it(post: Post, dead: str) -> None:
    assert run(post, "discard", dead, *DECIDED).exit_code == 0
    assert post.courier().run_once() == 0
    assert json.loads(run(post, "show", dead).output)["state"] == State.DISCARDED
    assert details(post, "outbox.delivery.discarded")["by"] == "A Sample"


@pytest.mark.parametrize("command", ["retry", "discard"])
def test_what_is_settled_stays_settled(post: Post, dead: str, command: str) -> None:
    run(post, "discard", dead, *DECIDED)
    again = run(post, command, dead, *DECIDED)
    assert again.exit_code == 1
    assert "The delivery was made or discarded already" in again.output


def test_an_unknown_delivery_is_said_to_be_unknown(post: Post) -> None:
    unknown = "01997b1e-0000-7000-8000-000000000000"
    for arguments in (("show", unknown), ("retry", unknown, *DECIDED)):
        answer = run(post, *arguments)
        assert answer.exit_code == 1
        assert "There is no such delivery" in answer.output
