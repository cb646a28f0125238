import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from tlog_scales import signing, tlog

from gateway.errors import GatewayError
from gateway.wire.encoding import b64_encode
from gateway.wire.errors import InvalidNote, UnusableKey
from gateway.wire.notes import (
    Checkpoint,
    open_checkpoint,
    open_note,
    parse_checkpoint,
    parse_verifier_key,
    sign_note,
    verifier_key_of,
)
from gateway.wire.signer import PrivateKeySigner

LOG = PrivateKeySigner.generate("Ed25519")
WITNESS = PrivateKeySigner.generate("Ed25519")
NAME = "gateway.example/log"
KEY = verifier_key_of(LOG, NAME)
CHECKPOINT = Checkpoint(origin=NAME, size=20852163, root=bytes(range(32)))


def test_the_example_of_the_go_note_package_opens() -> None:
    vkey = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
    text = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
    line = (
        "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
    )
    opened = open_note(f"{text}\n{line}".encode(), [parse_verifier_key(vkey)])
    assert opened.text == text
    assert opened.signed_by[0].name == "PeterNeumann"


def test_a_verifier_key_survives_and_is_the_one_an_independent_library_writes() -> None:
    assert parse_verifier_key(KEY.encode()) == KEY
    theirs = signing.Vkey(NAME, None, 1, KEY.public_key)
    assert theirs.serialize() == KEY.encode()  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(
    "vkey",
    [
        "",
        "name",
        "name+00000000",
        KEY.encode().replace("gateway", "gateway2"),
        KEY.encode()[:-4] + "AAA=",
        KEY.encode() + "A",
        f"{NAME}+{KEY.key_id.hex()}+{b64_encode(bytes([2]) + KEY.public_key)}",
        f"{NAME}+{KEY.key_id.hex()}+AQAA",
        f"+{KEY.key_id.hex()}+{KEY.encode().split('+', 2)[2]}",
    ],
    # The key is new in every process; the names of tests must not be.
    ids=["empty", "no key", "short key", "other name", "other end", "longer", "other type", "no public key", "no name"],
)
def test_a_malformed_or_altered_verifier_key_is_refused(vkey: str) -> None:
    with pytest.raises(InvalidNote):
        parse_verifier_key(vkey)


def test_a_signed_checkpoint_opens_here_and_with_an_independent_verifier() -> None:
    note = sign_note(CHECKPOINT.encode(), LOG, NAME)
    assert open_checkpoint(note, [KEY]) == CHECKPOINT
    theirs = tlog.Checkpoint.from_text(note.decode())
    theirs.verify(signing.Vkey.from_string(KEY.encode()))
    assert (theirs.origin, theirs.size, theirs.root_hash) == (NAME, CHECKPOINT.size, CHECKPOINT.root)


def test_a_checkpoint_made_by_an_independent_library_opens_here() -> None:
    private = Ed25519PrivateKey.generate()
    theirs = tlog.Checkpoint.make_signed(NAME, 7, bytes(32), [signing.PlainEd25519Signer(NAME, private)])
    vkey = signing.Vkey(NAME, None, 1, private.public_key().public_bytes_raw())
    key = parse_verifier_key(vkey.serialize())  # type: ignore[no-untyped-call]
    assert open_checkpoint(theirs.serialize().encode(), [key]).size == 7


def test_lines_by_unknown_keys_are_ignored_wherever_they_stand() -> None:
    ours = sign_note(CHECKPOINT.encode(), LOG, NAME).decode()
    text, line = ours.split("\n\n")
    witness_line = sign_note(CHECKPOINT.encode(), WITNESS, "witness.example").decode().split("\n\n")[1]
    same_name = sign_note(CHECKPOINT.encode(), WITNESS, NAME).decode().split("\n\n")[1]
    for lines in (witness_line + line, line + witness_line, same_name + line):
        opened = open_note(f"{text}\n\n{lines}".encode(), [KEY])
        assert opened.signed_by == (KEY,)
    both = open_note(f"{text}\n\n{line}{witness_line}".encode(), [KEY, verifier_key_of(WITNESS, "witness.example")])
    assert len(both.signed_by) == 2


def test_a_false_line_by_a_known_key_refuses_the_note_though_another_line_is_true() -> None:
    note = sign_note(CHECKPOINT.encode(), LOG, NAME).decode()
    text, line = note.split("\n\n")
    false_line = sign_note("another text\n", LOG, NAME).decode().split("\n\n")[1]
    for lines in (line + false_line, false_line + line):
        with pytest.raises(InvalidNote):
            open_note(f"{text}\n\n{lines}".encode(), [KEY])


def test_a_note_that_no_known_key_signed_is_refused() -> None:
    note = sign_note(CHECKPOINT.encode(), WITNESS, NAME)
    with pytest.raises(InvalidNote):
        open_note(note, [KEY])
    with pytest.raises(InvalidNote):
        open_note(note, [])


def test_a_text_with_empty_lines_is_divided_at_the_last_one() -> None:
    text = "one\n\n— not a signature\n\ntwo\n"
    assert open_note(sign_note(text, LOG, NAME), [KEY]).text == text


def test_another_logs_checkpoint_is_refused_though_a_trusted_key_signed_it() -> None:
    foreign = Checkpoint(origin="other.example/log", size=1, root=bytes(32))
    with pytest.raises(InvalidNote):
        open_checkpoint(sign_note(foreign.encode(), LOG, NAME), [KEY])


NOTE = sign_note(CHECKPOINT.encode(), LOG, NAME)


@settings(max_examples=200, deadline=None)
@given(position=st.integers(0, len(NOTE) - 1), byte=st.integers(0, 255))
def test_no_byte_of_a_note_can_be_changed(position: int, byte: int) -> None:
    changed = NOTE[:position] + bytes([byte]) + NOTE[position + 1 :]
    if changed != NOTE:
        with pytest.raises(GatewayError):
            open_note(changed, [KEY])


@pytest.mark.parametrize(
    "note",
    [
        b"",
        b"\n",
        b"text\n",
        b"text\n\n",
        b"text\n\nnot a signature\n",
        NOTE[:-1],
        NOTE + b"\n",
        NOTE.replace(b"\n\n", b"\n"),
        NOTE.replace(b"gateway", b"gate\tway"),
        NOTE.replace("— ".encode(), b"- "),
        NOTE.replace("— ".encode(), "—".encode()),
        b"text\n\n" + "— name AAAA\n".encode(),
        b"text\n\n" + "— name !\n".encode(),
        b"text\n\n" + "— na+me AAAAAAA=\n".encode(),
        NOTE + "— name AAAAAAA=\n".encode() * 100,
        b"\xff\n\n",
        b"x" * 1_000_001,
    ],
)
def test_a_malformed_note_is_refused(note: bytes) -> None:
    with pytest.raises(InvalidNote):
        open_note(note, [KEY])


def test_a_note_of_a_hundred_signatures_still_opens() -> None:
    others = "— name AAAAAAA=\n" * 99
    assert open_note(NOTE + others.encode(), [KEY]).signed_by == (KEY,)


@pytest.mark.parametrize("extensions", [(), ("an extension",), ("one", "two")])
def test_a_checkpoint_survives_its_text(extensions: tuple[str, ...]) -> None:
    for size in (0, 1, 2**63):
        checkpoint = Checkpoint(origin=NAME, size=size, root=bytes(32), extensions=extensions)
        assert parse_checkpoint(checkpoint.encode()) == checkpoint


ROOT = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="


@pytest.mark.parametrize(
    "text",
    [
        "",
        "origin\n",
        "origin\n1\n",
        f"origin\n1\n{ROOT}",
        f"\n1\n{ROOT}\n",
        f"origin\n01\n{ROOT}\n",
        f"origin\n-1\n{ROOT}\n",
        f"origin\n+1\n{ROOT}\n",
        f"origin\n1.0\n{ROOT}\n",
        f"origin\n٣\n{ROOT}\n",
        f"origin\n{'1' * 5000}\n{ROOT}\n",
        "origin\n1\nAAAA\n",
        f"origin\n1\n{ROOT[:-1]}\n",
        f"origin\n1\n{ROOT}\n\n",
    ],
)
def test_a_malformed_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(InvalidNote):
        parse_checkpoint(text)


@pytest.mark.parametrize(
    "checkpoint",
    [
        Checkpoint(origin="", size=1, root=bytes(32)),
        Checkpoint(origin="a\nb", size=1, root=bytes(32)),
        Checkpoint(origin="a", size=-1, root=bytes(32)),
        Checkpoint(origin="a", size=1, root=bytes(31)),
        Checkpoint(origin="a", size=1, root=bytes(32), extensions=("",)),
    ],
)
def test_values_that_make_no_checkpoint_are_not_written(checkpoint: Checkpoint) -> None:
    with pytest.raises(InvalidNote):
        checkpoint.encode()


def test_what_cannot_be_opened_is_not_signed() -> None:
    for text in ("no newline", "tab\t\n", ""):
        with pytest.raises(InvalidNote):
            sign_note(text, LOG, NAME)
    for name in ("", "a b", "a+b", "a\n"):
        with pytest.raises(InvalidNote):
            sign_note("text\n", LOG, name)
    with pytest.raises(UnusableKey):
        sign_note("text\n", PrivateKeySigner.generate("ES256"), NAME)
