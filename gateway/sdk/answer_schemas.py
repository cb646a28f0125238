"""A provider holds its own answers to its service's schema before it signs them, as the gateway will afterwards."""

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.wire.attachments import schema_of_values


class AnswerSchema:
    """The JSON Schema (Draft 2020-12) of a service's fields, as the catalogue has it."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        from jsonschema import Draft202012Validator  # noqa: PLC0415 - needed only where a schema is given
        from referencing import Registry  # noqa: PLC0415 - as above

        # The empty registry keeps a reference in a schema from ever being fetched.
        self._validator: Any = Draft202012Validator(
            schema_of_values(schema), registry=Registry(), format_checker=Draft202012Validator.FORMAT_CHECKER
        )

    def problems_in(self, fields: Mapping[str, Any]) -> Sequence[str]:
        """Say which field breaks which rule, and never what it held. Empty when all is well."""
        # jsonschema's own message quotes the value, which is somebody's personal data.
        return sorted(
            {
                f"{'.'.join(str(part) for part in error.absolute_path) or 'the answer'}: breaks {error.validator}"
                for error in self._validator.iter_errors(dict(fields))
            }
        )
