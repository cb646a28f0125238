"""What a check of the log can find, as values: each names the place, and the first entry it concerns."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class FaultKind(StrEnum):
    """What sort of disagreement it is. Stable names: programs read them."""

    CHECKPOINT = "checkpoint"  # the signed statement itself
    MISSING = "missing"  # a file that should be there
    UNREADABLE = "unreadable"  # a file that is there and does not come
    ENTRY = "entry"  # an entry that is not the one in the tree
    TILE = "tile"  # a hash tile that does not follow from what is below it
    ROOT = "root"  # the tree leads to another root than the signed one
    HISTORY = "history"  # the log does not continue what was seen of it before
    ROW = "row"  # the database and the published log differ
    DETAILS = "details"  # details that do not open their commitment
    HEAD = "head"  # the database's own account of how far the log has come
    STRAY = "stray"  # a file that does not belong to the log
    ERASED = "erased"  # a key that the log records as destroyed, and that is there all the same
    PERMISSIONS = "permissions"  # a secret that others may read


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One place that disagrees. `index` is the first entry it concerns, None where it concerns no entry by itself."""

    kind: FaultKind
    text: str
    index: int | None = None
    detail: str | None = None

    def as_json(self) -> Mapping[str, Any]:
        """Return `{fault, index, text}`."""
        return {"fault": self.kind.value, "index": self.index, "text": self.text}


Report = Callable[[Fault], None]
"""Is told of each fault; may raise to stop at the first."""
