"""What an agreement says, as a value: the fields of a data sharing agreement that the ICO's code asks for.

The signed form is the canonical JSON (RFC 8785) of the document; a new field there is a new version of the form.
"""

from dataclasses import dataclass
from datetime import date

from gateway.wire.canonical import digest_b64


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """A member and its part in data protection law: `controller`, `joint controller` or `processor`."""

    member: str
    data_protection_role: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Parties:
    """Who asks and who answers."""

    consumer: Party
    provider: Party


@dataclass(frozen=True, slots=True, kw_only=True)
class Exclusion:
    """Something that must not be shared under this agreement, and why."""

    item: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LegalBasis:
    """The power (a code of `legal-gateways.yaml`) and the lawful bases of the UK GDPR."""

    gateway: str
    article_6: str
    article_9: str | None
    """The condition of Article 9(2), where special category data are shared."""
    schedule_1: str | None
    """The condition of Schedule 1 to the Data Protection Act 2018, where Article 9 or 10 needs one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hours:
    """When may be asked: days (`mon` … `sun`), from and until `HH:MM`, all in the United Kingdom's civil time."""

    days: tuple[str, ...]
    from_: str
    until: str


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryBudget:
    """How often may be asked about one person: at most so many times in so many days."""

    most: int
    days: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A question whose answer is computed from fields that are not disclosed themselves."""

    name: str
    from_: tuple[str, ...]
    computed_by: str
    """`gateway` or `provider`."""
    expression: str
    """CEL over the fields and `thresholds`."""
    gives: tuple[str, ...]
    """The texts that it can be; empty for a boolean."""
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EndToEnd:
    """Values are encrypted by the provider to the consumer: RFC 7638 thumbprints of the keys that may be used."""

    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What must hold for each request. Empty means no: an empty list allows nobody."""

    clients: tuple[str, ...]
    roles: tuple[str, ...]
    minimum_acr: str
    case_reference_required: bool
    subject_kinds: tuple[str, ...]
    own_area_only: bool = False
    """Only people who live in the consumer's own area may be asked about: its code is the area's."""
    objection_lists: tuple[str, ...] = ()
    """Nothing is told of a person on one of these lists."""
    hours: "Hours | None" = None
    queries_per_subject: "QueryBudget | None" = None
    minimum_match: str | None = None
    """The weakest match level that is accepted where a person is named by attributes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long the consumer keeps the answer, and how it disposes of it."""

    period: str
    disposal: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImpactAssessment:
    """The data protection impact assessment that stands behind the agreement."""

    reference: str
    date: date


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """A role to turn to; never a named person."""

    purpose: str
    role: str
    email: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalRecord:
    """Who decided to make the agreement, when, and why."""

    decided_by: str
    date: date
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """One version of an agreement. Days are UTC days; `starts` and `ends` are both included."""

    reference: str
    version: int
    title: str
    parties: Parties
    service: str
    purposes: tuple[str, ...]
    benefits: str
    data_subjects: str
    fields: tuple[str, ...]
    exclusions: tuple[Exclusion, ...]
    legal_basis: LegalBasis
    conditions: Conditions
    method: str
    frequency: str
    volume_per_day: int
    classification: str
    onward_sharing: str
    retention: Retention
    individual_rights: str
    dpia: ImpactAssessment
    contacts: tuple[Contact, ...]
    decision: ApprovalRecord
    starts: date
    ends: date
    review: date
    checks: tuple[Check, ...] = ()
    end_to_end: EndToEnd | None = None

    @property
    def askable(self) -> tuple[str, ...]:
        """Every name that may be asked for: fields, and checks."""
        return (*self.fields, *(check.name for check in self.checks))

    @property
    def name(self) -> str:
        """Reference and version, as people write them: `DSA-003.1`."""
        return f"{self.reference}.{self.version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreementDocument:
    """Terms together with the exact bytes that are signed."""

    terms: Terms
    canonical: bytes

    @property
    def digest(self) -> str:
        """`sha-256:` and the base64url SHA-256 of the signed bytes."""
        return f"sha-256:{digest_b64(self.canonical)}"
