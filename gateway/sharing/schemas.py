"""What the forms of sharing's documents have in common: strictness, and errors that say where."""

from collections.abc import Iterator
from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields


class StrictSchema(Schema):
    """Unknown members are refused: what we do not understand we do not act on."""

    class Meta:
        """Options of marshmallow."""

        unknown = RAISE


class Flag(fields.Field[bool]):
    """`true` or `false`, and nothing that resembles them."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **_options: Any) -> bool:  # noqa: ARG002 - marshmallow's signature
        if not isinstance(value, bool):
            raise ValidationError("Must be true or false.")
        return value


def problems(error: ValidationError) -> str:
    """Say every problem as `place.in.document: what is wrong`, in one line."""
    return "; ".join(f"{place}: {message}" for place, message in _flat(error.messages, ()))


def _flat(messages: Any, place: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    if isinstance(messages, dict):
        for name, inner in messages.items():
            yield from _flat(inner, place if name == "_schema" else (*place, str(name)))
        return
    for message in messages if isinstance(messages, list) else [messages]:
        yield ".".join(place) or "the document", str(message).rstrip(".")
