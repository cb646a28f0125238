"""A department reads questions as they are meant, and encrypts to nobody but whom the agreement names."""

import json
from typing import Any

import pytest

from gateway.sdk.questions import parse_question
from gateway.sdk.sealing import AgreedCheck, CheckRefused, EncryptionRefused, check_agreed, check_encryption, sealed
from gateway.wire.errors import MalformedInput
from gateway.wire.sd_jwt import issue_sd_jwt, verify_sd_jwt, with_disclosures
from gateway.wire.sealed_disclosures import DecryptionKey, open_disclosures, read_sealed
from gateway.wire.signer import PrivateKeySigner
from tests.kit.clock import MIDDAY

KEY = DecryptionKey.generate()
SERVICE, AGREEMENT = "dwp/blue-badge/v1", "DSA-005"
AGREED = {SERVICE: {AGREEMENT: [KEY.thumbprint]}}
CHECK = {"name": "qualifies", "from": ["points"], "expression": "points > thresholds.limit", "gives": "boolean"}


def _asked(**changes: Any) -> bytes:
    texts = {name: name for name in ("exchange", "purpose", "consumer", "handle", "audience")}
    good = {**texts, "service": SERVICE, "agreement": AGREEMENT, "subject": {"sub": "x"}, "fields": ["name"]}
    return json.dumps({**good, **changes}).encode()


def test_a_function_is_asked_for_what_checks_need_and_that_is_marked() -> None:
    question = parse_question(_asked(checks=[CHECK, {**CHECK, "name": "other", "from": ["name", "points"]}]))
    assert question.fields == ("name", "points")
    assert question.undisclosed == ("points",)
    assert [check.gives for check in question.checks] == [(), ()]
    tier = parse_question(_asked(checks=[{**CHECK, "gives": ["high", "low"]}], thresholds={"limit": 8, "band": "A"}))
    assert tier.checks[0].gives == ("high", "low")
    assert tier.thresholds == {"limit": 8, "band": "A"}


@pytest.mark.parametrize(
    "changes",
    [
        {"checks": "all"},
        {"checks": ["qualifies"]},
        {"checks": [{**CHECK, "name": 1}]},
        {"checks": [{**CHECK, "expression": None}]},
        {"checks": [{**CHECK, "from": []}]},
        {"checks": [{**CHECK, "from": [1]}]},
        {"checks": [{**CHECK, "gives": "text"}]},
        {"checks": [{**CHECK, "gives": []}]},
        {"checks": [CHECK, CHECK]},
        {"checks": [{**CHECK, "name": "name"}]},
        {"thresholds": []},
        {"thresholds": {"limit": None}},
        {"encrypt_to": "a key"},
    ],
)
def test_a_question_of_another_form_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(MalformedInput):
        parse_question(_asked(**changes))


def test_the_agreed_key_is_encrypted_to() -> None:
    check_encryption(parse_question(_asked(encrypt_to=KEY.public_jwk())), agreed=AGREED)
    check_encryption(parse_question(_asked()), agreed={})


@pytest.mark.parametrize(
    ("changes", "agreed"),
    [
        ({}, AGREED),
        ({"agreement": "DSA-006"}, AGREED),
        ({"encrypt_to": DecryptionKey.generate().public_jwk()}, AGREED),
        ({"encrypt_to": {**DecryptionKey.generate().public_jwk(), "kid": KEY.thumbprint}}, AGREED),
        ({"encrypt_to": {**KEY.public_jwk(), "use": "sig"}}, AGREED),
        ({"encrypt_to": {"kid": KEY.thumbprint}}, AGREED),
        ({"encrypt_to": KEY.public_jwk(), "agreement": "DSA-006"}, AGREED),
        ({"encrypt_to": KEY.public_jwk()}, {SERVICE: {}}),
        ({"encrypt_to": KEY.public_jwk()}, {SERVICE: {"DSA-006": [KEY.thumbprint]}}),
        ({"encrypt_to": KEY.public_jwk()}, {}),
    ],
)
def test_whatever_else_a_gateway_asks_nothing_is_answered(changes: dict[str, Any], agreed: Any) -> None:
    with pytest.raises(EncryptionRefused):
        check_encryption(parse_question(_asked(**changes)), agreed=agreed)


AGREED_CHECK = AgreedCheck(from_=("points",), expression="points > thresholds.limit", thresholds={"limit": 8})


def test_an_agreed_check_is_computed_with_the_departments_own_thresholds() -> None:
    question = parse_question(_asked(checks=[CHECK], thresholds={"limit": 8, "unused": 1}))
    agreed = check_agreed(question, checks={SERVICE: {AGREEMENT: {"qualifies": AGREED_CHECK}}}, keys=AGREED)
    assert agreed.thresholds == {"limit": 8}
    assert agreed.checks == question.checks


ORACLE = "points > 3 ? true : 1 / (points - points) > 0"


@pytest.mark.parametrize(
    ("check", "thresholds", "agreement", "kept"),
    [
        ({"expression": ORACLE}, {"limit": 8}, AGREEMENT, {"qualifies": AGREED_CHECK}),
        ({"from": ["points", "diagnosis"]}, {"limit": 8}, AGREEMENT, {"qualifies": AGREED_CHECK}),
        ({"gives": ["high"]}, {"limit": 8}, AGREEMENT, {"qualifies": AGREED_CHECK}),
        ({"name": "other"}, {"limit": 8}, AGREEMENT, {"qualifies": AGREED_CHECK}),
        ({}, {"limit": 3}, AGREEMENT, {"qualifies": AGREED_CHECK}),
        ({}, {}, AGREEMENT, {"qualifies": AGREED_CHECK}),
        ({}, {"limit": 8}, "DSA-006", {"qualifies": AGREED_CHECK}),
        ({}, {"limit": 8}, AGREEMENT, {}),
    ],
)
def test_a_gateway_that_asks_encrypted_values_with_expressions_of_its_own_learns_nothing(
    check: dict[str, Any], thresholds: dict[str, Any], agreement: str, kept: Any
) -> None:
    question = parse_question(_asked(agreement=agreement, checks=[{**CHECK, **check}], thresholds=thresholds))
    with pytest.raises(CheckRefused):
        check_agreed(question, checks={SERVICE: {AGREEMENT: kept}}, keys=AGREED)
    # Keys or checks: either list makes a service one that computes nothing else.
    with pytest.raises(CheckRefused):
        check_agreed(question, checks={SERVICE: {AGREEMENT: kept}}, keys={})
    with pytest.raises(CheckRefused):
        check_agreed(question, checks={}, keys=AGREED)
    assert check_agreed(question, checks={}, keys={}) is question


def test_a_sealed_record_is_the_same_record_to_its_recipient() -> None:
    signer = PrivateKeySigner.generate("ES256")
    claims = {"iss": "dwp", "aud": "c", "iat": int(MIDDAY.timestamp()), "exp": int(MIDDAY.timestamp()) + 60}
    fields = {"name": "A Sample", "qualifies": True}
    parts = sealed(issue_sd_jwt(claims, fields, signer=signer, typ="t+sd-jwt"), to=KEY.public_jwk())

    def verified(record: str) -> Any:
        keys, algorithms = [signer.public_jwk()], ["ES256"]
        return verify_sd_jwt(
            record, keys=keys, typ="t+sd-jwt", algorithms=algorithms, issuer="dwp", audience="c", now=MIDDAY
        )

    bare = verified(parts["record"])
    assert bare.fields == {}
    opened = open_disclosures(read_sealed(parts["encrypted"]), digests=bare.digests, keys=[KEY])
    assert verified(with_disclosures(parts["record"], opened)).fields == fields
