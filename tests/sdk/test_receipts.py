"""What a consumer keeps of its exchanges settles them later, with the gateway's public keys alone."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.sdk.consumer import Answer, AnswerNotBelievable, Consumer, NotAnswered, Refusal
from gateway.sdk.receipts import KeptAnswer, ReceiptFolder, parse_kept
from gateway.sdk.settling import verify_kept, verify_receipt_alone, verify_record_alone
from gateway.wire.errors import MalformedInput, ProofFailed
from gateway.wire.keys import thumbprint
from gateway.wire.message_signatures import HttpRequest, HttpResponse
from gateway.wire.proofs import PublicKeys
from gateway.wire.signer import PrivateKeySigner
from tests.kit.clock import FrozenClock
from tests.kit.statements import ISSUER
from tests.sdk.standing_in import CLIENT, FIELDS, StandIn

STRANGER = PrivateKeySigner.generate("ES256")


class Kept:
    """A consumer that keeps its receipts, and the gateway it asks."""

    def __init__(self, folder: Path, clock: FrozenClock) -> None:
        self.gateway = StandIn(clock=clock)
        self.signer = PrivateKeySigner.generate("ES256")
        self.gateway.respond = self.disclosure
        self.folder = folder / "receipts"
        self.consumer = Consumer(
            ISSUER, CLIENT, self.signer, clock=clock, documents=self.gateway.documents(), receipts=self.folder
        )

    def disclosure(self, request: HttpRequest, **changes: Any) -> HttpResponse:
        keys = {
            "client_key": thumbprint(self.signer.public_jwk()),
            "provider_key": thumbprint(self.gateway.provider.public_jwk()),
        }
        return self.gateway.disclosure(request, receipt={**keys, **changes})

    def ask(self) -> Answer | Refusal:
        return self.consumer.ask(
            service="dwp/free-school-meals/v1",
            purpose="free-school-meals",
            subject={"sub": "pairwise-for-blackburn"},
            fields=["eligible", "tier"],
            access_token="an-officers-token",
        )

    def kept(self) -> KeptAnswer:
        return ReceiptFolder(self.folder).load(self.ask().exchange)

    @property
    def keys(self) -> PublicKeys:
        return PublicKeys(issuer=ISSUER, log_vkey="", keys=(self.gateway.signer.public_jwk(),))


@pytest.fixture
def kept(tmp_path: Path, clock: FrozenClock) -> Kept:
    return Kept(tmp_path, clock)


def test_an_answer_is_kept_for_its_owner_alone_and_settled_from_the_file(kept: Kept) -> None:
    answer = kept.ask()
    [file] = kept.folder.iterdir()
    assert file.name == f"{answer.exchange}.json"
    assert (file.stat().st_mode & 0o777, kept.folder.stat().st_mode & 0o777) == (0o600, 0o700)
    verdict = verify_kept(parse_kept(file.read_bytes()), kept.keys)
    assert verdict.receipt == answer.receipt
    assert [step.name for step in verdict.steps] == ["receipt", "request", "record", "disclosure"]


def test_a_record_is_settled_long_after_it_could_be_used(kept: Kept, clock: FrozenClock) -> None:
    found = kept.kept()
    clock.advance(seconds=10 * 366 * 86_400)
    assert verify_kept(found, kept.keys).receipt.outcome == "disclosed"
    record = verify_record_alone(str(found.record), provider_keys=[kept.gateway.provider.public_jwk()])
    assert record.fields == FIELDS
    with pytest.raises(ProofFailed):
        verify_record_alone(str(found.record), provider_keys=[STRANGER.public_jwk()])


@pytest.mark.parametrize("time", ["nonsense", "2026-11-23T09:30:00", "0001-01-01T00:00:00+14:00"])
def test_a_receipt_whose_time_is_none_is_told_as_that(kept: Kept, time: str) -> None:
    kept.gateway.respond = lambda request: kept.disclosure(request, issued_at=time, checks_digest="x" * 43)
    with pytest.raises(AnswerNotBelievable):
        kept.ask()  # the checks are missing, and it is kept by hand
    [request] = kept.gateway.requests
    disclosed = json.loads(kept.disclosure(request, issued_at=time, checks_digest="x" * 43).body)
    found = KeptAnswer(
        exchange=disclosed["exchange"],
        request=request.body.decode(),
        receipt=disclosed["receipt"],
        record=disclosed["record"],
        provider_jwk=kept.gateway.provider.public_jwk(),
        checks="a.b.c~",
    )
    with pytest.raises(ProofFailed, match="the receipt's time is not one"):
        verify_kept(found, kept.keys)


def test_a_refusal_and_a_failure_are_kept_too(kept: Kept) -> None:
    kept.gateway.respond = kept.gateway.refusal
    refused = kept.kept()
    assert refused.record is None
    assert verify_kept(refused, kept.keys).receipt.outcome == "refused"

    def failure(request: HttpRequest) -> HttpResponse:
        disclosed = json.loads(
            kept.gateway.disclosure(request, receipt={"outcome": "failed", "fields_disclosed": ()}).body
        )
        problem = {"code": "provider_timeout", "exchange": disclosed["exchange"], "receipt": disclosed["receipt"]}
        return kept.gateway.sign(HttpResponse(status=504, body=json.dumps(problem).encode()), request)

    kept.gateway.respond = failure
    with pytest.raises(NotAnswered):
        kept.ask()
    [exchange] = ReceiptFolder(kept.folder).exchanges()
    assert verify_kept(ReceiptFolder(kept.folder).load(exchange), kept.keys).receipt.outcome == "failed"


def test_nothing_is_kept_unless_asked_for_nor_of_an_answer_that_is_not_believed(
    kept: Kept, clock: FrozenClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    kept.gateway.respond = lambda request: kept.disclosure(request, client_key="x" * 43)
    with pytest.raises(AnswerNotBelievable):
        kept.ask()
    assert not list(kept.folder.iterdir())
    kept.folder.rmdir()
    kept.gateway.respond = kept.disclosure
    kept.consumer = Consumer(ISSUER, CLIENT, kept.signer, clock=clock, documents=kept.gateway.documents())
    kept.ask()
    assert not list(tmp_path.iterdir())


def a_changed_value(found: KeptAnswer) -> KeptAnswer:
    jwt, first, second, _end = str(found.record).split("~")
    return replace(
        found, record="~".join((jwt, first[:-2] + ("A" if first[-2] != "A" else "B") + first[-1], second, ""))
    )


def one_left_out(found: KeptAnswer) -> KeptAnswer:
    jwt, first, _second, _end = str(found.record).split("~")
    return replace(found, record=f"{jwt}~{first}~")


TAMPERED: dict[str, tuple[Callable[[KeptAnswer], KeptAnswer], str]] = {
    "the question": (lambda found: replace(found, request=found.request.replace("tier", "tear")), "2 request"),
    "the exchange": (lambda found: replace(found, exchange="0193a5c0-7c00-7000-8000-00000000dead"), "2 request"),
    "the receipt": (lambda found: replace(found, receipt=found.receipt[:-4] + "AAAA"), "1 receipt"),
    "a value": (a_changed_value, "3 record"),
    "a field left out": (one_left_out, "4 disclosure"),
    "the record left out": (lambda found: replace(found, record=None), "3 record"),
    "the provider's key": (lambda found: replace(found, provider_jwk=STRANGER.public_jwk()), "3 record"),
    "no key of the provider's": (lambda found: replace(found, provider_jwk=None), "3 record"),
}


@pytest.mark.parametrize(("tamper", "step"), TAMPERED.values(), ids=TAMPERED)
def test_what_was_changed_afterwards_is_named(
    kept: Kept, tamper: Callable[[KeptAnswer], KeptAnswer], step: str
) -> None:
    with pytest.raises(ProofFailed) as failed:
        verify_kept(tamper(kept.kept()), kept.keys)
    assert failed.value.step == step


def test_a_record_signed_anew_with_a_key_brought_along_is_named(kept: Kept) -> None:
    forged = kept.gateway.record(signer=STRANGER, fields={"eligible": False, "tier": None})
    with pytest.raises(ProofFailed) as failed:
        verify_kept(replace(kept.kept(), record=forged, provider_jwk=STRANGER.public_jwk()), kept.keys)
    assert failed.value.step == "3 record"


def test_a_record_put_beside_another_receipt_is_named(kept: Kept) -> None:
    one = kept.kept()
    other = kept.kept()  # the same fields, signed anew
    with pytest.raises(ProofFailed) as failed:
        verify_kept(replace(one, record=other.record), kept.keys)
    assert failed.value.step == "4 disclosure"


def test_a_receipt_that_names_no_key_needs_the_providers_from_elsewhere(kept: Kept) -> None:
    kept.gateway.respond = lambda request: kept.disclosure(request, provider_key=None, client_key=None)
    found = kept.kept()
    with pytest.raises(ProofFailed) as failed:
        verify_kept(found, kept.keys)
    assert failed.value.step == "3 record"
    settled = verify_kept(found, kept.keys, provider_keys=[kept.gateway.provider.public_jwk()])
    assert settled.receipt.fields_disclosed == ("eligible", "tier")


def test_a_receipt_alone_is_settled_and_another_gateways_keys_do_not(kept: Kept) -> None:
    receipt = kept.kept().receipt
    assert verify_receipt_alone(receipt, kept.keys).receipt.client == CLIENT
    for wrong in (
        replace(kept.keys, issuer="https://another.example"),
        replace(kept.keys, keys=(STRANGER.public_jwk(),)),
    ):
        with pytest.raises(ProofFailed):
            verify_receipt_alone(receipt, wrong)


def test_only_an_exchanges_id_becomes_a_files_name(kept: Kept) -> None:
    folder = ReceiptFolder(kept.folder)
    for name in ("../outside", "a/b", "", "."):
        with pytest.raises(MalformedInput):
            folder.load(name)


def test_a_file_that_could_not_be_finished_leaves_what_was_there(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = kept.ask()
    [file] = kept.folder.iterdir()
    before = file.read_bytes()

    def disk_full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", disk_full)
    with pytest.raises(OSError, match="No space"):
        ReceiptFolder(kept.folder).keep(b"{}", answer)
    assert [path.read_bytes() for path in kept.folder.iterdir()] == [before]


def test_what_is_no_kept_answer_is_said_to_be_none() -> None:
    for data in (b"[]", b"{}", b'{"format": "gateway-kept-answer/1"}'):
        with pytest.raises(MalformedInput):
            parse_kept(data)
