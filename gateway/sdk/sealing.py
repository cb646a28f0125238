"""Values for the consumer alone: what a department insists on before it answers, and how a record is sealed.

Which keys may be encrypted to and what may be computed, both members have signed in their agreement, and the department
keeps those lists itself. So a gateway that slips in a key of its own, or asks for values in the clear, gets nothing;
nor does one that asks with expressions of its own, and learns from whether they could be computed.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from gateway.errors import GatewayError, Kind
from gateway.sdk.questions import AskedCheck, AskedQuestion
from gateway.wire.errors import UnusableKey
from gateway.wire.keys import Jwk
from gateway.wire.sd_jwt import without_disclosures
from gateway.wire.sealed_disclosures import as_json, check_encryption_key, seal_disclosures

AgreedKeys = Mapping[str, Mapping[str, Collection[str]]]
"""By service and agreement: RFC 7638 thumbprints of the consumer's keys. A service listed here never answers else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreedCheck:
    """A check as both members signed it, with the thresholds that it uses."""

    from_: tuple[str, ...]
    """The fields that it is computed from."""
    expression: str
    gives: tuple[str, ...] = ()
    """The texts that it can be; empty for a boolean."""
    thresholds: Mapping[str, float | str] = field(default_factory=dict, repr=False)


AgreedChecks = Mapping[str, Mapping[str, Mapping[str, AgreedCheck]]]
"""By service, agreement and name. A service listed here, or in `AgreedKeys`, computes no other checks."""


class CheckRefused(GatewayError):
    """The question asks for a check that was not agreed, or for another one under its name."""

    kind = Kind.REFUSED
    code = "check_refused"
    title = "The check is not one that was agreed"


class EncryptionRefused(GatewayError):
    """The question asks to encrypt to a key that was not agreed, or not to encrypt what has to be."""

    kind = Kind.REFUSED
    code = "encryption_refused"
    title = "The answer would not be for the consumer alone"


def check_encryption(question: AskedQuestion, *, agreed: AgreedKeys) -> None:
    """Refuse a question whose answer others could read; raises `EncryptionRefused`."""
    by_agreement = agreed.get(question.service)
    if by_agreement is None:
        if question.encrypt_to is not None:
            raise EncryptionRefused("no keys are known here for this service")
        return
    if question.encrypt_to is None:
        raise EncryptionRefused("this service answers encrypted, or not at all")
    try:
        asked = check_encryption_key(question.encrypt_to)
    except UnusableKey as error:
        raise EncryptionRefused(error.public) from error
    if asked not in by_agreement.get(question.agreement, ()):
        raise EncryptionRefused("the key is not one that this agreement names")


def check_agreed(question: AskedQuestion, *, checks: AgreedChecks, keys: AgreedKeys) -> AskedQuestion:
    """Return the question with the department's own thresholds; raises `CheckRefused`.

    Where neither checks nor keys are known for a service, whatever the gateway sends is computed.
    """
    if question.service not in checks and question.service not in keys:
        return question
    agreed = checks.get(question.service, {}).get(question.agreement, {})
    used: dict[str, float | str] = {}
    for check in question.checks:
        kept = agreed.get(check.name)
        if kept is None:
            raise CheckRefused("there is no such check here, by service and agreement")
        if _terms(check) != (kept.from_, kept.expression, kept.gives):
            raise CheckRefused("the check is another one than was agreed")
        used |= kept.thresholds
    if any(question.thresholds.get(name) != value for name, value in used.items()):
        raise CheckRefused("a threshold is another one than was agreed")
    return replace(question, thresholds=used)


def _terms(check: AskedCheck) -> tuple[tuple[str, ...], str, tuple[str, ...]]:
    return check.from_, check.expression, check.gives


def sealed(record: str, *, to: Jwk) -> dict[str, Any]:
    """Return the members of an answer: a padded record without its disclosures, and each of those encrypted."""
    bare, disclosures = without_disclosures(record)
    return {"record": bare, "encrypted": as_json(seal_disclosures(disclosures, to=to))}
