"""A clock that jumps ahead and is put right again opens nothing that was used up."""

from datetime import timedelta

from gateway.app import Gateway
from gateway.clock import SteadyClock
from gateway.once.once import first_use
from gateway.work import tasks
from tests.kit.clock import FrozenClock


def test_a_nonce_is_not_forgotten_because_the_clock_jumped(gateway: Gateway, clock: FrozenClock) -> None:
    (purge,) = (task for task in tasks(gateway) if task.name == "purge")

    def claimed() -> bool:
        with gateway.database.write() as session:
            expires = clock.now() + timedelta(minutes=2)
            return first_use(session, kind="nonce", owner="portal#1", value="n-1", expires_at=expires)

    assert claimed()
    clock.advance(hours=2)
    purge.run()
    clock.advance(hours=-2)
    assert not claimed()


def test_the_steady_clock_runs_with_time_and_is_never_ahead(clock: FrozenClock) -> None:
    ran = 0.0
    steady = SteadyClock(clock, monotonic=lambda: ran)
    begun = clock.now()
    clock.advance(seconds=90)
    ran = 90.0
    assert steady.now() == begun + timedelta(seconds=90)
    clock.advance(hours=2)
    assert steady.now() == begun + timedelta(seconds=90)
    clock.advance(hours=-3)
    assert steady.now() == clock.now()
