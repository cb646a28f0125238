"""One file that settles a dispute: what the log says of an exchange, proved without asking the gateway anything.

The file is JSON: `{format, exchange, leaf, leaf_index, inclusion_proof, checkpoint, receipt}`. `leaf` is the entry's
bytes and `inclusion_proof` the hashes of RFC 9162 §2.1.3, all in standard base64; `checkpoint` is the signed note,
`receipt` the compact JWS. Whoever checks it needs this file and the gateway's public keys, which they got beforehand.

The same may come as a C2SP tlog-proof, which any tlog client reads: its `extra` is then JSON `{entry, receipt}`, the
entry in standard base64. Nothing vouches for `extra` by itself; every step of the check is over what it holds.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from gateway.clock import parse_rfc3339
from gateway.errors import GatewayError
from gateway.wire.canonical import canonical_json
from gateway.wire.encoding import b64_decode, b64_encode, parse_json_object
from gateway.wire.errors import InvalidNote, MalformedInput, ProofFailed, UnusableKey
from gateway.wire.jws import unverified_claims, unverified_header
from gateway.wire.keys import Jwk, algorithm_of, find_key, thumbprint
from gateway.wire.leaves import parse_leaf
from gateway.wire.log_proofs import LOG_PROOF_HEADER, parse_log_proof
from gateway.wire.merkle import HASH_BYTES, leaf_hash, verify_inclusion
from gateway.wire.notes import open_checkpoint, parse_verifier_key
from gateway.wire.receipts import Receipt, verify_receipt

PROOF_FORMAT = "gateway-proof/1"

KEY_LEEWAY_SECONDS = 300
"""How long around its times a key may have signed: several processes change keys, each when it sees them."""

_MAX_PROOF_HASHES = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """A proof file's content, still to be checked. `leaf` is the log entry's bytes, `checkpoint` the signed note's."""

    exchange: str
    leaf: bytes
    leaf_index: int
    inclusion_proof: tuple[bytes, ...]
    checkpoint: bytes
    receipt: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvedStep:
    """One step of a check that held: its number, its name, and what it proved, for people."""

    number: int
    name: str
    proved: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicKeys:
    """What a verifier must know of the gateway beforehand: its issuer, the log's verifier key, the receipt keys.

    `older_log_vkeys` are keys that the log signed with before: proofs made then still hold. A receipt key (JWK) may
    have `nbf` and `exp`, between which it signed (NumericDate).
    """

    issuer: str
    log_vkey: str
    keys: tuple[Jwk, ...]
    older_log_vkeys: tuple[str, ...] = ()

    @property
    def log_vkeys(self) -> tuple[str, ...]:
        """Every key of the log, the newest first."""
        return (self.log_vkey, *self.older_log_vkeys)


def build_proof(
    *,
    exchange: str,
    leaf: bytes,
    leaf_index: int,
    inclusion_proof: Sequence[bytes],
    checkpoint: bytes,
    receipt: str,
) -> bytes:
    """Return the proof file's bytes: indented JSON, UTF-8."""
    members = {
        "format": PROOF_FORMAT,
        "exchange": exchange,
        "leaf": b64_encode(leaf),
        "leaf_index": leaf_index,
        "inclusion_proof": [b64_encode(item) for item in inclusion_proof],
        "checkpoint": checkpoint.decode("utf-8"),
        "receipt": receipt,
    }
    return (json.dumps(members, indent=2, ensure_ascii=False) + "\n").encode("utf-8")


def encode_evidence(entry: bytes, *, receipt: str | None = None) -> bytes:
    """Return the `extra` of a tlog-proof of ours: what its reader must hold against the log."""
    return canonical_json({"entry": b64_encode(entry), **({} if receipt is None else {"receipt": receipt})})


def parse_proof(unverified: bytes) -> Proof:
    """Read a proof file of either format without checking what it proves; raises `MalformedInput`."""
    if unverified.startswith(LOG_PROOF_HEADER.encode()):
        return _from_log_proof(unverified)
    members = parse_json_object(unverified)
    if members.get("format") != PROOF_FORMAT:
        raise MalformedInput(f"the format of a proof file is {PROOF_FORMAT}")
    texts = {name: members.get(name) for name in ("exchange", "leaf", "checkpoint", "receipt")}
    for name, value in texts.items():
        if not isinstance(value, str):
            raise MalformedInput(f"{name} must be text")
    index, hashes = members.get("leaf_index"), members.get("inclusion_proof")
    if not isinstance(index, int) or isinstance(index, bool) or index < 0:
        raise MalformedInput("leaf_index must be a whole number")
    if not isinstance(hashes, list) or len(hashes) > _MAX_PROOF_HASHES:
        raise MalformedInput("inclusion_proof must be a list of at most 64 hashes")
    return Proof(
        exchange=members["exchange"],
        leaf=b64_decode(members["leaf"]),
        leaf_index=index,
        inclusion_proof=tuple(_hash(item) for item in hashes),
        checkpoint=_note(members["checkpoint"]),
        receipt=members["receipt"],
    )


def verify_proof(
    proof: Proof, *, log_vkeys: Sequence[str], receipt_keys: Sequence[Jwk], issuer: str | None = None
) -> list[ProvedStep]:
    """Check a proof step by step and return what each step proved.

    One of `log_vkeys` must have signed the checkpoint; `issuer`, when given, must be the receipt's. Raises
    `ProofFailed` naming the first step that fails.
    """
    # 1. The gateway signed this receipt, and it is about this exchange.
    with step_named("1 receipt"):
        receipt = verify_receipt(proof.receipt, keys=receipt_keys)
        _require_of_its_time(receipt, find_key(receipt_keys, unverified_header(proof.receipt).get("kid")))
        require(receipt.exchange == proof.exchange, "the receipt is about another exchange")
        require(issuer in (None, receipt.issuer), "the receipt was issued by another gateway")

    # 2. The entry is the very one the receipt names.
    with step_named("2 entry"):
        entry_hash = leaf_hash(proof.leaf)
        require(b64_encode(entry_hash) == receipt.log_entry, "the receipt names another log entry")
        leaf = parse_leaf(proof.leaf)

    # 3. Entry and receipt tell the same story.
    with step_named("3 statement"):
        parties = {receipt.consumer, receipt.provider} - {None}
        require(leaf.reference == receipt.exchange, "the entry is about another exchange")
        require(leaf.outcome == receipt.outcome, "entry and receipt state different outcomes")
        require(parties <= set(leaf.members), "entry and receipt name different members")

    # 4. The log signed this checkpoint.
    with step_named("4 checkpoint"):
        checkpoint = open_checkpoint(proof.checkpoint, [parse_verifier_key(vkey) for vkey in log_vkeys])

    # 5. The entry is in the tree that the checkpoint describes.
    with step_named("5 inclusion"):
        verify_inclusion(
            entry_hash,
            index=proof.leaf_index,
            size=checkpoint.size,
            proof=proof.inclusion_proof,
            root=checkpoint.root,
        )

    return [
        ProvedStep(number=1, name="receipt", proved=_told(receipt)),
        ProvedStep(number=2, name="entry", proved=f"the receipt names exactly this log entry, {receipt.log_entry}"),
        ProvedStep(number=3, name="statement", proved=f"the entry records {leaf.event} at {leaf.at} for this exchange"),
        ProvedStep(
            number=4,
            name="checkpoint",
            proved=f"{checkpoint.origin} signed its state at {checkpoint.size} entries",
        ),
        ProvedStep(
            number=5, name="inclusion", proved=f"the entry is number {proof.leaf_index} of those {checkpoint.size}"
        ),
    ]


def encode_public_keys(keys: PublicKeys) -> bytes:
    """Return the public keys file's bytes: JSON `{issuer, log_vkey, keys: [JWK, …]}`, and `older_log_vkeys` if any."""
    members: dict[str, object] = {
        "issuer": keys.issuer,
        "log_vkey": keys.log_vkey,
        "keys": [dict(key) for key in keys.keys],
    }
    if keys.older_log_vkeys:
        members["older_log_vkeys"] = list(keys.older_log_vkeys)
    return (json.dumps(members, indent=2, ensure_ascii=False) + "\n").encode("utf-8")


def parse_public_keys(data: bytes) -> PublicKeys:
    """Read a public keys file and check that every key in it can be used; raises `MalformedInput`."""
    members = parse_json_object(data)
    issuer, vkey, keys = members.get("issuer"), members.get("log_vkey"), members.get("keys")
    if not isinstance(issuer, str) or not isinstance(vkey, str):
        raise MalformedInput("a public keys file names its issuer and its log_vkey")
    if not isinstance(keys, list) or not keys or not all(isinstance(key, dict) for key in keys):
        raise MalformedInput("a public keys file holds a list of keys")
    # Files written before a log's key could be rotated do not name older ones.
    older = members.get("older_log_vkeys", [])
    if not isinstance(older, list) or not all(isinstance(key, str) for key in older):
        raise MalformedInput("older_log_vkeys is a list of verifier keys")
    try:
        for log_vkey in (vkey, *older):
            parse_verifier_key(log_vkey)
        for key in keys:
            algorithm_of(key)
            thumbprint(key)
    except (InvalidNote, UnusableKey) as error:
        raise MalformedInput(f"the public keys file holds a key that cannot be used: {error.public}") from error
    return PublicKeys(issuer=issuer, log_vkey=vkey, keys=tuple(keys), older_log_vkeys=tuple(older))


def _from_log_proof(unverified: bytes) -> Proof:
    log_proof = parse_log_proof(unverified)
    evidence = parse_json_object(log_proof.extra or b"{}")
    entry, receipt = evidence.get("entry"), evidence.get("receipt")
    if not isinstance(entry, str) or not isinstance(receipt, str):
        raise MalformedInput("the tlog-proof carries no entry and receipt of an exchange")
    try:
        exchange = unverified_claims(receipt).get("exchange")
    except GatewayError as error:
        raise MalformedInput(error.public) from error
    return Proof(
        exchange=exchange if isinstance(exchange, str) else "",
        leaf=b64_decode(entry),
        leaf_index=log_proof.index,
        inclusion_proof=log_proof.hashes,
        checkpoint=log_proof.checkpoint,
        receipt=receipt,
    )


@contextmanager
def step_named(name: str) -> Iterator[None]:
    """Say of whatever fails inside that this step failed: every error becomes a `ProofFailed` with its name."""
    try:
        yield
    except ProofFailed as failed:
        raise ProofFailed(name, failed.reason) from failed
    except GatewayError as error:
        raise ProofFailed(name, error.public, detail=error.detail) from error


def require(holds: bool, reason: str) -> None:  # noqa: FBT001 - the condition is the argument
    """Raise `ProofFailed` unless the condition holds; `step_named` around it says which step that was."""
    if not holds:
        raise ProofFailed("proof", reason)


def _require_of_its_time(receipt: Receipt, key: Jwk | None) -> None:
    """Refuse a receipt dated outside the time in which its key signed: whoever has an old key signs nothing new."""
    begins, ends = ((key or {}).get(name) for name in ("nbf", "exp"))
    if begins is None and ends is None:
        return
    issued = _instant(receipt.issued_at)
    require(not isinstance(begins, int) or issued >= begins - KEY_LEEWAY_SECONDS, "its key did not sign yet then")
    require(not isinstance(ends, int) or issued <= ends + KEY_LEEWAY_SECONDS, "its key did not sign any more then")


def _instant(text: str) -> float:
    try:
        return parse_rfc3339(text).timestamp()
    except ValueError as error:
        raise MalformedInput("the receipt's time is not one") from error


def _told(receipt: Receipt) -> str:
    answer = f"{receipt.issuer} signed that exchange {receipt.exchange} was {receipt.outcome}"
    rules = ", ".join(rule.code for rule in receipt.rules)
    return f"{answer} ({rules})" if rules else answer


def _note(text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:  # JSON can spell half a character
        raise MalformedInput("checkpoint must be text") from error


def _hash(value: object) -> bytes:
    data = b64_decode(value) if isinstance(value, str) else b""
    if len(data) != HASH_BYTES:
        raise MalformedInput("a hash of the inclusion proof is 32 bytes in base64")
    return data
