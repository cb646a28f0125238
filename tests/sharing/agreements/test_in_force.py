"""An agreement is in force only while both members' signatures over exactly its content verify."""

import threading
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from gateway.audit.recorded import find_events
from gateway.db import Database, DatabaseUnavailable
from gateway.policy.decision import DecisionInputs, Deny, Permit
from gateway.policy.engine import PolicyEngine, _entities
from gateway.sharing.agreements.agreements import Agreement, agreement_for, facts, list_agreements, lock_agreement
from gateway.sharing.agreements.errors import (
    AgreementChanged,
    AgreementInvalid,
    AgreementNotFound,
    AgreementStatusConflict,
    SignatureRefused,
)
from gateway.sharing.agreements.lifecycle import record_signature, resume_agreement, suspend_agreement
from gateway.sharing.agreements.models import AgreementRow, SignatureRow
from gateway.sharing.agreements.signatures import sign_agreement
from gateway.sharing.agreements.terms import AgreementDocument
from gateway.wire.jws import issue_detached_jws
from gateway.wire.signer import PrivateKeySigner
from tests.kit.agreements import BLACKBURN, BURNLEY, DWP, Members, shipped_document
from tests.kit.clock import MIDDAY
from tests.kit.policies import POLICIES, permitted_inputs

BURNLEYS: dict[str, Any] = {
    "parties": {"consumer": {"member": BURNLEY, "data_protection_role": "controller"}},
    "conditions": {"clients": ["burnley-portal"]},
}
UNKNOWN = {"member": "E99999999", "data_protection_role": "controller"}
WHY: dict[str, Any] = {"by": "A Sample", "reason": "a test", "at": MIDDAY}


@pytest.fixture(scope="module")
def engine() -> PolicyEngine:
    return PolicyEngine.load(POLICIES)


def fitting(session: Session, **changes: Any) -> Agreement | None:
    asked: dict[str, Any] = {
        "consumer": BLACKBURN,
        "service": "dwp/free-school-meals/v1",
        "purpose": "free-school-meals",
        "now": MIDDAY,
    }
    return agreement_for(session, **{**asked, **changes})


def refusals(database: Database, engine: PolicyEngine) -> set[str]:
    """Decide the request that the shipped agreement permits, under what is recorded now."""
    with database.read() as session:
        agreement = fitting(session)
    base = permitted_inputs()
    inputs = DecisionInputs(
        caller=base.caller,
        agreement=facts(agreement) if agreement else None,
        request=base.request,
        subject=base.subject,
        now=MIDDAY,
    )
    decision = engine.decide(inputs)
    return {reason.code for reason in decision.reasons} if isinstance(decision, Deny) else set()


def test_two_signatures_put_it_in_force(database: Database, members: Members, engine: PolicyEngine) -> None:
    with database.write() as session:
        agreement = members.import_(session, shipped_document())
    assert agreement.status == "active"
    assert refusals(database, engine) == set()


def test_without_signatures_it_is_a_draft_that_permits_nothing(
    database: Database, members: Members, engine: PolicyEngine
) -> None:
    with database.write() as session:
        assert members.import_(session, shipped_document(), signatures={}).status == "draft"
    assert refusals(database, engine) == {
        "agreement_not_in_force",
        "consumer_signature_missing",
        "provider_signature_missing",
    }


@pytest.mark.parametrize(
    ("signer", "missing"), [(BLACKBURN, "provider_signature_missing"), (DWP, "consumer_signature_missing")]
)
def test_one_signature_is_not_enough(
    database: Database, members: Members, engine: PolicyEngine, signer: str, missing: str
) -> None:
    document = shipped_document()
    with database.write() as session:
        members.import_(session, document, signatures=members.signatures(document, by=[signer]))
    assert refusals(database, engine) == {"agreement_not_in_force", missing}


def test_the_second_signature_may_come_later(database: Database, members: Members, engine: PolicyEngine) -> None:
    document = shipped_document()
    with database.write() as session:
        members.import_(session, document, signatures=members.signatures(document, by=[DWP]))
    with database.write() as session:
        members.import_(session, document, signatures=members.signatures(document, by=[BLACKBURN]))
    assert refusals(database, engine) == set()


FORGERIES: dict[str, Callable[[Members, AgreementDocument], dict[str, str]]] = {
    "made with the other party's key": lambda members, document: {
        DWP: sign_agreement(document, signer=members.signers[BLACKBURN])
    },
    "made with another member's key": lambda members, document: {
        DWP: sign_agreement(document, signer=members.signers[BURNLEY])
    },
    "made with an unknown key under a known kid": lambda members, document: {
        DWP: sign_agreement(document, signer=PrivateKeySigner.generate("ES256", key_id=members.signers[DWP].key_id))
    },
    "made over another version": lambda members, _document: {DWP: members.signatures(shipped_document(version=2))[DWP]},
    "by a member who is no party": lambda members, document: members.signatures(document, by=[BURNLEY]),
    "of another kind of statement": lambda members, document: {
        DWP: issue_detached_jws(document.canonical, typ="gateway-receipt+jwt", signer=members.signers[DWP])
    },
    "not a signature": lambda _members, _document: {DWP: "a..b"},
    "empty": lambda _members, _document: {DWP: ""},
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_signature_that_is_not_the_members_own_is_refused_and_nothing_is_recorded(
    database: Database, members: Members, forgery: str
) -> None:
    document = shipped_document()
    signatures = {**members.signatures(document, by=[BLACKBURN]), **FORGERIES[forgery](members, document)}
    with pytest.raises(SignatureRefused, match=r"DSA-003\.1"), database.write() as session:
        members.import_(session, document, signatures=signatures)
    with database.read() as session:
        assert list_agreements(session) == ()
        assert find_events(session, reference="DSA-003.1") == ()


def test_a_refused_import_changes_nothing_even_where_the_transaction_goes_on(
    database: Database, members: Members
) -> None:
    document = shipped_document()
    signatures = {**members.signatures(document, by=[BLACKBURN]), DWP: "a..b"}
    with database.write() as session:
        with pytest.raises(SignatureRefused):
            members.import_(session, document, signatures=signatures)
        assert list_agreements(session) == ()
        assert find_events(session, reference="DSA-003.1") == ()


def test_nobody_but_the_parties_can_sign(database: Database, members: Members) -> None:
    document = shipped_document()
    jws = members.signatures(document, by=[BURNLEY])[BURNLEY]
    with database.write() as session:
        members.import_(session, document, signatures={})
    with pytest.raises(SignatureRefused, match="not a party"), database.write() as session:
        record_signature(session, "DSA-003", 1, member=BURNLEY, jws=jws, audit=members.audit, by="A Sample", at=MIDDAY)


def test_a_signed_version_never_changes(database: Database, members: Members, engine: PolicyEngine) -> None:
    document = shipped_document()
    with database.write() as session:
        members.import_(session, document, signatures=members.signatures(document, by=[DWP]))
    widened = shipped_document(fields=["eligible"])
    with pytest.raises(AgreementChanged, match="changed after it was signed"), database.write() as session:
        members.import_(session, widened)
    with database.read() as session:
        assert lock_agreement(session, "DSA-003", 1).terms.fields == ("eligible", "tier")


def test_a_draft_that_nobody_signed_may_still_change(database: Database, members: Members) -> None:
    with database.write() as session:
        members.import_(session, shipped_document(), signatures={})
    with database.write() as session:
        changed = members.import_(session, shipped_document(fields=["eligible"]))
    assert changed.status == "active"
    assert changed.terms.fields == ("eligible",)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"fields":["eligible","tier"]', '"fields":["eligible","tier","award_amount"]'),
        ('"ends":"2036-01-31"', '"ends":"2036-02-01"'),
        ('"minimum_acr":"AAL2"', '"minimum_acr":"AAL1"'),
    ],
)
def test_an_agreement_edited_in_the_database_is_no_longer_signed(
    database: Database, members: Members, engine: PolicyEngine, old: str, new: str
) -> None:
    with database.write() as session:
        members.import_(session, shipped_document())
        row = session.scalars(select(AgreementRow)).one()
        assert old in row.document
        row.document = row.document.replace(old, new)
    assert {"consumer_signature_missing", "provider_signature_missing"} <= refusals(database, engine)


def test_a_column_edited_in_the_database_allows_nothing_that_was_not_signed(
    database: Database, members: Members, engine: PolicyEngine
) -> None:
    with database.write() as session:
        members.import_(session, shipped_document(**BURNLEYS), signatures={})
        session.execute(update(AgreementRow).values(consumer=BLACKBURN, status="active"))
    assert "agreement_of_another_consumer" in refusals(database, engine)


@pytest.mark.parametrize("change", ["another key", "no key", "member not active"])
def test_it_is_out_of_force_as_soon_as_a_members_key_is_withdrawn(
    database: Database, members: Members, engine: PolicyEngine, change: str
) -> None:
    with database.write() as session:
        members.import_(session, shipped_document())
    assert refusals(database, engine) == set()
    keys = {"another key": [PrivateKeySigner.generate("ES256").public_jwk()]}.get(change, [])
    with database.write() as session:
        members.set_keys(session, DWP, *keys, active=change != "member not active")
    assert refusals(database, engine) == {"provider_signature_missing"}


def test_a_rotated_key_keeps_it_in_force_while_the_old_one_is_still_registered(
    database: Database, members: Members, engine: PolicyEngine
) -> None:
    with database.write() as session:
        members.import_(session, shipped_document())
        new = PrivateKeySigner.generate("Ed25519")
        members.set_keys(session, DWP, new.public_jwk(), members.signers[DWP].public_jwk())
    assert refusals(database, engine) == set()
    with database.write() as session:
        jws = sign_agreement(shipped_document(), signer=new)
        record_signature(session, "DSA-003", 1, member=DWP, jws=jws, audit=members.audit, by="A Sample", at=MIDDAY)
        members.set_keys(session, DWP, new.public_jwk())
    assert refusals(database, engine) == set()


def test_a_signature_cannot_be_passed_from_one_party_to_the_other(database: Database, members: Members) -> None:
    with database.write() as session:
        members.import_(session, shipped_document())
        consumer = session.get_one(SignatureRow, ("DSA-003", 1, BLACKBURN))
        provider = session.get_one(SignatureRow, ("DSA-003", 1, DWP))
        provider.jws = consumer.jws
    with database.read() as session:
        agreement = lock_agreement(session, "DSA-003", 1)
    assert (agreement.consumer_signed, agreement.provider_signed) == (True, False)


def test_suspension_stops_it_and_resumption_starts_it_again(
    database: Database, members: Members, engine: PolicyEngine
) -> None:
    with database.write() as session:
        members.import_(session, shipped_document())
    with database.write() as session:
        suspend_agreement(session, "DSA-003", 1, audit=members.audit, **WHY)
    assert refusals(database, engine) == {"agreement_suspended"}
    with database.write() as session:
        resume_agreement(session, "DSA-003", 1, audit=members.audit, **WHY)
    assert refusals(database, engine) == set()
    with database.read() as session:
        names = [recorded.name for recorded in find_events(session, reference="DSA-003.1")]
        [suspended] = find_events(session, names=["agreements.agreement.suspended"])
        details = members.audit.details_of(session, suspended.event_id)
    assert sorted(names) == [
        "agreements.agreement.imported",
        "agreements.agreement.resumed",
        "agreements.agreement.signed",
        "agreements.agreement.signed",
        "agreements.agreement.suspended",
    ]
    assert (details["by"], details["reason"], details["status"]) == ("A Sample", "a test", "suspended")


def test_resumption_needs_both_signatures_again(database: Database, members: Members) -> None:
    with database.write() as session:
        members.import_(session, shipped_document())
        suspend_agreement(session, "DSA-003", 1, audit=members.audit, **WHY)
        members.set_keys(session, DWP)
    with pytest.raises(SignatureRefused), database.write() as session:
        resume_agreement(session, "DSA-003", 1, audit=members.audit, **WHY)
    with database.read() as session:
        assert lock_agreement(session, "DSA-003", 1).status == "suspended"


def test_what_is_not_in_force_is_not_suspended_and_what_is_not_suspended_is_not_resumed(
    database: Database, members: Members
) -> None:
    with database.write() as session:
        members.import_(session, shipped_document(), signatures={})
    for change, error in ((suspend_agreement, AgreementStatusConflict), (resume_agreement, AgreementStatusConflict)):
        with pytest.raises(error), database.write() as session:
            change(session, "DSA-003", 1, audit=members.audit, **WHY)
    with pytest.raises(AgreementNotFound), database.write() as session:
        suspend_agreement(session, "DSA-003", 2, audit=members.audit, **WHY)


def test_importing_a_suspended_agreement_again_does_not_resume_it(database: Database, members: Members) -> None:
    document = shipped_document()
    with database.write() as session:
        members.import_(session, document)
        suspend_agreement(session, "DSA-003", 1, audit=members.audit, **WHY)
    with database.write() as session:
        assert members.import_(session, document).status == "suspended"


def test_importing_the_same_again_changes_and_records_nothing(database: Database, members: Members) -> None:
    document = shipped_document()
    signatures = members.signatures(document)
    with database.write() as session:
        first = members.import_(session, document, signatures=signatures)
        events = len(find_events(session, reference="DSA-003.1"))
    with database.write() as session:
        again = members.import_(session, document, signatures=signatures, at=MIDDAY + timedelta(days=1))
        assert len(find_events(session, reference="DSA-003.1")) == events
    assert again == first


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"parties": {"consumer": {"member": "E99999999", "data_protection_role": "controller"}}},
            "not an active member",
        ),
        ({"conditions": {"clients": ["burnley-portal"]}}, "burnley-portal is not an active client of the consumer"),
        ({"conditions": {"clients": ["nobodys-portal"]}}, "nobodys-portal is not an active client"),
        ({"conditions": {"clients": ["blackburn-website"]}}, "blackburn-website is not registered to ask"),
        ({"service": "dwp/blue-badge/v1"}, "there is no service"),
        ({"fields": ["eligible", "shoe_size"]}, "the service has no field shoe_size"),
        ({"purposes": ["curiosity"]}, "curiosity is not in purposes.yaml"),
    ],
)
def test_what_does_not_exist_cannot_be_agreed(
    database: Database, members: Members, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(AgreementInvalid, match=said), database.write() as session:
        members.import_(session, shipped_document(**changes), signatures={})


def test_a_later_version_takes_over_on_its_first_day(database: Database, members: Members) -> None:
    with database.write() as session:
        members.import_(session, shipped_document())
        members.import_(
            session, shipped_document(version=2, fields=["eligible"], starts="2026-06-01", review="2027-06-01")
        )
    before, after = MIDDAY, MIDDAY.replace(month=6, day=1)
    with database.read() as session:
        now, later = fitting(session, now=before), fitting(session, now=after)
        first = lock_agreement(session, "DSA-003", 1)
    assert now is not None
    assert later is not None
    assert (now.version, later.version) == (1, 2)
    assert facts(first).ends_on == date(2026, 5, 31)


def test_a_purpose_that_a_later_version_left_out_is_not_covered_by_the_earlier_one(
    database: Database, members: Members, engine: PolicyEngine
) -> None:
    with database.write() as session:
        members.import_(session, shipped_document())
        members.import_(session, shipped_document(version=2, purposes=["council-tax-reduction"]))
    assert refusals(database, engine) == {"purpose_not_covered"}


def test_a_later_version_that_is_only_a_draft_changes_nothing(database: Database, members: Members) -> None:
    with database.write() as session:
        members.import_(session, shipped_document())
        members.import_(session, shipped_document(version=2, fields=["eligible"]), signatures={})
        chosen = fitting(session)
    assert chosen is not None
    assert chosen.version == 1
    assert chosen.ends_on == date(2036, 1, 31)


def test_others_cannot_end_an_agreement_by_making_its_next_version(database: Database, members: Members) -> None:
    theirs = shipped_document(version=2, **BURNLEYS)
    with database.write() as session:
        members.import_(session, shipped_document())
    with pytest.raises(AgreementInvalid, match="between other members"), database.write() as session:
        members.import_(session, theirs, signatures=members.signatures(theirs, by=[BURNLEY, DWP]))


def test_the_agreement_that_covers_the_purpose_is_the_one_chosen(database: Database, members: Members) -> None:
    with database.write() as session:
        members.import_(session, shipped_document())
        members.import_(session, shipped_document(reference="DSA-903", purposes=["council-tax-reduction"]))
        chosen = [fitting(session, purpose=purpose) for purpose in ("free-school-meals", "council-tax-reduction")]
        assert fitting(session, consumer=BURNLEY) is None
        assert fitting(session, service="dwp/other/v1") is None
    assert [agreement.reference for agreement in chosen if agreement] == ["DSA-003", "DSA-903"]


def test_one_decision_looks_at_one_agreement_however_many_there_are(
    database: Database, members: Members, engine: PolicyEngine
) -> None:
    """Structure, not time: of 10,000 agreements one is looked at, and one entity is passed to Cedar."""
    document = shipped_document()
    with database.write() as session:
        members.import_(session, document)
        filler = {"provider": DWP, "service": "dwp/free-school-meals/v1", "status": "active", "version": 1}
        filler |= {"imported_at": MIDDAY, "status_changed_at": MIDDAY, "document": "{}", "consumer": BURNLEY}
        session.execute(
            insert(AgreementRow), [{**filler, "reference": f"DSA-{number}"} for number in range(1000, 11_000)]
        )
    # None of the others can be read: looking at any one of them would fail.
    with database.read() as session:
        chosen = fitting(session)
    assert chosen is not None
    base = permitted_inputs()
    inputs = DecisionInputs(
        caller=base.caller, agreement=facts(chosen), request=base.request, subject=base.subject, now=MIDDAY
    )
    assert isinstance(engine.decide(inputs), Permit)
    assert [entity["uid"]["type"] for entity in _entities(inputs)].count("Agreement") == 1


def test_a_suspension_waits_for_a_decision_being_committed_and_no_longer(database: Database, members: Members) -> None:
    """Either the decision's transaction comes first, or it sees the suspension: there is no in between."""
    with database.write() as session:
        members.import_(session, shipped_document())
    suspended = threading.Event()

    def suspend() -> None:
        with database.write() as session:
            suspend_agreement(session, "DSA-003", 1, audit=members.audit, **WHY)
        suspended.set()

    suspending = threading.Thread(target=suspend)
    with database.write() as session:
        assert lock_agreement(session, "DSA-003", 1).status == "active"
        suspending.start()
        assert not suspended.wait(0.3)
        assert lock_agreement(session, "DSA-003", 1).status == "active"
    suspending.join(timeout=10)
    assert suspended.is_set()
    with database.write() as session:
        assert lock_agreement(session, "DSA-003", 1).status == "suspended"


def test_a_lock_reads_what_is_committed_now_not_what_the_session_saw_before(
    database: Database, members: Members
) -> None:
    with database.write() as session:
        members.import_(session, shipped_document())
    if database.is_sqlite:
        # Nobody else can write while a write transaction is open: what was seen cannot have changed.
        hurried = Database(database.url.render_as_string(hide_password=False), timeout=0.1)
        with database.write(), pytest.raises(DatabaseUnavailable), hurried.write():
            pass
        hurried.close()
        return
    with database.write() as session:
        seen = session.get_one(AgreementRow, ("DSA-003", 1))
        assert seen.status == "active"
        with database.write() as other:
            suspend_agreement(other, "DSA-003", 1, audit=members.audit, **WHY)
        assert lock_agreement(session, "DSA-003", 1).status == "suspended"
