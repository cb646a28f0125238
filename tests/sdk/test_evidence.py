"""Evidence is settled with the gateway's public keys alone, and no byte of it can be changed unnoticed."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.sdk.cli import main
from gateway.sdk.evidence import Brought, load_brought, reveal, settle
from gateway.wire.canonical import canonical_json
from gateway.wire.contracts import RECORD_TYP
from gateway.wire.errors import ProofFailed
from gateway.wire.proofs import PublicKeys, encode_public_keys, parse_public_keys
from gateway.wire.signer import PrivateKeySigner
from tests.kit.evidence import FIELDS, PROVIDER, REQUEST, RESULTS, Dispute, kept_file
from tests.kit.statements import NOW

DISPUTE = Dispute()
EVIDENCE, KEPT = DISPUTE.evidence()
FILE = EVIDENCE.encode()
KEYS = DISPUTE.public_keys
ALL = ["receipt", "entry", "statement", "checkpoint", "inclusion", "answer", "checks", "agreement", "policy", "details"]


def failed_step(file: bytes, brought: Brought | None = None) -> str:
    with pytest.raises(ProofFailed) as failed:
        settle(file, KEYS, brought=brought)
    return failed.value.step


def written(members: Any) -> bytes:
    return canonical_json(members) + b"\n"


def test_every_part_is_proved_and_no_value_shown() -> None:
    settled = settle(FILE, KEYS)
    assert [step.name for step in settled.steps] == ALL
    assert settled.fields == {}
    assert settled.agreement is not None
    assert settled.agreement["title"] == "A sample"
    assert settled.details is not None
    assert settled.details["officer"] == "a synthetic officer"
    assert b"targeted" not in FILE


def test_what_the_consumer_kept_is_held_against_it() -> None:
    settled = settle(FILE, KEYS, brought=load_brought(None, kept_file(KEPT)))
    assert [step.name for step in settled.steps][-2:] == ["request", "record"]
    assert failed_step(FILE, Brought(request=REQUEST + b" ")) == "12 request"
    _, others = DISPUTE.evidence()
    assert failed_step(FILE, Brought(record=others.record)) == "13 record"
    assert failed_step(FILE, Brought(checks=others.checks)) == "13 record"


@pytest.mark.parametrize("name", [*FIELDS, *RESULTS])
def test_one_chosen_field_is_revealed_without_the_others(name: str) -> None:
    shown = reveal(FILE, KEPT, [name])
    settled = settle(shown, KEYS)
    assert settled.fields == {name: {**FIELDS, **RESULTS}[name]}
    others = {one for part in (KEPT.record, KEPT.checks) for one in str(part).removesuffix("~").split("~")[1:]}
    assert sum(one in shown.decode() for one in others) == 1


def test_nothing_is_revealed_of_another_exchange_or_without_its_field() -> None:
    _, others = DISPUTE.evidence()
    for kept, field in ((others, "eligible"), (KEPT, "award_amount"), (Brought(record="~"), "eligible")):
        with pytest.raises(ProofFailed) as failed:
            reveal(FILE, kept, [field])
        assert failed.value.step == "0 record"


def test_a_disclosure_that_was_not_signed_or_not_disclosed_is_refused() -> None:
    members = json.loads(reveal(FILE, KEPT, ["eligible"]))
    members["disclosures"]["record"].append("WyJzYWx0IiwiYXdhcmQiLDFd")
    assert failed_step(written(members)) == "6 answer"
    evidence, kept = DISPUTE.evidence(fields_disclosed=("tier",))
    assert failed_step(reveal(evidence.encode(), kept, ["eligible"])) == "11 disclosures"


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict | list) and value:
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(item, (*path, key))
    else:
        yield path


def changed(value: Any) -> list[Any]:
    if isinstance(value, str):
        swapped = "A" if value[len(value) // 2 : len(value) // 2 + 1] != "A" else "B"
        return [value[: len(value) // 2] + swapped + value[len(value) // 2 + 1 :], "", None]
    return [value + 1, -1, None] if type(value) is int else [["x"], "x", {"x": 1}]


SHOWN = reveal(FILE, KEPT, ["tier", "qualifies"])


@pytest.mark.parametrize("path", list(leaves(json.loads(SHOWN))), ids=lambda path: "/".join(map(str, path)))
def test_a_change_of_any_member_fails_a_step(path: tuple[Any, ...]) -> None:
    original: Any = json.loads(SHOWN)
    for key in path:
        original = original[key]
    for value in changed(original):
        members = json.loads(SHOWN)
        place = members
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value
        assert failed_step(written(members))


def test_bytes_changed_cut_or_added_are_noticed() -> None:
    for place in range(7, len(SHOWN), 71):
        for other in (bytes([SHOWN[place] ^ 1]), b"", b" " + SHOWN[place : place + 1]):
            assert failed_step(SHOWN[:place] + other + SHOWN[place + 1 :])


@pytest.mark.prove
@pytest.mark.timeout(300)
@pytest.mark.parametrize("bit", [1, 32])
def test_every_single_byte_changed_is_noticed(bit: int) -> None:
    for place in range(len(SHOWN)):
        assert failed_step(SHOWN[:place] + bytes([SHOWN[place] ^ bit]) + SHOWN[place + 1 :])


@pytest.mark.parametrize(
    ("part", "step"),
    [("provider", "6 answer"), ("checks", "7 checks"), ("agreement", "8 agreement"), ("policy", "9 policy")],
)
def test_a_part_that_the_receipt_names_cannot_be_left_out_or_taken_from_another(part: str, step: str) -> None:
    members = json.loads(FILE)
    assert failed_step(written(members | {part: None})) == step
    other = Dispute(gateway=DISPUTE.gateway, log=DISPUTE.log)
    theirs = json.loads(other.evidence()[0].encode())[part]
    if theirs != members[part]:
        assert failed_step(written(members | {part: theirs})) == step


def test_another_answer_by_the_same_key_or_the_same_by_another_is_refused() -> None:
    members = json.loads(FILE)
    again = DISPUTE.signed({"eligible": False}, by=DISPUTE.provider, issuer=PROVIDER, typ=RECORD_TYP).partition("~")[0]
    assert failed_step(written(members | {"provider": members["provider"] | {"jwt": again}})) == "6 answer"
    other_key, _ = DISPUTE.evidence(provider_key="k" * 43)
    assert failed_step(other_key.encode()) == "6 answer"


def test_nothing_may_stand_in_the_file_that_nothing_covers() -> None:
    members = json.loads(FILE)
    named = members["provider"]["jwk"] | {"use": "sig"}
    assert failed_step(written(members | {"provider": members["provider"] | {"jwk": named}})) == "0 file"
    another_line = members["checkpoint"] + members["checkpoint"].splitlines()[-1].replace("example/log", "org/w") + "\n"
    assert failed_step(written(members | {"checkpoint": another_line})) == "0 file"
    assert failed_step(written(members | {"exported_by": "us"})) == "0 file"


def test_an_agreement_that_one_member_did_not_sign_proves_no_disclosure() -> None:
    forged = Dispute(gateway=DISPUTE.gateway, log=DISPUTE.log, members={"dwp": PrivateKeySigner.generate("ES256")})
    assert failed_step(forged.evidence()[0].encode()) == "8 agreement"


def test_a_receipt_of_a_gateway_that_kept_less_needs_less() -> None:
    evidence, _ = DISPUTE.evidence(details=False, client_key=None, agreement_digest=None, checks_digest=None)
    members = json.loads(evidence.encode()) | {"agreement": None, "policy": None, "checks": None}
    assert [step.name for step in settle(written(members), KEYS).steps] == [*ALL[:5], "answer"]


def test_keys_that_come_with_the_file_are_not_believed() -> None:
    impostor = Dispute()
    with pytest.raises(ProofFailed) as failed:
        settle(impostor.evidence()[0].encode(), KEYS)
    assert failed.value.step == "1 receipt"


def keys_dated(**times: int) -> PublicKeys:
    """The public keys, the receipt's with times in seconds from when it was issued."""
    issued = int(NOW.timestamp())
    dated = {**DISPUTE.gateway.public_jwk(), **{name: issued + seconds for name, seconds in times.items()}}
    return parse_public_keys(encode_public_keys(replace(KEYS, keys=(dated,))))


@pytest.mark.parametrize("times", [{"nbf": 400}, {"exp": -400}])
def test_a_receipt_dated_outside_the_time_of_its_key_is_refused(times: dict[str, int]) -> None:
    with pytest.raises(ProofFailed) as failed:
        settle(FILE, keys_dated(**times))
    assert failed.value.step == "1 receipt"


@pytest.mark.parametrize("times", [{"nbf": -400, "exp": 400}, {"nbf": 200, "exp": 500}, {"exp": -200}])
def test_processes_change_keys_each_when_it_sees_them(times: dict[str, int]) -> None:
    assert settle(FILE, keys_dated(**times)).steps


@pytest.fixture
def files(tmp_path: Path) -> Callable[[str, bytes], str]:
    def write(name: str, data: bytes) -> str:
        (tmp_path / name).write_bytes(data)
        return str(tmp_path / name)

    return write


def test_the_command_settles_and_reveals(
    files: Callable[[str, bytes], str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = files("keys.json", encode_public_keys(KEYS))
    file, kept = files("evidence.json", FILE), files("kept.json", kept_file(KEPT))
    shown = tmp_path / "shown.json"
    assert main(["verify", file, "--keys", keys, "--record", kept]) == 0
    told = capsys.readouterr().out
    assert "ok  13 record" in told
    assert "targeted" not in told
    assert main(["verify", file, "--keys", keys, "--record", kept, "--reveal", "tier", "-o", str(shown)]) == 0
    capsys.readouterr()
    assert shown.stat().st_mode & 0o077 == 0
    assert main(["verify", str(shown), "--keys", keys]) == 0
    told = capsys.readouterr().out
    assert "tier = 'targeted'" in told
    assert "eligible =" not in told
    files("evidence.json", FILE.replace(b"dwp", b"dvp", 1))
    assert main(["verify", file, "--keys", keys]) == 1
    assert capsys.readouterr().err.startswith("FAILED  ")
    with pytest.raises(SystemExit) as ended:
        main(["verify", file, "--keys", keys, "--reveal", "tier"])
    assert ended.value.code == 2
