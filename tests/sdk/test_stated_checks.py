"""What the gateway computed is believed only as its own statement about this person, from this answer."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from gateway.sdk.answers import AnswerNotBelievable
from gateway.sdk.stated_checks import believe_checks
from gateway.wire.canonical import digest_b64
from gateway.wire.contracts import CHECK_TYP, RECORD_TYP
from gateway.wire.receipts import Receipt
from gateway.wire.sd_jwt import issue_sd_jwt
from gateway.wire.signer import PrivateKeySigner
from tests.kit.clock import MIDDAY
from tests.kit.statements import ISSUER, a_receipt

SIGNER = PrivateKeySigner.generate("ES256")
NOW = int(MIDDAY.timestamp())
RESULTS = {"above_limit": True}


def _stated(receipt: Receipt, *, signer: PrivateKeySigner = SIGNER, typ: str = CHECK_TYP, **changes: Any) -> str:
    claims = {
        "iss": receipt.issuer,
        "aud": receipt.consumer,
        "sub": receipt.handle,
        "jti": receipt.exchange,
        "basis": receipt.provider_jwt_digest,
        "agreement": f"{receipt.agreement}.{receipt.agreement_version}",
        "iat": NOW,
        "exp": NOW + 300,
    }
    return issue_sd_jwt({**claims, **changes}, RESULTS, signer=signer, typ=typ)


def _naming(receipt: Receipt, stated: str) -> Receipt:
    return replace(receipt, checks_digest=digest_b64(stated.partition("~")[0].encode()))


RECEIPT = replace(a_receipt(), agreement="DSA-003", agreement_version=1)


def test_a_good_statement_is_believed() -> None:
    assert RECEIPT.issuer == ISSUER
    stated = _stated(RECEIPT)
    believed = believe_checks(stated, _naming(RECEIPT, stated), gateway_keys=[SIGNER.public_jwk()], now=MIDDAY)
    assert believed is not None
    assert believed.fields == RESULTS


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://other.example"},
        {"aud": "E06000009"},
        {"sub": "somebody else"},
        {"jti": "another exchange"},
        {"basis": "another answer"},
        {"agreement": "DSA-003.2"},
        {"exp": NOW - 300},
        {"typ": RECORD_TYP},
        {"signer": PrivateKeySigner.generate("ES256")},
    ],
)
def test_a_statement_about_something_else_is_not(changes: dict[str, Any]) -> None:
    stated = _stated(RECEIPT, **changes)
    with pytest.raises(AnswerNotBelievable):
        believe_checks(stated, _naming(RECEIPT, stated), gateway_keys=[SIGNER.public_jwk()], now=MIDDAY)


def test_receipt_and_answer_agree_on_whether_there_is_one() -> None:
    stated, keys = _stated(RECEIPT), [SIGNER.public_jwk()]
    assert believe_checks(None, RECEIPT, gateway_keys=keys, now=MIDDAY) is None
    for unverified, receipt in ((stated, RECEIPT), (None, _naming(RECEIPT, stated)), (7, _naming(RECEIPT, stated))):
        with pytest.raises(AnswerNotBelievable, match="disagree"):
            believe_checks(unverified, receipt, gateway_keys=keys, now=MIDDAY)
    with pytest.raises(AnswerNotBelievable, match="not what the receipt names"):
        believe_checks(stated, _naming(RECEIPT, _stated(RECEIPT)), gateway_keys=keys, now=MIDDAY)
    later = MIDDAY + timedelta(hours=1)
    with pytest.raises(AnswerNotBelievable):
        believe_checks(stated, _naming(RECEIPT, stated), gateway_keys=keys, now=later)
