"""How a client shows its access tokens, and what they are bound to: to nothing, to a DPoP key, to its certificate."""

import threading
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

from gateway.wire.dpop import issue_proof
from gateway.wire.signer import Signer


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientCertificate:
    """The certificate of a client that is registered for mutual TLS (RFC 8705), and its private key, as PEM files.

    Tokens are bound to it. `authenticates` says that the client is registered to prove by it who it is, too; otherwise
    it does so with its signing key (`private_key_jwt`).
    """

    certificate: Path
    key: Path
    authenticates: bool = False


class DPoPKey:
    """A key to which access tokens are bound (RFC 9449), and the nonces servers want in proofs; safe in threads."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer
        self._nonces: dict[str, str] = {}
        self._lock = threading.Lock()

    def proof(self, method: str, address: str, *, now: datetime, access_token: str | None = None) -> str:
        """Return a new proof for one request; with `access_token`, for showing that token."""
        with self._lock:
            nonce = self._nonces.get(_origin(address))
        return issue_proof(
            self._signer, method=method, address=address, now=now, access_token=access_token, nonce=nonce
        )

    def remember_nonce(self, address: str, nonce: str | None) -> bool:
        """Keep the nonce that a server gave out (RFC 9449 §8); tell whether it is another than before."""
        if nonce is None:
            return False
        with self._lock:
            new = self._nonces.get(_origin(address)) != nonce
            self._nonces[_origin(address)] = nonce
        return new


def headers_showing(
    access_token: str, *, method: str, address: str, key: DPoPKey | None, now: datetime
) -> dict[str, str]:
    """Return the headers by which a token is shown: as a bearer's, or with a proof of the key it is bound to."""
    if key is None:
        return {"Authorization": f"Bearer {access_token}"}
    return {
        "Authorization": f"DPoP {access_token}",
        "DPoP": key.proof(method, address, now=now, access_token=access_token),
    }


def _origin(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}"
