"""Settle offline what a receipt, a record or a kept answer says. Nothing is asked of anybody; the public keys suffice.

The keys must have been obtained beforehand, from a party you trust: keys that come with a statement prove nothing. The
one exception is a provider's key that comes with a receipt: the gateway signed its thumbprint.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from gateway.clock import parse_rfc3339
from gateway.errors import GatewayError
from gateway.sdk.answers import AnswerNotBelievable
from gateway.sdk.receipts import KeptAnswer
from gateway.sdk.stated_checks import believe_checks
from gateway.sdk.verify import Verdict
from gateway.wire.canonical import digest_b64
from gateway.wire.contracts import RECORD_TYP
from gateway.wire.errors import ProofFailed
from gateway.wire.jws import unverified_claims
from gateway.wire.keys import SIGNING_ALGORITHMS, Jwk, thumbprint
from gateway.wire.proofs import ProvedStep, PublicKeys
from gateway.wire.receipts import Receipt, verify_receipt
from gateway.wire.sd_jwt import VerifiedRecord, verify_sd_jwt


def verify_kept(kept: KeptAnswer, public_keys: PublicKeys, *, provider_keys: Sequence[Jwk] = ()) -> Verdict:
    """Settle a kept answer; raises `ProofFailed` naming the step.

    `provider_keys` are needed where the receipt is too old to name the provider's key.
    """
    # 1. The gateway signed what the receipt says.
    receipt = check_receipt(kept.receipt, public_keys)
    steps = [_receipt_step(receipt)]
    # 2. It speaks of this exchange and this very question.
    if receipt.exchange != kept.exchange or receipt.request_digest != digest_b64(kept.request.encode()):
        raise ProofFailed("2 request", "the receipt is for another question")
    steps.append(ProvedStep(number=2, name="request", proved="the receipt names exactly this question"))
    if kept.record is None:
        if receipt.outcome == "disclosed":
            raise ProofFailed("3 record", "the receipt says disclosed, and the record is missing")
        return Verdict(steps=tuple(steps), receipt=receipt)
    # 3. The provider signed the record, with the key that the receipt names.
    record = _record_of(kept, receipt, provider_keys)
    steps.append(ProvedStep(number=3, name="record", proved=f"{receipt.provider} signed these fields"))
    # 4. It is the record of the receipt, with the fields that were disclosed and no others.
    claims = record.claims
    results = _checks_of(kept, receipt, public_keys)
    if (
        digest_b64(record.issuer_jwt.encode()) != receipt.provider_jwt_digest
        or (claims.get("jti"), claims.get("sub")) != (receipt.exchange, receipt.handle)
        or sorted((*record.fields, *results)) != sorted(receipt.fields_disclosed)
    ):
        raise ProofFailed("4 disclosure", "the record is not the one that the receipt describes")
    told = f"the receipt names this record and its fields: {', '.join(receipt.fields_disclosed)}"
    steps.append(ProvedStep(number=4, name="disclosure", proved=told))
    return Verdict(steps=tuple(steps), receipt=receipt)


def verify_receipt_alone(unverified: str, public_keys: PublicKeys) -> Verdict:
    """Settle one receipt; raises `ProofFailed`."""
    receipt = check_receipt(unverified, public_keys)
    return Verdict(steps=(_receipt_step(receipt),), receipt=receipt)


def verify_record_alone(unverified: str, *, provider_keys: Sequence[Jwk]) -> VerifiedRecord:
    """Settle one record with the provider's public keys, whenever it was made; raises `ProofFailed`.

    It tells who stated the fields, for whom and in which exchange. That the gateway let it pass, only a receipt tells.
    """
    claims = _claims(unverified)
    return _check_record(unverified, keys=provider_keys, issuer=claims.get("iss"), audience=claims.get("aud"))


def check_receipt(unverified: str, public_keys: PublicKeys) -> Receipt:
    """Check one receipt with the gateway's public keys; raises `ProofFailed`."""
    try:
        receipt = verify_receipt(unverified, keys=public_keys.keys)
    except GatewayError as error:
        raise ProofFailed("1 receipt", error.public) from error
    if receipt.issuer != public_keys.issuer:
        raise ProofFailed("1 receipt", "the receipt was issued by another gateway than these keys are of")
    return receipt


def _record_of(kept: KeptAnswer, receipt: Receipt, provider_keys: Sequence[Jwk]) -> VerifiedRecord:
    keys = provider_keys
    if kept.provider_jwk is not None and receipt.provider_key is not None:
        try:
            named = thumbprint(kept.provider_jwk) == receipt.provider_key
        except GatewayError as error:
            raise ProofFailed("3 record", error.public) from error
        if not named:
            raise ProofFailed("3 record", "the provider's key is not the one that the receipt names")
        keys = (kept.provider_jwk,)
    if not keys:
        raise ProofFailed("3 record", "the receipt names no key of the provider's: give its public keys")
    return _check_record(str(kept.record), keys=keys, issuer=receipt.provider, audience=receipt.consumer)


def _checks_of(kept: KeptAnswer, receipt: Receipt, public_keys: PublicKeys) -> dict[str, Any]:
    """Return what the gateway computed from the record; empty where it computed nothing."""
    try:
        made = parse_rfc3339(receipt.issued_at)
    except (ValueError, OverflowError) as error:
        raise ProofFailed("1 receipt", "the receipt's time is not one") from error
    try:
        stated = believe_checks(kept.checks, receipt, gateway_keys=public_keys.keys, now=made)
    except AnswerNotBelievable as error:
        raise ProofFailed("4 disclosure", error.public) from error
    return stated.fields if stated is not None else {}


def _check_record(unverified: str, *, keys: Sequence[Jwk], issuer: object, audience: object) -> VerifiedRecord:
    made = _claims(unverified).get("iat")
    if not isinstance(issuer, str) or not isinstance(audience, str) or not isinstance(made, int):
        raise ProofFailed("3 record", "the record does not say by whom, for whom or when it was made")
    try:
        # A record is to be used within minutes, and proves for ever what it said then.
        return verify_sd_jwt(
            unverified,
            keys=keys,
            typ=RECORD_TYP,
            algorithms=SIGNING_ALGORITHMS,
            issuer=issuer,
            audience=audience,
            now=datetime.fromtimestamp(made, tz=UTC),
        )
    except (GatewayError, OverflowError, ValueError) as error:
        reason = error.public if isinstance(error, GatewayError) else "the record's time cannot be read"
        raise ProofFailed("3 record", reason) from error


def _claims(unverified_record: str) -> dict[str, Any]:
    try:
        return unverified_claims(unverified_record.partition("~")[0])
    except GatewayError as error:
        raise ProofFailed("3 record", error.public) from error


def _receipt_step(receipt: Receipt) -> ProvedStep:
    return ProvedStep(number=1, name="receipt", proved=f"{receipt.issuer} signed the receipt of {receipt.exchange}")
