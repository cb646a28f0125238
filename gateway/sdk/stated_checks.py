"""Checks that the gateway computed: its own statement, about this person, from this answer of the provider."""

from collections.abc import Sequence
from datetime import datetime

from gateway.errors import GatewayError
from gateway.sdk.answers import AnswerNotBelievable
from gateway.wire.canonical import digest_b64
from gateway.wire.contracts import CHECK_TYP
from gateway.wire.keys import SIGNING_ALGORITHMS, Jwk
from gateway.wire.receipts import Receipt
from gateway.wire.sd_jwt import VerifiedRecord, verify_sd_jwt


def believe_checks(
    unverified: object, receipt: Receipt, *, gateway_keys: Sequence[Jwk], now: datetime
) -> VerifiedRecord | None:
    """Return the statement, or None where receipt and answer agree that there is none; raises `AnswerNotBelievable`."""
    if unverified is None and receipt.checks_digest is None:
        return None
    if not isinstance(unverified, str) or receipt.checks_digest is None:
        raise AnswerNotBelievable("The receipt and the answer disagree on what the gateway computed.")
    try:
        stated = verify_sd_jwt(
            unverified,
            keys=gateway_keys,
            typ=CHECK_TYP,
            algorithms=SIGNING_ALGORITHMS,
            issuer=receipt.issuer,
            audience=receipt.consumer,
            now=now,
        )
    except GatewayError as error:
        raise AnswerNotBelievable("What the gateway computed does not verify.", detail=error.public) from error
    check_belongs(stated, receipt)
    return stated


def check_belongs(stated: VerifiedRecord, receipt: Receipt) -> None:
    """Refuse a statement of another exchange, person, answer or agreement; raises `AnswerNotBelievable`."""
    claims = {
        "jti": receipt.exchange,
        "sub": receipt.handle,
        "basis": receipt.provider_jwt_digest,
        "agreement": f"{receipt.agreement}.{receipt.agreement_version}",
    }
    if any(stated.claims.get(name) != value for name, value in claims.items()):
        raise AnswerNotBelievable("What the gateway computed belongs to another exchange.")
    if digest_b64(stated.issuer_jwt.encode()) != receipt.checks_digest:
        raise AnswerNotBelievable("What the gateway computed is not what the receipt names.")
