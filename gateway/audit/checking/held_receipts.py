"""Receipts that members keep, read from a folder: each file a compact JWS, an exchange's answer, or a proof file."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from gateway.audit.checking.remembered import read_whole
from gateway.audit.checking.trust import Trust
from gateway.audit.errors import ReceiptUnusable, StateUnusable
from gateway.clock import parse_rfc3339
from gateway.errors import GatewayError
from gateway.wire.encoding import b64_decode, parse_json_object
from gateway.wire.errors import MalformedInput
from gateway.wire.leaves import Leaf
from gateway.wire.log_proofs import LOG_PROOF_HEADER
from gateway.wire.merkle import HASH_BYTES
from gateway.wire.proofs import parse_proof
from gateway.wire.receipts import Receipt, verify_receipt

MAX_FILE_BYTES = 20_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldReceipt:
    """A receipt whose signature holds: the file it is in, when it was issued, the leaf hash of the entry it names."""

    name: str
    receipt: Receipt
    issued_at: datetime
    entry: bytes


def stamps_of(folder: Path) -> Mapping[str, str]:
    """Return the files of a folder by name, each with what changes when it is written again; hidden ones are left out.

    Raises `StateUnusable` when the folder cannot be read.
    """
    try:
        files = [path for path in sorted(folder.iterdir()) if path.is_file() and not path.name.startswith(".")]
        return {path.name: _stamp(path) for path in files}
    except OSError as error:
        raise StateUnusable(f"{folder} cannot be read", detail=str(error)) from error


def load_receipt(path: Path, trust: Trust) -> HeldReceipt:
    """Read and check one receipt; raises `ReceiptUnusable` for what this gateway has not signed as a receipt."""
    try:
        data = read_whole(path, limit=MAX_FILE_BYTES) or b""
        receipt = verify_receipt(_receipt_in(data), keys=trust.receipt_keys)
        entry, issued_at = b64_decode(receipt.log_entry), parse_rfc3339(receipt.issued_at)
    except (GatewayError, ValueError) as error:
        reason = error.public if isinstance(error, GatewayError) else "its time is no instant"
        raise ReceiptUnusable(f"{path.name}: {reason}") from error
    if trust.issuer is not None and receipt.issuer != trust.issuer:
        raise ReceiptUnusable(f"{path.name}: the receipt was issued by another gateway")
    if len(entry) != HASH_BYTES:
        raise ReceiptUnusable(f"{path.name}: the receipt names no entry of a log")
    return HeldReceipt(name=path.name, receipt=receipt, issued_at=issued_at, entry=entry)


def contradiction(receipt: Receipt, leaf: Leaf) -> str | None:
    """Return where the entry that a receipt names tells another story than the receipt, or None."""
    if leaf.reference != receipt.exchange:
        return "the entry is about another exchange"
    if leaf.outcome != receipt.outcome:
        return f"the receipt says {receipt.outcome}, the entry {leaf.outcome}"
    if not {receipt.consumer, receipt.provider} - {None} <= set(leaf.members):
        return "entry and receipt name different members"
    return None


def _receipt_in(data: bytes) -> str:
    if data.startswith(LOG_PROOF_HEADER.encode()):
        return parse_proof(data).receipt
    if data.lstrip().startswith(b"{"):
        receipt = parse_json_object(data).get("receipt")
        if not isinstance(receipt, str):
            raise MalformedInput("the file holds no receipt")
        return receipt
    try:
        return data.decode("ascii").strip()
    except UnicodeDecodeError as error:
        raise MalformedInput("the file holds no receipt") from error


def _stamp(path: Path) -> str:
    found = path.stat()
    told = f"{found.st_size} {found.st_mtime_ns} {found.st_ino}"
    return hashlib.sha256(told.encode()).hexdigest()[:16]
