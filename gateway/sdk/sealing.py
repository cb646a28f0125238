"""Values for the consumer alone: what a department insists on before it answers, and how a record is sealed.

Which keys may be encrypted to, both members have signed in their agreement, and the department keeps that list itself.
So a gateway that slips in a key of its own, or asks for values in the clear, gets nothing.
"""

from collections.abc import Collection, Mapping
from typing import Any

from gateway.errors import GatewayError, Kind
from gateway.sdk.questions import AskedQuestion
from gateway.wire.errors import UnusableKey
from gateway.wire.keys import Jwk
from gateway.wire.sd_jwt import without_disclosures
from gateway.wire.sealed_disclosures import as_json, check_encryption_key, seal_disclosures

AgreedKeys = Mapping[str, Mapping[str, Collection[str]]]
"""By service and agreement: RFC 7638 thumbprints of the consumer's keys. A service listed here never answers else."""


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


def sealed(record: str, *, to: Jwk) -> dict[str, Any]:
    """Return the members of an answer: the record without its disclosures, and each of those encrypted."""
    bare, disclosures = without_disclosures(record)
    return {"record": bare, "encrypted": as_json(seal_disclosures(disclosures, to=to))}
