import json
from typing import Any

import pytest

from gateway.wire.canonical import canonical_json
from gateway.wire.errors import InvalidTree
from gateway.wire.leaves import commitment, parse_leaf
from tests.kit.statements import a_leaf

MEMBERS: dict[str, Any] = json.loads(a_leaf().encode())


def test_a_leaf_survives_its_entry() -> None:
    for leaf in (a_leaf(), a_leaf(outcome=None, reference=None, members=())):
        assert parse_leaf(leaf.encode()) == leaf


def test_an_entry_is_canonical_json_so_one_leaf_has_one_hash() -> None:
    assert a_leaf().encode() == canonical_json(MEMBERS)
    for spelling in (json.dumps(MEMBERS).encode(), a_leaf().encode() + b"\n", b"[]", b"text", b'{"a":1,"a":1}'):
        with pytest.raises(InvalidTree):
            parse_leaf(spelling)


def test_members_of_a_later_version_are_tolerated_and_left_out() -> None:
    later = canonical_json({**MEMBERS, "version": 2, "added": True})
    assert parse_leaf(later) == a_leaf(version=2)


@pytest.mark.parametrize("name", MEMBERS)
def test_a_leaf_without_one_of_its_members_or_with_another_type_is_refused(name: str) -> None:
    for members in ({key: value for key, value in MEMBERS.items() if key != name}, {**MEMBERS, name: 1.5}):
        with pytest.raises(InvalidTree):
            parse_leaf(canonical_json(members))


def test_a_leaf_no_reader_would_accept_is_not_written() -> None:
    for changes in ({"version": 0}, {"members": ("x" * 65_536,)}, {"event": None}, {"version": True}):
        with pytest.raises(InvalidTree):
            a_leaf(**changes).encode()


def test_a_commitment_is_to_salt_and_details_and_to_no_spelling_of_them() -> None:
    salt = b"0123456789abcdef"
    made = commitment(salt, {"a": 1, "b": "x"})
    # SHA-256 of the salt followed by {"a":1,"b":"x"}.
    assert made == "lIYLZu_PTKO5oEnObdQEHxpYt5-kZx9rflKoOjA7PxA"
    assert made == commitment(salt, {"b": "x", "a": 1})
    assert made != commitment(salt, {"a": 1, "b": "y"})
    assert made != commitment(b"0123456789abcdeF", {"a": 1, "b": "x"})


def test_a_salt_that_could_be_guessed_is_refused() -> None:
    with pytest.raises(InvalidTree):
        commitment(b"short", {"a": 1})
