"""A person of whom nearly all is known cannot be found in what is public, nor in a copy of the database.

The attacker knows name, birth date, council and all but four digits of the number, has every published file, the
receipts and the log's rows, and tries each of the ten thousand numbers under every construction that comes to mind.
With the secrets the very same attempt finds the one right number: it would notice a commitment without its salt.
"""

import hashlib
import hmac
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import select

from gateway.audit.append import Event
from gateway.audit.models import EventRow
from gateway.clock import SystemClock
from gateway.demo.layout import BLACKBURN
from gateway.sharing.exchange.models import ExchangeRow
from gateway.sharing.exchange.people.subjects import _however_spelt
from gateway.wire.canonical import canonical_json
from gateway.wire.encoding import b64_decode, b64url_decode
from gateway.wire.errors import MalformedInput
from gateway.wire.jws import unverified_claims
from gateway.wire.leaves import Leaf, parse_leaf
from tests.kit.world import ADA_MATCH, World

NINO = ADA_MATCH["nino"]
CANDIDATES = [f"{NINO[:4]}{number:04d}{NINO[-1]}" for number in range(10_000)]
HASHES = ("sha256", "sha1", "md5")
TOKEN = re.compile(rb"[A-Za-z0-9+/_=-]{16,}")
LEAST = 16  # bytes of a hash that would still tell a person


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What the attacker holds: text as it stands, every hash that any of it may be, and public words to try as keys."""

    text: bytes
    hashes: frozenset[bytes]
    words: tuple[bytes, ...]


@pytest.fixture(scope="module")
def evidence(world: World) -> tuple[Leaf, Mapping[str, object], bytes, EventRow]:
    """One exchange about the person, and an entry whose details hold everything: leaf, receipt, question, row."""
    asking = world.asking()
    question = world.body(asking)
    request = world.signed(question)
    answer = json.loads(world.send(request).body)
    reference = world.gateway.people.references.reference_of_attributes(_however_spelt(ADA_MATCH))
    with world.gateway.database.write() as session:
        event = Event(
            name="sharing.record.refused",
            outcome="refused",
            members=(BLACKBURN, "dwp"),
            details={"subject": ADA_MATCH},
            subject=reference,
            reference=answer["exchange"],
        )
        entry = world.gateway.audit.append(session, event, at=SystemClock().now())
    world.assert_log_verifies()
    with world.gateway.database.read() as session:
        row = session.scalars(select(EventRow).where(EventRow.id == entry.event_id)).one()
    return parse_leaf(entry.leaf), unverified_claims(answer["receipt"]), request.body, row


@pytest.fixture(scope="module")
def material(world: World, evidence: tuple[Leaf, Mapping[str, object], bytes, EventRow]) -> Material:
    leaf, receipt, _question, row = evidence
    published = [path.read_bytes() for path in sorted(world.settings.log_dir.rglob("*")) if path.is_file()]
    with world.gateway.database.read() as session:
        rows = session.execute(select(EventRow.leaf, EventRow.subject_tag, EventRow.key_id, EventRow.details)).all()
        exchanges = session.execute(select(ExchangeRow.__table__)).all()
    stored = [bytes(item) if isinstance(item, bytes) else item.encode() for found in rows for item in found]
    stored += [repr(tuple(exchange)).encode() for exchange in exchanges]
    names = [str(path.relative_to(world.settings.subject_keys_dir)).encode() for path in key_files(world)]
    claims = json.dumps(receipt).encode()
    text = b"\n".join([*published, *stored, *names, claims])
    words = {b"", b"gateway", world.issuer.encode(), world.settings.log_origin.encode(), BLACKBURN.encode(), b"dwp"}
    said = (leaf.event_id, leaf.at, leaf.commitment, leaf.reference, row.subject_tag)
    words |= {str(value).encode() for value in said}
    words |= {value.encode() for value in receipt.values() if isinstance(value, str)}
    words |= {row.key_id, row.leaf_hash, str(leaf.reference).replace("-", "").encode()}
    return Material(text=text, hashes=frozenset(hashes_in(text, published)), words=tuple(sorted(words)))


def key_files(world: World) -> Iterator[Path]:
    return (path for path in world.settings.subject_keys_dir.rglob("*") if path.is_file())


def hashes_in(text: bytes, published: Iterable[bytes]) -> Iterator[bytes]:
    """Every run of bytes that could be a hash, cut to the least length that counts."""
    for found in TOKEN.findall(text):
        for decode in (bytes.fromhex, b64_decode, b64url_decode):
            try:
                value = decode(found.decode())
            except (ValueError, MalformedInput):
                continue
            yield value[:LEAST]
    for data in published:
        for at in range(0, len(data) - 31, 32):  # hash tiles
            yield data[at : at + LEAST]


def spellings(nino: str) -> Iterator[bytes]:
    """What of this person might have been hashed."""
    person = ADA_MATCH | {"nino": nino}
    texts = [nino, nino.lower(), " ".join(re.findall("..", nino)), f"nino:{nino}", f"nino={nino}"]
    parts = (person["family_name"], person["birthdate"], nino)
    texts += [separator.join(parts) for separator in ("", "|", ",", "\x00", " ")]
    texts += [separator.join(parts).lower() for separator in ("", "|")]
    objects: list[Mapping[str, object]] = [
        {"nino": nino},
        person,
        _however_spelt(person),
        {"match": person},
        {"subject": person},
        {"subject": {"match": person}},
    ]
    yield from (text.encode() for text in texts)
    yield from (canonical_json(item) for item in objects)
    yield from (b"attributes\x00" + canonical_json(item) for item in objects[:3])


def guesses(nino: str, words: Iterable[bytes]) -> Iterator[bytes]:
    """Every hash of every spelling: plain, after and before a public word, keyed with one, and twice."""
    for text in spellings(nino):
        for name in HASHES:
            plain = hashlib.new(name, text).digest()
            yield plain
        yield hashlib.sha256(hashlib.sha256(text).digest()).digest()
        for word in words:
            yield hashlib.sha256(word + text).digest()
            yield hashlib.sha256(text + word).digest()
            yield hmac.digest(word, text, "sha256")


def found(material: Material, attempts: Callable[[str], Iterable[bytes]]) -> list[str]:
    return [nino for nino in CANDIDATES if any(guess[:LEAST] in material.hashes for guess in attempts(nino))]


def test_neither_the_number_nor_the_name_stands_anywhere(material: Material) -> None:
    plain = material.text
    decoded = [plain]
    for token in set(TOKEN.findall(plain)):
        for decode in (b64_decode, b64url_decode):
            try:
                decoded.append(decode(token.decode()))
            except (ValueError, MalformedInput):
                continue
    for text in decoded:
        for secret in (NINO, ADA_MATCH["family_name"], ADA_MATCH["birthdate"]):
            assert secret.encode() not in text


def test_no_number_matches_without_a_secret(material: Material) -> None:
    # The words that the attacker tries as salts and keys: for all ten thousand numbers the few that mean something,
    # for the right number, which is all that could be given away, every one.
    assert found(material, lambda nino: guesses(nino, (b"", b"gateway"))) == []
    assert [guess for guess in guesses(NINO, material.words) if guess[:LEAST] in material.hashes] == []


def test_with_the_salt_of_the_details_the_one_right_number_is_found(
    world: World, material: Material, evidence: tuple[Leaf, Mapping[str, object], bytes, EventRow]
) -> None:
    row = evidence[3]
    key = world.gateway.audit.subject_keys.find_key(row.subject_tag, row.key_id)
    assert key is not None
    salt = AESGCM(key).decrypt(row.details[:12], row.details[12:], row.id.bytes)[:16]
    assert found(material, lambda nino: guesses_with(salt, nino)) == [NINO]


def guesses_with(salt: bytes, nino: str) -> Iterator[bytes]:
    return (hashlib.sha256(salt + text).digest() for text in spellings(nino))


def test_with_the_salt_of_the_question_the_one_right_number_is_found(
    material: Material, evidence: tuple[Leaf, Mapping[str, object], bytes, EventRow]
) -> None:
    question = evidence[2]
    assert found(material, partial(digest_of, question)) == [NINO]
    # Without it, or with any other, nothing is.
    salt = json.loads(question)["salt"].encode()
    for other in (b"", b"A" * len(salt)):
        assert not found(material, partial(digest_of, question.replace(salt, other)))


def digest_of(question: bytes, nino: str) -> list[bytes]:
    return [hashlib.sha256(question.replace(NINO.encode(), nino.encode())).digest()]


def test_with_the_key_of_the_references_the_one_right_number_is_found(
    world: World, material: Material, evidence: tuple[Leaf, Mapping[str, object], bytes, EventRow]
) -> None:
    references, keys = world.gateway.people.references, world.gateway.audit.subject_keys

    def tags(nino: str) -> Iterator[bytes]:
        reference = references.reference_of_attributes(_however_spelt(ADA_MATCH | {"nino": nino}))
        yield bytes.fromhex(keys.tag(f"subject\x00{reference}"))

    assert found(material, tags) == [NINO]
