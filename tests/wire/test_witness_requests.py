from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.cosignatures import cosign, cosignature_key_of
from gateway.wire.encoding import b64_encode
from gateway.wire.errors import InvalidNote, MalformedInput
from gateway.wire.notes import Checkpoint, SignatureLine, sign_note
from gateway.wire.signer import PrivateKeySigner
from gateway.wire.witness_requests import (
    MAX_PROOF_LINES,
    MAX_REPLY_BYTES,
    MAX_REQUEST_BYTES,
    AddCheckpoint,
    accepted_cosignatures,
    encode_size,
    parse_add_checkpoint,
    parse_size,
)

NAME = "witness.example/w1"
WITNESS = PrivateKeySigner.generate("Ed25519")
KEY = cosignature_key_of(WITNESS, NAME)
AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
TEXT = Checkpoint(origin="gateway.example/log", size=9, root=bytes(32)).encode()
NOTE = sign_note(TEXT, PrivateKeySigner.generate("Ed25519"), "gateway.example/log")
LINE = cosign(TEXT, WITNESS, NAME, at=AT)
EXAMPLE = """\
old 20852014
PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=
jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=
5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=
/6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=

example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/behind-the-sofa \
Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
"""


def test_the_example_of_the_specification_is_read_and_written_alike() -> None:
    asked = parse_add_checkpoint(EXAMPLE.encode())
    assert asked.old_size == 20852014
    assert len(asked.proof) == 4
    assert asked.checkpoint.startswith(b"example.com/behind-the-sofa\n20852163\n")
    assert asked.encode() == EXAMPLE.encode()


@given(old=st.integers(0, 2**63 - 1), proof=st.lists(st.binary(min_size=32, max_size=32), max_size=MAX_PROOF_LINES))
def test_a_request_survives_its_body(old: int, proof: list[bytes]) -> None:
    asked = AddCheckpoint(old_size=old, proof=tuple(proof), checkpoint=NOTE)
    assert parse_add_checkpoint(asked.encode()) == asked


def test_what_no_witness_would_read_is_not_written() -> None:
    for wrong in (
        AddCheckpoint(old_size=-1, proof=(), checkpoint=NOTE),
        AddCheckpoint(old_size=0, proof=(bytes(31),), checkpoint=NOTE),
        AddCheckpoint(old_size=0, proof=(bytes(32),) * 64, checkpoint=NOTE),
        AddCheckpoint(old_size=0, proof=(), checkpoint=bytes(MAX_REQUEST_BYTES)),
    ):
        with pytest.raises(MalformedInput):
            wrong.encode()


def test_a_size_survives_and_nothing_else_is_one() -> None:
    for size in (0, 7, 2**63 - 1):
        assert parse_size(encode_size(size)) == size
    for wrong in (b"", b"\n", b"7", b"07\n", b"-7\n", b"7\n\n", b" 7\n", b"7\r\n", b"\xd9\xa3\n", b"9" * 40 + b"\n"):
        with pytest.raises(MalformedInput):
            parse_size(wrong)


def test_of_a_reply_only_true_lines_by_the_asked_key_are_taken() -> None:
    stranger = cosign(TEXT, PrivateKeySigner.generate("Ed25519"), NAME, at=AT)
    for reply in (f"{LINE}\n", f"{stranger}\n{LINE}\n", f"{LINE}\n{stranger}\n"):
        (line,) = accepted_cosignatures(reply.encode(), text=TEXT, key=KEY)
        assert line.encode() == LINE


FALSE = SignatureLine(name=NAME, key_id=KEY.key_id, signature=bytes(72)).encode()
OTHER = cosign(Checkpoint(origin="gateway.example/log", size=8, root=bytes(32)).encode(), WITNESS, NAME, at=AT)


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "\n",
        LINE,
        f"{LINE}\n\n",
        f"{FALSE}\n",
        f"{LINE}\n{FALSE}\n",
        f"{OTHER}\n",
        "— other.example AAAAAAA=\n",
        f"{LINE}\njunk\n",
        f"{LINE}\n" * 101,
        f"— other.example {b64_encode(bytes(MAX_REPLY_BYTES))}\n{LINE}\n",
        "<html>sign in to the network</html>\n",
    ],
    ids=[
        *("empty", "only a newline", "cut", "an empty line", "false", "one true, one false", "another checkpoint"),
        *("somebody else", "junk", "too many", "too large", "a page"),
    ],
)
def test_a_reply_that_is_not_the_witnesss_cosignature_is_refused(reply: str) -> None:
    with pytest.raises(InvalidNote):
        accepted_cosignatures(reply.encode(), text=TEXT, key=KEY)
    with pytest.raises(InvalidNote):
        accepted_cosignatures(reply.encode() + b"\xff\n", text=TEXT, key=KEY)
