"""HTTP messages as plain values, so that signatures can be made and checked without any server or client library."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Self


class HeaderFields(Mapping[str, str]):
    """Header fields looked up without regard to case; repeated field lines are joined by ", " (RFC 9110 §5.3)."""

    __slots__ = ("_fields",)

    def __init__(self, fields: Mapping[str, str] | Iterable[tuple[str, str]] = ()) -> None:
        """Take a mapping, or the field lines in the order received; whitespace around values is dropped."""
        self._fields: dict[str, tuple[str, str]] = {}
        for name, value in fields.items() if isinstance(fields, Mapping) else fields:
            key, text = name.lower(), value.strip(" \t")
            if key in self._fields:
                name, before = self._fields[key]  # noqa: PLW2901 - the first spelling is kept
                text = f"{before}, {text}"
            self._fields[key] = (name, text)

    def __getitem__(self, name: str) -> str:
        return self._fields[name.lower()][1]

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self._fields.values())

    def __len__(self) -> int:
        return len(self._fields)

    def __repr__(self) -> str:
        # Values may be tokens, and are never shown.
        return f"HeaderFields({list(self)})"


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """A request as sent: `target_uri` is the raw absolute URI, never decoded or normalised after the fact."""

    method: str
    target_uri: str
    headers: Mapping[str, str] = field(default_factory=HeaderFields)
    body: bytes = field(default=b"", repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.headers, HeaderFields):
            object.__setattr__(self, "headers", HeaderFields(self.headers))

    def with_headers(self, headers: Mapping[str, str]) -> Self:
        """Return the same request with these header fields added or replaced."""
        return replace(self, headers=_merged(self.headers, headers))


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpResponse:
    """A response: its status code, header fields, and body bytes as sent."""

    status: int
    headers: Mapping[str, str] = field(default_factory=HeaderFields)
    body: bytes = field(default=b"", repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.headers, HeaderFields):
            object.__setattr__(self, "headers", HeaderFields(self.headers))

    def with_headers(self, headers: Mapping[str, str]) -> Self:
        """Return the same response with these header fields added or replaced."""
        return replace(self, headers=_merged(self.headers, headers))


def _merged(before: Mapping[str, str], added: Mapping[str, str]) -> HeaderFields:
    replaced = {name.lower() for name in added}
    kept = [(name, value) for name, value in before.items() if name.lower() not in replaced]
    return HeaderFields([*kept, *added.items()])
