"""Policies that are wrong in any way are not loaded, and the message says what is wrong."""

from pathlib import Path

import pytest

from gateway.policy.engine import PolicyEngine
from gateway.policy.errors import PolicyInvalid
from tests.kit.policies import POLICIES

ANOTHER_PERMIT = "\npermit (principal, action, resource);\n"
UNNAMED = "\nforbid (principal, action, resource) when { context.subject_withheld };\n"
UNEXPLAINED = '\n@id("on-sundays")\nforbid (principal, action, resource) when { context.subject_withheld };\n'
TWICE = '\n@id("subject-is-known")\nforbid (principal, action, resource) when { context.subject_withheld };\n'
TEMPLATE = '\n@id("t")\nforbid (principal == ?principal, action, resource);\n'
MISSPELT = '\n@id("subject-is-sane")\nforbid (principal, action, resource) unless { context.subject_sane };\n'
ORPHAN = "- rule: on-sundays\n  code: sunday\n  title: Not on Sundays\n  about_subject: false\n"
SAME_CODE = "- rule: on-sundays\n  code: no_agreement\n  title: Not on Sundays\n  about_subject: false\n"
NOT_A_FLAG = "- rule: on-sundays\n  code: sunday\n  title: Not on Sundays\n  about_subject: no\n"


@pytest.mark.parametrize(
    ("file", "added", "said"),
    [
        ("rules.cedar", ANOTHER_PERMIT, "exactly one permit"),
        ("rules.cedar", UNNAMED, "every forbid needs an @id"),
        ("rules.cedar", UNEXPLAINED, "no reason for the rule on-sundays"),
        ("rules.cedar", TWICE, "two forbids have the same @id"),
        ("rules.cedar", TEMPLATE, "templates"),
        ("rules.cedar", MISSPELT, "subject_sane"),
        ("rules.cedar", "\nforbid (", "Cedar cannot read"),
        ("gateway.cedarschema", "\nentity Member;", "Cedar cannot read"),
        ("reasons.yaml", ORPHAN, "there is no rule on-sundays"),
        ("reasons.yaml", SAME_CODE, "the same code"),
        ("reasons.yaml", NOT_A_FLAG, "about_subject must be bool"),
        ("purposes.yaml", "- code: blue-badge\n  title: Again\n", "blue-badge stands there twice"),
        ("purposes.yaml", "- code: x\n", "must have exactly code, title"),
        ("legal-gateways.yaml", "- code: x\n  title: X\n  source: ''\n", "source must be str"),
        ("legal-gateways.yaml", "- [", "legal-gateways.yaml, line"),
    ],
)
def test_policies_that_do_not_hold_together_are_not_loaded(
    copied_policies: Path, file: str, added: str, said: str
) -> None:
    with (copied_policies / file).open("a") as opened:
        opened.write(added)
    with pytest.raises(PolicyInvalid) as refused:
        PolicyEngine.load(copied_policies)
    assert said in refused.value.public


@pytest.mark.parametrize(
    "file", ["gateway.cedarschema", "rules.cedar", "reasons.yaml", "purposes.yaml", "legal-gateways.yaml"]
)
def test_a_missing_file_is_named(copied_policies: Path, file: str) -> None:
    (copied_policies / file).unlink()
    with pytest.raises(PolicyInvalid, match=file):
        PolicyEngine.load(copied_policies)


def test_the_permit_alone_is_not_enough_to_load(copied_policies: Path) -> None:
    rules = (copied_policies / "rules.cedar").read_text()
    (copied_policies / "rules.cedar").write_text(rules[: rules.index("// Who asks.")])
    with pytest.raises(PolicyInvalid, match="there is no rule"):
        PolicyEngine.load(copied_policies)


def test_the_digest_names_the_content(copied_policies: Path) -> None:
    shipped = PolicyEngine.load(POLICIES).digest
    assert shipped.startswith("sha-256:")
    assert PolicyEngine.load(copied_policies).digest == shipped
    for file, old, new in (
        ("rules.cedar", "unless { resource.active }", "unless { !resource.active }"),
        ("reasons.yaml", "The agreement is suspended", "The agreement is resting"),
        ("purposes.yaml", "blue-badge", "red-badge"),
        ("legal-gateways.yaml", "section 110(2)", "section 111(2)"),
    ):
        before = (copied_policies / file).read_text()
        assert old in before
        (copied_policies / file).write_text(before.replace(old, new))
        assert PolicyEngine.load(copied_policies).digest != shipped, file
        (copied_policies / file).write_text(before)
