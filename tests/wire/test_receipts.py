from dataclasses import asdict, replace
from typing import Any

import pytest

from gateway.errors import GatewayError
from gateway.wire.canonical import canonical_json
from gateway.wire.errors import InvalidJws, InvalidReceipt, InvalidSignature
from gateway.wire.jws import issue_jws
from gateway.wire.receipts import RECEIPT_TYP, FailedRule, issue_receipt, verify_receipt
from gateway.wire.signer import PrivateKeySigner
from tests.kit.statements import a_receipt

SIGNER = PrivateKeySigner.generate("ES256")
KEYS = [SIGNER.public_jwk()]


def signed(members: object) -> str:
    return issue_jws(canonical_json(members), typ=RECEIPT_TYP, signer=SIGNER)


def test_a_disclosure_and_a_refusal_both_come_back_as_they_were_stated() -> None:
    refusal = a_receipt(
        decision="deny",
        outcome="refused",
        rules=(FailedRule(code="field_not_covered", title="The agreement does not cover this field", rule="fields"),),
        agreement=None,
        agreement_version=None,
        provider=None,
        subject=None,
        handle=None,
        provider_jwt_digest=None,
        fields_disclosed=(),
        fields_withheld=("award_amount",),
    )
    for receipt in (a_receipt(), a_receipt(subject={"matched": True}), refusal):
        assert verify_receipt(issue_receipt(receipt, signer=SIGNER), keys=KEYS) == receipt


def test_members_of_a_later_version_are_tolerated_and_left_out() -> None:
    assert verify_receipt(signed({**asdict(a_receipt()), "added_in_2030": {"x": 1}}), keys=KEYS) == a_receipt()


ADDED_LATER = ("provider_key", "client_key", "checks_digest", "agreement_digest")


def test_a_receipt_from_before_members_were_added_still_verifies() -> None:
    first = {name: value for name, value in asdict(a_receipt()).items() if name not in ADDED_LATER}
    assert verify_receipt(signed(first), keys=KEYS) == a_receipt()


@pytest.mark.parametrize("name", [name for name in asdict(a_receipt()) if name not in ADDED_LATER])
def test_a_receipt_without_one_of_its_members_is_refused(name: str) -> None:
    members = {key: value for key, value in asdict(a_receipt()).items() if key != name}
    with pytest.raises(InvalidReceipt):
        verify_receipt(signed(members), keys=KEYS)


@pytest.mark.parametrize("name", sorted(set(asdict(a_receipt())) - {"provider", "agreement", "policy_digest"}))
def test_a_member_of_another_type_is_refused(name: str) -> None:
    with pytest.raises(InvalidReceipt):
        verify_receipt(signed({**asdict(a_receipt()), name: 1.5}), keys=KEYS)


@pytest.mark.parametrize(
    "changes",
    [
        {"decision": "maybe"},
        {"outcome": "lost"},
        {"decision": "deny"},  # yet disclosed
        {"outcome": "refused"},  # yet fields were disclosed
        {"rules": [{"code": "a", "title": "b"}]},
        {"rules": ["a"]},
        {"agreement_version": True},
        {"fields_withheld": [1]},
    ],
)
def test_a_receipt_that_contradicts_itself_is_neither_read_nor_issued(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidReceipt):
        verify_receipt(signed({**asdict(a_receipt()), **changes}), keys=KEYS)
    if "rules" not in changes:
        with pytest.raises(InvalidReceipt):
            issue_receipt(replace(a_receipt(), **changes), signer=SIGNER)


def test_only_one_spelling_of_a_receipt_is_accepted() -> None:
    spaced = canonical_json(asdict(a_receipt())).replace(b'","', b'", "')
    with pytest.raises(InvalidReceipt):
        verify_receipt(issue_jws(spaced, typ=RECEIPT_TYP, signer=SIGNER), keys=KEYS)
    for payload in (b"[]", b"text", b'{"exchange":"1","exchange":"2"}'):
        with pytest.raises(InvalidReceipt):
            verify_receipt(issue_jws(payload, typ=RECEIPT_TYP, signer=SIGNER), keys=KEYS)


def test_another_kind_of_statement_or_another_key_is_no_receipt() -> None:
    members = canonical_json(asdict(a_receipt()))
    with pytest.raises(InvalidJws):
        verify_receipt(issue_jws(members, typ="at+jwt", signer=SIGNER), keys=KEYS)
    impostor = {**PrivateKeySigner.generate("ES256").public_jwk(), "kid": SIGNER.key_id}
    with pytest.raises(InvalidSignature):
        verify_receipt(issue_receipt(a_receipt(), signer=SIGNER), keys=[impostor])
    with pytest.raises(GatewayError):
        verify_receipt(issue_receipt(a_receipt(), signer=SIGNER), keys=[])
