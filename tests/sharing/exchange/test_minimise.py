"""Only what was permitted is kept, and only when it is what the service says it is."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gateway.sharing.catalogue.service_files import load_service
from gateway.sharing.exchange.checks import plan_for
from gateway.sharing.exchange.minimise import MinimisedRecord, minimise
from gateway.sharing.exchange.provider_call import ProviderFailed
from gateway.wire.keys import SIGNING_ALGORITHMS
from gateway.wire.sd_jwt import VerifiedRecord, issue_sd_jwt, verify_sd_jwt
from gateway.wire.signer import PrivateKeySigner

SIGNER = PrivateKeySigner.generate("ES256")
SERVICE = load_service(Path(__file__).resolve().parents[3] / "policies" / "services" / "dwp-free-school-meals-v1.yaml")
NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def verified(sd_jwt: str) -> VerifiedRecord:
    return verify_sd_jwt(
        sd_jwt,
        keys=[SIGNER.public_jwk()],
        typ="a-record",
        algorithms=SIGNING_ALGORITHMS,
        issuer="dwp",
        audience="E06000008",
        now=NOW,
    )


def record(**fields: Any) -> VerifiedRecord:
    seconds = int(NOW.timestamp())
    claims = {"iss": "dwp", "aud": "E06000008", "sub": "handle", "jti": "exchange", "iat": seconds, "exp": seconds + 60}
    return verified(issue_sd_jwt(claims, fields, signer=SIGNER, typ="a-record"))


def test_what_is_not_permitted_is_dropped_and_named_and_the_signature_still_holds() -> None:
    sent = record(eligible=True, tier="targeted", award_amount=54_210)
    kept = minimise(sent, plan=plan_for(("tier",), ()), service=SERVICE)
    assert isinstance(kept, MinimisedRecord)
    assert verified(kept.sd_jwt).fields == {"tier": "targeted"}
    assert kept.disclosed == ("tier",)
    assert kept.withheld == ("award_amount", "eligible")


@pytest.mark.parametrize("name", ["Diagnosis", "a b", "tier\u202e", "x" * 65, "<script>", ""])
def test_a_name_that_could_mislead_is_not_repeated(name: str) -> None:
    kept = minimise(record(**{"tier": "targeted", name: 1}), plan=plan_for(("tier",), ()), service=SERVICE)
    assert isinstance(kept, MinimisedRecord)
    assert kept.withheld == ("(unnamed)",)


def test_a_field_that_is_missing_is_a_failure_that_does_not_tell_which() -> None:
    kept = minimise(record(eligible=True), plan=plan_for(("eligible", "tier"), ()), service=SERVICE)
    assert isinstance(kept, ProviderFailed)
    assert kept.code == "provider_answer_invalid"
    assert "tier" not in kept.detail


@pytest.mark.parametrize(
    "fields", [{"eligible": "yes"}, {"tier": "platinum"}, {"award_amount": -1}, {"eligible": None}, {"undeclared": 1}]
)
def test_a_value_that_the_service_does_not_have_is_a_failure_that_does_not_repeat_it(fields: dict[str, Any]) -> None:
    kept = minimise(record(**fields), plan=plan_for(tuple(fields), ()), service=SERVICE)
    assert isinstance(kept, ProviderFailed)
    for value in fields.values():
        assert repr(value) not in kept.detail


def test_what_was_dropped_is_not_judged() -> None:
    """A department's own fields are its business as long as they go nowhere."""
    sent = record(eligible=True, award_amount="none of yours")
    kept = minimise(sent, plan=plan_for(("eligible",), ()), service=SERVICE)
    assert isinstance(kept, MinimisedRecord)
