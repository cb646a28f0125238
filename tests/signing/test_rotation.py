"""A key is published before it signs and until nothing it signed can live; in every process, whatever crashes."""

import base64
import contextlib
import json
import os
import re
import shutil
import threading
from collections.abc import Callable
from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest
from joserfc import jws
from joserfc.jwk import KeySet

from gateway.oidc.tokens.access_tokens import LIFETIME
from gateway.signing import rotation
from gateway.signing.errors import KeyFileDamaged, KeyNotMade, KeyNotRetired, SigningKeyMissing
from gateway.signing.key_files import key_files
from gateway.signing.purposes import ALGORITHMS, KEPT_AFTER, PUBLISHED_AHEAD
from gateway.signing.rotation import add_key, load_keys, make_missing_keys, retire_key, revoke_key
from gateway.signing.signing_keys import Purpose, SigningKeys
from gateway.wire.jws import issue_jws
from gateway.wire.signer import PrivateKeySigner
from tests.signing.conftest import House

TOKENS = Purpose.TOKENS


def kids(keys: SigningKeys, purpose: Purpose = TOKENS) -> list[str]:
    return [jwk["kid"] for jwk in keys.public_jwks(purpose)]


def verifies(token: str, keys: SigningKeys) -> bool:
    """Whether a relying party with a library of its own takes this token, by what is published now."""
    published = KeySet.import_key_set({"keys": [dict(jwk) for jwk in keys.public_jwks(TOKENS)]})
    try:
        jws.deserialize_compact(token, published, algorithms=list(ALGORITHMS[TOKENS]))
    except Exception:  # noqa: BLE001 - whatever the library makes of it
        return False
    return True


def token_by(keys: SigningKeys, algorithm: str | None = None) -> str:
    return issue_jws(b"{}", typ="JWT", signer=keys.current(TOKENS, algorithm))


def test_each_algorithm_has_a_key_of_its_own_which_says_so(house: House) -> None:
    keys = house.load()
    assert keys.algorithms(TOKENS) == ("ES256", "RS256", "PS256")
    assert keys.current(TOKENS).algorithm == "ES256"
    published = {jwk["kid"]: jwk["alg"] for jwk in keys.public_jwks(TOKENS)}
    assert sorted(published.values()) == ["ES256", "PS256", "RS256"]
    for algorithm in keys.algorithms(TOKENS):
        signer = keys.current(TOKENS, algorithm)
        assert published[signer.key_id] == algorithm
        assert verifies(token_by(keys, algorithm), keys)
    moduli = {jwk["n"] for jwk in keys.public_jwks(TOKENS) if jwk["kty"] == "RSA"}
    assert len(moduli) == 2  # one key, one algorithm
    assert not any({"d", "p", "q"} & jwk.keys() for jwk in keys.public_jwks(TOKENS))
    with pytest.raises(SigningKeyMissing):
        keys.current(TOKENS, "HS256")
    with pytest.raises(SigningKeyMissing):
        keys.current(Purpose.EXCHANGE, "RS256")


def test_rsa_keys_have_3072_bits() -> None:
    """Without the tests' stock: as a gateway makes them."""
    assert len(PrivateKeySigner.generate("RS256").sign(b"")) * 8 == 3072


def test_a_key_is_published_then_signs_then_is_kept_then_is_gone(house: House) -> None:
    keys = house.load()
    first = keys.current(TOKENS)
    assert house.run("rotate", "tokens", "--algorithm", "ES256").exit_code == 0
    keys.look()
    assert house.states() == [("0001", "signs"), ("0004", "next")]
    assert keys.current(TOKENS).key_id == first.key_id
    second = next(kid for kid in kids(keys) if kid != first.key_id)
    assert len(kids(keys)) == 4

    house.clock.advance(seconds=PUBLISHED_AHEAD.total_seconds() - 1)
    assert keys.current(TOKENS).key_id == first.key_id
    last_token = token_by(keys)
    house.clock.advance(seconds=1)
    assert keys.current(TOKENS).key_id == second
    assert house.states() == [("0001", "kept"), ("0004", "signs")]
    assert verifies(last_token, keys)

    house.clock.advance(seconds=KEPT_AFTER.total_seconds() - 1)
    assert first.key_id in kids(keys)
    house.clock.advance(seconds=1)
    assert house.states() == [("0001", "over"), ("0004", "signs")]
    assert first.key_id not in kids(keys)
    assert not verifies(last_token, keys)


def test_what_a_key_signed_is_over_before_the_key_is() -> None:
    from gateway.oidc.tokens import id_token  # noqa: PLC0415 - beside the other lifetime

    assert LIFETIME < KEPT_AFTER
    assert getattr(id_token, "LIFETIME", timedelta()) < KEPT_AFTER


def test_a_process_that_runs_notices_by_itself(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.signing.signing_keys.LOOK_EVERY", 0.0)
    keys = house.load()
    before = kids(keys)
    house.run("rotate", "tokens")
    assert len(kids(keys)) == len(before) + 3
    key = load_keys(house.keys_dir, TOKENS)[0]
    house.run("revoke", "tokens", key.number)
    assert key.key_id not in kids(keys)


def test_keys_of_the_exchange_are_published_for_ever(house: House) -> None:
    keys = house.load()
    first = keys.current(Purpose.EXCHANGE)
    assert house.run("rotate", "exchange").exit_code == 0
    keys.look()
    assert keys.current(Purpose.EXCHANGE).key_id == first.key_id
    house.clock.advance(days=4000)
    assert keys.current(Purpose.EXCHANGE).key_id != first.key_id
    house.schedule(days=0).run_once()
    keys.look()
    assert first.key_id in kids(keys, Purpose.EXCHANGE)
    assert house.run("retire", "exchange", "0001").exit_code == 2
    assert house.run("revoke", "exchange", "0001").exit_code == 2


def test_a_second_rotation_waits_for_the_first(house: House) -> None:
    house.run("rotate", "tokens", "--algorithm", "ES256")
    refused = house.run("rotate", "tokens", "--algorithm", "ES256")
    assert isinstance(refused.exception, KeyNotMade)
    assert [number for number, _ in house.states()] == ["0001", "0004"]


def test_an_emergency_rotation_signs_at_once_and_the_waiting_key_never_does(house: House) -> None:
    house.run("rotate", "tokens", "--algorithm", "ES256")
    at_once = house.run("rotate", "tokens", "--algorithm", "ES256", "--now")
    assert at_once.exit_code == 0
    assert "Key 0004, which waited to sign, never will: 0005 does in its place." in at_once.output
    assert dict(house.states())["0005"] == "signs"
    house.clock.advance(seconds=PUBLISHED_AHEAD.total_seconds())
    assert dict(house.states())["0005"] == "signs"


def test_a_clock_that_was_set_back_leaves_nobody_without_a_key(house: House) -> None:
    keys = house.load()
    house.run("rotate", "tokens", "--algorithm", "ES256", "--now")
    keys.look()
    newest = keys.current(TOKENS).key_id
    house.run("revoke", "tokens", "0001")
    house.clock.advance(days=-400)
    keys.look()
    assert keys.current(TOKENS).key_id == newest
    assert verifies(token_by(keys), keys)


@pytest.mark.parametrize("number", ["0001", "9999", "../0001"])
def test_a_key_that_is_needed_is_not_retired(house: House, number: str) -> None:
    before = sorted(house.keys_dir.rglob("*"))
    refused = house.run("retire", "tokens", number).exception
    assert isinstance(refused, KeyNotRetired)
    assert refused.public.startswith("Key 0001 is needed: it signs." if number == "0001" else "There is no key")
    assert sorted(house.keys_dir.rglob("*")) == before
    assert house.events() == []


def test_an_algorithm_that_is_not_ours_is_refused(house: House) -> None:
    assert house.run("rotate", "tokens", "--algorithm", "HS256").exit_code == 2
    assert house.run("rotate", "exchange", "--algorithm", "RS256").exit_code == 2


# --- Revocation


def test_a_stolen_key_is_out_of_use_at_once_and_another_signs(house: House) -> None:
    keys = house.load()
    stolen = keys.current(TOKENS)
    forged = token_by(keys)
    told = house.run("revoke", "tokens", "0001")
    assert told.exit_code == 0, told.output
    assert "stay signed in" in told.output
    keys.look()
    assert keys.current(TOKENS).key_id != stolen.key_id
    assert not verifies(forged, keys)
    assert stolen.key_id not in {jwk["kid"] for jwk in keys.past_jwks()}
    assert house.events() == [("added", "tokens", "0004"), ("revoked", "tokens", "0001")]
    assert not (house.keys_dir / "tokens" / "0001.pem").exists()


def test_a_revoked_key_does_not_come_back_with_its_file(house: House) -> None:
    file = house.keys_dir / "tokens" / "0001.pem"
    content = file.read_bytes()
    stolen = house.load().current(TOKENS).key_id
    house.run("revoke", "tokens", "0001")
    file.write_bytes(content)  # from a copy of the folder
    keys = house.load()
    assert stolen not in kids(keys)
    assert keys.current(TOKENS).key_id != stolen
    house.schedule().run_once()
    assert not file.exists()


def test_a_retired_key_opens_old_hints_until_it_is_revoked(house: House) -> None:
    first = house.load().current(TOKENS).key_id
    house.run("rotate", "tokens", "--algorithm", "ES256")
    house.clock.advance(hours=3)
    assert house.run("retire", "tokens", "0001").exit_code == 0
    keys = house.load()
    assert [jwk["kid"] for jwk in keys.past_jwks()] == [first]
    assert not any("d" in jwk for jwk in keys.past_jwks())
    assert house.run("revoke", "tokens", "0001").exit_code == 0
    keys.look()
    assert keys.past_jwks() == ()
    assert [name for name, _, _ in house.events()] == ["added", "retired", "revoked"]
    listed = json.loads(house.run("list", "--json").output)
    assert [key["state"] for key in listed if (key["purpose"], key["number"]) == ("tokens", "0001")] == ["revoked"]


def test_the_only_key_of_an_algorithm_is_not_revoked_without_another(house: House) -> None:
    key = load_keys(house.keys_dir, TOKENS)[0]
    with pytest.raises(KeyNotRetired):
        revoke_key(house.keys_dir, key, now=house.clock.now())
    assert key.path.exists()


def test_revoking_a_key_brings_none_back_that_was_over(house: House) -> None:
    keys = house.load()
    first = keys.current(TOKENS).key_id
    house.run("rotate", "tokens", "--algorithm", "ES256")
    house.clock.advance(hours=3)
    house.run("revoke", "tokens", "0004")
    keys.look()
    assert first not in kids(keys)


# --- The schedule


def test_work_rotates_when_a_key_is_old_and_sets_aside_what_is_over(house: House) -> None:
    schedule = house.schedule(days=90)
    house.clock.advance(days=89)
    assert schedule.run_once() == 0
    house.clock.advance(days=1)
    assert schedule.run_once() == 3
    assert schedule.run_once() == 0
    assert house.states() == [("0001", "signs"), ("0004", "next")]
    house.clock.advance(hours=1)
    assert schedule.run_once() == 0
    house.clock.advance(hours=1)
    assert schedule.run_once() == 3
    assert house.states() == [("0004", "signs")]
    assert house.states("RS256") == [("0005", "signs")]
    added, retired = (
        [("added", "tokens", f"000{n}") for n in (4, 5, 6)],
        [("retired", "tokens", f"000{n}") for n in (1, 2, 3)],
    )
    assert house.events() == added + retired
    assert not list((house.keys_dir / "tokens").glob("000[123].pem"))


def test_without_a_period_work_rotates_nothing(house: House) -> None:
    house.clock.advance(days=4000)
    assert house.schedule(days=0).run_once() == 0
    assert house.states() == [("0001", "signs")]


def test_several_work_processes_rotate_once(recording_house: House) -> None:
    house = recording_house
    house.clock.advance(days=91)
    schedules = [house.schedule() for _ in range(4)]
    ready = threading.Barrier(len(schedules))

    def work(index: int) -> None:
        ready.wait()
        schedules[index].run_once()

    threads = [threading.Thread(target=work, args=(index,)) for index in range(len(schedules))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [file.stem for file in key_files(house.keys_dir, TOKENS)] == [f"000{n}" for n in range(1, 7)]
    for algorithm in ALGORITHMS[TOKENS]:
        assert [state for _, state in house.states(algorithm)] == ["signs", "next"]


@pytest.mark.parametrize("other", ["command", "work"])
def test_whoever_decides_while_another_is_deciding_makes_no_second_key(
    house: House, monkeypatch: pytest.MonkeyPatch, other: str
) -> None:
    """The other one begins and ends between the decision of the first and its writing."""
    house.clock.advance(days=91)
    make, once = rotation.new_signer, iter([True])

    def meanwhile(algorithm: str) -> PrivateKeySigner:
        if next(once, None):
            house.run("rotate", "tokens") if other == "command" else house.schedule().run_once()
        return make(algorithm)

    monkeypatch.setattr(rotation, "new_signer", meanwhile)
    with pytest.raises(KeyNotMade):
        add_key(house.keys_dir, TOKENS, "ES256", now=house.clock.now())
    assert house.schedule().run_once() == 0
    assert [state for _, state in house.states()] == ["signs", "next"]
    assert len([event for event in house.events() if event[0] == "added"]) == 3


def test_a_folder_of_an_earlier_release_gets_what_it_lacks(house: House) -> None:
    """One ES256 key without any facts above it, and one rotated by the old rules."""
    for path in (house.keys_dir / "tokens").glob("*.pem"):
        path.unlink()
    old = [PrivateKeySigner.generate("ES256") for _ in range(2)]
    for number, signer in enumerate(old, 1):
        (house.keys_dir / "tokens" / f"000{number}.pem").write_bytes(signer.private_pem())
    keys = house.load()
    assert keys.current(TOKENS).key_id == old[1].key_id
    assert kids(keys) == [old[1].key_id, old[0].key_id]
    assert keys.algorithms(TOKENS) == ("ES256",)
    assert house.schedule().run_once() == 2
    keys.look()
    assert keys.algorithms(TOKENS) == ("ES256", "RS256", "PS256")
    assert verifies(token_by(keys, "RS256"), keys)
    assert house.events() == [("added", "tokens", "0003"), ("added", "tokens", "0004")]
    assert make_missing_keys(house.keys_dir) == ()
    # Nobody knows since when the first signs no more: it is kept until the operator says so.
    house.clock.advance(days=30)
    assert house.states()[0] == ("0001", "kept")
    assert house.run("retire", "tokens", "0001").exit_code == 0


# --- Crashes and damage


class Killed(BaseException):
    """The process ends here."""


def kill_at(patch: pytest.MonkeyPatch, turn: int) -> list[int]:
    """End the process at this call, and every later one, among those that bring files to the disk or take them away."""
    calls = [0]

    def lethal(original: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **options: object) -> object:
            calls[0] += 1
            if calls[0] >= turn:
                raise Killed
            return original(*arguments, **options)

        return call

    patch.setattr(os, "fsync", lethal(os.fsync))
    patch.setattr(os, "link", lethal(os.link))
    patch.setattr(Path, "unlink", lethal(Path.unlink))
    return calls


@pytest.fixture
def _one_algorithm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every step is the same for each of them, and RSA keys take long to make."""
    monkeypatch.setitem(ALGORITHMS, TOKENS, ("ES256",))


@pytest.mark.usefixtures("_one_algorithm")
@pytest.mark.parametrize("deed", ["rotate", "revoke", "work"])
def test_whoever_is_killed_at_any_step_leaves_a_working_gateway(
    house: House, deed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.run("rotate", "tokens", "--algorithm", "ES256")
    house.clock.advance(hours=3)  # 0001 is over
    whole = house.keys_dir

    def act() -> None:
        if deed == "work":
            house.schedule(days=0.1).run_once()
            return
        arguments = {"rotate": ("tokens",), "revoke": ("tokens", "0002")}[deed]
        result = house.run(deed, *arguments)
        # Asked again: what was killed may have made it already.
        assert result.exit_code == 0 or isinstance(result.exception, KeyNotMade), result.output

    for turn in count(1):
        house.keys_dir = shutil.copytree(whole, tmp_path / f"keys-{turn}")
        running = house.load()
        with monkeypatch.context() as patch:
            calls = kill_at(patch, turn)
            with contextlib.suppress(Killed):
                act()
        survived = calls[0] < turn
        for keys in (house.load(), running):
            keys.look()
            assert verifies(token_by(keys), keys)
            assert len(kids(keys)) == len(set(kids(keys)))
        if survived:
            assert turn > 3
            return
        act()
        house.schedule(days=0).run_once()
        assert house.states()[0][0] != "0001", "what is over is set aside in the end"
        assert not (house.keys_dir / "tokens" / "0001.pem").exists()


def test_every_change_is_recorded_even_if_whoever_made_it_was_killed(recording_house: House) -> None:
    house = recording_house
    key = add_key(house.keys_dir, TOKENS, "ES256", now=house.clock.now(), at_once=True)
    assert key.number == "0004"
    house.schedule().run_once()
    house.schedule().run_once()
    assert house.events().count(("added", "tokens", "0004")) == 1
    house.clock.advance(hours=3)
    retire_key(house.keys_dir, load_keys(house.keys_dir, TOKENS)[0], now=house.clock.now())
    house.schedule().run_once()
    house.schedule().run_once()
    assert house.events().count(("retired", "tokens", "0001")) == 1


def half(content: bytes) -> bytes:
    return content[: len(content) // 2]


def of_another_kind(_content: bytes) -> bytes:
    return PrivateKeySigner.generate("Ed25519").private_pem()


def with_a_flipped_bit(content: bytes) -> bytes:
    """A private value that does not belong to the public one beside it."""
    lines = content.decode().splitlines()
    begin = next(index for index, line in enumerate(lines) if line.startswith("-----BEGIN"))
    body = bytearray(base64.b64decode("".join(lines[begin + 1 : -1])))
    body[40] ^= 1
    return f"-----BEGIN PRIVATE KEY-----\n{base64.b64encode(body).decode()}\n-----END PRIVATE KEY-----\n".encode()


@pytest.mark.parametrize(
    "spoilt",
    [
        half,
        of_another_kind,
        with_a_flipped_bit,
        lambda _: b"",
        lambda content: b"Signs-From: yesterday\n\n" + content[content.index(b"-----") :],
        lambda content: b"Signs: from now on\n" + content,
        lambda content: content.replace(b"ES256", b"RS256"),
        lambda content: content.replace(b"ES256", b"none"),
    ],
)
def test_a_key_file_that_is_not_one_whole_key_of_its_kind_is_refused_by_name(
    house: House, spoilt: Callable[[bytes], bytes]
) -> None:
    running = house.load()
    house.run("rotate", "tokens", "--algorithm", "ES256")
    file = house.keys_dir / "tokens" / "0004.pem"
    file.write_bytes(spoilt(file.read_bytes()))
    with pytest.raises(KeyFileDamaged, match=re.escape(str(file))):
        house.load()
    # Who runs already goes on with the keys it knows.
    before = kids(running)
    running.look()
    assert kids(running) == before
    assert verifies(token_by(running), running)


@pytest.mark.parametrize("place", [0.06, 0.12, 0.18])
def test_an_rsa_key_with_a_flipped_bit_is_refused_by_name(house: House, place: float) -> None:
    """In its modulus: it would sign what nobody can verify. A private number that is wrong OpenSSL finds, and mends."""
    file = house.keys_dir / "tokens" / "0002.pem"
    body = bytearray(base64.b64decode(b"".join(file.read_bytes().splitlines()[4:-1])))
    body[int(len(body) * place)] ^= 1
    facts = file.read_bytes().partition(b"-----")[0]
    pem = base64.b64encode(body)
    file.write_bytes(facts + b"-----BEGIN PRIVATE KEY-----\n" + pem + b"\n-----END PRIVATE KEY-----\n")
    with pytest.raises(KeyFileDamaged, match=re.escape(str(file))):
        house.load()


def test_a_folder_emptied_by_hand_takes_no_key_from_who_runs(house: House) -> None:
    running = house.load()
    for path in (house.keys_dir / "tokens").glob("*.pem"):
        path.unlink()
    running.look()
    assert verifies(token_by(running), running)
    with pytest.raises(SigningKeyMissing):
        house.load()


def test_what_was_left_half_written_or_copied_beside_does_not_count(house: House) -> None:
    content = PrivateKeySigner.generate("ES256").private_pem()
    for name in (".0009.pem.0123456789abcdef", "0009.pem.bak", "9.pem", "00009.pem", "copy-0009.pem"):
        (house.keys_dir / "tokens" / name).write_bytes(content)
    assert [key.number for key in load_keys(house.keys_dir, TOKENS)] == ["0001", "0002", "0003"]


def test_all_that_is_made_is_nobody_elses_on_this_machine(house: House) -> None:
    house.run("rotate", "tokens")
    house.run("revoke", "tokens", "0001")
    files = [path for path in house.keys_dir.rglob("*") if path.is_file()]
    assert any(path.parent.name == "revoked" for path in files)
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in files)
