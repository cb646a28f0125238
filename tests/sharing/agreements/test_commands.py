"""Agreements as an operator handles them: signed by two members, imported, suspended, resumed."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.db import Database
from gateway.sharing.agreements.agreements import list_agreements
from gateway.sharing.agreements.commands import AgreementsContext, agreements_group
from tests.kit.agreements import BLACKBURN, BURNLEY, DWP, Members
from tests.kit.clock import FrozenClock
from tests.kit.policies import POLICIES

NAME = "DSA-003.1"


@pytest.fixture
def context(database: Database, members: Members, tmp_path: Path) -> AgreementsContext:
    shutil.copytree(POLICIES, tmp_path / "policies")
    for kind, ours in (("agreements", f"{NAME}.yaml"), ("services", "dwp-free-school-meals-v1.yaml")):
        for path in (tmp_path / "policies" / kind).iterdir():
            if path.name != ours:  # between other members than those of these tests
                path.unlink()
    for code, signer in members.signers.items():
        (tmp_path / f"{code}.pem").write_bytes(signer.private_pem())
    return AgreementsContext(
        database=database,
        audit=members.audit,
        clock=FrozenClock(),
        policies_dir=tmp_path / "policies",
        signatures_dir=tmp_path / "state" / "agreements",
    )


def run(context: AgreementsContext, *arguments: str) -> Result:
    return CliRunner().invoke(agreements_group(lambda: context), list(arguments), terminal_width=200)


def sign(context: AgreementsContext, member: str, *, key: str | None = None) -> Result:
    return run(
        context, "sign", NAME, "--member", member, "--key", str(context.policies_dir.parent / f"{key or member}.pem")
    )


def state(context: AgreementsContext) -> str | None:
    with context.database.read() as session:
        agreements = list_agreements(session)
    return agreements[0].status.value if agreements else None


def edit(context: AgreementsContext, old: str, new: str) -> None:
    path = context.policies_dir / "agreements" / f"{NAME}.yaml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def test_an_agreement_signed_by_both_members_comes_into_force(context: AgreementsContext) -> None:
    assert "draft, signed by nobody" in run(context, "import").output
    assert sign(context, DWP).exit_code == 0
    assert f"draft, signed by {DWP}" in run(context, "import").output
    assert sign(context, BLACKBURN).exit_code == 0
    assert f"active, signed by {BLACKBURN}, {DWP}" in run(context, "import", NAME).output
    shown = json.loads(run(context, "show", NAME).output)
    assert shown["state"] == "active"
    assert shown["document"]["fields"] == ["eligible", "tier"]
    assert NAME in run(context, "list").output


def test_a_document_changed_after_signing_is_refused_by_name(context: AgreementsContext) -> None:
    sign(context, DWP)
    sign(context, BLACKBURN)
    edit(context, "fields: [eligible, tier]", "fields: [eligible]")
    imported = run(context, "import")
    assert imported.exit_code == 1
    assert f"{NAME} was changed after it was signed" in imported.output
    assert state(context) is None


def test_a_changed_document_is_refused_even_if_the_file_of_signatures_is_made_to_fit(
    context: AgreementsContext,
) -> None:
    sign(context, DWP)
    sign(context, BLACKBURN)
    path = context.signatures_dir / f"{NAME}.signatures.json"
    signed = json.loads(path.read_text())
    edit(context, "minimum_acr: AAL2", "minimum_acr: AAL1")
    sign(context, BLACKBURN)
    stored = json.loads(path.read_text())
    stored["signatures"][DWP] = signed["signatures"][DWP]
    path.write_text(json.dumps(stored))
    imported = run(context, "import")
    assert imported.exit_code == 1
    assert "not one that dwp made over this content" in imported.output
    assert state(context) is None


def test_a_document_changed_after_it_came_into_force_is_refused(context: AgreementsContext) -> None:
    sign(context, DWP)
    sign(context, BLACKBURN)
    run(context, "import")
    edit(context, "minimum_acr: AAL2", "minimum_acr: AAL1")
    sign(context, DWP)
    sign(context, BLACKBURN)
    imported = run(context, "import")
    assert imported.exit_code == 1
    assert "a change needs a new version" in imported.output
    assert json.loads(run(context, "show", NAME).output)["document"]["conditions"]["minimum_acr"] == "AAL2"


def test_comments_may_change_after_signing(context: AgreementsContext) -> None:
    sign(context, DWP)
    sign(context, BLACKBURN)
    edit(context, "# A demonstration agreement", "# An agreement for demonstrations")
    assert run(context, "import").exit_code == 0
    assert state(context) == "active"


def test_only_parties_sign_and_only_with_their_own_key(context: AgreementsContext) -> None:
    refused = sign(context, BURNLEY)
    assert refused.exit_code == 1
    assert "not a party" in refused.output
    sign(context, DWP, key=BLACKBURN)
    imported = run(context, "import")
    assert imported.exit_code == 1
    assert "not one that dwp made" in imported.output


def test_if_one_agreement_cannot_be_recorded_none_is(context: AgreementsContext) -> None:
    folder = context.policies_dir / "agreements"
    text = (folder / f"{NAME}.yaml").read_text().replace("reference: DSA-003", "reference: DSA-903")
    (folder / "DSA-903.1.yaml").write_text(text.replace("[blackburn-portal]", "[burnley-portal]"))
    imported = run(context, "import")
    assert imported.exit_code == 1
    assert "DSA-903.1: burnley-portal is not an active client of the consumer" in imported.output
    assert state(context) is None


def test_suspension_and_resumption_need_a_reason(context: AgreementsContext) -> None:
    sign(context, DWP)
    sign(context, BLACKBURN)
    run(context, "import")
    assert run(context, "suspend", NAME, "--by", "A Sample").exit_code == 2
    assert state(context) == "active"
    assert run(context, "suspend", NAME, "--by", "A Sample", "--reason", "incident 7").exit_code == 0
    assert state(context) == "suspended"
    assert run(context, "suspend", NAME, "--by", "A Sample", "--reason", "incident 7").exit_code == 1
    assert run(context, "resume", NAME, "--by", "A Sample", "--reason", "incident 7 is over").exit_code == 0
    assert state(context) == "active"


@pytest.mark.parametrize("name", ["DSA-003", "DSA-003.x", "DSA-003.", ".1", "DSA-999.1", "DSA-003.²"])
def test_a_name_that_names_nothing_is_said_to(context: AgreementsContext, name: str) -> None:
    for command in (["show", name], ["suspend", name, "--by", "x", "--reason", "y"], ["import", name]):
        result = run(context, *command)
        assert result.exit_code == 1, command
        assert result.output.startswith("Error: ")


def test_the_list_says_what_an_agreement_permits_today(context: AgreementsContext) -> None:
    def today() -> str:
        [listed] = json.loads(run(context, "list", "--json").output)
        return str(listed["today"])

    def later(**by: float) -> AgreementsContext:
        clock = FrozenClock()
        clock.advance(**by)
        return replace(context, clock=clock)

    run(context, "import")
    assert today() == "draft"
    sign(context, DWP)
    run(context, "import")
    assert today() == f"under review, {BLACKBURN} has not signed"
    sign(context, BLACKBURN)
    run(context, "import")
    assert today() == "in force"
    days = {-60: "not started", 335: "in force", 340: "in force, review overdue", 3640: "expired"}
    assert {by: json.loads(run(later(days=by), "list", "--json").output)[0]["today"] for by in days} == days
    run(context, "suspend", NAME, "--by", "A Sample", "--reason", "an incident")
    assert today() == "suspended"


def test_agreements_between_members_who_are_not_here_do_not_hinder_one_that_is_named(
    context: AgreementsContext, tmp_path: Path
) -> None:
    shutil.rmtree(tmp_path / "policies")
    shutil.copytree(POLICIES, tmp_path / "policies")
    refused = run(context, "import")
    assert (refused.exit_code, state(context)) == (1, None)
    assert "is not registered here" in refused.output
    assert run(context, "import", NAME).exit_code == 0
    assert state(context) == "draft"
