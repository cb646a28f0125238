"""Chance that comes out the same every time, everywhere: numbers drawn from a hash of what they are drawn for."""

import hashlib
from collections.abc import Sequence
from typing import TypeVar

Item = TypeVar("Item")

_BYTES_EACH = 4
_MOST_DRAWS = 64


class Draw:
    """Draws for one purpose, such as `residents 17`; not for secrets, and at most 64 times."""

    def __init__(self, purpose: str) -> None:
        self._numbers = memoryview(hashlib.shake_256(purpose.encode()).digest(_BYTES_EACH * _MOST_DRAWS))

    def below(self, limit: int) -> int:
        """Return a number from 0 to `limit` - 1."""
        drawn, self._numbers = self._numbers[:_BYTES_EACH], self._numbers[_BYTES_EACH:]
        return int.from_bytes(drawn, "big") % limit

    def between(self, least: int, most: int) -> int:
        """Return a number from `least` to `most`, both included."""
        return least + self.below(most - least + 1)

    def choice(self, items: Sequence[Item]) -> Item:
        """Return one of these."""
        return items[self.below(len(items))]

    def chance(self, *, in_a_thousand: int) -> bool:
        """Tell yes so many times in a thousand."""
        return self.below(1000) < in_a_thousand
