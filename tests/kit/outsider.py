"""An outsider who watches the log with software that is not ours, and remembers what it was told."""

from dataclasses import dataclass, field
from pathlib import Path

from tlog_scales.backend import make_backend
from tlog_scales.reader import TilesReader
from tlog_scales.signing import Vkey

from gateway.wire.leaves import Leaf, parse_leaf
from gateway.wire.merkle import leaf_hash


@dataclass(slots=True, kw_only=True)
class Outsider:
    """Remembers the last checkpoint it read at `location` (a folder or a URL), and every entry below it."""

    location: str | Path
    vkey: str
    size: int = 0
    leaves: list[Leaf] = field(default_factory=list)
    _root: bytes | None = None

    @property
    def events(self) -> list[str]:
        """The ids of the events in the log, in its order."""
        return [leaf.event_id for leaf in self.leaves]

    def look(self) -> int:
        """Read the log as it stands now: it holds together, and continues what was read before; its size.

        A log that was never seen may have no checkpoint yet.
        """
        backend = make_backend(str(self.location))
        if self._root is None and backend.get("checkpoint") is None:
            return 0
        reader = TilesReader(backend)
        checkpoint = reader.get_checkpoint()
        checkpoint.verify(Vkey.from_string(self.vkey))
        assert checkpoint.size >= self.size, "the log has become shorter"
        assert reader.calculate_root_hash() == checkpoint.root_hash, "the tiles lead to another root"
        if self._root is not None and checkpoint.size == self.size:
            assert checkpoint.root_hash == self._root, "the log has forked"
        elif self.size:
            assert self._root is not None
            reader.get_consistency_proof(self.size, checkpoint.size).check(self._root, checkpoint.root_hash)
        for index in range(self.size, checkpoint.size):
            entry = reader.get_entry(index)
            assert reader.mth(index, index + 1) == leaf_hash(entry), f"entry {index} is not the one in the tree"
            self.leaves.append(parse_leaf(entry))
        assert len(set(self.events)) == len(self.events), "an event is in the log twice"
        self.size, self._root = checkpoint.size, checkpoint.root_hash
        return self.size
