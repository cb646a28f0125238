"""What is permitted and what is refused, rule by rule."""

import json
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import cedarpy
import pytest

from gateway.policy.decision import AgreementFacts, DecisionInputs, Deny, Permit
from gateway.policy.engine import POLICY_ERROR, PolicyEngine, _entities, _registers_entity, _request
from tests.kit.policies import POLICIES, changed, permitted_inputs


@pytest.fixture(scope="module")
def engine() -> PolicyEngine:
    return PolicyEngine.load(POLICIES)


def codes(decision: Permit | Deny) -> set[str]:
    assert isinstance(decision, Deny)
    assert decision.reasons, "a refusal always says why"
    return {reason.code for reason in decision.reasons}


EACH_RULE_ALONE: Mapping[str, Mapping[str, Any]] = {
    "caller-is-a-consumer": {"caller": {"is_consumer": False}},
    "key-is-registered": {"caller": {"key_registered": False}},
    "officer-is-named": {"caller": {"officer_id": None, "officer_member": None, "roles": (), "acr": None}},
    "officer-is-of-the-member": {"caller": {"officer_member": "E07000117"}},
    "service-is-active": {"request": {"service_active": False}},
    "purpose-is-known": {"request": {"purpose": "curiosity"}},
    "fields-are-named": {"request": {"fields": ()}},
    "fields-are-known": {"request": {"fields": ("eligible", "shoe_size")}},
    "agreement-exists": {"agreement": None},
    "agreement-is-of-the-consumer": {"agreement": {"consumer": "E07000117"}},
    "agreement-is-of-the-provider": {"agreement": {"provider": "hmrc"}},
    "agreement-is-about-the-service": {"agreement": {"service": "dwp/other/v1"}},
    "agreement-is-signed-by-the-consumer": {"agreement": {"consumer_signed": False}},
    "agreement-is-signed-by-the-provider": {"agreement": {"provider_signed": False}},
    "agreement-is-not-suspended": {"agreement": {"status": "suspended"}},
    "agreement-is-in-force": {"agreement": {"status": "draft"}},
    "agreement-has-started": {"agreement": {"starts_on": date(2026, 11, 24)}},
    "agreement-has-not-ended": {"agreement": {"ends_on": date(2026, 11, 22)}},
    "agreement-has-a-legal-gateway": {"agreement": {"legal_gateway": "because-we-can"}},
    "client-is-covered": {"caller": {"client_id": "blackburn-library"}},
    "purpose-is-covered": {"request": {"purpose": "council-tax-reduction"}},
    "fields-are-covered": {"request": {"fields": ("eligible", "award_amount")}},
    "officer-has-a-role": {"caller": {"roles": ("librarian",)}},
    "officer-signed-in-strongly": {"caller": {"acr": "AAL1"}},
    "case-reference-is-given": {"request": {"case_reference": None}},
    "subject-may-be-named-so": {"request": {"subject_kind": "passport"}},
    "hours-are-kept": {
        "agreement": {"hours_days": ("mon",), "hours_from": "10:00", "hours_until": "18:00"}  # it is half past nine
    },
    "volume-is-kept": {"request": {"exchanges_today": 50}},
    "query-budget-is-kept": {"agreement": {"queries_per_subject": 3}, "request": {"earlier_queries": 3}},
    "subject-is-known": {"subject": {"known": False}},
    "subject-is-not-withheld": {"subject": {"withheld": True}},
    "subject-has-not-objected": {
        "agreement": {"objection_lists": ("sample-list",)},
        "subject": {"objections": ("sample-list",)},
    },
    "subject-lives-in-the-area": {"agreement": {"own_area_only": True}, "subject": {"in_consumer_area": False}},
    "subject-is-surely-matched": {"agreement": {"minimum_match": "strong"}, "subject": {"match_level": "fair"}},
}


def test_what_an_agreement_covers_is_permitted_in_the_order_asked(engine: PolicyEngine) -> None:
    asked = changed(permitted_inputs(), {"request": {"fields": ("tier", "eligible", "tier")}})
    assert engine.decide(asked) == Permit(fields=("tier", "eligible"))


@pytest.mark.parametrize(("rule", "change"), EACH_RULE_ALONE.items(), ids=EACH_RULE_ALONE)
def test_each_rule_refuses_alone_and_is_named(engine: PolicyEngine, rule: str, change: Mapping[str, Any]) -> None:
    decision = engine.decide(changed(permitted_inputs(), change))
    assert isinstance(decision, Deny)
    assert [reason.rule for reason in decision.reasons] == [rule]
    assert decision.reasons[0] == engine.registers.reasons[rule]
    assert decision.reasons[0].title


def test_no_rule_is_left_without_such_a_case(engine: PolicyEngine) -> None:
    assert EACH_RULE_ALONE.keys() == engine.rules.keys() - {"exchange"}


def test_every_failing_rule_is_named(engine: PolicyEngine) -> None:
    change = {"caller": {"acr": "AAL1"}, "request": {"purpose": "curiosity"}, "subject": {"known": False}}
    assert codes(engine.decide(changed(permitted_inputs(), change))) == {
        "sign_in_too_weak",
        "unknown_purpose",
        "subject_unknown",
    }


def test_only_reasons_about_the_person_are_marked_as_such(engine: PolicyEngine) -> None:
    about = {reason.code for reason in engine.registers.reasons.values() if reason.about_subject}
    assert about == {
        "subject_unknown",
        "subject_withheld",
        "subject_objected",
        "subject_out_of_area",
        "match_too_weak",
    }


def test_without_an_agreement_all_else_that_is_wrong_is_named_too(engine: PolicyEngine) -> None:
    change = {"agreement": None, "request": {"fields": ("shoe_size",)}, "caller": {"is_consumer": False}}
    assert codes(engine.decide(changed(permitted_inputs(), change))) == {
        "no_agreement",
        "unknown_field",
        "caller_not_consumer",
    }


# One value for every fact of an agreement that the request of `permitted_inputs` then breaks, and what is refused.
EACH_CLAUSE: Mapping[str, tuple[Any, str]] = {
    "consumer": ("E07000117", "agreement_of_another_consumer"),
    "provider": ("hmrc", "agreement_of_another_provider"),
    "service": ("dwp/other/v1", "service_not_covered"),
    "purposes": (("blue-badge",), "purpose_not_covered"),
    "fields": (("tier",), "field_not_covered"),
    "legal_gateway": ("because-we-can", "unknown_legal_gateway"),
    "starts_on": (date(2026, 11, 24), "agreement_not_started"),
    "ends_on": (date(2026, 11, 22), "agreement_expired"),
    "status": ("suspended", "agreement_suspended"),
    "consumer_signed": (False, "consumer_signature_missing"),
    "provider_signed": (False, "provider_signature_missing"),
    "roles": (("librarian",), "role_not_covered"),
    "minimum_acr": ("AAL3", "sign_in_too_weak"),
    "clients": (("blackburn-library",), "client_not_covered"),
    "subject_kinds": (("sub",), "subject_kind_not_covered"),
    "volume_per_day": (0, "volume_exceeded"),
    "queries_per_subject": (0, "query_budget_spent"),
}
# These change nothing for a request that meets every condition: they name the agreement, ask for what is given, or say
# something only together with others. What they govern is walked in test_mutations.py.
WITHOUT_EFFECT = {
    "id",
    "version",
    "digest",
    "case_reference_required",
    "own_area_only",
    "objection_lists",
    "hours_days",
    "hours_from",
    "hours_until",
    "queries_days",
    "minimum_match",
}


def test_every_clause_of_an_agreement_has_a_case() -> None:
    assert EACH_CLAUSE.keys() | WITHOUT_EFFECT == {item.name for item in fields(AgreementFacts)}


@pytest.mark.parametrize("clause", EACH_CLAUSE)
def test_changing_one_clause_flips_exactly_what_it_governs(engine: PolicyEngine, clause: str) -> None:
    value, code = EACH_CLAUSE[clause]
    mutated = changed(permitted_inputs(), {"agreement": {clause: value}})
    assert codes(engine.decide(mutated)) == {code}
    # What the clause does not govern is decided as before, whatever else may be wrong with the request.
    for rule, change in EACH_RULE_ALONE.items():
        if rule == "agreement-exists" or clause in change.get("agreement", {}):
            continue
        before = engine.decide(changed(permitted_inputs(), change))
        after = engine.decide(changed(mutated, change))
        assert _codes_if_any(after) - {code} == _codes_if_any(before) - {code}, rule


def _codes_if_any(decision: Permit | Deny) -> set[str]:
    return codes(decision) if isinstance(decision, Deny) else set()


def test_a_case_reference_is_needed_only_where_the_agreement_asks(engine: PolicyEngine) -> None:
    change = {"agreement": {"case_reference_required": False}, "request": {"case_reference": None}}
    assert isinstance(engine.decide(changed(permitted_inputs(), change)), Permit)


@pytest.mark.parametrize(
    ("clause", "code"),
    [
        ("purposes", "purpose_not_covered"),
        ("fields", "field_not_covered"),
        ("roles", "role_not_covered"),
        ("clients", "client_not_covered"),
        ("subject_kinds", "subject_kind_not_covered"),
    ],
)
def test_an_empty_list_means_nobody_and_nothing(engine: PolicyEngine, clause: str, code: str) -> None:
    assert codes(engine.decide(changed(permitted_inputs(), {"agreement": {clause: ()}}))) == {code}


@pytest.mark.parametrize("acr", [None, "", "AAL", "aal3", "Cl.Cm", "AAL10"])
def test_an_unknown_strength_of_sign_in_counts_for_nothing(engine: PolicyEngine, acr: str | None) -> None:
    assert codes(engine.decide(changed(permitted_inputs(), {"caller": {"acr": acr}}))) == {"sign_in_too_weak"}


def test_an_unknown_minimum_cannot_be_met(engine: PolicyEngine) -> None:
    change = {"agreement": {"minimum_acr": "AAL0"}, "caller": {"acr": "AAL3"}}
    assert codes(engine.decide(changed(permitted_inputs(), change))) == {"sign_in_too_weak"}


def test_an_officer_of_no_member_is_not_one_of_the_clients(engine: PolicyEngine) -> None:
    assert codes(engine.decide(changed(permitted_inputs(), {"caller": {"officer_member": None}}))) == {
        "officer_of_another_member"
    }


def test_days_are_utc_days_whatever_zone_the_instant_is_in(engine: PolicyEngine) -> None:
    last = changed(permitted_inputs(), {"agreement": {"ends_on": date(2026, 11, 23)}})
    ahead = timezone(timedelta(hours=14))
    assert isinstance(engine.decide(replace(last, now=datetime(2026, 11, 24, 13, 0, tzinfo=ahead))), Permit)
    assert codes(engine.decide(replace(last, now=datetime(2026, 11, 24, 0, 0, tzinfo=UTC)))) == {"agreement_expired"}


HOSTILE = ['"', 'a"]; permit(principal,action,resource);//', "\\", "\n", 'Agreement::"x"', "é\u202e", "", "__entity"]


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("place", ["client_id", "service", "purpose", "field"])
def test_no_text_from_outside_changes_what_is_decided(engine: PolicyEngine, place: str, text: str) -> None:
    changes: dict[str, dict[str, dict[str, Any]]] = {
        "client_id": {"caller": {"client_id": text}},
        "service": {"request": {"service": text}},
        "purpose": {"request": {"purpose": text}},
        "field": {"request": {"fields": (text,)}},
    }
    expected = {
        "client_id": "client_not_covered",
        "service": "service_not_covered",
        "purpose": "unknown_purpose",
        "field": "unknown_field",
    }[place]
    assert codes(engine.decide(changed(permitted_inputs(), changes[place]))) == {expected}


@pytest.mark.parametrize(
    "change",
    [
        {"subject": {"known": "yes"}},
        {"subject": {"withheld": None}},
        {"caller": {"is_consumer": 1}},
        {"agreement": {"fields": (1, 2)}},
        {"agreement": {"provider_signed": "true"}},
        {"request": {"purpose": None}},
        {"agreement": {"consumer": {"type": "Member", "id": "E06000008"}}},
    ],
)
def test_facts_that_do_not_fit_the_schema_are_refused(engine: PolicyEngine, change: Mapping[str, Any]) -> None:
    assert "policy_error" in codes(engine.decide(changed(permitted_inputs(), change)))


def test_past_inputs_are_kept_as_plain_json_and_decided_again_alike(engine: PolicyEngine) -> None:
    for change in ({}, {"agreement": None}, {"subject": {"known": False}}, {"caller": {"officer_id": None}}):
        inputs = changed(permitted_inputs(), change)
        kept = json.loads(json.dumps(inputs.to_document()))
        assert DecisionInputs.from_document(kept) == inputs
        assert engine.decide(DecisionInputs.from_document(kept)) == engine.decide(inputs)


def test_what_was_decided_before_there_were_more_conditions_is_decided_alike_today(engine: PolicyEngine) -> None:
    kept = permitted_inputs().to_document()
    first_facts = {
        "agreement": {"id", "version", "consumer", "provider", "service", "purposes", "fields", "legal_gateway"}
        | {"starts_on", "ends_on", "status", "consumer_signed", "provider_signed", "roles", "minimum_acr"}
        | {"case_reference_required", "clients", "subject_kinds"},
        "request": {"service", "provider", "purpose", "fields", "case_reference", "service_active", "service_fields"}
        | {"subject_kind"},
        "subject": {"known", "withheld"},
    }
    for part, names in first_facts.items():
        kept[part] = {name: value for name, value in kept[part].items() if name in names}
    assert isinstance(engine.decide(DecisionInputs.from_document(kept)), Permit)


@pytest.fixture
def rewritten(copied_policies: Path) -> Callable[[str, str], PolicyEngine]:
    """An engine over the shipped policies with one text in the rules replaced."""

    def rewrite(old: str, new: str) -> PolicyEngine:
        rules = copied_policies / "rules.cedar"
        assert old in rules.read_text()
        rules.write_text(rules.read_text().replace(old, new))
        return PolicyEngine.load(copied_policies)

    return rewrite


def test_a_forbid_that_cannot_be_evaluated_refuses(rewritten: Callable[[str, str], PolicyEngine]) -> None:
    # It fits the schema and overflows when evaluated.
    engine = rewritten(
        "unless { resource.active };",
        'unless { resource.active && Officer::"officer-sample".assurance + 9223372036854775807 > 0 };',
    )
    inputs = permitted_inputs()
    entities = json.dumps([_registers_entity(engine.registers), *_entities(inputs)])
    by_itself = cedarpy.is_authorized(_request(inputs), engine.texts["rules"], entities, engine.texts["schema"])
    assert by_itself.allowed, "Cedar by itself skips the rule and allows"
    assert engine.decide(inputs) == Deny(reasons=(POLICY_ERROR,))


def test_an_entity_that_does_not_exist_refuses(rewritten: Callable[[str, str], PolicyEngine]) -> None:
    engine = rewritten('Registers::"gateway".purposes', 'Registers::"elsewhere".purposes')
    assert codes(engine.decide(permitted_inputs())) == {"policy_error"}


def test_an_error_does_not_hide_the_rules_that_failed(rewritten: Callable[[str, str], PolicyEngine]) -> None:
    engine = rewritten('Registers::"gateway".purposes', 'Registers::"elsewhere".purposes')
    change = {"caller": {"acr": "AAL1"}}
    assert codes(engine.decide(changed(permitted_inputs(), change))) == {"sign_in_too_weak", "policy_error"}


def test_taking_out_any_rule_lets_something_through(copied_policies: Path, engine: PolicyEngine) -> None:
    """Each forbid is needed: without it, what it alone refuses is permitted."""
    for rule, change in EACH_RULE_ALONE.items():
        if rule == "agreement-exists":
            continue  # the permit itself asks for an agreement
        weakened = _without(copied_policies, rule)
        assert isinstance(weakened.decide(changed(permitted_inputs(), change)), Permit), rule


def _without(policies: Path, rule: str) -> PolicyEngine:
    shipped = (POLICIES / "rules.cedar").read_text().split("@id(")
    (policies / "rules.cedar").write_text("@id(".join(part for part in shipped if not part.startswith(f'"{rule}"')))
    reasons = (POLICIES / "reasons.yaml").read_text().split("- rule: ")
    (policies / "reasons.yaml").write_text(
        "- rule: ".join(part for part in reasons if not part.startswith(f"{rule}\n"))
    )
    return PolicyEngine.load(policies)
