"""Keys change, twice, of everybody: what was proved stays proved, and with an older copy of the public keys too."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from gateway.app import Gateway, assemble
from gateway.cli import public_keys
from gateway.db import new_id
from gateway.policy.decision import DecisionInputs
from gateway.policy.kept_texts import KeptTexts
from gateway.policy.tables import imagined
from gateway.sdk.evidence import Brought, reveal, settle
from gateway.settings import Settings
from gateway.sharing.agreements.agreements import Agreement, facts, find_agreement
from gateway.sharing.agreements.lifecycle import record_signature
from gateway.sharing.agreements.policy_bases import load_policy_bases
from gateway.sharing.agreements.signatures import sign_agreement
from gateway.sharing.evidence.export import export_evidence
from gateway.sharing.exchange.minimise import MinimisedRecord
from gateway.sharing.exchange.models import ExchangeRow
from gateway.sharing.exchange.outcomes import Ending, abandon, lease_end
from gateway.signing.purposes import ALGORITHMS, Purpose
from gateway.signing.rotation import add_key, make_missing_keys, retire_log_key
from gateway.wire.canonical import digest_b64
from gateway.wire.contracts import RECORD_TYP
from gateway.wire.errors import ProofFailed
from gateway.wire.keys import thumbprint
from gateway.wire.proofs import parse_public_keys
from gateway.wire.sd_jwt import issue_sd_jwt
from gateway.wire.signer import PrivateKeySigner
from tests.kit.agreements import BLACKBURN, DWP, Members, shipped_document
from tests.kit.clock import FrozenClock
from tests.kit.oidc_world import LEAST_COST, settings_for
from tests.kit.policies import POLICIES

PERMITTED = imagined(POLICIES, load_policy_bases(POLICIES), agreement="DSA-003.1", change={})
REQUEST = b'{"service":"dwp/free-school-meals/v1"}'
FIELDS = {"eligible": True, "tier": "targeted"}


class House:
    """A gateway in this process and its members, who all change their keys now and then."""

    def __init__(self, settings: Settings, clock: FrozenClock) -> None:
        self.settings, self.clock = settings, clock
        make_missing_keys(settings.keys_dir)
        self.gateway = self._assembled()
        self.members = Members(audit=self.gateway.audit)
        self.provider = PrivateKeySigner.generate("ES256")
        self.document = shipped_document()
        with self.gateway.database.write() as session:
            self.members.record(session, at=clock.now())
            self.members.import_(session, self.document, at=clock.now())

    def _assembled(self) -> Gateway:
        return assemble(self.settings, clock=self.clock, passwords=LEAST_COST)

    def rotate(self) -> None:
        """Everybody signs with another key; members' and providers' old ones are forgotten."""
        for purpose in (Purpose.EXCHANGE, Purpose.LOG):
            add_key(self.settings.keys_dir, purpose, ALGORITHMS[purpose][0], now=self.clock.now(), at_once=True)
        self.restart()
        self.provider = PrivateKeySigner.generate("ES256")
        with self.gateway.database.write() as session:
            for member in (BLACKBURN, DWP):
                signer = PrivateKeySigner.generate("ES256")
                self.members.set_keys(session, member, signer.public_jwk())
                jws = sign_agreement(self.document, signer=signer)
                record_signature(
                    session,
                    "DSA-003",
                    1,
                    member=member,
                    jws=jws,
                    audit=self.gateway.audit,
                    by="tests",
                    at=self.clock.now(),
                )

    def restart(self) -> None:
        self.gateway.database.close()
        self.gateway = self._assembled()

    def disclose(self) -> tuple[ExchangeRow, Brought]:
        """Disclose a record and publish its entry; returns the exchange, and what the consumer keeps."""
        self.clock.advance(seconds=60)
        now, gateway, exchange = self.clock.now(), self.gateway, new_id()
        seconds = int(now.timestamp())
        claims = {"iss": DWP, "aud": BLACKBURN, "sub": "handle", "jti": str(exchange), "iat": seconds}
        record = issue_sd_jwt({**claims, "exp": seconds + 60}, FIELDS, signer=self.provider, typ=RECORD_TYP)
        jwt = record.partition("~")[0]
        minimised = MinimisedRecord(
            sd_jwt=record,
            provider_jwt=jwt,
            provider_jwt_digest=digest_b64(jwt.encode()),
            provider_key=self.provider.public_jwk(),
            disclosed=tuple(FIELDS),
            withheld=(),
        )
        with gateway.database.write() as session:
            agreement = self.keep_texts(session, KeptTexts())
            row = self.opened(replace(PERMITTED, agreement=facts(agreement), now=now))
            row.id = exchange
            session.add(row)
            session.flush()
            ending = Ending(outcome="disclosed", decision="permit", record=minimised)
            assert gateway.registrar.conclude(session, row, ending, idempotency_key=None, at=now) is not None
        while gateway.sequencer().run_once():
            pass
        return row, Brought(request=REQUEST, record=record)

    def keep_texts(self, session: Session, kept: KeptTexts) -> Agreement:
        """Keep what is decided by, as a request does; returns the agreement."""
        agreement, policy, now = find_agreement(session, "DSA-003", 1), self.gateway.policy, self.clock.now()
        assert agreement is not None
        kept.keep(session, policy.digest, lambda: policy.texts, at=now)
        kept.keep(session, agreement.signed.digest, lambda: agreement.texts, at=now)
        return agreement

    def opened(self, inputs: DecisionInputs) -> ExchangeRow:
        """An exchange whose provider is being asked."""
        now = self.clock.now()
        return ExchangeRow(
            id=new_id(),
            state="open",
            retry_mac=new_id().bytes * 2,
            request_digest=digest_b64(REQUEST),
            client_id="blackburn-portal",
            consumer=BLACKBURN,
            provider=DWP,
            service="dwp/free-school-meals/v1",
            purpose="free-school-meals",
            agreement="DSA-003",
            agreement_version=1,
            policy_digest=self.gateway.policy.digest,
            subject="a-reference",
            subject_sub="pairwise",
            handle="handle",
            client_key="c" * 43,
            requested_fields=list(FIELDS),
            decision="permit",
            decision_record=inputs.to_document(),
            rules=[],
            fields_disclosed=[],
            fields_withheld=[],
            opened_at=now,
            lease_until=lease_end(now, 30),
        )

    def evidence(self, row: ExchangeRow) -> bytes:
        return export_evidence(self.gateway.audit_context(), row.id, reading=None, say=print).encode()

    def keys(self) -> bytes:
        return public_keys(self.gateway)


@pytest.fixture
def house(database_url: str, tmp_path: Path, clock: FrozenClock) -> Iterator[House]:
    made = House(settings_for(database_url=database_url, state_dir=tmp_path / "state", port=1), clock)
    yield made
    made.gateway.database.close()


def failed_step(file: bytes, keys: bytes) -> str | None:
    """The step that fails with these keys, or None."""
    try:
        settle(file, parse_public_keys(keys))
    except ProofFailed as failed:
        return failed.step
    return None


def test_evidence_of_each_time_is_settled_by_the_keys_of_its_time_and_of_every_later_one(house: House) -> None:
    first, kept = house.disclose()
    at_once, keys_1 = house.evidence(first), house.keys()
    house.rotate()
    second, _ = house.disclose()
    first_after, of_second, keys_2 = house.evidence(first), house.evidence(second), house.keys()
    house.rotate()
    retire_log_key(house.settings.keys_dir, "0001")
    house.restart()
    third, _ = house.disclose()
    years_later, of_third, keys_3 = house.evidence(first), house.evidence(third), house.keys()
    house.gateway.database.close()
    shutil.rmtree(house.settings.state_dir)  # nothing of the gateway is left

    # Each key says when it signed; the newest has no end yet.
    assert ["exp" in key for key in parse_public_keys(keys_3).keys] == [False, True, True]
    for keys in (keys_1, keys_2, keys_3):
        assert failed_step(at_once, keys) is None
        assert failed_step(first_after, keys) is None
    for keys in (keys_2, keys_3):
        assert failed_step(of_second, keys) is None
        assert failed_step(years_later, keys) is None
    assert failed_step(of_third, keys_3) is None
    # A copy from before knows nothing of later keys, and says so.
    assert failed_step(of_second, keys_1) == "1 receipt"
    assert failed_step(years_later, keys_1) == "4 checkpoint"
    assert failed_step(of_third, keys_2) == "1 receipt"

    evidence = settle(years_later, parse_public_keys(keys_3), brought=kept)
    assert [step.name for step in evidence.steps][5:] == ["answer", "agreement", "policy", "request", "record"]
    shown = settle(reveal(years_later, kept, ["tier"]), parse_public_keys(keys_3))
    assert shown.fields == {"tier": "targeted"}


def test_an_exchange_that_was_given_up_has_evidence_of_what_it_was_begun_under(house: House) -> None:
    gateway, now = house.gateway, house.clock.now()
    with gateway.database.write() as session:
        agreement = house.keep_texts(session, KeptTexts())
        row = house.opened(replace(PERMITTED, agreement=facts(agreement), now=now))
        session.add(row)
        session.flush()
        assert abandon(session, gateway.registrar, row, now=now)
    while gateway.sequencer().run_once():
        pass
    evidence = settle(house.evidence(row), parse_public_keys(house.keys()), brought=Brought(request=REQUEST))
    assert evidence.receipt.outcome == "abandoned"
    assert [step.name for step in evidence.steps][5:] == ["agreement", "policy", "request"]


def test_the_signatures_and_keys_shown_are_those_of_the_decision(house: House) -> None:
    first, _ = house.disclose()
    signer = house.members.signers[DWP]
    house.rotate()
    second, _ = house.disclose()
    then, now = (
        export_evidence(house.gateway.audit_context(), row.id, reading=None, say=print).agreement
        for row in (first, second)
    )
    assert then is not None
    assert now is not None
    assert thumbprint(then["signatures"][DWP]["jwk"]) == thumbprint(signer.public_jwk())
    assert then["document"] == now["document"]
    assert then["signatures"][DWP]["jwk"] != now["signatures"][DWP]["jwk"]
