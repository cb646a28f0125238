"""What the gateway asks a provider, and what a department's own function says to it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from gateway.wire.encoding import parse_json_object
from gateway.wire.errors import MalformedInput
from gateway.wire.keys import Jwk

MatchLevel = Literal["exact", "strong", "fair", "weak"]
"""How surely the person found is the one asked about, strongest first (`gateway.sdk.matching`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedCheck:
    """A question whose answer is computed from fields that are not disclosed themselves; the kit computes it."""

    name: str
    from_: tuple[str, ...]
    expression: str
    """CEL over the fields and `thresholds`."""
    gives: tuple[str, ...]
    """The texts that it can be; empty for a boolean."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedQuestion:
    """What the gateway asks. `subject` is `{"sub": …}`, your own name for the person, or `{"match": {…}}`.

    `fields` are what your function returns: what is disclosed, and what the kit computes `checks` from. The latter
    alone, `undisclosed`, leaves your systems in no form.
    """

    exchange: str
    service: str
    purpose: str
    agreement: str
    consumer: str
    subject: Mapping[str, Any] = field(repr=False)
    handle: str = field(repr=False)
    fields: tuple[str, ...]
    audience: str
    undisclosed: tuple[str, ...] = ()
    checks: tuple[AskedCheck, ...] = ()
    thresholds: Mapping[str, float | str] = field(default_factory=dict, repr=False)
    encrypt_to: Jwk | None = None
    """The consumer's public key, where the agreement says that values are for nobody else."""


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


class RecordUnusable(Exception):
    """Raised by an answer function: there is such a person, and what is kept of them is not what the service says.

    It concerns this one person, so the gateway goes on asking about others. Nothing of the data belongs in its words.
    """

    def __init__(self, reason: str, *, match_level: MatchLevel | None = None, area: str | None = None) -> None:
        super().__init__(reason)
        self.match_level = match_level
        self.area = area


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
    checks = tuple(_check_in(item) for item in _list(asked.get("checks", [])))
    computed_from = [name for check in checks for name in check.from_]
    undisclosed = tuple(name for name in dict.fromkeys(computed_from) if name not in wanted)
    _require(
        len({*wanted, *(check.name for check in checks)}) == len(wanted) + len(checks), "a name is asked for twice"
    )
    encrypt_to = asked.get("encrypt_to")
    _require(isinstance(encrypt_to, dict | None), "the question's key cannot be read")
    return AskedQuestion(
        subject=subject,
        fields=(*wanted, *undisclosed),
        undisclosed=undisclosed,
        checks=checks,
        thresholds=_thresholds_in(asked.get("thresholds", {})),
        encrypt_to=encrypt_to,
        **{name: asked[name] for name in names},
    )


def _check_in(item: object) -> AskedCheck:
    members = item if isinstance(item, dict) else {}
    name, expression, gives = members.get("name"), members.get("expression"), members.get("gives")
    if not isinstance(name, str) or not isinstance(expression, str):
        raise MalformedInput("a check has a name and an expression")
    return AskedCheck(
        name=name,
        from_=_texts(members.get("from")),
        expression=expression,
        gives=() if gives == "boolean" else _texts(gives),
    )


def _thresholds_in(item: object) -> dict[str, float | str]:
    if not isinstance(item, dict) or not all(isinstance(value, int | float | str) for value in item.values()):
        raise MalformedInput("the question's thresholds cannot be read")
    return item


def _texts(item: object) -> tuple[str, ...]:
    texts = _list(item)
    _require(bool(texts) and all(isinstance(text, str) for text in texts), "a check's list cannot be read")
    return tuple(texts)


def _list(item: object) -> list[Any]:
    _require(isinstance(item, list), "a list of the question's cannot be read")
    return list(item) if isinstance(item, list) else []


def _require(holds: bool, problem: str) -> None:  # noqa: FBT001 - the condition is the argument
    if not holds:
        raise MalformedInput(problem)
