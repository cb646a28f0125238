"""The decision tables as an operator runs them."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.policy.commands import policy_group
from gateway.policy.past import PolicyContext
from gateway.sharing.agreements.policy_bases import load_policy_bases, load_proposed_agreement
from tests.kit.policies import POLICIES

TABLE = "tests/free-school-meals.yaml"


def run(policies: Path, *arguments: str) -> Result:
    group = policy_group(
        lambda: policies, load_policy_bases, load_agreement=load_proposed_agreement, open_gateway=_nothing_past
    )
    return CliRunner().invoke(group, [*arguments], terminal_width=200)


def _nothing_past() -> PolicyContext:
    raise AssertionError("this needs no gateway")


def replace_in(policies: Path, file: str, old: str, new: str) -> None:
    text = (policies / file).read_text()
    assert old in text
    (policies / file).write_text(text.replace(old, new, 1))


def test_the_shipped_policies_hold() -> None:
    assert run(POLICIES, "validate").exit_code == 0
    tested = run(POLICIES, "test")
    assert tested.exit_code == 0, tested.output
    held = re.search(r"(\d+) of (\d+) cases hold", tested.output)
    assert held is not None
    assert held[1] == held[2] != "0"


def test_a_case_that_fails_is_shown_with_what_was_decided(copied_policies: Path) -> None:
    replace_in(copied_policies, "rules.cedar", "when { context.subject_withheld };", "when { !context.subject_known };")
    tested = run(copied_policies, "test")
    assert tested.exit_code == 1
    assert "withheld" in tested.output
    assert "permit" in tested.output
    assert not re.search(r"(\d+) of \1 cases hold", tested.output)


def test_a_rule_that_no_case_expects_is_named(copied_policies: Path) -> None:
    for other in (copied_policies / "tests").glob("*.yaml"):
        if other.name != Path(TABLE).name:
            other.unlink()
    replace_in(copied_policies, TABLE, "deny: [subject_withheld]", "deny: [subject_unknown]")
    replace_in(copied_policies, TABLE, "      - subject_withheld\n", "")
    tested = run(copied_policies, "test")
    assert tested.exit_code == 1
    assert "no case expects the rule subject-is-not-withheld" in tested.output


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        (TABLE, "acr: AAL1}", "acrr: AAL1}", "the change does not fit the facts"),
        (TABLE, "agreement: DSA-003.1", "agreement: DSA-999.1", "there is no agreement DSA-999.1"),
        (TABLE, "    permit: [eligible, tier]", "    permit: [eligible]\n    deny: []", "either permit or deny"),
        ("agreements/DSA-003.1.yaml", "fields: [eligible, tier]", "fields: [eligible, teir]", "no field teir"),
        ("agreements/DSA-003.1.yaml", "fields: [eligible, tier]", "fields: [award_amount]", "among the exclusions"),
        ("agreements/DSA-003.1.yaml", "[free-school-meals]", "[free-lunches]", "free-lunches is not in purposes.yaml"),
        ("agreements/DSA-003.1.yaml", "education-act-2005-s110", "magna-carta", "not in legal-gateways.yaml"),
        ("agreements/DSA-003.1.yaml", "member: dwp", "member: hmrc", "the service belongs to dwp"),
        ("agreements/DSA-003.1.yaml", "member: dwp", "member: E06000008", "the same member"),
        ("agreements/DSA-003.1.yaml", "ends: 2036-01-31", "ends: 2025-01-31", "ends before it starts"),
        ("agreements/DSA-003.1.yaml", "review: 2027-02-01", "review: 2037-02-01", "the review is not between"),
        ("agreements/DSA-003.1.yaml", "version: 1", "version: 2", "must be called DSA-003.2.yaml"),
        ("services/dwp-free-school-meals-v1.yaml", "active: true", "active: yes", "active: Must be true or false"),
        ("services/dwp-free-school-meals-v1.yaml", "additionalProperties: false", "minProperties: 1", "additionalProp"),
    ],
)
def test_files_that_contradict_each_other_are_named(
    copied_policies: Path, file: str, old: str, new: str, said: str
) -> None:
    replace_in(copied_policies, file, old, new)
    validated = run(copied_policies, "validate")
    assert validated.exit_code == 1
    assert said in validated.output


def test_a_rule_is_explained_by_its_code_or_its_name() -> None:
    for name in ("subject_withheld", "subject-is-not-withheld"):
        explained = run(POLICIES, "explain", name)
        assert explained.exit_code == 0
        assert "context.subject_withheld" in explained.output
        assert "no_record" in explained.output
    assert "there is no rule nonsense" in run(POLICIES, "explain", "nonsense").output
