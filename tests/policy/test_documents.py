"""A document means one thing, or is refused with its place."""

from pathlib import Path

import pytest

from gateway.policy.documents import DocumentUnreadable, load_document, parse_document


def test_only_what_looks_like_json_is_more_than_text() -> None:
    read = parse_document(
        b"a: yes\nb: 2026-02-01\nc: 1:30\nd: 007\ne: null\nf: true\ng: -5\nh: 1.5\ni: 0x1f\nj: 1_000\nk: [Off, 1e3]",
        name="x.yaml",
    )
    assert read == {
        "a": "yes",
        "b": "2026-02-01",
        "c": "1:30",
        "d": "007",
        "e": None,
        "f": True,
        "g": -5,
        "h": 1.5,
        "i": "0x1f",
        "j": "1_000",
        "k": ["Off", "1e3"],
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\na: 2", "x.yaml, line 2, column 1: the key 'a' is repeated"),
        ("a: &x 1\nb: *x", "aliases are not accepted"),
        ("a: !!python/object/apply:os.system [x]", "could not determine a constructor"),
        ("a: !!binary aGk=", "could not determine a constructor"),
        ("a: !!timestamp 2026-01-01", "could not determine a constructor"),
        ("1: a", "a key must be text"),
        ("a: [", "x.yaml, line 1"),
        ("a: 1\n---\nb: 2", "x.yaml, line 2"),
        ("a: \x00", "x.yaml"),
        ("[" * 5000, "x.yaml"),
    ],
)
def test_what_could_mean_two_things_is_refused_with_its_place(text: str, said: str) -> None:
    with pytest.raises(DocumentUnreadable) as refused:
        parse_document(text.encode(), name="x.yaml")
    assert said in refused.value.public


def test_what_is_not_utf8_or_too_large_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DocumentUnreadable, match="not UTF-8"):
        parse_document(b"\xff\xfe", name="x.yaml")
    large = tmp_path / "large.yaml"
    large.write_bytes(b"a" * 1_000_001)
    with pytest.raises(DocumentUnreadable, match="over 1000000 bytes"):
        load_document(large)
