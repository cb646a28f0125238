"""The form of a service's file under `policies/services/`, and the value it becomes."""

from typing import Any

from marshmallow import ValidationError, fields, post_load, validate

from gateway.sharing.catalogue.errors import ServiceInvalid
from gateway.sharing.catalogue.services import Service
from gateway.sharing.schemas import Flag, StrictSchema, problems

SERVICE_ID = validate.Regexp(r"\A[a-z0-9-]+(?:/[a-z0-9-]+)+/v[1-9][0-9]*\Z", error="Not a service id.")
NAME = validate.Regexp(r"\A[a-z][a-z0-9_]{0,63}\Z", error="Not a name.")
TEXT = validate.Length(min=1, max=200)


def _a_threshold(value: object) -> None:
    if not isinstance(value, int | float | str) or isinstance(value, bool):
        raise ValidationError("A threshold is a number or a text.")


class MatchSchema(StrictSchema):
    """How a person may be described."""

    required_ = fields.List(fields.String(validate=NAME), required=True, data_key="required")
    optional = fields.List(fields.String(validate=NAME), required=True)


class ServiceSchema(StrictSchema):
    """One service. The schema of its fields is judged by `check_service`."""

    id = fields.String(required=True, validate=[validate.Length(max=100), SERVICE_ID])
    provider = fields.String(required=True, validate=TEXT)
    provider_client = fields.String(required=True, validate=TEXT)
    kind = fields.String(required=True, validate=validate.OneOf(["check", "record"]))
    title = fields.String(required=True, validate=TEXT)
    active = Flag(required=True)
    match = fields.Nested(MatchSchema, required=True)
    answer_seconds = fields.Float(required=True)
    max_answer_bytes = fields.Integer(required=True, strict=True)
    thresholds = fields.Dict(
        keys=fields.String(validate=NAME), values=fields.Raw(validate=_a_threshold), load_default=dict
    )
    max_attachment_bytes = fields.Integer(load_default=0, strict=True)
    schema = fields.Dict(keys=fields.String(), required=True)

    @post_load
    def _value(self, data: dict[str, Any], **_options: object) -> Service:
        match = data.pop("match")
        return Service(
            **data,
            match_attributes=(*match["required_"], *match["optional"]),
            match_required=tuple(match["required_"]),
        )


def read_service(document: Any, *, source: str) -> Service:
    """Read a service's document; raises `ServiceInvalid` naming `source` and the place."""
    try:
        service: Service = ServiceSchema().load(document)
    except ValidationError as error:
        raise ServiceInvalid(f"{source}: {problems(error)}") from error
    return service
