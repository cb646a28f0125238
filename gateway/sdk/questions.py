"""What the gateway asks a provider, and what a department's own function says to it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from gateway.wire.encoding import parse_json_object
from gateway.wire.errors import MalformedInput

MatchLevel = Literal["exact", "strong", "fair", "weak"]
"""How surely the person found is the one asked about, strongest first (`gateway.sdk.matching`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedQuestion:
    """What the gateway asks. `subject` is `{"sub": …}`, your own name for the person, or `{"match": {…}}`."""

    exchange: str
    service: str
    purpose: str
    agreement: str
    consumer: str
    subject: Mapping[str, Any] = field(repr=False)
    handle: str = field(repr=False)
    fields: tuple[str, ...]
    audience: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A record, and what the gateway may need to know about how it was found. The consumer is told neither."""

    fields: Mapping[str, Any] = field(repr=False)
    match_level: MatchLevel | None = None
    area: str | None = field(default=None, repr=False)
    """The GSS code of the area the person lives in, for agreements that are limited to the consumer's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoRecord:
    """There is nothing to say about this person. The gateway keeps the reason to itself."""

    reason: Literal["unknown", "ambiguous", "withheld"] = "unknown"


AnswerFunction = Callable[[AskedQuestion], Mapping[str, Any] | Found | NoRecord]


def parse_question(body: bytes) -> AskedQuestion:
    """Return the question in a request's body (docs/wire-protocol.md §9); raises `MalformedInput`.

    Members that are not known are ignored: questions only grow.
    """
    asked = parse_json_object(body)
    names = ("exchange", "service", "purpose", "agreement", "consumer", "handle", "audience")
    if not all(isinstance(asked.get(name), str) for name in names):
        raise MalformedInput("the question lacks a member")
    subject, wanted = asked.get("subject"), asked.get("fields")
    if not isinstance(subject, dict) or not isinstance(wanted, list) or not all(isinstance(n, str) for n in wanted):
        raise MalformedInput("the question's subject or fields cannot be read")
    return AskedQuestion(subject=subject, fields=tuple(wanted), **{name: asked[name] for name in names})
