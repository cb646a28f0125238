"""Which passwords may be chosen, and how they are kept."""

import pytest
from argon2 import PasswordHasher

from gateway.identity.errors import PasswordRefused
from gateway.identity.passwords import NO_PASSWORD, Passwords, check_new_password, generate_password

EMAIL = "olive.testcase@council.example"


@pytest.mark.parametrize(
    "password",
    [
        "",
        "short-7",
        "password1",
        "PASSWORD1",
        "qwertyuiop",
        "ｐａｓｓｗｏｒｄ１",
        "aaaaaaaaaaaa",
        EMAIL,
        "olive.testcase",
        "x" * 1025,
    ],
)
def test_a_weak_or_boundless_password_is_refused(password: str) -> None:
    with pytest.raises(PasswordRefused):
        check_new_password(password, email=EMAIL)


@pytest.mark.parametrize(
    "password",
    ["8 chars!", "correct horse battery staple", "пароль длинный", "😀" * 3 + "abcde", "ab" * 64, "ab" * 512],
)
def test_any_characters_and_any_length_beyond_eight_are_welcome(password: str) -> None:
    check_new_password(password, email=EMAIL)


def test_generated_passwords_pass_and_differ() -> None:
    first, second = generate_password(), generate_password()
    assert first != second
    check_new_password(first, email=EMAIL)


def test_a_password_is_kept_as_argon2id_with_the_stated_cost() -> None:
    passwords = Passwords()
    stored = passwords.hash("correct horse")
    assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert passwords.matches(stored, "correct horse")
    assert not passwords.matches(stored, "correct horse ")
    assert passwords.hash("correct horse") != stored


def test_every_byte_of_a_long_password_counts() -> None:
    passwords = Passwords()
    stored = passwords.hash("a" * 1023 + "b")
    assert not passwords.matches(stored, "a" * 1023 + "c")


def test_nul_and_broken_text_are_wrong_passwords_and_not_faults() -> None:
    passwords = Passwords()
    stored = passwords.hash("correct\x00horse")
    assert not passwords.matches(stored, "correct")
    assert not passwords.matches(stored, "correct\ud800")
    assert not passwords.matches("not a hash", "correct")


def test_the_same_characters_typed_on_another_keyboard_are_the_same_password() -> None:
    passwords = Passwords()
    assert passwords.matches(passwords.hash("caf\u00e9 society"), "cafe\u0301 society")


def test_a_hash_made_with_other_costs_is_noticed() -> None:
    cheap = Passwords(memory_kib=8, passes=1)
    assert Passwords().needs_rehash(cheap.hash("correct horse"))
    assert not Passwords().needs_rehash(Passwords().hash("correct horse"))


def test_nobody_matches_a_missing_hash_and_finding_out_costs_a_whole_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    verified: list[str] = []
    verify = PasswordHasher.verify

    def watching(self: PasswordHasher, stored: str, password: bytes) -> bool:
        verified.append(stored)
        return verify(self, stored, password)

    monkeypatch.setattr(PasswordHasher, "verify", watching)
    assert not Passwords().matches(None, "anything")
    assert [stored.rpartition("$")[0].rpartition("$")[0] for stored in verified] == ["$argon2id$v=19$m=19456,t=2,p=1"]


def test_the_decoys_own_password_lets_nobody_in_who_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.identity.passwords.secrets.token_hex", lambda _bytes: "the decoy's password")
    passwords = Passwords(memory_kib=8, passes=1)
    assert not passwords.matches(None, "the decoy's password")
    assert not passwords.matches(NO_PASSWORD, "the decoy's password")
