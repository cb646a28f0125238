"""Members' signatures: detached JWS (RFC 7515 appendix F) over the canonical JSON (RFC 8785) of an agreement.

Signatures travel and rest in files beside the state, not among the policies: they belong to the members' keys of one
deployment, and those of the demonstration are made anew wherever it runs.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from gateway.directory.members import Jwk, Member
from gateway.errors import GatewayError
from gateway.sharing.agreements.errors import SignatureRefused
from gateway.sharing.agreements.terms import AgreementDocument, Terms
from gateway.wire.agreement_texts import MemberSignature, agreement_texts, texts_digest
from gateway.wire.canonical import canonical_json
from gateway.wire.contracts import AGREEMENT_TYP
from gateway.wire.encoding import parse_json, parse_json_object
from gateway.wire.errors import MalformedInput
from gateway.wire.jws import issue_detached_jws, verify_detached_jws
from gateway.wire.keys import SIGNING_ALGORITHMS, find_key, public_members
from gateway.wire.signer import Signer


def sign_agreement(document: AgreementDocument, *, signer: Signer) -> str:
    """Return a member's detached JWS over the document."""
    return issue_detached_jws(document.canonical, typ=AGREEMENT_TYP, signer=signer)


def check_signature(document: AgreementDocument, jws: str, *, member: Member | None) -> str:
    """Return the `kid` of the member's key that signed; raises `SignatureRefused` naming member and agreement."""
    # An inactive or unknown member has no keys: its signature holds no longer.
    key_id = _key_that_signed(document.canonical, jws, canonical_json([dict(key) for key in _keys_of(member)]))
    if key_id is None:
        raise SignatureRefused(
            f"{document.terms.name}: the signature is not one that {member.code if member else 'a member'} made over "
            "this content"
        )
    return key_id


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedSignature:
    """A party's recorded signature, and the keys (canonical JSON) that the directory holds for it today."""

    member: str
    jws: str
    keys: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """Whose signatures over a document hold, and the digest of the document together with them."""

    members: frozenset[str]
    digest: str


def recorded_signature(member: str, jws: str, *, keys: tuple[Jwk, ...]) -> RecordedSignature:
    """Return a signature beside the keys with which it must verify."""
    return RecordedSignature(member=member, jws=jws, keys=canonical_json([dict(key) for key in keys]))


# Every decision asks this; the answer depends on nothing but the arguments, keys included.
@lru_cache(maxsize=4096)
def signed_by(payload: bytes, signatures: tuple[RecordedSignature, ...]) -> Signed:
    """Tell which of these signatures verify."""
    texts = texts_in_force(payload, signatures)
    return Signed(members=frozenset(texts["signatures"]), digest=texts_digest(texts))


def texts_in_force(payload: bytes, signatures: tuple[RecordedSignature, ...]) -> dict[str, Any]:
    """Return a document with the signatures that hold and the key of each, as evidence shows them."""
    holding = {}
    for signature in signatures:
        key_id = _key_that_signed(payload, signature.jws, signature.keys)
        key = find_key(parse_json(signature.keys), key_id)
        if key is not None:
            holding[signature.member] = MemberSignature(jws=signature.jws, key=public_members(key))
    return agreement_texts(payload, holding)


def _keys_of(member: Member | None) -> tuple[Jwk, ...]:
    return member.keys if member is not None and member.active else ()


def _key_that_signed(payload: bytes, jws: str, keys: bytes) -> str | None:
    try:
        return verify_detached_jws(
            jws, payload, keys=parse_json(keys), typ=AGREEMENT_TYP, algorithms=SIGNING_ALGORITHMS
        ).key_id
    except GatewayError:
        return None


def signatures_path(directory: Path, terms: Terms) -> Path:
    """Return where the signatures of this version rest."""
    return directory / f"{terms.name}.signatures.json"


def load_signatures(path: Path, document: AgreementDocument) -> Mapping[str, str]:
    """Read the signatures over a document, by member; empty when there is no file.

    Raises `SignatureRefused` when the file is not of that form, or was made for other content.
    """
    try:
        stored = parse_json_object(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, MalformedInput) as error:
        raise SignatureRefused(f"{path.name} cannot be read") from error
    signatures = stored.get("signatures")
    if not isinstance(signatures, dict) or not all(isinstance(jws, str) for jws in signatures.values()):
        raise SignatureRefused(f"{path.name} is not a file of signatures")
    if stored.get("digest") != document.digest:
        raise SignatureRefused(
            f"{document.terms.name} was changed after it was signed ({path.name} is for other content)"
        )
    return signatures


def save_signature(path: Path, document: AgreementDocument, *, member: str, jws: str) -> None:
    """Add a signature to the file, or replace the member's own; signatures over other content are dropped."""
    try:
        kept = dict(load_signatures(path, document))
    except SignatureRefused:
        kept = {}
    kept[member] = jws
    stored = {
        "agreement": document.terms.reference,
        "version": document.terms.version,
        "digest": document.digest,
        "signatures": dict(sorted(kept.items())),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(stored, indent=2) + "\n", encoding="utf-8")
    temporary.replace(path)
