"""Trees of several levels, checked from their files alone: whole, from where they were, and a range of them."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.audit.checking.faults import Fault, FaultKind
from gateway.audit.checking.sources import FileSource
from gateway.audit.checking.trust import read_checkpoint, trust_in
from gateway.audit.checking.verify import check_tree, verify_archive, verify_log
from gateway.audit.errors import HistoryContradicted, LogNotVerified, LogUnreadable
from gateway.wire.merkle import leaf_hash, root_of
from gateway.wire.notes import Checkpoint
from gateway.wire.tiles import TILE_WIDTH, Tile, decode_entry_bundle, encode_entry_bundle, entries_path
from tests.kit.built_log import ORIGIN, BuiltLog, an_entry, entries_up_to

# A full tile of level 1 and a bit: three levels, every one with a partial tile.
SIZE = 65_536 + 700


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> BuiltLog:
    """A large log; tests put back what they change."""
    return BuiltLog(directory=tmp_path_factory.mktemp("large") / "log").publish(entries_up_to(SIZE))


@pytest.fixture
def changing(large: BuiltLog) -> Iterator[Callable[[str], Path]]:
    """Give the path of a file that may be changed: it is as it was afterwards."""
    kept: dict[Path, bytes] = {}

    def may_change(name: str) -> Path:
        path = large.directory / name
        kept.setdefault(path, path.read_bytes())
        return path

    yield may_change
    for path, data in kept.items():
        path.write_bytes(data)


class CountingSource(FileSource):
    """Remembers which files were read."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.paths: list[str] = []

    def read(self, path: str) -> bytes | None:
        self.paths.append(path)
        return super().read(path)


def faults_of(log: BuiltLog) -> list[Fault]:
    """Everything that a check which goes on finds."""
    source, faults = FileSource(log.directory), list[Fault]()
    checkpoint, _note = read_checkpoint(source, trust_in([log.vkey]))
    check_tree(source, checkpoint, report=faults.append)
    return faults


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(bytes(data))


def seen_by(size: int) -> Checkpoint:
    """The checkpoint of a built log when it was smaller."""
    root = root_of(leaf_hash(entry) for entry in entries_up_to(size))
    return Checkpoint(origin=ORIGIN, size=size, root=root)


def test_a_large_log_verifies_reading_each_file_once(large: BuiltLog) -> None:
    source = CountingSource(large.directory)
    assert verify_log(source, vkey=large.vkey).size == SIZE
    assert len(source.paths) == len(set(source.paths)) == 1 + 2 * 259 + 2 + 1


@pytest.mark.parametrize("size", [0, 1, 2, 255, 256, 257, 511, 512, 65_535, 65_536, 65_537])
def test_logs_of_every_awkward_size_verify(tmp_path: Path, size: int) -> None:
    log = BuiltLog(directory=tmp_path).publish(entries_up_to(size))
    assert verify_log(FileSource(tmp_path), vkey=log.vkey).size == size


@pytest.mark.parametrize("index", [0, 255, 65_535, 65_536, SIZE - 1])
def test_two_swapped_entries_are_named(large: BuiltLog, changing: Callable[[str], Path], index: int) -> None:
    bundle = index // TILE_WIDTH
    path = changing(entries_path(bundle, min(TILE_WIDTH, SIZE - bundle * TILE_WIDTH)))
    entries = decode_entry_bundle(path.read_bytes())
    place, other = index % TILE_WIDTH, 7
    entries[place], entries[other] = entries[other], entries[place]
    path.write_bytes(encode_entry_bundle(entries))
    with pytest.raises(LogNotVerified) as refused:
        verify_log(FileSource(large.directory), vkey=large.vkey)
    first = bundle * TILE_WIDTH + min(place, other)
    assert refused.value.public == f"entry {first} is not the one in the tree"
    named = {fault.index for fault in faults_of(large)}
    assert named == {bundle * TILE_WIDTH + place, bundle * TILE_WIDTH + other}, "both, and nothing else"


def test_a_removed_entry_is_named_and_so_is_every_one_that_moved(
    large: BuiltLog, changing: Callable[[str], Path]
) -> None:
    path = changing("tile/entries/003")
    entries = decode_entry_bundle(path.read_bytes())
    path.write_bytes(encode_entry_bundle(entries[:200] + entries[201:]))
    faults = faults_of(large)
    assert {fault.index for fault in faults} == set(range(3 * 256 + 200, 4 * 256))
    assert f"entry {4 * 256 - 1} is missing from tile/entries/003" in {fault.text for fault in faults}


@pytest.mark.parametrize(
    ("name", "at", "told"),
    [
        ("tile/0/005", 3 * 32, ["entry 1283 is not the one in the tree", "entries 1280 to 1535"]),
        ("tile/0/258.p/188", 3 * 32, ["entry 66051 is not the one in the tree", "another root"]),
        ("tile/1/000", 9 * 32, ["entries 2304 to 2559", "entries 0 to 65535"]),
        ("tile/1/001.p/2", 32, ["entries 65792 to 66047", "another root"]),
        ("tile/2/000.p/1", 0, ["entries 0 to 65535", "another root"]),
    ],
)
def test_a_flipped_bit_of_a_tile_is_found_where_it_is(
    large: BuiltLog, changing: Callable[[str], Path], name: str, at: int, told: list[str]
) -> None:
    flip(changing(name), at)
    faults = faults_of(large)
    assert len(faults) == len(told)
    assert all(text in fault.text for fault, text in zip(faults, told, strict=True)), faults


@pytest.mark.parametrize("name", ["tile/0/005", "tile/1/001.p/2", "tile/2/000.p/1", "tile/entries/211"])
def test_a_truncated_file_is_named_with_the_first_entry_under_it(
    large: BuiltLog, changing: Callable[[str], Path], name: str
) -> None:
    path = changing(name)
    path.write_bytes(path.read_bytes()[:-5])
    first = {"tile/0/005": 1280, "tile/1/001.p/2": 65_536, "tile/2/000.p/1": 0, "tile/entries/211": 211 * 256}[name]
    [fault] = faults_of(large)
    assert (fault.index, name in fault.text) == (first, True)


def test_several_faults_are_all_found(large: BuiltLog, changing: Callable[[str], Path]) -> None:
    flip(changing("tile/entries/009"), 20)
    flip(changing("tile/entries/200"), 20)
    changing("tile/entries/150").unlink()
    found = {(fault.kind, fault.index) for fault in faults_of(large)}
    assert found == {
        (FaultKind.ENTRY, 9 * 256),
        (FaultKind.MISSING, 150 * 256),
        (FaultKind.ENTRY, 200 * 256),
    }


@pytest.mark.parametrize("old", [1, 255, 256, 1000, 65_536, 65_537, SIZE - 1, SIZE])
def test_only_what_is_new_is_read(large: BuiltLog, old: int) -> None:
    source, seen = CountingSource(large.directory), list[bytes]()
    verified = verify_log(
        source,
        vkey=large.vkey,
        remembered=seen_by(old),
        check_entries=lambda _first, entries: seen.extend(entries),
    )
    assert (verified.first, verified.end) == (old, SIZE)
    assert seen == large.entries[old:]
    bundles = [path for path in source.paths if "entries" in path]
    assert len(bundles) == -(-SIZE // 256) - old // 256 if old < SIZE else not bundles


@pytest.mark.parametrize("old", [1, 300, 65_536, SIZE - 1, SIZE])
def test_another_past_is_a_fork_whatever_the_size(large: BuiltLog, old: int) -> None:
    entries = entries_up_to(old)
    entries[old // 2] = an_entry(old // 2, outcome="refused")
    other = Checkpoint(origin=ORIGIN, size=old, root=root_of(leaf_hash(entry) for entry in entries))
    with pytest.raises(HistoryContradicted) as forked:
        verify_log(FileSource(large.directory), vkey=large.vkey, remembered=other)
    assert "forked" in forked.value.public
    assert f"{old} entries" in forked.value.public
    assert f"{SIZE} entries" in forked.value.public


def test_a_damaged_tile_is_not_taken_for_a_fork(large: BuiltLog, changing: Callable[[str], Path]) -> None:
    flip(changing("tile/1/001.p/2"), 0)
    with pytest.raises(LogNotVerified) as damaged:
        verify_log(FileSource(large.directory), vkey=large.vkey, remembered=seen_by(65_536 + 300))
    assert not isinstance(damaged.value, HistoryContradicted)


def test_a_rolled_back_log_is_told_with_both_sizes(tmp_path: Path) -> None:
    log = BuiltLog(directory=tmp_path).publish(entries_up_to(300))
    with pytest.raises(HistoryContradicted, match=r"500 entries when it was last verified.* has 300"):
        verify_log(FileSource(tmp_path), vkey=log.vkey, remembered=seen_by(500))


class TwoFacedSource(FileSource):
    """A log that forked: it shows the old history's tile to whoever reads a file for the second time."""

    def __init__(self, honest: Path, forked: Path) -> None:
        super().__init__(forked)
        self._before = FileSource(honest)
        self._asked: set[str] = set()

    def read(self, path: str) -> bytes | None:
        again = path in self._asked
        self._asked.add(path)
        return self._before.read(path) if again else super().read(path)


def test_a_log_that_answers_twice_differently_cannot_hide_its_fork(tmp_path: Path) -> None:
    honest = BuiltLog(directory=tmp_path / "honest").publish(entries_up_to(300))
    other = entries_up_to(300)
    other[290] = an_entry(290, outcome="refused")
    forked = BuiltLog(directory=tmp_path / "forked", signer=honest.signer).publish(other)
    forked.publish(entries_up_to(700)[300:])
    honest.publish(entries_up_to(700)[300:])
    source = TwoFacedSource(honest.directory, forked.directory)
    with pytest.raises(HistoryContradicted):
        verify_log(source, vkey=honest.vkey, remembered=seen_by(300))


def archive_of(log: BuiltLog, target: Path, first: int, end: int) -> Path:
    """The folder that holds what proves the range: its bundles, its tiles, and those above and at the edge."""
    size, wanted = len(log.entries), {"checkpoint"}
    for level in range(3):
        count = size >> (8 * level)
        span = TILE_WIDTH ** (level + 1)
        for index in {*range(first // span, -(-end // span)), count // TILE_WIDTH}:
            width = min(TILE_WIDTH, count - index * TILE_WIDTH)
            if width:
                wanted.add(Tile(level=level, index=index, width=width).path)
    wanted |= {entries_path(index) for index in range(first // TILE_WIDTH, -(-end // TILE_WIDTH))}
    for name in wanted:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(log.directory / name, target / name)
    (target / "range.json").write_text(f'{{"format": "gateway-log-range/1", "first": {first}, "end": {end}}}')
    return target


def test_an_archived_range_verifies_alone(large: BuiltLog, tmp_path: Path) -> None:
    archive = archive_of(large, tmp_path / "archive", 1024, 50_176)
    seen: list[bytes] = []
    verified = verify_archive(FileSource(archive), vkey=large.vkey, check_entries=lambda _first, run: seen.extend(run))
    assert (verified.first, verified.end, verified.size) == (1024, 50_176, SIZE)
    assert seen == large.entries[1024:50_176]


def test_a_changed_archive_is_found_out(large: BuiltLog, tmp_path: Path) -> None:
    archive = archive_of(large, tmp_path / "archive", 1024, 50_176)
    flip(archive / "tile/entries/100", 50)
    with pytest.raises(LogNotVerified, match="entry 25600 is not the one in the tree"):
        verify_archive(FileSource(archive), vkey=large.vkey)
    # Entry and leaf hash changed together: the tile above, which the signed root vouches for, tells.
    entries = decode_entry_bundle((archive / "tile/entries/100").read_bytes())
    (archive / "tile/0/100").write_bytes(b"".join(leaf_hash(entry) for entry in entries))
    with pytest.raises(LogNotVerified, match="entries 25600 to 25855"):
        verify_archive(FileSource(archive), vkey=large.vkey)
    flip(archive / "tile/2/000.p/1", 20)
    with pytest.raises(LogNotVerified):
        verify_archive(FileSource(archive), vkey=large.vkey)


@pytest.mark.parametrize("name", ["tile/entries/005", "tile/0/005", "tile/1/000", "tile/1/001.p/2", "tile/2/000.p/1"])
def test_an_archive_without_a_file_it_needs_is_refused(large: BuiltLog, tmp_path: Path, name: str) -> None:
    archive = archive_of(large, tmp_path / "archive", 1024, 2048)
    (archive / name).unlink()
    with pytest.raises(LogUnreadable, match=name):
        verify_archive(FileSource(archive), vkey=large.vkey)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        '{"format": "x", "first": 0, "end": 1}',
        '{"format": "gateway-log-range/1", "first": 5, "end": 5}',
    ]
    + [f'{{"format": "gateway-log-range/1", "first": {first}, "end": 9}}' for first in ("true", "-1", "0.0", '"0"')],
)
def test_a_range_file_that_says_nothing_usable_is_refused(large: BuiltLog, tmp_path: Path, text: str) -> None:
    archive = archive_of(large, tmp_path / "archive", 1024, 2048)
    (archive / "range.json").write_text(text)
    with pytest.raises(LogUnreadable, match=r"range\.json"):
        verify_archive(FileSource(archive), vkey=large.vkey)


def test_a_range_beyond_the_checkpoint_is_refused(large: BuiltLog, tmp_path: Path) -> None:
    archive = archive_of(large, tmp_path / "archive", 1024, 2048)
    (archive / "range.json").write_text(f'{{"format": "gateway-log-range/1", "first": 0, "end": {SIZE + 1}}}')
    with pytest.raises(LogNotVerified, match="range ends"):
        verify_archive(FileSource(archive), vkey=large.vkey)
