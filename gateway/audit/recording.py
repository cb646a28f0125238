"""Group commit: what needs no transaction of its caller's shares one with whatever else is waiting in this process.

The first thread that comes leads: it takes the turn to write, then all that has queued up until then, writes it in one
transaction, and wakes those whose items these were. Whoever came too late for it leads next. Nobody is told that an
item is written before its commit is durable, and no thread or process is started.
"""

import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from sqlalchemy import Connection

from gateway.db import CommitUnconfirmed, Database, DatabaseUnavailable

MOST_AT_ONCE = 256
"""How many items one transaction holds at most, so that other writers get their turn."""

_Item = TypeVar("_Item")


class GroupCommit(Generic[_Item]):
    """The queue of one process for one kind of item. Safe across threads, and usable on both sides of a fork."""

    def __init__(self, database: Database, write: Callable[[Connection, Sequence[_Item]], object]) -> None:
        """Take how many items are written in one transaction; nothing is queued or opened yet."""
        self._database = database
        self._write = write
        self._queue: _Queue[_Item] = _Queue()

    def write(self, item: _Item) -> None:
        """Return once the item is durable.

        Raises `DatabaseUnavailable` when it was not written: the database did not answer, or no turn came in time.
        Raises `CommitUnconfirmed` when nobody can tell.
        """
        queue, place = self._own_queue(), _Place(item)
        if not queue.enter(place) and not place.wait(2 * self._database.timeout):
            queue.leave(place)
        if place.leads:
            self._lead(queue)
        place.check()

    def _own_queue(self) -> "_Queue[_Item]":
        queue = self._queue
        if queue.process != os.getpid():
            # Forked: the threads that stood in it are the parent's. Should two threads make one each, both work.
            queue = self._queue = _Queue()
        return queue

    def _lead(self, queue: "_Queue[_Item]") -> None:
        """Write the first of the queue, this thread's own item among them, then let the next thread lead."""
        batch: list[_Place[_Item]] = []
        try:
            with self._database.write_rows() as connection:
                # Only now, so that what came while this thread waited for its turn is written with it.
                batch = queue.take(MOST_AT_ONCE)
                self._write(connection, [place.item for place in batch])
        except BaseException as error:
            # Without a turn nobody was taken out of the queue yet; it would be no better for those behind.
            for place in batch or queue.take(None):
                place.end(error)
            raise
        else:
            for place in batch:
                place.end(None)
        finally:
            queue.hand_over()


class _Place(Generic[_Item]):
    """One caller's place in the queue: a lock that is free again once there is something to do or to know."""

    __slots__ = ("_fault", "_turned", "item", "leads")

    def __init__(self, item: _Item) -> None:
        self.item = item
        self.leads = False
        self._fault: BaseException | None = None
        self._turned = threading.Lock()
        self._turned.acquire()

    def wait(self, seconds: float) -> bool:
        return self._turned.acquire(timeout=seconds)

    def lead(self) -> None:
        self.leads = True
        self._turned.release()

    def end(self, fault: BaseException | None) -> None:
        self._fault = fault
        if not self.leads:
            self._turned.release()

    def check(self) -> None:
        """Raise the leader's fault as this thread's own."""
        if isinstance(self._fault, DatabaseUnavailable):
            raise type(self._fault)(detail=self._fault.detail) from self._fault
        if self._fault is not None:
            # Whatever ended the leader may have done so after its commit: nobody is told that nothing was changed.
            raise CommitUnconfirmed(detail=type(self._fault).__name__) from self._fault


class _Queue(Generic[_Item]):
    """Who waits, in order, and whether somebody leads."""

    def __init__(self) -> None:
        self.process = os.getpid()
        self._places: deque[_Place[_Item]] = deque()
        self._led = False
        self._lock = threading.Lock()

    def enter(self, place: _Place[_Item]) -> bool:
        """Stand in the queue; returns whether this thread leads."""
        with self._lock:
            self._places.append(place)
            if self._led:
                return False
            self._led = place.leads = True
            return True

    def take(self, most: int | None) -> list[_Place[_Item]]:
        """Remove and return the first places, or all of them."""
        with self._lock:
            count = len(self._places) if most is None else min(most, len(self._places))
            return [self._places.popleft() for _ in range(count)]

    def hand_over(self) -> None:
        """Let the first who still waits lead."""
        with self._lock:
            self._led = bool(self._places)
            if self._places:
                self._places[0].lead()

    def leave(self, place: _Place[_Item]) -> None:
        """Give up waiting, unless the wait is over at this very moment; raises what is known of the item."""
        with self._lock:
            if place.wait(0):
                return
            if place in self._places:
                self._places.remove(place)
                raise DatabaseUnavailable(detail="no turn to write in this process")
        raise CommitUnconfirmed(detail="another thread is still writing it")
