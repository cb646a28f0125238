"""What an agreement may say of checks and of encryption: nothing that cannot be computed, or tells more than agreed."""

from dataclasses import replace
from typing import Any

import pytest

from gateway.policy.registers import load_registers
from gateway.sharing.agreements.checks import Surroundings, check_terms
from gateway.sharing.agreements.errors import AgreementInvalid
from gateway.sharing.agreements.terms import Terms
from gateway.sharing.catalogue.service_files import load_services
from tests.kit.agreements import shipped_document
from tests.kit.policies import POLICIES

THUMBPRINT = "q" * 43
CHECK = {
    "name": "above_limit",
    "from": ["award_amount"],
    "computed_by": "gateway",
    "expression": "award_amount > thresholds.limit",
    "gives": "boolean",
    "description": "Whether the award is above the limit.",
}


def _surroundings() -> Surroundings:
    service = next(one for one in load_services(POLICIES) if one.id == "dwp/free-school-meals/v1")
    properties = {**service.schema["properties"], "letter": {"x-attachment": ["application/pdf"], "description": "."}}
    service = replace(
        service,
        schema={**service.schema, "properties": properties},
        thresholds={"limit": 61667, "band": "A"},
        max_attachment_bytes=1000,
    )
    return Surroundings(registers=load_registers(POLICIES), services={service.id: service})


SURROUNDINGS = _surroundings()


def _terms(*checks: dict[str, Any], **changes: Any) -> Terms:
    return shipped_document(exclusions=[], checks=list(checks), **changes).terms


def test_a_check_and_a_tier_can_be_agreed_and_be_asked_for() -> None:
    tier = {
        **CHECK,
        "name": "band",
        "computed_by": "provider",
        "expression": "award_amount > 2 * thresholds.limit ? 'high' : 'low'",
        "gives": ["high", "low"],
    }
    terms = _terms(CHECK, tier)
    check_terms(terms, SURROUNDINGS)
    assert terms.askable == ("eligible", "tier", "above_limit", "band")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"name": "eligible"}, "name of a field"),
        ({"name": "iss"}, "cannot be the name"),
        ({"name": "_sd"}, "Not a code|cannot be the name"),
        ({"name": "Above"}, "cannot be the name"),
        ({"name": "above/limit"}, "cannot be the name"),
        ({"name": "a" * 65}, "cannot be the name"),
        ({"from": ["salary"], "expression": "salary > 1"}, "salary"),
        ({"from": ["letter"], "expression": "letter.size > 1"}, "attachment"),
        ({"from": ["award_amount", "eligible"]}, "does not use eligible"),
        ({"from": ["eligible"]}, "award_amount"),
        ({"expression": "award_amount > thresholds.ceiling"}, "thresholds.ceiling"),
        ({"expression": "award_amount > thresholds.band"}, "overload"),
        ({"expression": "award_amount >"}, "above_limit"),
        ({"expression": "string(award_amount)"}, "boolean"),
        ({"expression": "award_amount"}, "boolean"),
        ({"gives": ["yes", "no"]}, "text"),
        ({"from": ["tier"], "expression": "tier", "gives": ["targeted", "expanded"]}, "text"),
        ({"expression": "award_amount > thresholds.limit && now() > 1"}, "now"),
    ],
)
def test_a_check_that_cannot_be_computed_or_tells_more_is_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(AgreementInvalid, match=says):
        check_terms(_terms({**CHECK, **changes}), SURROUNDINGS)


def test_two_checks_of_one_name_are_refused() -> None:
    with pytest.raises(AgreementInvalid, match="another check"):
        check_terms(_terms(CHECK, CHECK), SURROUNDINGS)


def test_what_is_excluded_is_no_check_either() -> None:
    with pytest.raises(AgreementInvalid, match="among the exclusions"):
        check_terms(
            shipped_document(checks=[CHECK], exclusions=[{"item": "above_limit", "reason": "Sample."}]).terms,
            SURROUNDINGS,
        )


@pytest.mark.parametrize("gives", ["text", [], ["one"], ["one", "one"], ["one", ""], [1, 2], None, True])
def test_what_a_check_gives_is_a_boolean_or_one_of_several_texts(gives: object) -> None:
    with pytest.raises(AgreementInvalid, match="gives"):
        _terms({**CHECK, "gives": gives})


def test_encryption_from_end_to_end_leaves_the_gateway_nothing_to_compute_or_to_spool() -> None:
    sealed: Any = {"end_to_end": {"keys": [THUMBPRINT]}}
    check_terms(_terms({**CHECK, "computed_by": "provider"}, **sealed), SURROUNDINGS)
    with pytest.raises(AgreementInvalid, match="cannot read"):
        check_terms(_terms(CHECK, **sealed), SURROUNDINGS)
    with pytest.raises(AgreementInvalid, match="attachment"):
        check_terms(_terms({**CHECK, "computed_by": "provider"}, fields=["letter"], **sealed), SURROUNDINGS)


@pytest.mark.parametrize("keys", [[], ["short"], [THUMBPRINT, THUMBPRINT], "x"])
def test_keys_to_encrypt_to_are_thumbprints(keys: object) -> None:
    with pytest.raises(AgreementInvalid):
        shipped_document(end_to_end={"keys": keys})


def test_what_was_signed_before_there_were_checks_means_what_it_meant() -> None:
    document = shipped_document()
    assert b"checks" not in document.canonical
    assert b"end_to_end" not in document.canonical
    assert document.terms.checks == ()
    assert document.terms.end_to_end is None
