"""An agreement as it was in force: the document, the members' signatures over it, and the keys that made them.

A receipt names all three by one digest. So whoever holds the receipt can be shown them years later, when the members
have long had other keys, and whatever the directory says then.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.wire.canonical import canonical_json, digest_b64
from gateway.wire.errors import MalformedInput
from gateway.wire.keys import Jwk

_PARTS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberSignature:
    """A member's detached JWS over the document, and the public key (JWK with `kid`) with which it verifies."""

    jws: str
    key: Jwk


def agreement_texts(document: bytes, signatures: Mapping[str, MemberSignature]) -> dict[str, Any]:
    """Return `{document, signatures: {member: {jws, jwk}}}`; `document` is the signed canonical JSON, as text."""
    return {
        "document": document.decode(),
        "signatures": {member: {"jws": one.jws, "jwk": dict(one.key)} for member, one in signatures.items()},
    }


def read_agreement_texts(texts: Mapping[str, Any]) -> tuple[bytes, dict[str, MemberSignature]]:
    """Take `agreement_texts` apart; raises `MalformedInput`."""
    document, signatures = texts.get("document"), texts.get("signatures")
    if not isinstance(document, str) or not isinstance(signatures, dict) or len(texts) != _PARTS:
        raise MalformedInput("an agreement's texts are its document and signatures")
    read = {}
    for member, one in signatures.items():
        jws, jwk = (one.get("jws"), one.get("jwk")) if isinstance(one, dict) else (None, None)
        if not isinstance(jws, str) or not isinstance(jwk, dict):
            raise MalformedInput("a member's signature is its jws and its jwk")
        read[member] = MemberSignature(jws=jws, key=jwk)
    return document.encode(), read


def texts_digest(texts: Mapping[str, Any]) -> str:
    """Return `sha-256:` and the base64url SHA-256 of texts in canonical JSON: of an agreement, or of policies."""
    return f"sha-256:{digest_b64(canonical_json(texts))}"
