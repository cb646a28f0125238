"""An honest retry gets the original answer; anything else with the same key gets nothing.

The scope of an Idempotency-Key is client, officer and target. Of the key only an HMAC is kept, and the answer is kept
encrypted under a key derived from it: whoever reads the database has neither.
"""

import hashlib
import hmac
import os
from datetime import timedelta
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gateway.wire.canonical import canonical_json

ANSWER_KEPT = timedelta(minutes=15)
_NONCE_BYTES = 12


class RetryKeys:
    """Derives from one secret, kept outside the database, all that keeping an answer needs."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def scope_mac(self, *, client_id: str, officer: UUID | None, target: str, idempotency_key: str) -> bytes:
        """Return the 32 bytes under which a request with this key is remembered."""
        scope = canonical_json(["retry", client_id, str(officer or ""), target, idempotency_key])
        return hmac.new(self._secret, scope, hashlib.sha256).digest()

    def seal(self, answer: bytes, *, exchange: UUID, idempotency_key: str) -> bytes:
        """Encrypt an answer so that only its Idempotency-Key, together with our secret, opens it."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + AESGCM(self._key(idempotency_key)).encrypt(nonce, answer, exchange.bytes)

    def unseal(self, sealed: bytes, *, exchange: UUID, idempotency_key: str) -> bytes | None:
        """Decrypt a kept answer; `None` when this key does not open it."""
        nonce, ciphertext = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        try:
            return AESGCM(self._key(idempotency_key)).decrypt(nonce, ciphertext, exchange.bytes)
        except InvalidTag:
            return None

    def derive(self, info: bytes, *, salt: bytes | None = None) -> bytes:
        """Return a key of 32 bytes for one use, which `info` names (RFC 5869)."""
        return HKDF(algorithm=SHA256(), length=32, salt=salt, info=info).derive(self._secret)

    def _key(self, idempotency_key: str) -> bytes:
        return self.derive(b"gateway answer\x00" + idempotency_key.encode())
