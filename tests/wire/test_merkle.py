import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tlog_scales import tlog

from gateway.wire import merkle
from gateway.wire.errors import InvalidTree

# The entries and roots that RFC 6962 implementations share as their test data.
ENTRIES = [bytes.fromhex(text) for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657")]
ENTRIES.append(bytes.fromhex("606162636465666768696a6b6c6d6e6f"))
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def leaves(count: int) -> list[bytes]:
    return [merkle.leaf_hash(f"entry {number}".encode()) for number in range(count)]


def subtrees(leaf_hashes: list[bytes]) -> merkle.SubtreeHash:
    return lambda start, end: merkle.root_of(leaf_hashes[start:end])


def naive_root(leaf_hashes: list[bytes]) -> bytes:
    """RFC 9162 §2.1.1, word for word."""
    if not leaf_hashes:
        return merkle.empty_root()
    if len(leaf_hashes) == 1:
        return leaf_hashes[0]
    split = 1
    while split * 2 < len(leaf_hashes):
        split *= 2
    return merkle.node_hash(naive_root(leaf_hashes[:split]), naive_root(leaf_hashes[split:]))


def test_the_roots_are_the_ones_of_rfc_6962_implementations() -> None:
    assert merkle.root_of([]).hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    hashes = [merkle.leaf_hash(entry) for entry in ENTRIES]
    assert [merkle.root_of(hashes[:size]).hex() for size in range(1, 9)] == ROOTS


def test_an_inner_node_can_never_be_passed_off_as_an_entry() -> None:
    left, right = leaves(2)
    assert merkle.leaf_hash(left + right) != merkle.node_hash(left, right)


def test_a_growing_tree_has_the_root_of_the_definition_at_every_size() -> None:
    hashes, growing = leaves(70), merkle.CompactRange()
    for size, item in enumerate(hashes):
        assert growing.root() == naive_root(hashes[:size])
        growing.append(item)
        growing = merkle.CompactRange(growing.size, growing.hashes)  # what is saved is enough to go on


@pytest.mark.parametrize(("size", "hashes"), [(1, []), (0, [bytes(32)]), (3, [bytes(32)]), (1, [bytes(31)]), (-1, [])])
def test_a_saved_state_that_does_not_fit_is_refused(size: int, hashes: list[bytes]) -> None:
    with pytest.raises(InvalidTree):
        merkle.CompactRange(size, hashes)


def test_every_leaf_of_every_small_tree_is_proved_here_and_by_an_independent_verifier() -> None:
    hashes = leaves(33)
    for size in range(1, 34):
        root = merkle.root_of(hashes[:size])
        for index in range(size):
            proof = merkle.inclusion_proof(index, size, subtrees(hashes))
            merkle.verify_inclusion(hashes[index], index=index, size=size, proof=proof, root=root)
            tlog.InclusionProof(index, size, proof).check(hashes[index], root)


def test_every_pair_of_small_trees_is_consistent_here_and_for_an_independent_verifier() -> None:
    hashes = leaves(33)
    for new_size in range(34):
        for old_size in range(new_size + 1):
            old_root, new_root = merkle.root_of(hashes[:old_size]), merkle.root_of(hashes[:new_size])
            proof = merkle.consistency_proof(old_size, new_size, subtrees(hashes))
            merkle.verify_consistency(
                old_size=old_size, old_root=old_root, new_size=new_size, new_root=new_root, proof=proof
            )
            tlog.ConsistencyProof(old_size, new_size, proof).check(old_root, new_root)


@settings(max_examples=100, deadline=None)
@given(data=st.data(), size=st.integers(1, 40))
def test_an_inclusion_proof_changed_in_any_way_is_refused(data: st.DataObject, size: int) -> None:
    hashes = leaves(size)
    root, index = merkle.root_of(hashes), data.draw(st.integers(0, size - 1))
    proof = merkle.inclusion_proof(index, size, subtrees(hashes))
    wrong: list[tuple[bytes, int, int, list[bytes], bytes]] = [
        (merkle.leaf_hash(b"another"), index, size, proof, root),
        (hashes[index], index, size, [*proof, bytes(32)], root),
        (hashes[index], index, size, proof, merkle.leaf_hash(b"another")),
        (hashes[index], size, size, proof, root),
        (hashes[index], -1, size, proof, root),
        *((hashes[index], other, size, proof, root) for other in range(size) if other != index),
        *((hashes[index], index, size, proof[:at] + proof[at + 1 :], root) for at in range(len(proof))),
        *((hashes[index], index, size, [*proof[:at], bytes(32), *proof[at + 1 :]], root) for at in range(len(proof))),
    ]
    for leaf, at, of, path, to in wrong:
        with pytest.raises(InvalidTree):
            merkle.verify_inclusion(leaf, index=at, size=of, proof=path, root=to)


@settings(max_examples=100, deadline=None)
@given(data=st.data(), new_size=st.integers(1, 40))
def test_a_rewritten_history_is_never_consistent(data: st.DataObject, new_size: int) -> None:
    hashes = leaves(new_size)
    old_size = data.draw(st.integers(1, new_size))
    rewritten = [*hashes]
    rewritten[data.draw(st.integers(0, old_size - 1))] = merkle.leaf_hash(b"rewritten")
    for proof in (
        merkle.consistency_proof(old_size, new_size, subtrees(hashes)),
        merkle.consistency_proof(old_size, new_size, subtrees(rewritten)),
    ):
        with pytest.raises(InvalidTree):
            merkle.verify_consistency(
                old_size=old_size,
                old_root=merkle.root_of(hashes[:old_size]),
                new_size=new_size,
                new_root=merkle.root_of(rewritten),
                proof=proof,
            )


def test_a_consistency_proof_that_is_empty_too_short_or_too_long_is_refused() -> None:
    hashes = leaves(20)
    old_root, new_root = merkle.root_of(hashes[:7]), merkle.root_of(hashes)
    proof = merkle.consistency_proof(7, 20, subtrees(hashes))
    for wrong in ([], proof[:-1], proof[1:], [*proof, bytes(32)]):
        with pytest.raises(InvalidTree):
            merkle.verify_consistency(old_size=7, old_root=old_root, new_size=20, new_root=new_root, proof=wrong)
    with pytest.raises(InvalidTree):
        merkle.verify_consistency(old_size=20, old_root=new_root, new_size=7, new_root=old_root, proof=[])
    with pytest.raises(InvalidTree):
        merkle.verify_consistency(old_size=0, old_root=old_root, new_size=20, new_root=new_root, proof=[])
    with pytest.raises(InvalidTree):
        merkle.verify_consistency(old_size=7, old_root=old_root, new_size=7, new_root=new_root, proof=[])


def test_a_root_made_to_fit_a_proof_of_the_wrong_length_is_refused() -> None:
    leaf, other = leaves(2)
    above, older = merkle.node_hash(leaf, other), merkle.node_hash(other, leaf)
    with pytest.raises(InvalidTree):  # too long: a tree of one leaf has no siblings
        merkle.verify_inclusion(leaf, index=0, size=1, proof=[other], root=older)
    with pytest.raises(InvalidTree):  # too short: a tree of four has two levels of them
        merkle.verify_inclusion(leaf, index=0, size=4, proof=[other], root=above)
    with pytest.raises(InvalidTree):
        merkle.verify_consistency(old_size=1, old_root=leaf, new_size=4, new_root=above, proof=[other])
    # Trees of three and four leaves, then one more hash put on top of both.
    old_root = merkle.node_hash(other, merkle.node_hash(other, leaf))
    new_root = merkle.node_hash(other, merkle.node_hash(other, above))
    with pytest.raises(InvalidTree):
        merkle.verify_consistency(
            old_size=3, old_root=old_root, new_size=4, new_root=new_root, proof=[leaf, other, other, other]
        )


def test_there_is_no_proof_of_what_is_not_there() -> None:
    for index in (-1, 5):
        with pytest.raises(InvalidTree):
            merkle.inclusion_proof(index, 5, subtrees(leaves(5)))
    with pytest.raises(InvalidTree):
        merkle.consistency_proof(6, 5, subtrees(leaves(6)))
