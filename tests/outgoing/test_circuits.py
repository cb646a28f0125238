"""After failures in a row nobody calls; then one caller tries for all. Nobody waits for a place that is taken."""

from gateway.outgoing.circuits import Circuits, Places

SECONDS = 10.0


class Moment:
    """A monotonic clock that stands still."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def failing(circuits: Circuits, times: int, *, place: str = "a") -> list[str | None]:
    return [circuits.note(place, failed=True) for _ in range(times)]


def test_only_failures_in_a_row_open_a_circuit() -> None:
    circuits = Circuits(failures=3, seconds=SECONDS, monotonic=Moment())
    assert failing(circuits, 2) == [None, None]
    assert circuits.note("a", failed=False) is None
    assert failing(circuits, 2) == [None, None]
    assert circuits.wait_for("a") == 0.0
    assert failing(circuits, 1) == ["opened"]
    assert circuits.wait_for("a") == SECONDS
    assert circuits.wait_for("b") == 0.0, "another place has nothing to do with it"


def test_one_caller_tries_and_its_success_is_everybodys() -> None:
    moment = Moment()
    circuits = Circuits(failures=1, seconds=SECONDS, monotonic=moment)
    failing(circuits, 1)
    moment.seconds += SECONDS
    assert circuits.wait_for("a") == 0.0
    assert circuits.wait_for("a") > 0, "two tried at once"
    assert circuits.note("a", failed=False) == "closed"
    assert [circuits.wait_for("a") for _ in range(3)] == [0.0] * 3
    assert circuits.note("a", failed=False) is None


def test_a_trial_that_fails_leaves_it_open_for_as_long_again() -> None:
    moment = Moment()
    circuits = Circuits(failures=3, seconds=SECONDS, monotonic=moment)
    failing(circuits, 3)
    moment.seconds += SECONDS + 1
    assert circuits.wait_for("a") == 0.0
    assert circuits.note("a", failed=True) == "opened"
    assert circuits.wait_for("a") == SECONDS


def test_what_was_under_way_when_it_opened_does_not_keep_it_open_longer() -> None:
    moment = Moment()
    circuits = Circuits(failures=1, seconds=SECONDS, monotonic=moment)
    failing(circuits, 1)
    moment.seconds += SECONDS - 1
    assert failing(circuits, 2) == [None, None]
    assert circuits.wait_for("a") == 1.0


def test_a_trial_that_learned_nothing_leaves_it_to_the_next() -> None:
    moment = Moment()
    circuits = Circuits(failures=1, seconds=SECONDS, monotonic=moment)
    failing(circuits, 1)
    moment.seconds += SECONDS
    assert circuits.wait_for("a") == 0.0
    circuits.give_up("a")
    assert circuits.wait_for("a") == 0.0


def test_places_are_counted_for_each_system_and_given_back() -> None:
    places = Places(most=2)
    with places.one("a") as first, places.one("a") as second, places.one("a") as third, places.one("b") as other:
        assert (first, second, third, other) == (True, True, False, True)
    with places.one("a") as one, places.one("a") as two:
        assert (one, two) == (True, True)
    assert places._taken == {}
