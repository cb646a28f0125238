"""A client's DPoP key (RFC 9449): makes proofs rightly, or wrongly where a test says how."""

import json
import secrets
from dataclasses import dataclass, field
from typing import Any

from gateway.clock import Clock
from gateway.wire.dpop import token_hash
from gateway.wire.encoding import b64url_encode
from gateway.wire.keys import thumbprint
from gateway.wire.signer import PrivateKeySigner

PUBLIC = ("kty", "crv", "x", "y", "n", "e")


@dataclass(frozen=True, slots=True, kw_only=True)
class DPoPKey:
    """A key pair, and a clock for its proofs."""

    clock: Clock
    signer: PrivateKeySigner = field(default_factory=lambda: PrivateKeySigner.generate("ES256"))

    @property
    def jwk(self) -> dict[str, str]:
        return {name: value for name, value in self.signer.public_jwk().items() if name in PUBLIC}

    @property
    def jkt(self) -> str:
        return thumbprint(self.jwk)

    def proof(
        self,
        method: str,
        address: str,
        *,
        token: str | None = None,
        header: dict[str, Any] | None = None,
        signer: PrivateKeySigner | None = None,
        **changes: Any,
    ) -> str:
        """A proof for one request; with `token`, for showing it. A change to None leaves a member out."""
        members = {"typ": "dpop+jwt", "alg": self.signer.algorithm, "jwk": self.jwk} | (header or {})
        claims = {
            "jti": secrets.token_urlsafe(12),
            "htm": method,
            "htu": address,
            "iat": int(self.clock.now().timestamp()),
            "ath": token_hash(token) if token is not None else None,
        } | changes
        message = f"{_part(members)}.{_part(claims)}"
        return f"{message}.{b64url_encode((signer or self.signer).sign(message.encode()))}"

    def showing(self, token: str, method: str, address: str, **changes: Any) -> dict[str, str]:
        """The headers by which a bound token is shown."""
        return {
            "Authorization": f"DPoP {token}",
            "DPoP": self.proof(method, address, token=token, **changes),
        }


def _part(members: dict[str, Any]) -> str:
    return b64url_encode(json.dumps({name: value for name, value in members.items() if value is not None}).encode())
