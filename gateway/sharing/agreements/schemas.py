"""The form of an agreement's document, and the value it becomes."""

from typing import Any, ClassVar

from marshmallow import ValidationError, fields, post_load, validate, validates_schema

from gateway.sharing.agreements.errors import AgreementInvalid
from gateway.sharing.agreements.terms import (
    AgreementDocument,
    ApprovalRecord,
    Check,
    Conditions,
    Contact,
    EndToEnd,
    Exclusion,
    Hours,
    ImpactAssessment,
    LegalBasis,
    Parties,
    Party,
    QueryBudget,
    Retention,
    Terms,
)
from gateway.sharing.schemas import Flag, StrictSchema, problems
from gateway.wire.canonical import canonical_json

REFERENCE = validate.Regexp(r"\A[A-Z][A-Z0-9]*(?:-[A-Z0-9]+)*\Z", error="Capital letters, digits and hyphens.")
CODE = validate.Regexp(r"\A[A-Za-z0-9][A-Za-z0-9/._-]{0,99}\Z", error="Not a code.")
TIME = validate.Regexp(r"\A(?:[01][0-9]|2[0-3]):[0-5][0-9]\Z", error="Not a time of day, HH:MM.")
END_OF_DAY = validate.Regexp(
    r"\A(?:(?:[01][0-9]|2[0-3]):[0-5][0-9]|24:00)\Z", error="Not a time of day, HH:MM, nor 24:00."
)
THUMBPRINT = validate.Regexp(r"\A[A-Za-z0-9_-]{43}\Z", error="Not an RFC 7638 thumbprint (SHA-256).")
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def _text(most: int = 1000) -> fields.String:
    return fields.String(required=True, validate=validate.Length(min=1, max=most))


def _codes() -> "fields.List[str]":
    return fields.List(fields.String(validate=CODE), required=True, validate=[validate.Length(max=100), _once_each])


def _day() -> fields.Date:
    return fields.Date(required=True, format="%Y-%m-%d")


def _once_each(values: list[str]) -> None:
    if len(set(values)) != len(values):
        raise ValidationError("Something stands there twice.")


class _ValueSchema(StrictSchema):
    """A part of the document that becomes one value; lists become tuples."""

    value: ClassVar[type]

    @post_load
    def _value(self, data: dict[str, Any], **_options: object) -> Any:
        return self.value(**{name: tuple(item) if isinstance(item, list) else item for name, item in data.items()})


class PartySchema(_ValueSchema):
    """A party."""

    value = Party
    member = fields.String(required=True, validate=CODE)
    data_protection_role = fields.String(
        required=True, validate=validate.OneOf(["controller", "joint controller", "processor"])
    )


class PartiesSchema(_ValueSchema):
    """Both parties."""

    value = Parties
    consumer = fields.Nested(PartySchema, required=True)
    provider = fields.Nested(PartySchema, required=True)


class ExclusionSchema(_ValueSchema):
    """Something that is not shared."""

    value = Exclusion
    item = _text(200)
    reason = _text()


class LegalBasisSchema(_ValueSchema):
    """The power and the lawful bases."""

    value = LegalBasis
    gateway = fields.String(required=True, validate=CODE)
    article_6 = _text(200)
    article_9 = fields.String(required=True, allow_none=True, validate=validate.Length(min=1, max=200))
    schedule_1 = fields.String(required=True, allow_none=True, validate=validate.Length(min=1, max=200))


class HoursSchema(_ValueSchema):
    """When may be asked."""

    value = Hours
    days = fields.List(
        fields.String(validate=validate.OneOf(DAYS)), required=True, validate=[validate.Length(min=1), _once_each]
    )
    from_ = fields.String(required=True, data_key="from", validate=TIME)
    until = fields.String(required=True, validate=END_OF_DAY)

    @validates_schema
    def _in_order(self, data: dict[str, Any], **_options: object) -> None:
        if data["from_"] >= data["until"]:
            raise ValidationError("The hours end before they begin.", "until")


class QueryBudgetSchema(_ValueSchema):
    """How often may be asked about one person."""

    value = QueryBudget
    most = fields.Integer(required=True, strict=True, validate=validate.Range(min=1, max=10_000))
    days = fields.Integer(required=True, strict=True, validate=validate.Range(min=1, max=366))


class CheckSchema(_ValueSchema):
    """A check."""

    value = Check
    name = fields.String(required=True, validate=CODE)
    from_ = fields.List(
        fields.String(validate=CODE),
        required=True,
        data_key="from",
        validate=[validate.Length(min=1, max=100), _once_each],
    )
    computed_by = fields.String(required=True, validate=validate.OneOf(["gateway", "provider"]))
    expression = _text(2000)
    gives = fields.Raw(required=True)
    description = _text()

    @validates_schema
    def _boolean_or_texts(self, data: dict[str, Any], **_options: object) -> None:
        gives = data["gives"]
        texts = isinstance(gives, list) and len(gives) > 1 and all(isinstance(text, str) and text for text in gives)
        if gives != "boolean" and not (texts and len(set(gives)) == len(gives)):
            raise ValidationError("Either boolean, or the list of texts that it can be.", "gives")

    @post_load
    def _value(self, data: dict[str, Any], **options: object) -> Any:
        data["gives"] = [] if data["gives"] == "boolean" else data["gives"]
        return super()._value(data, **options)


class EndToEndSchema(_ValueSchema):
    """Encryption from provider to consumer."""

    value = EndToEnd
    keys = fields.List(
        fields.String(validate=THUMBPRINT), required=True, validate=[validate.Length(min=1, max=20), _once_each]
    )


class ConditionsSchema(_ValueSchema):
    """What must hold for each request."""

    value = Conditions
    clients = _codes()
    roles = _codes()
    minimum_acr = fields.String(required=True, validate=validate.OneOf(["AAL1", "AAL2", "AAL3"]))
    case_reference_required = Flag(required=True)
    subject_kinds = fields.List(
        fields.String(validate=validate.OneOf(["sub", "match"])), required=True, validate=_once_each
    )
    # What was signed before these were offered has none of them, and means what it meant.
    own_area_only = Flag()
    objection_lists = fields.List(fields.String(validate=CODE), validate=[validate.Length(min=1, max=20), _once_each])
    hours = fields.Nested(HoursSchema)
    queries_per_subject = fields.Nested(QueryBudgetSchema)
    minimum_match = fields.String(validate=validate.OneOf(["exact", "strong", "fair", "weak"]))


class RetentionSchema(_ValueSchema):
    """How long the answer is kept."""

    value = Retention
    period = _text(200)
    disposal = _text()


class ImpactAssessmentSchema(_ValueSchema):
    """The data protection impact assessment."""

    value = ImpactAssessment
    reference = _text(200)
    date = _day()


class ContactSchema(_ValueSchema):
    """A role to turn to."""

    value = Contact
    purpose = fields.String(required=True, validate=validate.OneOf(["agreement", "incident", "data protection"]))
    role = _text(200)
    email = fields.Email(required=True)


class ApprovalRecordSchema(_ValueSchema):
    """Who decided."""

    value = ApprovalRecord
    decided_by = _text(200)
    date = _day()
    reason = _text()


class TermsSchema(_ValueSchema):
    """The whole document."""

    value = Terms
    reference = fields.String(required=True, validate=[validate.Length(max=40), REFERENCE])
    version = fields.Integer(required=True, strict=True, validate=validate.Range(min=1, max=100_000))
    title = _text(200)
    parties = fields.Nested(PartiesSchema, required=True)
    service = fields.String(required=True, validate=CODE)
    purposes = _codes()
    benefits = _text()
    data_subjects = _text()
    fields_ = fields.List(
        fields.String(validate=CODE), required=True, data_key="fields", validate=[validate.Length(max=100), _once_each]
    )
    exclusions = fields.List(fields.Nested(ExclusionSchema), required=True)
    legal_basis = fields.Nested(LegalBasisSchema, required=True)
    conditions = fields.Nested(ConditionsSchema, required=True)
    method = fields.String(required=True, validate=validate.OneOf(["single"]))
    frequency = _text()
    volume_per_day = fields.Integer(required=True, strict=True, validate=validate.Range(min=1))
    classification = fields.String(required=True, validate=validate.OneOf(["OFFICIAL", "OFFICIAL-SENSITIVE"]))
    onward_sharing = _text()
    retention = fields.Nested(RetentionSchema, required=True)
    individual_rights = _text()
    dpia = fields.Nested(ImpactAssessmentSchema, required=True)
    contacts = fields.List(fields.Nested(ContactSchema), required=True, validate=validate.Length(min=1))
    decision = fields.Nested(ApprovalRecordSchema, required=True)
    starts = _day()
    ends = _day()
    review = _day()
    checks = fields.List(fields.Nested(CheckSchema), validate=validate.Length(min=1, max=50))
    end_to_end = fields.Nested(EndToEndSchema)

    @post_load
    def _value(self, data: dict[str, Any], **options: object) -> Any:
        data["fields"] = data.pop("fields_")
        return super()._value(data, **options)


def read_agreement(document: Any, *, source: str) -> AgreementDocument:
    """Read an agreement's document; raises `AgreementInvalid` naming `source` and every place that is wrong.

    What the document says of other things (services, purposes, members) is judged by `checks`.
    """
    try:
        terms: Terms = TermsSchema().load(document)
    except ValidationError as error:
        raise AgreementInvalid(f"{source}: {problems(error)}") from error
    return AgreementDocument(terms=terms, canonical=canonical_json(document))
