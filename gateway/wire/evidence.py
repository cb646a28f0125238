"""One file about one exchange, which settles a dispute years later: receipt, log proof, and what they name.

The file is canonical JSON (RFC 8785) and a newline: `{format, receipt, leaf, leaf_index, inclusion_proof, checkpoint,
provider, checks, agreement, policy, details, disclosures}`. The first six are as in a proof file; `checkpoint` bears
one signature of the log. `provider` is `{jwt, jwk}`: what the provider signed, without a value, and its public key, of
which only the members that make the key; `checks` is what the gateway signed where it computed; `agreement` is as
`agreement_texts` makes it, `policy` the texts of schema, rules and lists; `details` is `{salt, values}` (salt in
base64) and opens the commitment in the leaf. What an exchange does not have is null. `disclosures` is
`{record, checks}`: the disclosures (RFC 9901 §4.2) that whoever holds the record chose to reveal.

Nothing stands in the file that is not signed, or named by a digest in what is: a changed byte fails a step.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from gateway.errors import GatewayError
from gateway.wire.canonical import canonical_json
from gateway.wire.encoding import b64_decode, b64_encode, parse_json_object
from gateway.wire.errors import MalformedInput
from gateway.wire.jws import unverified_claims
from gateway.wire.keys import Jwk, thumbprint
from gateway.wire.merkle import HASH_BYTES
from gateway.wire.notes import split_note
from gateway.wire.proofs import Proof

EVIDENCE_FORMAT = "gateway-evidence/1"
MAX_EVIDENCE_BYTES = 10_000_000
_MAX_HASHES = 64
_MEMBERS = frozenset(
    (
        "format",
        "receipt",
        "leaf",
        "leaf_index",
        "inclusion_proof",
        "checkpoint",
        "provider",
        "checks",
        "agreement",
        "policy",
        "details",
        "disclosures",
    )
)
# RFC 7638 §3.2: the members that make the key, and so its thumbprint. No other may stand beside them unsigned.
_KEY_MEMBERS = {"EC": ("crv", "kty", "x", "y"), "RSA": ("e", "kty", "n"), "OKP": ("crv", "kty", "x")}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderPart:
    """What the provider signed, which holds digests and no value, and the public key with which it was verified."""

    jwt: str
    jwk: Jwk


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """The details of the log's entry and the salt with which the leaf commits to them. Personal data."""

    salt: bytes = field(repr=False)
    values: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """An evidence file's content, still to be checked."""

    proof: Proof
    provider: ProviderPart | None = None
    checks: str | None = None
    agreement: Mapping[str, Any] | None = None
    policy: Mapping[str, Any] | None = None
    details: Details | None = None
    record_disclosures: tuple[str, ...] = field(default=(), repr=False)
    check_disclosures: tuple[str, ...] = field(default=(), repr=False)

    def encode(self) -> bytes:
        """Return the file's bytes; raises `MalformedInput` for values that no reader would accept."""
        proof, provider, details = self.proof, self.provider, self.details
        members = {
            "format": EVIDENCE_FORMAT,
            "receipt": proof.receipt,
            "leaf": b64_encode(proof.leaf),
            "leaf_index": proof.leaf_index,
            "inclusion_proof": [b64_encode(item) for item in proof.inclusion_proof],
            "checkpoint": proof.checkpoint.decode(),
            "provider": None if provider is None else {"jwt": provider.jwt, "jwk": key_alone(provider.jwk)},
            "checks": self.checks,
            "agreement": self.agreement,
            "policy": self.policy,
            "details": None if details is None else {"salt": b64_encode(details.salt), "values": dict(details.values)},
            "disclosures": {"record": list(self.record_disclosures), "checks": list(self.check_disclosures)},
        }
        file = canonical_json(members) + b"\n"
        parse_evidence(file)
        return file

    def revealing(self, *, record: tuple[str, ...] = (), checks: tuple[str, ...] = ()) -> "Evidence":
        """Return the same evidence with these disclosures and no others."""
        return replace(self, record_disclosures=record, check_disclosures=checks)


def key_alone(jwk: Jwk) -> dict[str, Any]:
    """Return the members of a public key that make it (RFC 7638 §3.2); raises `MalformedInput`."""
    names = _KEY_MEMBERS.get(str(jwk.get("kty")), ())
    if not names or not all(isinstance(jwk.get(name), str) for name in names):
        raise MalformedInput("this is not a public key of type EC, RSA or OKP")
    return {name: jwk[name] for name in names}


def with_one_signature(note: bytes, *, name: str, key_id: bytes) -> bytes:
    """Return a signed note with the signature of one key alone; raises `MalformedInput` when it bears none of it."""
    text, lines = split_note(note)
    for line in lines:
        if (line.name, line.key_id) == (name, key_id):
            return f"{text}\n{line.encode()}\n".encode()
    raise MalformedInput("the checkpoint does not bear that key's signature")


def is_evidence(unverified: bytes) -> bool:
    """Tell whether a file means to be evidence."""
    return b'"format":"gateway-evidence/' in unverified[: MAX_EVIDENCE_BYTES + 1]


def parse_evidence(unverified: bytes) -> Evidence:
    """Read an evidence file without checking what it proves; raises `MalformedInput`."""
    if len(unverified) > MAX_EVIDENCE_BYTES:
        raise MalformedInput("an evidence file is smaller than 10 MB")
    members = parse_json_object(unverified)
    if members.get("format") != EVIDENCE_FORMAT:
        raise MalformedInput(f"the format of an evidence file is {EVIDENCE_FORMAT}")
    if members.keys() != _MEMBERS:
        raise MalformedInput(f"an evidence file has exactly {', '.join(sorted(_MEMBERS))}")
    # One content, one spelling: otherwise bytes could be changed that nothing covers.
    if canonical_json(members) + b"\n" != unverified:
        raise MalformedInput("an evidence file is canonical JSON (RFC 8785) and a newline")
    disclosures = _object(members["disclosures"], "disclosures", ("record", "checks"))
    return Evidence(
        proof=_proof(members),
        provider=_provider(members["provider"]),
        checks=None if members["checks"] is None else _text(members["checks"], "checks"),
        agreement=None if members["agreement"] is None else _object(members["agreement"], "agreement"),
        policy=None if members["policy"] is None else _object(members["policy"], "policy"),
        details=_details(members["details"]),
        record_disclosures=_texts(disclosures["record"], "disclosures"),
        check_disclosures=_texts(disclosures["checks"], "disclosures"),
    )


def _proof(members: Mapping[str, Any]) -> Proof:
    receipt = _text(members["receipt"], "receipt")
    index, hashes = members["leaf_index"], _texts(members["inclusion_proof"], "inclusion_proof")
    if not isinstance(index, int) or isinstance(index, bool) or index < 0:
        raise MalformedInput("leaf_index must be a whole number")
    if len(hashes) > _MAX_HASHES:
        raise MalformedInput("inclusion_proof must be a list of at most 64 hashes")
    try:
        exchange = unverified_claims(receipt).get("exchange")
    except GatewayError as error:
        raise MalformedInput(f"receipt: {error.public}") from error
    return Proof(
        exchange=exchange if isinstance(exchange, str) else "",
        leaf=b64_decode(_text(members["leaf"], "leaf")),
        leaf_index=index,
        inclusion_proof=tuple(_hash(item) for item in hashes),
        checkpoint=_note(_text(members["checkpoint"], "checkpoint")),
        receipt=receipt,
    )


def _note(text: str) -> bytes:
    note = text.encode()
    signed, lines = split_note(note)
    # Lines by keys that a reader does not know are ignored, so a second one would be bytes that nothing covers.
    if f"{signed}\n{lines[0].encode()}\n".encode() != note:
        raise MalformedInput("the checkpoint of an evidence file bears one signature")
    return note


def _provider(value: object) -> ProviderPart | None:
    if value is None:
        return None
    members = _object(value, "provider", ("jwt", "jwk"))
    jwk = _object(members["jwk"], "jwk")
    if key_alone(jwk) != jwk:
        raise MalformedInput("jwk holds the members that make the key and no others")
    thumbprint(jwk)
    return ProviderPart(jwt=_text(members["jwt"], "jwt"), jwk=jwk)


def _details(value: object) -> Details | None:
    if value is None:
        return None
    members = _object(value, "details", ("salt", "values"))
    return Details(salt=b64_decode(_text(members["salt"], "salt")), values=_object(members["values"], "values"))


def _object(value: object, name: str, members: tuple[str, ...] | None = None) -> dict[str, Any]:
    if not isinstance(value, dict) or (members is not None and value.keys() != set(members)):
        raise MalformedInput(f"{name} must be an object{'' if members is None else ' of ' + ' and '.join(members)}")
    return value


def _text(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise MalformedInput(f"{name} must be text")
    return value


def _texts(value: object, name: str) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise MalformedInput(f"{name} must be a list of texts")
    return tuple(_text(item, name) for item in value)


def _hash(text: str) -> bytes:
    data = b64_decode(text)
    if len(data) != HASH_BYTES:
        raise MalformedInput("a hash of the inclusion proof is 32 bytes in base64")
    return data
