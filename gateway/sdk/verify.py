"""Settle a dispute offline: check one proof file with nothing but the gateway's public keys.

The keys must have been obtained beforehand, from the gateway or a party you trust: keys that come with a proof prove
nothing. No network, no clock and no part of the server is used.
"""

from dataclasses import dataclass
from pathlib import Path

from gateway.errors import GatewayError
from gateway.wire.errors import MalformedInput, ProofFailed
from gateway.wire.jws import unverified_claims
from gateway.wire.proofs import Proof, ProvedStep, PublicKeys, parse_proof, parse_public_keys, verify_proof
from gateway.wire.receipts import Receipt, verify_receipt

MAX_FILE_BYTES = 10_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A proof that held: its steps, in order, and the receipt it proves."""

    steps: tuple[ProvedStep, ...]
    receipt: Receipt


def verify(path: Path, keys: Path) -> Verdict:
    """Check the proof file at `path` against public keys: a file, or a folder of `*.json` files of several gateways.

    Raises `ProofFailed` naming the step that fails, `OSError` when a file cannot be read.
    """
    # 1. Read the proof, believing nothing in it.
    proof = load_proof(path)
    # 2. Take the keys of the gateway that the receipt says it is from; the next step finds out whether it is.
    public_keys = keys_for(proof, load_public_keys(keys))
    # 3. Signature of the receipt, log entry, checkpoint, inclusion: each step is named when it fails.
    steps = verify_proof(
        proof, log_vkeys=public_keys.log_vkeys, receipt_keys=public_keys.keys, issuer=public_keys.issuer
    )
    return Verdict(steps=tuple(steps), receipt=verify_receipt(proof.receipt, keys=public_keys.keys))


def load_proof(path: Path) -> Proof:
    """Read a proof file, still unverified; raises `ProofFailed` when it is none, `OSError` when it cannot be read."""
    try:
        return parse_proof(_read(path))
    except MalformedInput as error:
        raise ProofFailed("0 file", f"this is not a proof file: {error.public}") from error


def load_public_keys(keys: Path) -> list[PublicKeys]:
    """Read one public keys file, or every `*.json` in a folder; raises `ProofFailed`, `OSError`."""
    paths = sorted(keys.glob("*.json")) if keys.is_dir() else [keys]
    if not paths:
        raise ProofFailed("0 keys", "the folder holds no public keys files (*.json)")
    found = []
    for path in paths:
        try:
            found.append(parse_public_keys(_read(path)))
        except MalformedInput as error:
            raise ProofFailed("0 keys", f"{path.name}: {error.public}") from error
    return found


def keys_for(proof: Proof, known: list[PublicKeys]) -> PublicKeys:
    """Return the one set of trusted keys whose issuer the receipt claims; raises `ProofFailed`."""
    return keys_of_issuer(_claimed_issuer(proof), known) if len(known) > 1 else known[0]


def keys_of_issuer(claimed: object, known: list[PublicKeys]) -> PublicKeys:
    """Return the one set of trusted keys of the gateway that is claimed to have signed; raises `ProofFailed`."""
    if len(known) == 1:
        return known[0]
    matching = [keys for keys in known if keys.issuer == claimed]
    if len(matching) != 1:
        raise ProofFailed("0 keys", f"{len(matching)} of the key files are for the gateway that the receipt names")
    return matching[0]


def _claimed_issuer(proof: Proof) -> object:
    try:
        return unverified_claims(proof.receipt).get("issuer")
    except GatewayError as error:
        raise ProofFailed("1 receipt", error.public) from error


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        data = file.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise MalformedInput("the file is larger than 10 MB")
    return data
