from datetime import UTC, datetime
from itertools import combinations

import pytest
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from tlog_scales import signing

from gateway.errors import GatewayError
from gateway.wire.cosignatures import CosignatureKey, cosign, cosignature_key_of, parse_cosignature_key
from gateway.wire.errors import InvalidNote, MalformedInput
from gateway.wire.notes import Checkpoint, SignatureLine, add_signatures, sign_note, verifier_key_of
from gateway.wire.signer import PrivateKeySigner
from gateway.wire.trust_policy import MAX_POLICY_BYTES, TrustPolicy, open_checkpoint_under, parse_policy

ORIGIN = "gateway.example/log"
LOG = PrivateKeySigner.generate("Ed25519")
LOG_KEY = verifier_key_of(LOG, ORIGIN)
WITNESSES = {name: PrivateKeySigner.generate("Ed25519") for name in ("X1", "X2", "X3", "Y1", "Y2", "Y3")}
KEYS = {name: cosignature_key_of(signer, f"{name}.example") for name, signer in WITNESSES.items()}
AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
LOG_LINE = f"log {LOG_KEY.encode()}\n"


def witness(name: str, url: str = "") -> str:
    return f"witness {name} {KEYS[name].encode()} {url}\n"


ALL = "".join(witness(name) for name in KEYS)
EXAMPLE = (
    LOG_LINE
    + ALL
    + "group X-witnesses 2 X1 X2 X3\ngroup Y-witnesses any Y1 Y2 Y3\ngroup X-and-Y all X-witnesses Y-witnesses\n"
    "quorum X-and-Y\n"
)


def policy(text: str) -> TrustPolicy:
    return parse_policy(text.encode())


def test_the_example_of_the_specification_asks_for_two_of_x_and_one_of_y() -> None:
    parsed = policy(EXAMPLE)
    for count in range(7):
        for names in combinations(KEYS, count):
            enough = sum(name[0] == "X" for name in names) >= 2 and any(name[0] == "Y" for name in names)
            assert parsed.satisfied_by({KEYS[name] for name in names}) == enough, names


@given(threshold=st.integers(1, 6), names=st.sets(st.sampled_from(sorted(KEYS))))
def test_a_number_any_and_all_count_members(threshold: int, names: set[str]) -> None:
    keys = [KEYS[name] for name in names]
    everyone = " ".join(KEYS)
    assert policy(f"{ALL}group g {threshold} {everyone}\nquorum g\n").satisfied_by(keys) == (len(names) >= threshold)
    assert policy(f"{ALL}group g any {everyone}\nquorum g\n").satisfied_by(keys) == bool(names)
    assert policy(f"{ALL}group g all {everyone}\nquorum g\n").satisfied_by(keys) == (len(names) == 6)


def test_a_quorum_may_be_one_witness_or_none() -> None:
    one = policy(f"{ALL}quorum X2\n")
    assert not one.satisfied_by([])
    assert not one.satisfied_by([KEYS["X1"]])
    assert one.satisfied_by([KEYS["X2"]])
    assert policy("quorum none\n").satisfied_by([])


def test_keys_that_the_policy_does_not_know_count_nothing() -> None:
    asked = policy(f"{witness('X1')}quorum X1\n")
    renamed = CosignatureKey(name="other.example", public_key=KEYS["X1"].public_key)
    assert not asked.satisfied_by([KEYS["X2"], renamed])


def test_spaces_tabs_comments_empty_lines_and_addresses_are_read() -> None:
    parsed = policy(
        f"# a comment\n\t # another\n\n \t \n\tlog\t{LOG_KEY.encode()}  https://gateway.example/log \n"
        f"  {witness('X1', 'https://witness.example/')}quorum \t none\t\n"
    )
    assert [(log.key, log.url) for log in parsed.logs] == [(LOG_KEY, "https://gateway.example/log")]
    assert [(known.name, known.url) for known in parsed.witnesses] == [("X1", "https://witness.example/")]
    assert parsed.quorum is None


def test_names_are_octets_whatever_they_look_like() -> None:
    key = KEYS["X1"].encode().encode()
    # A Kelvin sign is not a K, a byte that is no UTF-8 is a name, and a no-break space divides nothing.
    for name in ("\u212a".encode(), b"\xff\xfe", b"a\xa0b", b"a\xc2\xa0b"):
        parsed = parse_policy(b"witness " + name + b" " + key + b"\nquorum " + name + b"\n")
        assert parsed.satisfied_by([KEYS["X1"]])
    with pytest.raises(MalformedInput):
        parse_policy(b"witness K " + key + b"\nquorum " + "\u212a".encode() + b"\n")


def test_thirty_two_of_each_are_no_trouble_nor_is_a_deep_tower_of_groups() -> None:
    signers = [PrivateKeySigner.generate("Ed25519") for _ in range(32)]
    logs = "".join(f"log {verifier_key_of(each, ORIGIN).encode()}\n" for each in signers)
    keys = [cosignature_key_of(each, f"w{at}.example") for at, each in enumerate(signers)]
    lines = "".join(f"witness w{at} {key.encode()}\n" for at, key in enumerate(keys))
    tower = "group g0 all w0\n" + "".join(f"group g{at} all g{at - 1} w{at}\n" for at in range(1, 32))
    parsed = policy(f"{logs}{lines}{tower}quorum g31\n")
    assert parsed.satisfied_by(keys)
    assert not parsed.satisfied_by(keys[1:])


def test_post_quantum_witnesses_are_known_too() -> None:
    vkey = signing.MLDSA44CosignatureSigner("pq.example", MLDSA44PrivateKey.generate()).vkey.serialize()  # type: ignore[no-untyped-call]
    assert policy(f"witness pq {vkey}\nquorum pq\n").satisfied_by([parse_cosignature_key(vkey)])


SAME_LOG_KEY = verifier_key_of(LOG, "other.example/log").encode()
SAME_WITNESS_KEY = cosignature_key_of(WITNESSES["X1"], "renamed.example").encode()


BROKEN: list[tuple[str, int | None]] = [
    ("", None),
    (LOG_LINE, None),
    ("quorum none", None),
    (f"{ALL}quorum none\nquorum X1", None),
    ("quorum none\nquorum none\n", 2),
    ("quorum X1\n" + witness("X1"), 1),
    ("quorum g\n", 1),
    ("quorum\n", 1),
    ("quorum none none\n", 1),
    ("Quorum none\n", 1),
    ("\u00a0quorum none\n", 1),
    (f"{LOG_LINE}{LOG_LINE}quorum none\n", 2),
    (f"{LOG_LINE}log {SAME_LOG_KEY}\nquorum none\n", 2),
    (f"log {KEYS['X1'].encode()}\nquorum none\n", 1),
    ("log\nquorum none\n", 1),
    (f"log {LOG_KEY.encode()} url more\nquorum none\n", 1),
    ("log nonsense\nquorum none\n", 1),
    (f"witness X1 {LOG_KEY.encode()}\nquorum none\n", 1),
    (f"{witness('X1')}{witness('X1')}quorum X1\n", 2),
    (f"{witness('X1')}witness X9 {SAME_WITNESS_KEY}\nquorum X1\n", 2),
    (f"{witness('X1')}witness X1 {KEYS['X2'].encode()}\nquorum X1\n", 2),
    (f"witness none {KEYS['X1'].encode()}\nquorum none\n", 1),
    (f"{ALL}group X1 any X2\nquorum X1\n", 7),
    (f"{ALL}group none any X2\nquorum none\n", 7),
    (f"{ALL}group g any none\nquorum g\n", 7),
    (f"{ALL}group g any g\nquorum g\n", 7),
    (f"{ALL}group g any h\ngroup h any X1\nquorum g\n", 7),
    (f"{ALL}group g any X1 X1\nquorum g\n", 7),
    (f"{ALL}group g any X1\ngroup h any X1\nquorum g\n", 8),
    (f"{ALL}group g any\nquorum g\n", 7),
    (f"{ALL}group g 0 X1\nquorum g\n", 7),
    (f"{ALL}group g 2 X1\nquorum g\n", 7),
    (f"{ALL}group g -1 X1\nquorum g\n", 7),
    (f"{ALL}group g 01 X1\nquorum g\n", 7),
    (f"{ALL}group g ١ X1\nquorum g\n", 7),
    (f"{ALL}group g ALL X1\nquorum g\n", 7),
    (f"{ALL}group g most X1\nquorum g\n", 7),
    ("unknown line\nquorum none\n", 1),
    ("quorum none # why\n", 1),
    ("quorum none\r\n", None),
    ("quorum none\n\x00\n", None),
    ("#\x7f\nquorum none\n", None),
    ("#" * MAX_POLICY_BYTES + "\nquorum none\n", None),
]


# The keys are new in every process; the names of tests must not be.
@pytest.mark.parametrize(("text", "line"), BROKEN, ids=[str(number) for number in range(len(BROKEN))])
def test_a_file_that_breaks_the_format_is_refused_by_its_line(text: str, line: int | None) -> None:
    with pytest.raises(MalformedInput) as refused:
        policy(text)
    if line is not None:
        assert refused.value.public.startswith(f"line {line} ")


@given(data=st.binary(max_size=200))
def test_no_bytes_do_more_than_be_refused(data: bytes) -> None:
    for whole in (data, data + b"\nquorum none\n", b"witness " + data + b"\n", b"log " + data + b"\n"):
        try:
            parse_policy(whole)
        except GatewayError as error:
            assert isinstance(error, MalformedInput)  # noqa: PT017 - anything else is a fault


CHECKPOINT = Checkpoint(origin=ORIGIN, size=7, root=bytes(32))
NOTE = sign_note(CHECKPOINT.encode(), LOG, ORIGIN)


def cosigned(*names: str) -> bytes:
    lines = [cosign(CHECKPOINT.encode(), WITNESSES[name], f"{name}.example", at=AT) for name in names]
    return add_signatures(NOTE, lines)


def test_a_checkpoint_is_trusted_when_a_known_log_signed_and_the_quorum_cosigned() -> None:
    trusted = open_checkpoint_under(policy(EXAMPLE), cosigned("X1", "X3", "Y2"))
    assert trusted.checkpoint == CHECKPOINT
    assert {each.key for each in trusted.cosignatures} == {KEYS["X1"], KEYS["X3"], KEYS["Y2"]}
    for names in ((), ("X1", "X2", "X3"), ("X1", "Y1", "Y2", "Y3")):
        with pytest.raises(InvalidNote, match="too few witnesses"):
            open_checkpoint_under(policy(EXAMPLE), cosigned(*names))


def test_one_witness_cosigning_twice_counts_once() -> None:
    twice = cosign(CHECKPOINT.encode(), WITNESSES["X1"], "X1.example", at=datetime(2026, 3, 2, tzinfo=UTC))
    asked = policy(f"{LOG_LINE}{ALL}group g 2 X1 X2\nquorum g\n")
    with pytest.raises(InvalidNote, match="too few witnesses"):
        open_checkpoint_under(asked, add_signatures(cosigned("X1"), [twice]))


def test_witnesses_do_not_make_up_for_the_logs_signature() -> None:
    unsigned = b"\n".join(line for line in cosigned("X1").split(b"\n") if f"— {ORIGIN} ".encode() not in line)
    with pytest.raises(InvalidNote):
        open_checkpoint_under(policy(f"{LOG_LINE}{ALL}quorum X1\n"), unsigned)
    with pytest.raises(InvalidNote):
        open_checkpoint_under(policy("quorum none\n"), NOTE)
    assert open_checkpoint_under(policy("quorum none\n"), NOTE, log_keys=[LOG_KEY]).checkpoint == CHECKPOINT


def test_a_false_line_by_a_known_witness_refuses_the_checkpoint() -> None:
    false = SignatureLine(name="X2.example", key_id=KEYS["X2"].key_id, signature=bytes(72)).encode()
    with pytest.raises(InvalidNote, match="does not verify"):
        open_checkpoint_under(policy(f"{LOG_LINE}{ALL}quorum X1\n"), add_signatures(cosigned("X1"), [false]))
