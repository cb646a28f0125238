"""The fast way to canonical JSON and the library's way are one spelling."""

from typing import Any

import pytest
import rfc8785
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.wire.canonical import canonical_json
from gateway.wire.errors import MalformedInput

NUMBERS = st.integers(min_value=-(2**60), max_value=2**60) | st.floats()
SCALARS = st.none() | st.booleans() | NUMBERS | st.text() | st.text(st.characters(max_codepoint=0x100))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


def spelled(value: Any, by: Any) -> bytes | None:
    try:
        result: bytes = by(value)
    except (MalformedInput, rfc8785.CanonicalizationError):
        return None
    return result


@given(VALUES)
@example({"\U0001f600": 1, "\ufb33": 2, "a": 3})
@example({"b": [1, {"z": '\x7f\x1f\x00\u2028\\"/', "y": "Siân"}], "a": (True, None, -0.0, 1e30, 1.0)})
@example([2**53 - 1, 2**53, -(2**53) + 1, -(2**53)])
@example("\ud800")
def test_every_value_is_spelled_as_the_reference_spells_it_or_refused_alike(value: Any) -> None:
    assert spelled(value, canonical_json) == spelled(value, rfc8785.dumps)


class Named(str):
    __slots__ = ()


@pytest.mark.parametrize("value", [{1: "a"}, {None: "a"}, {True: 1}, {"a": object()}, {"a": b"b"}, {"a": {1, 2}}])
def test_what_is_not_json_is_refused(value: Any) -> None:
    with pytest.raises(MalformedInput):
        canonical_json(value)


def test_subclasses_of_json_types_are_spelled_as_what_they_are() -> None:
    assert canonical_json({Named("a"): Named("b")}) == b'{"a":"b"}'


def test_endless_nesting_is_refused() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(MalformedInput):
        canonical_json(value)
