"""Keys in a hardware module (SoftHSM): sign-ins over HTTP with tokens it signed, its loss, its return."""

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests
from joserfc import jwt
from joserfc.jwk import KeySet

from gateway.cli import initialise
from gateway.errors import SettingsError
from gateway.signing import hsm as hsm_room
from gateway.signing.errors import HsmUnavailable, KeyFileDamaged
from gateway.signing.hsm import Hsm, HsmSigner
from gateway.signing.key_files import Keeping
from gateway.signing.rotation import add_key, load_keys, make_missing_keys, revoke_key
from gateway.signing.signing_keys import Purpose, SigningKeys
from gateway.wire.keys import check_signature
from gateway.wire.signer import RSA_BITS, Signer
from tests.kit.clock import MIDDAY, FrozenClock
from tests.kit.oidc_world import OidcWorld, in_this_process
from tests.kit.softhsm import TOKEN, SoftHsm, new_token

ALGORITHMS = ("ES256", "RS256", "PS256", "Ed25519")


@pytest.fixture(scope="module")
def soft(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SoftHsm]:
    assert RSA_BITS == 3072
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hsm_room, "RSA_BITS", 2048)  # made in a fifth of the time
        yield new_token(tmp_path_factory.mktemp("softhsm"))


@pytest.fixture(scope="module")
def signers(soft: SoftHsm) -> dict[str, HsmSigner]:
    """One key of each algorithm, made in the module."""
    hsm = soft.hsm()
    made = {algorithm: hsm.generate(algorithm, label=f"test {algorithm}") for algorithm in ALGORITHMS}
    return {name: hsm.signer(key_id, public, algorithm=name) for name, (key_id, public) in made.items()}


@pytest.fixture(scope="module")
def world(
    soft: SoftHsm,
    _databases: Callable[[], AbstractContextManager[str]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[OidcWorld]:
    """A gateway all of whose signing keys were made in the module."""
    with (
        _databases() as url,
        in_this_process(
            database_url=url, state_dir=tmp_path_factory.mktemp("state"), clock=FrozenClock(), **soft.settings()
        ) as running,
    ):
        yield running


@pytest.fixture(autouse=True)
def _no_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.signing.hsm.REST", 0.0)


def assert_signs(signer: Signer, message: bytes = b"specimen") -> None:
    check_signature(message, signer.sign(message), jwk=signer.public_jwk(), algorithm=signer.algorithm)


def published(world: OidcWorld) -> KeySet:
    answer = requests.get(f"{world.issuer}/.well-known/jwks.json", timeout=10)
    assert answer.status_code == 200
    return KeySet.import_key_set(answer.json())


def test_somebody_signs_in_and_the_published_keys_verify_what_the_module_signed(world: OidcWorld) -> None:
    keys_dir = world.gateway.settings.keys_dir
    assert not [path for path in keys_dir.rglob("*.pem") if b"PRIVATE KEY" in path.read_bytes()]
    rp = world.relying_party()
    code, verifier = rp.code(world.signed_in(world.officer()))
    answer = rp.redeem(code, verifier)
    assert answer.status_code == 200, answer.text
    for name in ("access_token", "id_token"):
        token = jwt.decode(answer.json()[name], published(world), algorithms=["ES256"])
        assert token.claims["iss"] == world.issuer
    assert rp.userinfo(answer.json()["access_token"]).status_code == 200


def test_its_rotation_makes_the_next_keys_in_the_module(world: OidcWorld) -> None:
    world.advance(days=91)
    assert world.gateway.key_schedule().run_once() == 3
    world.gateway.signing.look()
    assert len(published(world).keys) == 6
    before = world.gateway.signing.current(Purpose.TOKENS).key_id
    world.advance(hours=1)
    signer = world.gateway.signing.current(Purpose.TOKENS)
    assert signer.key_id != before
    rp = world.relying_party()
    code, verifier = rp.code(world.signed_in(world.officer()))
    token = jwt.decode(rp.redeem(code, verifier).json()["id_token"], published(world), algorithms=["ES256"])
    assert token.header["kid"] == signer.key_id
    # Retired, the old ones are destroyed in the module too.
    old = load_keys(world.gateway.settings.keys_dir, Purpose.TOKENS, world.gateway.keeping)[:3]
    world.advance(hours=1)
    assert world.gateway.key_schedule().run_once() == 3
    for key in old:
        with pytest.raises(HsmUnavailable):
            key.signer.sign(b"")


def test_the_module_away_is_a_503_and_back_again_all_is_well(world: OidcWorld, soft: SoftHsm) -> None:
    rp, browser = world.relying_party(), world.signed_in(world.officer())
    code, verifier = rp.code(browser)
    away = soft.folder / "away"
    shutil.move(soft.tokens, away)
    soft.tokens.mkdir()
    hsm_room._module(soft.module)._drop()  # as its library does when a token is pulled out
    refused = rp.redeem(code, verifier)
    assert refused.status_code == 503, refused.text
    assert refused.json() == {
        "error": "temporarily_unavailable",
        "error_description": "The gateway cannot sign now",
    }
    shutil.rmtree(soft.tokens)
    shutil.move(away, soft.tokens)
    answer = rp.redeem(code, verifier)
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_what_the_module_signs_is_a_raw_jose_signature(signers: dict[str, HsmSigner], algorithm: str) -> None:
    signer = signers[algorithm]
    assert len(signer.sign(b"")) == {"ES256": 64, "Ed25519": 64}.get(algorithm, 256)
    for message in (b"", b"x" * 100_000):
        assert_signs(signer, message)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_private_key_cannot_be_taken_out(soft: SoftHsm, signers: dict[str, HsmSigner], algorithm: str) -> None:
    from pkcs11 import Attribute, AttributeSensitive  # noqa: PLC0415 - an extra

    signers[algorithm].sign(b"")
    module = hsm_room._module(soft.module)
    private = module._keys[TOKEN, signers[algorithm].object_id]
    secret = Attribute.PRIVATE_EXPONENT if algorithm in {"RS256", "PS256"} else Attribute.VALUE
    with pytest.raises(AttributeSensitive):
        private[secret]
    assert private[Attribute.EXTRACTABLE] is False


def test_many_threads_sign_at_once(signers: dict[str, HsmSigner]) -> None:
    faults: list[Exception] = []

    def work(signer: HsmSigner) -> None:
        try:
            for number in range(10):
                assert_signs(signer, str(number).encode())
        except Exception as error:  # noqa: BLE001 - told below
            faults.append(error)

    threads = [threading.Thread(target=work, args=(signers[name],)) for name in ("ES256", "RS256", "Ed25519") * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_child_signs_with_a_session_of_its_own(signers: dict[str, HsmSigner], soft: SoftHsm) -> None:
    assert_signs(signers["ES256"])
    with hsm_room._module(soft.module)._lock:  # held by a thread that the child does not have
        child = os.fork()
        if child == 0:
            try:
                assert_signs(signers["ES256"])
                os._exit(0)
            except BaseException:  # noqa: BLE001 - the parent is told by the status
                os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert_signs(signers["ES256"])


def test_sessions_that_were_closed_behind_our_back_are_opened_again(
    signers: dict[str, HsmSigner], soft: SoftHsm
) -> None:
    import pkcs11  # noqa: PLC0415 - an extra

    assert_signs(signers["ES256"])
    pkcs11.lib(soft.module).reinitialize()
    assert_signs(signers["ES256"])


def test_whoever_waits_for_a_module_that_hangs_waits_a_bounded_time(
    signers: dict[str, HsmSigner], soft: SoftHsm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.signing.hsm.LONGEST_WAIT", 0.05)
    with hsm_room._module(soft.module)._lock, pytest.raises(HsmUnavailable):
        signers["ES256"].sign(b"")
    assert_signs(signers["ES256"])


def test_a_wrong_pin_is_sent_once_and_told_to_nobody(soft: SoftHsm, signers: dict[str, HsmSigner]) -> None:
    wrong = soft.hsm(pin="0000-specimen")
    hsm_room._module(soft.module)._drop()
    for said in ("PinIncorrect", "not tried again"):
        with pytest.raises(HsmUnavailable) as refused:
            wrong.sign(b"", b"", jwk=signers["ES256"].public_jwk())
        assert said in str(refused.value.detail)
        assert "0000" not in str(refused.value)
    assert "0000" not in repr(wrong)
    assert_signs(signers["ES256"])


def test_a_key_of_another_public_half_signs_nothing(soft: SoftHsm, signers: dict[str, HsmSigner]) -> None:
    """Somebody changed which key a file names: what would be signed does not verify by what is published."""
    hsm_room._module(soft.module)._drop()
    other_id, _ = soft.hsm().generate("ES256", label="another")
    mixed = HsmSigner(soft.hsm(), other_id, signers["ES256"].public_jwk())
    with pytest.raises(HsmUnavailable):
        mixed.sign(b"")


def test_every_purpose_lives_in_the_module(world: OidcWorld) -> None:
    keys_dir, keeping = world.gateway.settings.keys_dir, world.gateway.keeping
    keys = SigningKeys.load(keys_dir, keeping, clock=world.clock)
    for purpose in Purpose:
        for algorithm in keys.algorithms(purpose):
            assert isinstance(keys.current(purpose, algorithm), HsmSigner)
            assert_signs(keys.current(purpose, algorithm))
    assert keys.log_keys("gateway.example/log").newest.public_key
    with pytest.raises(KeyFileDamaged, match="GATEWAY_PKCS11_MODULE"):
        SigningKeys.load(keys_dir)
    assert initialise(world.gateway.settings) == ()  # needs nothing more


def test_a_gateway_moves_into_the_module_by_rotating(soft: SoftHsm, tmp_path: Path) -> None:
    make_missing_keys(tmp_path)
    keeping, clock = Keeping(hsm=soft.hsm()), FrozenClock()
    add_key(tmp_path, Purpose.TOKENS, "ES256", keeping, now=MIDDAY)
    keys = SigningKeys.load(tmp_path, keeping, clock=clock)
    assert not isinstance(keys.current(Purpose.TOKENS), HsmSigner)
    clock.advance(hours=1)
    assert isinstance(keys.current(Purpose.TOKENS), HsmSigner)
    assert_signs(keys.current(Purpose.TOKENS))
    revoke_key(tmp_path, load_keys(tmp_path, Purpose.TOKENS, keeping)[0], keeping, now=clock.now())
    assert [key.kept for key in load_keys(tmp_path, Purpose.TOKENS, keeping)] == ["file", "file", "pkcs11"]


def test_a_module_that_is_no_module_is_a_plain_error(tmp_path: Path) -> None:
    nothing = Hsm(module=str(tmp_path / "nothing.so"), token="x", pin="y")
    with pytest.raises(HsmUnavailable):
        nothing.generate("ES256", label="x")


@pytest.mark.parametrize("missing", ["pkcs11_module", "pkcs11_token", "pkcs11_pin"])
def test_the_settings_of_a_module_belong_together(world: OidcWorld, missing: str) -> None:
    changes: dict[str, Any] = {missing: None}
    with pytest.raises(SettingsError, match="belong together"):
        replace(world.gateway.settings, **changes)
    assert world.gateway.settings.masked()["GATEWAY_PKCS11_PIN"] == "***"
