"""A decision in plain words: every rule, what it looked at, and the clause it goes by."""

import json
import re
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from gateway.policy.decision import AgreementFacts, DecisionInputs
from gateway.policy.engine import PolicyEngine
from gateway.policy.errors import PolicyInvalid
from gateway.policy.explaining import CLAUSES, LOOKED, Explanation, explain, lines_of
from gateway.policy.tables import imagined
from gateway.sharing.agreements.policy_bases import load_policy_bases
from tests.kit.policies import POLICIES
from tests.policy.test_commands import replace_in, run

ENGINE = PolicyEngine.load(POLICIES)
PERMITTED = imagined(POLICIES, load_policy_bases(POLICIES), agreement="DSA-003.1", change={}).to_document()


def inputs(**change: Any) -> DecisionInputs:
    """The facts of a permitted request; each change replaces some of a group, or a whole group by None."""
    changed = {name: None if value is None else PERMITTED[name] | value for name, value in change.items()}
    return DecisionInputs.from_document(PERMITTED | changed)


def states(explanation: Explanation) -> Mapping[str, str]:
    return {rule.rule: rule.state for rule in explanation.rules}


def test_every_rule_and_every_clause_has_its_words() -> None:
    assert set(LOOKED) == set(ENGINE.registers.reasons)
    of_an_agreement = {item.name for item in fields(AgreementFacts)} - {"id", "version", "digest"}
    assert set(CLAUSES) == of_an_agreement
    assert {clause for looked in LOOKED.values() for clause in looked.clauses} == of_an_agreement
    everything = explain(ENGINE, inputs(), about_person=True)
    assert set(states(everything).values()) == {"holds"}
    assert all(rule.facts or rule.clauses for rule in everything.rules)


def test_what_failed_is_told_with_fact_and_clause() -> None:
    explained = explain(ENGINE, inputs(caller={"roles": ["librarian"]}), naming=True)
    assert str(explained.decided) == "deny role_not_covered"
    assert [rule for rule, state in states(explained).items() if state == "fails"] == ["officer-has-a-role"]
    failed = next(rule for rule in explained.rules if rule.state == "fails")
    assert failed.facts == {"caller's roles": "[librarian]"}
    assert failed.clauses == {"conditions.roles": "[benefits-officer]"}
    said = "\n".join(lines_of(explained))
    assert said.index("officer-has-a-role") < said.index("holds")
    assert "On 23 November 2026 at 09:30:00 UTC, blackburn-portal of E06000008" in said


def test_without_an_agreement_or_an_officer_rules_about_them_are_not_asked() -> None:
    nobody: dict[str, object] = {"officer_id": None, "officer_member": None, "roles": [], "acr": None}
    explained = states(explain(ENGINE, inputs(agreement=None, caller=nobody)))
    assert explained["agreement-exists"] == explained["officer-is-named"] == "fails"
    assert {rule for rule, state in explained.items() if state == "not asked"} >= {
        "officer-has-a-role",
        "officer-is-of-the-member",
        "agreement-has-not-ended",
    }
    assert "agreement-has-not-ended" in explained


def test_rules_about_the_person_are_shown_to_nobody_unasked() -> None:
    person = {reason.rule for reason in ENGINE.registers.reasons.values() if reason.about_subject}
    withheld = inputs(subject={"known": True, "withheld": True})
    told = explain(ENGINE, withheld)
    assert not person & set(states(told))
    assert str(told.decided) == "deny no_record"
    assert "withheld" not in "\n".join(lines_of(told))
    assert states(explain(ENGINE, withheld, about_person=True))["subject-is-not-withheld"] == "fails"


def test_neither_officer_nor_case_is_named_unasked() -> None:
    asked = inputs(
        caller={"officer_id": "0190c0de-officer", "roles": ["librarian"]}, request={"case_reference": "CASE-17"}
    )
    plain = explain(ENGINE, asked)
    shown = "\n".join(lines_of(plain)) + json.dumps(plain.to_document())
    assert not re.search("0190c0de-officer|librarian|CASE-17", shown)
    assert "in no role the agreement names" in plain.asked
    assert "in a role the agreement names" in explain(ENGINE, inputs()).asked
    facts = {name: value for rule in plain.rules for name, value in rule.facts.items()}
    assert (facts["caller's officer id"], facts["request's case reference"]) == ("an officer", "given")
    named = json.dumps(explain(ENGINE, asked, naming=True).to_document())
    assert all(one in named for one in ("0190c0de-officer", "librarian", "CASE-17"))


def test_a_rule_that_is_only_proposed_is_shown_as_it_stands(copied_policies: Path) -> None:
    rule = '@id("never-on-mondays")\nforbid (principal, action, resource) when { context.weekday == "mon" };\n'
    with (copied_policies / "rules.cedar").open("a") as file:
        file.write(rule)
    with (copied_policies / "reasons.yaml").open("a") as file:
        file.write("- {rule: never-on-mondays, code: monday, title: Not on Mondays, about_subject: false}\n")
    explained = explain(PolicyEngine.load(copied_policies), inputs())
    proposed = next(rule for rule in explained.rules if rule.rule == "never-on-mondays")
    assert proposed.state == "fails"
    assert proposed.text is not None
    assert "context.weekday" in proposed.text


def test_the_policies_of_then_are_read_back_from_their_texts(copied_policies: Path) -> None:
    kept = json.loads(json.dumps(ENGINE.texts))
    assert PolicyEngine.from_texts(kept).digest == ENGINE.digest
    replace_in(copied_policies, "rules.cedar", "when { context.subject_withheld };", "when { false };")
    changed = PolicyEngine.load(copied_policies)
    assert changed.digest != ENGINE.digest
    withheld = replace(inputs(), subject=replace(inputs().subject, withheld=True))
    assert changed.decide(withheld) != PolicyEngine.from_texts(kept).decide(withheld)
    for spoilt in ({}, {**kept, "reasons": [["one"]]}, {**kept, "rules": "permit"}):
        with pytest.raises(PolicyInvalid):
            PolicyEngine.from_texts(spoilt)


def test_a_request_is_imagined_by_options_or_by_a_file(tmp_path: Path) -> None:
    by_options = run(POLICIES, "explain", "--agreement", "DSA-003.1", "--role", "librarian", "--case-reference", "")
    assert "Decided: deny case_reference_required, role_not_covered" in by_options.output
    file = tmp_path / "imagined.yaml"
    file.write_text("agreement: DSA-003.1\nchange: {request: {purpose: curiosity}}\n")
    by_file = run(POLICIES, "explain", "--request", str(file), "--json")
    assert json.loads(by_file.stdout)["decided"] == "deny unknown_purpose"
    file.write_text(json.dumps(inputs(request={"fields": []}).to_document()))
    assert "Decided: deny no_fields" in run(POLICIES, "explain", "--request", str(file)).output


def test_an_imagined_agreement_is_said_to_be_imagined_in_force() -> None:
    """DSA-019.1 has ended: its decision table is of a day on which it held."""
    imagined_then = run(POLICIES, "explain", "--agreement", "DSA-019.1")
    assert "Decided: permit" in imagined_then.stdout
    assert "taken as signed by both members and in force" in imagined_then.stderr
    today = run(POLICIES, "explain", "--agreement", "DSA-019.1", "--at", "2026-11-23T09:30:00Z")
    assert "Decided: deny agreement_expired" in today.stdout


@pytest.mark.parametrize(
    ("code", "said"), [("policy_error", "never a permit"), ("no_record", "cannot tell them apart")]
)
def test_codes_that_no_rule_gives_are_explained_and_listed(code: str, said: str) -> None:
    explained = run(POLICIES, "explain", code)
    assert explained.exit_code == 0, explained.output
    assert said in explained.output
    assert code in [line.split()[0] for line in run(POLICIES, "explain").output.splitlines()]


@pytest.mark.parametrize(
    ("arguments", "content", "said"),
    [
        (("--agreement", "DSA-999.1"), "", "no decision table for an agreement DSA-999.1"),
        (("--role", "librarian"), "", "give --agreement"),
        (("agreement_expired", "--agreement", "DSA-003.1"), "", "explain one thing"),
        (("--agreement", "DSA-999.1"), "", "--request FILE"),
        (("--agreement", "DSA-003.1", "--at", "yesterday"), "", "Invalid value for '--at': 'yesterday'"),
        (("--request", "FILE"), "[1, 2]", "all facts, or agreement and change"),
        (("--request", "FILE"), "agreement: DSA-003.1\nchange: {caller: {rank: 9}}", "DSA-003.1: the imagined request"),
        (("--request", "FILE"), "{caller: {}, agreement: null, request: {}, subject: {}, now: x}", "cannot be read"),
    ],
)
def test_what_cannot_be_imagined_is_said(arguments: tuple[str, ...], content: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "imagined.yaml"
    file.write_text(content)
    result = run(POLICIES, "explain", *(str(file) if argument == "FILE" else argument for argument in arguments))
    assert result.exit_code != 0
    assert said in result.output
