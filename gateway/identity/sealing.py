"""Secrets at rest: AES-256-GCM under a key that is never in the database."""

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.identity.errors import SealBroken

VERSION = b"\x01"
NONCE_BYTES = 12


class Sealing:
    """Seals small secrets; each is bound to its place, so that rows cannot be swapped."""

    def __init__(self, key: bytes) -> None:
        """Take a 256-bit key."""
        self._cipher = AESGCM(key)

    def seal(self, secret: bytes, *, place: str) -> bytes:
        """Return version, nonce and ciphertext; only the same `place` opens it again."""
        nonce = os.urandom(NONCE_BYTES)
        return VERSION + nonce + self._cipher.encrypt(nonce, secret, place.encode())

    def unseal(self, sealed: bytes, *, place: str) -> bytes:
        """Return the secret; raises `SealBroken` for other bytes, another place or another key."""
        version, nonce, ciphertext = sealed[:1], sealed[1 : 1 + NONCE_BYTES], sealed[1 + NONCE_BYTES :]
        if version != VERSION:
            raise SealBroken(detail="unknown version")
        try:
            return self._cipher.decrypt(nonce, ciphertext, place.encode())
        except (InvalidTag, ValueError) as error:
            raise SealBroken(detail="the ciphertext does not verify") from error
