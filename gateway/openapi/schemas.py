"""The bodies that marshmallow judges, as JSON Schema: the same rules, so the description cannot say anything else."""

from typing import Any

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from marshmallow import fields, validate

from gateway.openapi.elements import Json
from gateway.sharing.exchange.schemas import RecordRequestSchema


def schemas_of_bodies() -> Json:
    """Return the forms of the bodies that marshmallow judges, as JSON Schema."""
    plugin = MarshmallowPlugin()
    specification = APISpec(title="", version="", openapi_version="3.1.0", plugins=[plugin])
    converter = plugin.converter
    if converter is None:
        message = "the plugin has no converter before it is given to a specification"
        raise RuntimeError(message)
    converter.add_attribute_function(_pattern)  # type: ignore[no-untyped-call]
    specification.components.schema("RecordRequest", schema=RecordRequestSchema)
    schemas: Json = specification.to_dict()["components"]["schemas"]
    # `SubjectSchema` checks by a function that exactly one way of naming a person is given.
    schemas["Subject"] |= {"minProperties": 1, "maxProperties": 1}
    return schemas


def _pattern(_converter: object, field: fields.Field[Any], **_options: object) -> Json:
    """Return a field's regular expression as ECMA-262 writes it, which JSON Schema asks for (2020-12 §6.4)."""
    for rule in field.validators:
        if isinstance(rule, validate.Regexp):
            text = str(rule.regex.pattern).removeprefix(r"\A").removesuffix(r"\Z")
            # No text in I-JSON holds a lone surrogate (RFC 7493 §2.1), and not every reader's expressions can name one.
            return {"pattern": f"^{text}$".replace(r"\ud800-\udfff", "")}
    return {}
