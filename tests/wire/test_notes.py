import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from tlog_scales import signing, tlog

from gateway.errors import GatewayError
from gateway.wire.encoding import b64_encode
from gateway.wire.errors import InvalidNote, UnusableKey
from gateway.wire.notes import (
    MAX_NOTE_BYTES,
    MAX_SIGNATURES,
    Checkpoint,
    SignatureLine,
    VerifierKey,
    add_signatures,
    open_checkpoint,
    open_note,
    parse_checkpoint,
    parse_verifier_key,
    sign_note,
    split_note,
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


# Lines that mean nothing to us, as an ecosystem sends them so that nobody comes to rely on there being none (RFC 8701).
GREASE = {
    "another key id under our name": SignatureLine(name=NAME, key_id=b"\xde\xad\xbe\xef", signature=bytes(64)),
    "our key id under another name": SignatureLine(name="other.example", key_id=KEY.key_id, signature=bytes(64)),
    "one byte": SignatureLine(name="grease.example", key_id=bytes(4), signature=b"\x00"),
    "an unassigned type, spelled out": SignatureLine(name=NAME, key_id=b"\xff" * 4, signature=b"\xffnobody's type"),
    "nearly 5 kB, as after quantum computers": SignatureLine(name=NAME, key_id=b"\xfa" * 4, signature=bytes(4900)),
    "twice, as long as a note may be": SignatureLine(name="long.example", key_id=bytes(4), signature=bytes(370_000)),
    "a name that we would not give": SignatureLine(name="a\u200bb\U0001f512", key_id=bytes(4), signature=b"x"),
}


@pytest.mark.parametrize("line", GREASE.values(), ids=GREASE)
def test_junk_lines_are_tolerated_before_and_after_ours(line: SignatureLine) -> None:
    text, ours = NOTE.decode().split("\n\n")
    for lines in (f"{line.encode()}\n{ours}", f"{ours}{line.encode()}\n", f"{line.encode()}\n{ours}{line.encode()}\n"):
        assert open_checkpoint(f"{text}\n\n{lines}".encode(), [KEY]) == CHECKPOINT


@settings(max_examples=100, deadline=None)
@given(
    lines=st.lists(
        st.builds(
            SignatureLine,
            name=st.text(st.characters(codec="utf-8", exclude_characters="+"), min_size=1).filter(
                lambda name: not any(character.isspace() or character < " " for character in name)
            ),
            key_id=st.binary(min_size=4, max_size=4),
            signature=st.binary(min_size=1, max_size=300),
        ),
        max_size=20,
    )
)
def test_whatever_others_sign_our_line_still_counts(lines: list[SignatureLine]) -> None:
    others = [line for line in lines if (line.name, line.key_id) != (NAME, KEY.key_id)]
    note = add_signatures(NOTE, [line.encode() for line in others])
    assert open_checkpoint(note, [KEY]) == CHECKPOINT
    assert set(split_note(note)[1]) == {*others, *split_note(NOTE)[1]}


def test_the_old_and_the_new_key_of_a_log_sign_one_note_and_each_is_enough() -> None:
    renewed = PrivateKeySigner.generate("Ed25519")
    new_key = verifier_key_of(renewed, NAME)
    note = sign_note(CHECKPOINT.encode(), LOG, NAME, also_by=[renewed])
    for known in ([KEY], [new_key], [new_key, KEY]):
        assert open_checkpoint(note, known) == CHECKPOINT
    assert set(open_note(note, [KEY, new_key]).signed_by) == {KEY, new_key}
    theirs = tlog.Checkpoint.from_text(note.decode())
    for key in (KEY, new_key):
        theirs.verify(signing.Vkey.from_string(key.encode()))


def test_signatures_are_added_once_and_within_the_limits() -> None:
    line = GREASE["one byte"].encode()
    added = add_signatures(NOTE, [line, line])
    assert added == NOTE + f"{line}\n".encode()
    assert add_signatures(added, [line]) == added
    for wrong in ("", "junk", f"{line}\n", f"{line}\n{line}", line.replace("— ", "- ")):
        with pytest.raises(InvalidNote):
            add_signatures(NOTE, [wrong])
    many = [SignatureLine(name=f"w{at}", key_id=bytes(4), signature=b"x").encode() for at in range(MAX_SIGNATURES)]
    assert open_note(add_signatures(NOTE, many[1:]), [KEY]).signed_by == (KEY,)
    with pytest.raises(InvalidNote):
        add_signatures(NOTE, many)
    large = SignatureLine(name="large", key_id=bytes(4), signature=bytes(MAX_NOTE_BYTES)).encode()
    with pytest.raises(InvalidNote):
        add_signatures(NOTE, [large])


def test_a_key_of_another_size_is_none() -> None:
    for size in (0, 31, 33):
        with pytest.raises(InvalidNote):
            VerifierKey(name=NAME, public_key=bytes(size))


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
