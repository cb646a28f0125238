"""Past decisions replayed against a proposal: exactly those that would be others are listed, from what to what."""

import json
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from click.testing import CliRunner, Result

from gateway.audit.append import AuditLog
from gateway.audit.recorded import find_events
from gateway.audit.subject_keys import SubjectKeys
from gateway.db import Database, new_id
from gateway.policy.commands import policy_group
from gateway.policy.decision import DecisionInputs
from gateway.policy.engine import PolicyEngine
from gateway.policy.kept_texts import KeptTexts, find_texts
from gateway.policy.past import PolicyContext, Span, told_of
from gateway.policy.tables import imagined
from gateway.sharing.agreements.policy_bases import load_policy_bases, load_proposed_agreement
from gateway.sharing.exchange import past_decisions
from gateway.sharing.exchange.models import ExchangeRow
from gateway.sharing.exchange.past_decisions import ExchangeDecisions
from tests.kit.clock import MIDDAY, FrozenClock
from tests.kit.policies import POLICIES

ENGINE = PolicyEngine.load(POLICIES)
PERMITTED = imagined(POLICIES, load_policy_bases(POLICIES), agreement="DSA-003.1", change={}).to_document()
AGREEMENT = POLICIES / "agreements" / "DSA-003.1.yaml"


def facts(**change: Any) -> DecisionInputs:
    """The facts of a permitted request; each change replaces some of a group, or a whole group by None."""
    changed = {name: None if value is None else PERMITTED[name] | value for name, value in change.items()}
    return DecisionInputs.from_document(PERMITTED | changed)


class Undone(Exception):
    """Ends a transaction without a commit."""


class History:
    """Exchanges as they are recorded, an hour apart."""

    def __init__(self, database: Database, clock: FrozenClock) -> None:
        self.database, self.clock = database, clock
        self.at = MIDDAY
        self.names: dict[str, str] = {}
        self.audit: AuditLog | None = None

    def add(self, name: str, inputs: DecisionInputs, *, outcome: str | None = None, **changes: Any) -> None:
        """Record an exchange that ended as the policies of today decide, unless `outcome` says otherwise."""
        told = told_of(ENGINE.decide(inputs))
        outcome = outcome or ("refused" if told.codes else "disclosed")
        self.at += timedelta(hours=1)
        exchange = new_id()
        self.names[str(exchange)] = name
        agreement = inputs.agreement
        values: dict[str, Any] = {
            "id": exchange,
            "state": outcome,
            "retry_mac": exchange.bytes * 2,
            "request_digest": "r" * 43,
            "client_id": "portal",
            "consumer": "E06000008",
            "service": inputs.request.service,
            "purpose": inputs.request.purpose,
            "agreement": agreement.id if agreement else None,
            "agreement_version": agreement.version if agreement else None,
            "policy_digest": ENGINE.digest,
            "subject": "a-reference",
            "handle": "a-handle",
            "requested_fields": list(inputs.request.fields),
            "decision": "deny" if outcome == "refused" else "permit",
            "decision_record": inputs.to_document(),
            "rules": [{"code": code, "title": "", "rule": ""} for code in told.codes] if outcome == "refused" else [],
            "fields_disclosed": [],
            "fields_withheld": [],
            "opened_at": self.at,
            "lease_until": self.at,
            **changes,
        }
        with self.database.write() as session:
            session.add(ExchangeRow(**values))

    def changes(self, *arguments: str) -> tuple[dict[str, tuple[str, str]], dict[str, Any], int]:
        """What `diff` lists for somebody who may read of people, by name; its counts; its exit status."""
        return self.listed(*arguments, "--by", "O Sample", "--reason", "a new version")

    def listed(self, *arguments: str) -> tuple[dict[str, tuple[str, str]], dict[str, Any], int]:
        """The same for anybody."""
        result = self.run("diff", "--json", *arguments, audit=self.audit)
        assert result.exit_code in {0, 1, 2}, result.output
        *changed, counts = [json.loads(line) for line in result.stdout.splitlines()]
        return {self.names[one["exchange"]]: (one["from"], one["to"]) for one in changed}, counts, result.exit_code

    def run(self, *arguments: str, audit: AuditLog | None = None) -> Result:
        def opened() -> PolicyContext:
            assert audit is not None or "--by" not in arguments
            return PolicyContext(
                database=self.database,
                audit=audit,  # type: ignore[arg-type]  # only readers of what is about the person record anything
                clock=self.clock,
                past=ExchangeDecisions(),
            )

        group = policy_group(
            lambda: POLICIES, load_policy_bases, load_agreement=load_proposed_agreement, open_gateway=opened
        )
        return CliRunner().invoke(group, [*arguments])

    def exchange(self, name: str) -> str:
        return next(exchange for exchange, named in self.names.items() if named == name)


@pytest.fixture
def history(database: Database, clock: FrozenClock, tmp_path: Path) -> History:
    """One exchange of every kind."""
    made = History(database, clock)
    made.audit = AuditLog(database=database, subject_keys=SubjectKeys(tmp_path / "keys-of-subjects"))
    with database.write() as session:
        KeptTexts().keep(session, ENGINE.digest, lambda: ENGINE.texts, at=MIDDAY)
    made.add("both fields", facts())
    made.add("one field", facts(request={"fields": ["eligible"]}))
    made.add("by a librarian", facts(caller={"roles": ["librarian"]}))
    made.add("of nobody", facts(subject={"known": False, "withheld": False}))
    made.add(
        "by weaker sign-in, and of nobody", facts(caller={"acr": "AAL1"}, subject={"known": False, "withheld": False})
    )
    made.add("without an agreement", facts(agreement=None))
    made.add("failed", facts(), outcome="failed")
    made.add(
        "abandoned before anybody was known", facts(subject={"known": False, "withheld": False}), outcome="abandoned"
    )
    return made


@pytest.fixture
def proposed(tmp_path: Path) -> Callable[..., str]:
    def write(**changes: str) -> str:
        text = AGREEMENT.read_text()
        for old, new in changes.items():
            found = {
                "roles": "roles: [benefits-officer]",
                "fields": "fields: [eligible, tier]",
                "version": "version: 1",
            }
            wanted = {**found, "starts": "starts: 2026-02-01", "review": "review: 2027-02-01"}[old]
            assert wanted in text
            text = text.replace(wanted, f"{old}: {new}", 1)
        path = tmp_path / "proposed.yaml"
        path.write_text(text)
        return str(path)

    return write


def test_unchanged_policies_and_agreements_change_nothing(history: History, proposed: Callable[..., str]) -> None:
    assert history.changes() == (
        {},
        {"decisions": 8, "changed": 0, "about_people": 0, "unreadable": 0, "by_agreement": {}, "by_rule": {}},
        0,
    )
    # Had it been in force, the request that had none would have had this one.
    listed, _, status = history.changes("--agreement", proposed())
    assert listed == {"without an agreement": ("deny no_agreement", "permit eligible, tier")}
    assert status == 1


def test_tightening_one_clause_lists_exactly_what_it_governs(history: History, proposed: Callable[..., str]) -> None:
    listed, counts, status = history.changes("--agreement", proposed(fields="[eligible]"))
    assert listed == {
        "both fields": ("permit eligible, tier", "deny field_not_covered"),
        "of nobody": ("deny no_record", "deny field_not_covered"),
        "by a librarian": ("deny role_not_covered", "deny field_not_covered, role_not_covered"),
        "by weaker sign-in, and of nobody": ("deny sign_in_too_weak", "deny field_not_covered, sign_in_too_weak"),
        "without an agreement": ("deny no_agreement", "deny field_not_covered"),
        "failed": ("permit eligible, tier", "deny field_not_covered"),
        "abandoned before anybody was known": ("deny no_record", "deny field_not_covered"),
    }
    assert counts["changed"] == 7
    assert counts["by_agreement"] == {"DSA-003.1": 6, "no agreement": 1}
    assert counts["by_rule"] == {"field_not_covered": 7, "no_agreement": 1, "no_record": 2}
    assert status == 1


def test_what_was_refused_and_would_be_permitted_is_listed_too(history: History, proposed: Callable[..., str]) -> None:
    wider = proposed(roles="[benefits-officer, librarian]", version="2", starts="2027-01-01", review="2028-02-01")
    listed, _, _ = history.changes("--agreement", wider)
    assert listed.pop("by a librarian") == ("deny role_not_covered", "permit eligible, tier")
    # A version that has not begun yet takes the place of one that has; where there was none, it is too early.
    assert listed == {"without an agreement": ("deny no_agreement", "deny agreement_not_started")}


def test_a_proposal_stands_behind_nothing_that_another_agreement_covers(
    history: History, proposed: Callable[..., str]
) -> None:
    another = {"agreement": {"id": "DSA-004"}}
    history.add("under another agreement", facts(**another))
    history.add("of another council", facts(agreement=None, caller={"member": "E07000117"}))
    history.add("for what another does not cover", facts(agreement={"id": "DSA-004", "purposes": ["council-tax"]}))
    listed, _, _ = history.changes("--agreement", proposed(fields="[eligible]"))
    assert not {"under another agreement", "of another council"} & set(listed)
    assert listed["for what another does not cover"] == ("deny purpose_not_covered", "deny field_not_covered")


def test_a_changed_rule_lists_exactly_what_it_decides(history: History, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(POLICIES, tmp_path / "policies"))
    rules = folder / "rules.cedar"
    text = rules.read_text()
    assert "unless { context.subject_known };" in text
    rules.write_text(text.replace("unless { context.subject_known };", "unless { true };"))
    listed, _, _ = history.changes("--policies", str(folder))
    assert listed == {
        "of nobody": ("deny no_record", "permit eligible, tier"),
        "abandoned before anybody was known": ("deny no_record", "permit eligible, tier"),
    }


def test_who_objected_is_listed_for_a_recorded_reason_alone(history: History, proposed: Callable[..., str]) -> None:
    """A proposal without the objections would else name everybody who objected, and nobody else."""
    listed_people = {"objections": ["national-data-opt-out"]}
    agreed = {"agreement": {"objection_lists": ["national-data-opt-out"]}}
    history.add("an objector", facts(subject=listed_people, **agreed))
    history.add("an objector, by a librarian", facts(subject=listed_people, caller={"roles": ["librarian"]}, **agreed))
    history.add("nobody, likewise", facts(subject={"known": False, "withheld": False}, **agreed))
    wider = ("--agreement", proposed(roles="[benefits-officer, librarian]"))
    named = {
        "an objector": ("deny no_record", "permit eligible, tier"),
        "an objector, by a librarian": ("deny role_not_covered", "permit eligible, tier"),
        "by a librarian": ("deny role_not_covered", "permit eligible, tier"),
        "without an agreement": ("deny no_agreement", "permit eligible, tier"),
    }

    def readings() -> int:
        with history.database.read() as session:
            return len(find_events(session, names=["audit.details.read"]))

    listed, counts, status = history.listed(*wider)
    assert (listed, counts["changed"], counts["about_people"], status, readings()) == ({}, 4, 4, 1, 0)
    said = history.run("diff", *wider).output
    assert not any(exchange in said for exchange in history.names)
    assert "4 of those show something about the person" in said
    for incomplete in (("--by", "O Sample"), ("--reason", "a new version")):
        assert history.run("diff", *wider, *incomplete, audit=history.audit).exit_code == 2
    assert history.changes(*wider)[0] == named
    assert readings() == 1
    # What shows nothing of the person that was not told then is listed for anybody.
    narrower, _, _ = history.listed("--agreement", proposed(fields="[eligible]"))
    assert {"both fields", "of nobody", "by a librarian"} <= set(narrower)


def test_what_a_new_rule_would_make_of_somebody_is_about_them_too(history: History, tmp_path: Path) -> None:
    history.add("an objector", facts(subject={"objections": ["national-data-opt-out"]}))
    stricter = tmp_path / "DSA-003.1.yaml"
    text = AGREEMENT.read_text()
    assert text.count("\nconditions:\n") == 1
    stricter.write_text(text.replace("\nconditions:\n", "\nconditions:\n  objection_lists: [national-data-opt-out]\n"))
    assert history.changes("--agreement", str(stricter))[0]["an objector"] == (
        "permit eligible, tier",
        "deny no_record",
    )
    listed, counts, _ = history.listed("--agreement", str(stricter))
    assert "an objector" not in listed
    assert counts["about_people"] == 2


def test_a_span_of_time_and_a_limit_are_kept_and_pages_follow_each_other(
    history: History, proposed: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tomorrow = MIDDAY + timedelta(days=1)
    history.at = tomorrow
    history.add("next day", facts())
    monkeypatch.setattr(past_decisions, "BATCH", 2)
    narrower = ("--agreement", proposed(fields="[eligible]"))
    day = tomorrow.date().isoformat()
    assert list(history.changes(*narrower, "--since", day)[0]) == ["next day"]
    assert history.changes(*narrower, "--until", day)[1]["decisions"] == 8
    assert history.changes(*narrower)[1]["decisions"] == 9
    assert history.changes(*narrower, "--limit", "3")[1]["decisions"] == 3
    past = [one.exchange for one in ExchangeDecisions().newest_first(history.database, Span(limit=5))]
    assert [history.names[str(one)] for one in past] == list(reversed(history.names.values()))[:5]
    assert ExchangeDecisions().count(history.database, Span(limit=5)) == 5


def test_exchanges_of_one_moment_are_each_met_once(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(past_decisions, "BATCH", 2)
    for number in range(5):
        history.add(f"number {number}", facts(), opened_at=MIDDAY)
    met = [str(one.exchange) for one in ExchangeDecisions().newest_first(history.database, Span())]
    assert sorted(met) == sorted(history.names)


def test_records_of_an_older_shape_are_read_and_others_are_said_not_to_be(history: History) -> None:
    old = facts().to_document()
    for group, fact in (("agreement", "digest"), ("agreement", "volume_per_day"), ("subject", "objections")):
        del old[group][fact]
    history.add("of an older shape", facts(), decision_record=old)
    assert history.changes()[2] == 0
    history.add("of no shape", facts(), decision_record={"nothing": 1})
    history.add("by policies that nobody kept", facts(), outcome="failed", policy_digest="sha-256:lost")
    listed, counts, status = history.changes()
    assert (listed, counts["unreadable"], status) == ({}, 2, 2)


def test_what_failed_is_held_against_the_rules_of_then(history: History) -> None:
    with history.database.write() as session:
        KeptTexts().keep(session, "sha-256:then", lambda: ENGINE.texts, at=MIDDAY)
    with history.database.read() as session:
        kept = find_texts(session, "sha-256:then")
    assert kept == json.loads(json.dumps(ENGINE.texts))
    history.add("under the rules of then", facts(), outcome="failed", policy_digest="sha-256:then")
    assert history.changes()[2] == 0


def test_texts_are_kept_once_whoever_comes_first(database: Database) -> None:
    def never() -> Mapping[str, Any]:
        raise AssertionError("it is there already")

    for keeper in (KeptTexts(), KeptTexts()):
        with database.write() as session:
            keeper.keep(session, "sha-256:x", lambda: {"text": 1}, at=MIDDAY)
        with database.write() as session:
            keeper.keep(session, "sha-256:x", never, at=MIDDAY)
    first = KeptTexts()
    with suppress(Undone), database.write() as session:
        first.keep(session, "sha-256:y", lambda: {"text": 2}, at=MIDDAY)
        raise Undone
    with database.write() as session:
        first.keep(session, "sha-256:y", lambda: {"text": 2}, at=MIDDAY)
    with database.read() as session:
        assert find_texts(session, "sha-256:y") == {"text": 2}


def test_a_past_request_is_explained_and_the_person_only_for_a_recorded_reason(
    history: History, tmp_path: Path
) -> None:
    audit = AuditLog(database=history.database, subject_keys=SubjectKeys(tmp_path / "subject-keys"))
    exchange = history.exchange("of nobody")
    told = history.run("explain", exchange).output
    assert "Decided: deny no_record" in told
    assert "subject-is-known" not in told
    assert history.run("explain", exchange, "--about-the-person").exit_code == 2
    shown = history.run(
        "explain", exchange, "--about-the-person", "--by", "O Sample", "--reason", "dispute", audit=audit
    ).output
    assert "subject_unknown" in shown
    with history.database.read() as session:
        reading = find_events(session, names=["audit.details.read"])
        assert [event.reference for event in reading] == [exchange]
    for incomplete in (("--by", "O Sample"), ("--reason", "dispute"), ("--about-the-person", "--by", "O Sample")):
        assert history.run("explain", exchange, *incomplete).exit_code == 2
    of_librarian = history.exchange("by a librarian")
    plain = history.run("explain", of_librarian, "--json").output
    officer, case = PERMITTED["caller"]["officer_id"], PERMITTED["request"]["case_reference"]
    assert not any(one in plain for one in (officer, case, "librarian"))
    named = history.run(
        "explain", of_librarian, "--json", "--by", "O Sample", "--reason", "dispute", audit=audit
    ).output
    assert all(one in named for one in (officer, case, "librarian"))
    assert "subject-is-known" not in named
    with history.database.read() as session:
        assert len(find_events(session, names=["audit.details.read"], reference=of_librarian)) == 1
    librarian = history.run("explain", of_librarian).output
    assert "DSA-003.1, conditions.roles: [benefits-officer]" in librarian
    assert "there is no exchange" in history.run("explain", str(UUID(int=1))).output


def test_a_decision_that_was_told_otherwise_is_not_passed_over(history: History) -> None:
    otherwise = replace(facts(), now=datetime(2040, 1, 1, tzinfo=UTC))
    history.add("told otherwise", otherwise, outcome="disclosed")
    assert (
        "What was told then is another decision: permit eligible, tier"
        in history.run("explain", history.exchange("told otherwise")).output
    )
    assert history.changes()[0] == {"told otherwise": ("permit eligible, tier", "deny agreement_expired")}


@pytest.mark.parametrize("arguments", [("--policies", "EMPTY"), ("--agreement", "EMPTY/x.yaml")])
def test_a_proposal_that_cannot_be_read_is_no_difference(
    history: History, tmp_path: Path, arguments: tuple[str, str]
) -> None:
    (tmp_path / "x.yaml").write_text("reference: nothing")
    result = history.run("diff", arguments[0], arguments[1].replace("EMPTY", str(tmp_path)))
    assert result.exit_code == 2
    assert result.stdout == ""
