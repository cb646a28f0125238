from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tlog_scales import backend, reader, tlog

from gateway.wire import merkle, tiles
from gateway.wire.errors import InvalidTree
from gateway.wire.signer import PrivateKeySigner
from gateway.wire.tiles import Tile
from tests.kit.statements import MemoryLog

SIGNER = PrivateKeySigner.generate("Ed25519")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        # C2SP tlog-tiles, "Merkle Tree".
        (tiles.tile_path(0, 1234067), "tile/0/x001/x234/067"),
        (tiles.tile_path(0, 0), "tile/0/000"),
        (tiles.tile_path(63, 999, 1), "tile/63/999.p/1"),
        (tiles.tile_path(2, 1000, 255), "tile/2/x001/000.p/255"),
        (tiles.entries_path(273, 112), "tile/entries/273.p/112"),
        (tiles.entries_path(273), "tile/entries/273"),
    ],
)
def test_paths_are_those_of_the_specification(path: str, expected: str) -> None:
    assert path == expected


def test_the_example_of_the_specification_has_the_tiles_it_says() -> None:
    # C2SP tlog-tiles, "Partial Tiles": a tree of 70,000, and one of 256.
    found = list(tiles.tiles_of(70_000))
    assert [tile for tile in found if tile.level == 0] == [
        *(Tile(level=0, index=index) for index in range(273)),
        Tile(level=0, index=273, width=112),
    ]
    assert [tile for tile in found if tile.level > 0] == [
        Tile(level=1, index=0),
        Tile(level=1, index=1, width=17),
        Tile(level=2, index=0, width=1),
    ]
    assert list(tiles.tiles_of(256)) == [Tile(level=0, index=0), Tile(level=1, index=0, width=1)]
    assert list(tiles.tiles_of(0)) == []


@pytest.mark.parametrize(("level", "index", "width"), [(-1, 0, 1), (64, 0, 1), (0, -1, 1), (0, 0, 0), (0, 0, 257)])
def test_there_are_no_other_tiles(level: int, index: int, width: int) -> None:
    with pytest.raises(InvalidTree):
        Tile(level=level, index=index, width=width)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 700), min_size=1, max_size=5))
def test_a_log_grown_in_any_steps_has_every_tile_it_should_and_the_right_root(steps: list[int]) -> None:
    log = MemoryLog(SIGNER)
    hashes: list[bytes] = []
    for step in steps:
        entries = [f"entry {len(hashes) + number}".encode() for number in range(step)]
        hashes.extend(map(merkle.leaf_hash, entries))
        expected = {tile.path for tile in tiles.tiles_between(len(log.entries), len(log.entries) + step)}
        before = set(log.files)
        log.append(*entries)
        assert {path for path in set(log.files) - before if "entries" not in path} <= expected
    assert {tile.path for tile in tiles.tiles_of(len(hashes))} <= set(log.files)
    assert tiles.tree_root(len(hashes), log.read_tile) == merkle.root_of(hashes)
    resumed = tiles.tree_range(len(hashes), log.read_tile)
    assert (resumed.size, resumed.hashes) == (len(hashes), merkle.CompactRange.of(hashes).hashes)


def test_proofs_from_tiles_hold_across_tile_and_level_borders() -> None:
    log = MemoryLog(SIGNER)
    size = 256 * 256 + 256 + 3
    log.append(*(number.to_bytes(4, "big") for number in range(size)))
    root = tiles.tree_root(size, log.read_tile)
    for index in (0, 255, 256, 65_535, 65_536, size - 1):
        proof = tiles.prove_inclusion(index, size, log.read_tile)
        leaf = merkle.leaf_hash(log.entries[index])
        merkle.verify_inclusion(leaf, index=index, size=size, proof=proof, root=root)
    for old_size in (1, 255, 256, 257, 65_536, 65_537):
        old_root = merkle.root_of(map(merkle.leaf_hash, log.entries[:old_size]))
        proof = tiles.prove_consistency(old_size, size, log.read_tile)
        merkle.verify_consistency(old_size=old_size, old_root=old_root, new_size=size, new_root=root, proof=proof)


def test_a_full_tile_serves_where_a_partial_one_was_deleted() -> None:
    log = MemoryLog(SIGNER)
    log.append(*(bytes([number]) for number in range(200)))
    root = tiles.tree_root(200, log.read_tile)
    log.append(*(bytes([number]) for number in range(100)))
    assert tiles.tree_root(200, lambda tile: log.files[tiles.tile_path(tile.level, tile.index)]) == root


@pytest.mark.parametrize("data", [b"", bytes(31), bytes(32 * 4), bytes(32 * 5 + 1), bytes(32 * 257)])
def test_a_tile_of_the_wrong_size_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidTree):
        tiles.tree_root(5, lambda _: data)


def test_an_independent_reader_finds_every_entry_and_proof_in_the_files(tmp_path: Path) -> None:
    log = MemoryLog(SIGNER)
    for step in (3, 250, 10, 400):
        log.append(*(f"entry {len(log.entries) + number}".encode() for number in range(step)))
    for path, data in {**log.files, "checkpoint": log.checkpoint()}.items():
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    outsider = reader.TilesReader(backend.LocalBackend(tmp_path))
    checkpoint = outsider.get_checkpoint()
    assert checkpoint.size == 663
    assert outsider.calculate_root_hash() == checkpoint.root_hash == tiles.tree_root(663, log.read_tile)
    for index in (0, 2, 255, 256, 300, 662):
        assert outsider.get_entry(index) == log.entries[index]
        assert outsider.get_inclusion_proof(index, 663).node_hashes == tiles.prove_inclusion(index, 663, log.read_tile)
    for old_size in (1, 3, 253, 256, 600):
        theirs = outsider.get_consistency_proof(old_size, 663).node_hashes
        assert theirs == tiles.prove_consistency(old_size, 663, log.read_tile)
        old_root = merkle.root_of(map(merkle.leaf_hash, log.entries[:old_size]))
        tlog.ConsistencyProof(old_size, 663, theirs).check(old_root, checkpoint.root_hash)


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=20))
def test_entries_survive_their_bundle(entries: list[bytes]) -> None:
    bundle = tiles.encode_entry_bundle(entries)
    assert tiles.decode_entry_bundle(bundle) == entries
    assert reader.Tile.from_entries_bytes(bundle).entries == entries


def test_an_entry_may_have_65535_bytes_and_no_more() -> None:
    assert tiles.decode_entry_bundle(tiles.encode_entry_bundle([bytes(65_535)])) == [bytes(65_535)]
    with pytest.raises(InvalidTree):
        tiles.encode_entry_bundle([bytes(65_536)])


@pytest.mark.parametrize("bundle", [b"\x00", b"\x00\x02a", b"\x00\x01ab", b"\x00\x00" * 257])
def test_a_bundle_cut_off_or_overfull_is_refused(bundle: bytes) -> None:
    with pytest.raises(InvalidTree):
        tiles.decode_entry_bundle(bundle)


@pytest.mark.parametrize("count", [0, 257])
def test_a_bundle_holds_one_to_256_entries(count: int) -> None:
    with pytest.raises(InvalidTree):
        tiles.encode_entry_bundle([b""] * count)
