"""Builders of signed things: a key each, one exchange's leaf and receipt, a log in memory with its tiles."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from gateway.wire import merkle, tiles
from gateway.wire.encoding import b64_encode
from gateway.wire.leaves import Leaf, commitment
from gateway.wire.notes import Checkpoint, sign_note
from gateway.wire.proofs import build_proof
from gateway.wire.receipts import Receipt, issue_receipt
from gateway.wire.signer import Signer

NOW = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
EXCHANGE = "0193a5c0-7c00-7000-8000-00000000beef"
ISSUER = "https://gateway.example"
ORIGIN = "gateway.example/log"


def a_leaf(**changes: Any) -> Leaf:
    leaf = Leaf(
        event_id="0193a5c0-7c00-7000-8000-000000000001",
        event="sharing.record.disclosed",
        at="2026-11-23T09:30:00.000Z",
        members=("E06000008", "dwp"),
        outcome="disclosed",
        reference=EXCHANGE,
        commitment=commitment(b"0123456789abcdef", {"fields": ["eligible"]}),
    )
    return replace(leaf, **changes)


def a_receipt(**changes: Any) -> Receipt:
    receipt = Receipt(
        exchange=EXCHANGE,
        issued_at="2026-11-23T09:30:00.000Z",
        issuer=ISSUER,
        consumer="E06000008",
        provider="dwp",
        client="blackburn-portal",
        service="dwp/free-school-meals/v1",
        agreement="dwp-blackburn-fsm",
        agreement_version=3,
        policy_digest="p" * 43,
        purpose="free-school-meals",
        legal_gateway="dea-2017-s35",
        decision="permit",
        outcome="disclosed",
        rules=(),
        subject={"sub": "pairwise-for-blackburn"},
        handle="one-time-handle",
        request_digest="r" * 43,
        provider_jwt_digest="j" * 43,
        fields_disclosed=("eligible", "tier"),
        fields_withheld=(),
        log_entry=b64_encode(merkle.leaf_hash(a_leaf().encode())),
    )
    return replace(receipt, **changes)


class MemoryLog:
    """A log whose tiles and bundles are kept in a dictionary by path, as a web server would serve them."""

    def __init__(self, signer: Signer, origin: str = ORIGIN) -> None:
        self.signer = signer
        self.origin = origin
        self.entries: list[bytes] = []
        self.files: dict[str, bytes] = {}

    def append(self, *entries: bytes) -> int:
        """Add entries in one go; returns the index of the first."""
        first = len(self.entries)
        for tile, data in tiles.grow(first, [merkle.leaf_hash(entry) for entry in entries], self.read_tile):
            self.files[tile.path] = data
        self.entries.extend(entries)
        for tile in tiles.tiles_between(first, len(self.entries)):
            if tile.level == 0:
                start = tile.index * tiles.TILE_WIDTH
                bundle = tiles.encode_entry_bundle(self.entries[start : start + tile.width])
                self.files[tiles.entries_path(tile.index, tile.width)] = bundle
        return first

    def read_tile(self, tile: tiles.Tile) -> bytes:
        return self.files[tile.path]

    def checkpoint(self) -> bytes:
        size = len(self.entries)
        checkpoint = Checkpoint(origin=self.origin, size=size, root=tiles.tree_root(size, self.read_tile))
        return sign_note(checkpoint.encode(), self.signer, self.origin)


def a_proof_file(
    log: MemoryLog, signer: Signer, *, leaf: Leaf | None = None, receipt: Receipt | None = None, others: int = 300
) -> bytes:
    """Return the proof file of one exchange among `others` entries of the log."""
    leaf = leaf or a_leaf()
    log.append(*(f"another entry {number}".encode() for number in range(others)))
    index = log.append(leaf.encode())
    log.append(b"a later entry")
    receipt = receipt or a_receipt(log_entry=b64_encode(merkle.leaf_hash(leaf.encode())))
    return build_proof(
        exchange=receipt.exchange,
        leaf=leaf.encode(),
        leaf_index=index,
        inclusion_proof=tiles.prove_inclusion(index, len(log.entries), log.read_tile),
        checkpoint=log.checkpoint(),
        receipt=issue_receipt(receipt, signer=signer),
    )
