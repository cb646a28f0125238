"""The kit against a running gateway: threads, bound tokens, kept receipts, and a department found by the ladder."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gateway.directory.oauth import OAuthSettings
from gateway.sdk.cli import main
from gateway.sdk.consumer import Answer, Consumer, NotAnswered, Refusal
from gateway.sdk.receipts import ReceiptFolder
from gateway.sdk.settling import verify_kept
from gateway.sdk.verify import load_public_keys
from gateway.wire.signer import PrivateKeySigner
from tests.conformance.attached import SMALL, attached
from tests.kit.attaching_department import FIELD
from tests.kit.world import ADA_MATCH, World

if TYPE_CHECKING:
    from tests.kit.oidc_world import OidcWorld


def test_many_threads_ask_with_one_consumer_and_keep_what_settles_each_exchange(world: World, tmp_path: Path) -> None:
    key = world.layout.key_file("blackburn-portal")
    consumer = Consumer(world.issuer, "blackburn-portal", key, ca_file=world.layout.ca_file, receipts=tmp_path / "kept")
    asking, token = world.asking(), world.officer_token()
    wanted = [["eligible"], ["tier"], ["eligible", "tier"], ["award_amount"]] * 4

    def ask(fields: list[str]) -> Answer | Refusal:
        return consumer.ask(
            service=asking.service,
            purpose=asking.purpose,
            subject={"match": ADA_MATCH},
            fields=fields,
            case_reference="FSM/2026/00017",
            access_token=token,
        )

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(ask, wanted))
    for fields, answer in zip(wanted, answers, strict=True):
        # Each thread has the answer to its own question: what it may not have is refused, the rest is disclosed.
        assert isinstance(answer, Refusal if fields == ["award_amount"] else Answer)
        if isinstance(answer, Answer):
            assert sorted(answer.fields) == sorted(fields)
    assert len({answer.exchange for answer in answers}) == len(wanted)
    folder, [keys] = ReceiptFolder(tmp_path / "kept"), load_public_keys(world.public_keys_file())
    assert set(folder.exchanges()) == {answer.exchange for answer in answers}
    for answer in answers:
        assert verify_kept(folder.load(answer.exchange), keys).receipt == answer.receipt


def test_a_client_whose_tokens_are_bound_to_a_key_asks_with_it(provider: "OidcWorld") -> None:
    rp = provider.relying_party(
        oauth=OAuthSettings(id_token_signed_response_alg="ES256", dpop_bound_access_tokens=True)
    )

    def ask(dpop: PrivateKeySigner | None) -> Answer | Refusal:
        consumer = Consumer(provider.issuer, rp.client.client_id, rp.signer, dpop=dpop, clock=provider.clock)
        return consumer.ask(
            service="dwp/free-school-meals/v1",
            purpose="free-school-meals",
            subject={"sub": "somebody"},
            fields=["eligible"],
        )

    # In its own name nobody is answered: a refusal shows that token, proof and signature were accepted.
    refused = ask(PrivateKeySigner.generate("ES256"))
    assert isinstance(refused, Refusal)
    assert "officer_required" in {rule.code for rule in refused.rules}
    with pytest.raises(NotAnswered) as turned_away:
        ask(None)
    assert turned_away.value.code == "invalid_dpop_proof"


def test_the_command_asks_fetches_the_letter_and_keeps_what_proves_it(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    asking = attached(world, size=SMALL)
    (tmp_path / "person.json").write_text(json.dumps({"match": ADA_MATCH}))
    (tmp_path / "token").write_text(world.officer_token())
    options = f"--issuer {world.issuer} --client blackburn-portal --receipts kept --documents pdf --token-file token"
    question = f"ask {asking.service} --purpose {asking.purpose} --field eligible --field {FIELD} --case-reference F/1"
    key = ["--key", str(world.layout.key_file("blackburn-portal"))]
    assert main([*question.split(), "--subject", "person.json", *options.split(), *key]) == 0
    assert "ok  dwp signed these facts" in capsys.readouterr().out
    [letter] = (tmp_path / "pdf").iterdir()
    assert letter.stat().st_size == SMALL
    [kept] = (tmp_path / "kept").iterdir()
    assert main(["verify", str(kept), "--keys", str(world.public_keys_file())]) == 0
    assert f"disclosed: eligible, {FIELD}" in capsys.readouterr().out
