"""The Merkle tree of RFC 9162 §2.1 (the same as RFC 6962 §2.1) over SHA-256: hashes, roots, proofs and their checking.

Hashes are 32 raw bytes, leaves are counted from 0, and a proof is the list of hashes in the order of the RFC.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence

from gateway.wire.errors import InvalidTree

HASH_BYTES = 32

# Returns the hash of the subtree over leaves [start, end), which is a complete one: end - start is a power of two that
# divides start.
SubtreeHash = Callable[[int, int], bytes]


def leaf_hash(entry: bytes) -> bytes:
    """Return the hash of one entry: SHA-256(0x00 ‖ entry)."""
    return hashlib.sha256(b"\x00" + entry).digest()


def leaf_hashes_of(entries: Iterable[bytes]) -> list[bytes]:
    """Return the hash of each entry, as `leaf_hash` does of one: a tight loop, for whoever checks millions."""
    sha256 = hashlib.sha256
    return [sha256(b"\x00" + entry).digest() for entry in entries]


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node: SHA-256(0x01 ‖ left ‖ right)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def empty_root() -> bytes:
    """Return the root of the tree without leaves: SHA-256 of nothing."""
    return hashlib.sha256(b"").digest()


class CompactRange:
    """The least a growing tree must remember: one hash for each complete subtree, widest first.

    Appending costs one hash on average, whatever the size; the state is `size` and at most 64 `hashes`.
    """

    __slots__ = ("_hashes", "_size")

    def __init__(self, size: int = 0, hashes: Sequence[bytes] = ()) -> None:
        """Start empty, or from a saved state; raises `InvalidTree` when size and hashes do not fit."""
        if size < 0 or len(hashes) != size.bit_count() or any(len(item) != HASH_BYTES for item in hashes):
            raise InvalidTree("a compact range holds one hash for each set bit of its size")
        self._size = size
        self._hashes = list(hashes)

    @classmethod
    def of(cls, leaf_hashes: Iterable[bytes]) -> "CompactRange":
        """Return the range over these leaf hashes."""
        built = cls()
        for item in leaf_hashes:
            built.append(item)
        return built

    @property
    def size(self) -> int:
        """How many leaves there are."""
        return self._size

    @property
    def hashes(self) -> tuple[bytes, ...]:
        """The hashes of the complete subtrees, widest first."""
        return tuple(self._hashes)

    def append(self, leaf: bytes) -> None:
        """Add one leaf hash at the right."""
        size, carried = self._size, leaf
        while size & 1:
            carried = node_hash(self._hashes.pop(), carried)
            size >>= 1
        self._hashes.append(carried)
        self._size += 1

    def root(self) -> bytes:
        """Return the root hash of the tree so far."""
        if not self._hashes:
            return empty_root()
        *wider, root = self._hashes
        for left in reversed(wider):
            root = node_hash(left, root)
        return root


def root_of(leaf_hashes: Iterable[bytes]) -> bytes:
    """Return the root hash over these leaf hashes."""
    level = list(leaf_hashes)
    if not level:
        return empty_root()
    sha256 = hashlib.sha256
    while len(level) > 1:
        # A node without a right sibling is carried up unchanged, which gives the tree of RFC 9162 §2.1.1.
        unpaired = level[-1:] if len(level) & 1 else []
        pairs = zip(level[::2], level[1::2], strict=False)
        level = [sha256(b"\x01" + left + right).digest() for left, right in pairs] + unpaired
    return level[0]


def inclusion_proof(index: int, size: int, subtree_hash: SubtreeHash) -> list[bytes]:
    """Return the proof that leaf `index` is in the tree of `size` leaves (RFC 9162 §2.1.3.1); raises `InvalidTree`."""
    if not 0 <= index < size:
        raise InvalidTree("there is no such leaf in a tree of this size")
    return _path(index, 0, size, subtree_hash)


def consistency_proof(old_size: int, new_size: int, subtree_hash: SubtreeHash) -> list[bytes]:
    """Return the proof that the tree of `new_size` grew from that of `old_size` (RFC 9162 §2.1.4.1)."""
    if not 0 <= old_size <= new_size:
        raise InvalidTree("a tree grows; it does not shrink")
    if old_size in (0, new_size):
        return []
    return _subproof(old_size, 0, new_size, subtree_hash, whole=True)


def verify_inclusion(leaf: bytes, *, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Check that the leaf hash stands at `index` of the tree with this size and root (RFC 9162 §2.1.3.2).

    Raises `InvalidTree`.
    """
    if not 0 <= index < size:
        raise InvalidTree("the leaf index lies outside the tree")
    position, last, computed = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise InvalidTree("the inclusion proof is too long")
        if position & 1 or position == last:
            computed = node_hash(sibling, computed)
            position, last = _up_to_odd(position, last)
        else:
            computed = node_hash(computed, sibling)
        position, last = position >> 1, last >> 1
    if last != 0:
        raise InvalidTree("the inclusion proof is too short")
    if computed != root:
        raise InvalidTree("the inclusion proof leads to another root")


def verify_consistency(
    *, old_size: int, old_root: bytes, new_size: int, new_root: bytes, proof: Sequence[bytes]
) -> None:
    """Check that the new tree begins with the whole old one, unchanged (RFC 9162 §2.1.4.2); raises `InvalidTree`."""
    if not 0 <= old_size <= new_size:
        raise InvalidTree("a tree grows; it does not shrink")
    if old_size in (0, new_size):
        # Nothing is to be proved: every tree begins with the empty one, and with itself.
        if proof or old_root != (empty_root() if old_size == 0 else new_root):
            raise InvalidTree("the two trees do not agree")
        return
    # A complete old tree is a node of the new one, so the RFC leaves its root out of the proof.
    path = [old_root, *proof] if old_size & (old_size - 1) == 0 else list(proof)
    if not path:
        raise InvalidTree("the consistency proof is empty")
    if _climb_both(path, old_size - 1, new_size - 1) != (old_root, new_root):
        raise InvalidTree("the consistency proof leads to other roots")


def range_hash(start: int, end: int, subtree_hash: SubtreeHash) -> bytes:
    """Return the Merkle Tree Hash over leaves [start, end), put together from complete subtrees (RFC 9162 §2.1.1)."""
    width = end - start
    if width == 0:
        return empty_root()
    if width & (width - 1) == 0 and start % width == 0:
        return subtree_hash(start, end)
    split = start + _left_width(width)
    return node_hash(range_hash(start, split, subtree_hash), range_hash(split, end, subtree_hash))


def _left_width(width: int) -> int:
    # The largest power of two smaller than the width.
    return 1 << ((width - 1).bit_length() - 1)


def _path(index: int, start: int, end: int, subtree_hash: SubtreeHash) -> list[bytes]:
    if end - start == 1:
        return []
    split = start + _left_width(end - start)
    if index < split:
        return [*_path(index, start, split, subtree_hash), range_hash(split, end, subtree_hash)]
    return [*_path(index, split, end, subtree_hash), range_hash(start, split, subtree_hash)]


def _subproof(old_end: int, start: int, end: int, subtree_hash: SubtreeHash, *, whole: bool) -> list[bytes]:
    if old_end == end:
        return [] if whole else [range_hash(start, end, subtree_hash)]
    split = start + _left_width(end - start)
    if old_end <= split:
        left = _subproof(old_end, start, split, subtree_hash, whole=whole)
        return [*left, range_hash(split, end, subtree_hash)]
    right = _subproof(old_end, split, end, subtree_hash, whole=False)
    return [*right, range_hash(start, split, subtree_hash)]


def _climb_both(path: Sequence[bytes], position: int, last: int) -> tuple[bytes, bytes]:
    while position & 1:
        position, last = position >> 1, last >> 1
    computed_old = computed_new = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise InvalidTree("the consistency proof is too long")
        if position & 1 or position == last:
            computed_old = node_hash(sibling, computed_old)
            computed_new = node_hash(sibling, computed_new)
            position, last = _up_to_odd(position, last)
        else:
            computed_new = node_hash(computed_new, sibling)
        position, last = position >> 1, last >> 1
    if last != 0:
        raise InvalidTree("the consistency proof is too short")
    return computed_old, computed_new


def _up_to_odd(position: int, last: int) -> tuple[int, int]:
    # A node without a right sibling is carried up unchanged until it becomes a right child.
    while not position & 1 and position:
        position, last = position >> 1, last >> 1
    return position, last
