"""The wire form of a request for a record, and the value it becomes."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from marshmallow import ValidationError, fields, post_load, validate, validates_schema

from gateway.sharing.schemas import StrictSchema

IDENTIFIER = validate.Regexp(r"\A[a-z0-9]+(?:[/._-][a-z0-9]+)*\Z", error="Not a valid identifier.")
SALT = validate.Regexp(r"\A[A-Za-z0-9_-]{22,86}\Z", error="128 random bits or more, base64url.")
SUB = validate.Regexp(r"\A[\x21-\x7e]{1,255}\Z", error="Not a valid subject.")
NINO = validate.Regexp(r"\A[A-Z]{2}[0-9]{6}[A-D]\Z", error="Not a National Insurance number.")
# Controls, separators of lines, controls of text direction, and lone surrogates, which no encoding can hold.
PLAIN_TEXT = validate.Regexp(
    r"\A[^\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]*\Z",
    error="Control and direction characters are not accepted.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectBySub:
    """A person named by the consumer's own pairwise `sub`."""

    sub: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectByMatch:
    """A person described by attributes (`family_name`, `birthdate`, `nino`); whether they match, the provider says."""

    attributes: Mapping[str, str]

    def __repr__(self) -> str:
        return f"SubjectByMatch({sorted(self.attributes)})"


Subject = SubjectBySub | SubjectByMatch


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordRequest:
    """What a consumer asks: which fields of which service, about whom, for what purpose."""

    service: str
    purpose: str
    subject: Subject
    fields: tuple[str, ...]
    case_reference: str | None


class MatchSchema(StrictSchema):
    """Attributes by which a provider can find a person."""

    family_name = fields.String(required=True, validate=[validate.Length(min=1, max=100), PLAIN_TEXT])
    given_name = fields.String(validate=[validate.Length(min=1, max=100), PLAIN_TEXT])
    birthdate = fields.Date(required=True, format="iso")
    nino = fields.String(
        validate=validate.Regexp(r"\A[A-Z]{2}[0-9]{6}[A-D]\Z", error="Not a National Insurance number.")
    )
    nino_fragment = fields.String(validate=validate.Regexp(r"\A[0-9]{4}\Z", error="Not four digits."))
    # Which somebody gave out so that one record can be found: an attorney for a lasting power of attorney.
    access_code = fields.String(validate=validate.Regexp(r"\A[A-Z0-9]{6,20}\Z", error="Not an access code."))
    postcode = fields.String(validate=validate.Regexp(r"\A[A-Z0-9]{2,4} [0-9][A-Z]{2}\Z", error="Not a postcode."))

    @post_load
    def _values(self, data: dict[str, Any], **_options: object) -> dict[str, str]:
        return {name: value.isoformat() if isinstance(value, date) else value for name, value in data.items()}


class SubjectSchema(StrictSchema):
    """Exactly one way of naming a person."""

    sub = fields.String(validate=SUB)
    match = fields.Nested(MatchSchema)

    @validates_schema
    def _exactly_one(self, data: dict[str, Any], **_options: object) -> None:
        if len(data) != 1:
            raise ValidationError("Give either sub or match.")

    @post_load
    def _value(self, data: dict[str, Any], **_options: object) -> Subject:
        return SubjectBySub(sub=data["sub"]) if "sub" in data else SubjectByMatch(attributes=data["match"])


class RecordRequestSchema(StrictSchema):
    """The body of `POST /sharing/v1/exchanges`."""

    service = fields.String(required=True, validate=[validate.Length(max=100), IDENTIFIER])
    purpose = fields.String(required=True, validate=[validate.Length(max=100), IDENTIFIER])
    subject = fields.Nested(SubjectSchema, required=True)
    fields_ = fields.List(
        fields.String(validate=[validate.Length(max=100), IDENTIFIER]),
        required=True,
        data_key="fields",
        validate=validate.Length(min=1, max=100),
        metadata={"uniqueItems": True},  # checked by `_no_repeats`
    )
    case_reference = fields.String(validate=[validate.Length(min=1, max=100), PLAIN_TEXT])
    # Not read: it makes the request's digest, which receipts show, impossible to guess back to a person.
    salt = fields.String(required=True, validate=SALT)

    @validates_schema
    def _no_repeats(self, data: dict[str, Any], **_options: object) -> None:
        if len(set(data["fields_"])) != len(data["fields_"]):
            raise ValidationError("A field is asked for twice.", "fields")

    @post_load
    def _value(self, data: dict[str, Any], **_options: object) -> RecordRequest:
        return RecordRequest(
            service=data["service"],
            purpose=data["purpose"],
            subject=data["subject"],
            fields=tuple(data["fields_"]),
            case_reference=data.get("case_reference"),
        )
