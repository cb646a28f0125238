"""Sender constraint: tokens that are worth nothing without a key that only their client holds.

Two ways: DPoP (RFC 9449), a signed proof beside each request, and the client's certificate of mutual TLS (RFC 8705 §3).
Which key a token is bound to stands in the token itself, as `cnf` (RFC 7800). A token bound to both needs both.

A proof is verified without writing and used up in a write transaction; at a resource, in one of its own.
"""

import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from gateway.directory.members import Client
from gateway.errors import GatewayError, Kind
from gateway.identity.caller import Presented
from gateway.oidc.endpoints import Endpoints
from gateway.once.once import Claim, first_uses
from gateway.wire.dpop import InvalidProof, ProvedRequest, VerifiedProof, verify_proof
from gateway.wire.encoding import b64url_encode

NONCE_WINDOW = timedelta(minutes=5)
"""A nonce is accepted in the window it was given out in and in the next."""


class ProofRefused(GatewayError):
    """A DPoP proof that does not hold, or a token that came without what it is bound to."""

    kind = Kind.UNAUTHENTICATED
    code = "invalid_dpop_proof"
    title = "The DPoP proof is not valid"


class NonceNeeded(ProofRefused):
    """A proof without a nonce of ours that still lives (RFC 9449 §8): no fault of its client's."""

    code = "use_dpop_nonce"
    title = "The DPoP proof needs the nonce in the DPoP-Nonce header"


class CertificateNeeded(ProofRefused):
    """A request without the certificate that its tokens are to be bound to (RFC 8705 §3)."""

    code = "invalid_request"
    title = "A client certificate is needed: call the address in mtls_endpoint_aliases with it"


@dataclass(frozen=True, slots=True, kw_only=True)
class SenderConstraint:
    """What a token is bound to. Nothing: it is a bearer token."""

    jkt: str | None = None
    """The thumbprint of a DPoP key (RFC 9449 §6.1)."""
    x5t_s256: str | None = None
    """The SHA-256 of a certificate (RFC 8705 §3.1)."""

    @property
    def token_type(self) -> str:
        """How the token must be shown. Certificates leave the scheme as it is (RFC 8705 §3)."""
        return "DPoP" if self.jkt is not None else "Bearer"

    def as_claims(self) -> dict[str, dict[str, str]]:
        """Return the `cnf` claim, or nothing."""
        members = {"jkt": self.jkt, "x5t#S256": self.x5t_s256}
        given = {name: value for name, value in members.items() if value is not None}
        return {"cnf": given} if given else {}


class DPoPNonces:
    """Nonces for proofs (RFC 9449 §8), kept nowhere: each is the MAC of the time it was given out in."""

    def __init__(self, key: bytes) -> None:
        """Take a 256-bit key, the same for every worker and node."""
        self._key = key

    def current(self, now: datetime) -> str:
        """Return the nonce to be used from now on."""
        return self._nonce(self._window(now))

    def accepts(self, nonce: str | None, *, now: datetime) -> bool:
        """Tell whether it was given out in this window or in the one before."""
        given = (nonce or "").encode("utf-8", "surrogatepass")
        window = self._window(now)
        return any(hmac.compare_digest(given, self._nonce(each).encode()) for each in (window, window - 1))

    def _window(self, now: datetime) -> int:
        return int(now.timestamp() // NONCE_WINDOW.total_seconds())

    def _nonce(self, window: int) -> str:
        return b64url_encode(hmac.digest(self._key, b"dpop nonce %d" % window, hashlib.sha256)[:24])


@dataclass(frozen=True, slots=True, kw_only=True)
class Possession:
    """Verifies what requests show of their sender's keys. `nonces` None: proofs need none."""

    endpoints: Endpoints
    nonces: DPoPNonces | None = None

    def proof_of(self, presented: Presented, *, now: datetime, access_token: str | None = None) -> VerifiedProof | None:
        """Verify the DPoP proof of a request; None when there is none. Raises `ProofRefused`, `NonceNeeded` among it.

        The caller then uses it up with `claim_proof`.
        """
        if not presented.dpop:
            return None
        if len(presented.dpop) > 1:
            raise ProofRefused("Exactly one DPoP header is needed")
        request = ProvedRequest(
            method=presented.method,
            addresses=self.endpoints.addresses_of(presented.endpoint),
            access_token=access_token,
            now=now,
        )
        try:
            proof = verify_proof(presented.dpop[0], request)
        except InvalidProof as error:
            raise ProofRefused(error.public, detail=error.detail) from error
        if self.nonces is not None and not self.nonces.accepts(proof.nonce, now=now):
            raise NonceNeeded
        return proof

    def constraint_for(self, client: Client, presented: Presented, proof: VerifiedProof | None) -> SenderConstraint:
        """Decide what this client's new tokens are bound to; raises `ProofRefused` when it shows too little.

        A proof always binds. A client registered for bound tokens never gets others (RFC 9449 §5.2, RFC 8705 §3.4), nor
        does one under FAPI 2.0 (§5.3.2.1 items 4 and 5), which may choose which of the two it is.
        """
        settings = client.oauth
        if proof is None and settings.dpop_bound_access_tokens:
            raise ProofRefused("This client's tokens are bound to a key: send a DPoP proof")
        certificate = thumbprint_of(presented.certificate) if presented.certificate is not None else None
        by_certificate = settings.tls_client_certificate_bound_access_tokens or (settings.fapi2 and proof is None)
        if by_certificate and certificate is None:
            if settings.tls_client_certificate_bound_access_tokens:
                raise CertificateNeeded
            raise ProofRefused("This client's tokens are bound to a key: send a DPoP proof or a client certificate")
        return SenderConstraint(
            jkt=proof.jkt if proof is not None else None, x5t_s256=certificate if by_certificate else None
        )


def claim_proof(session: Session, proof: VerifiedProof) -> bool:
    """Use a proof up in the caller's transaction; false when it was used before (RFC 9449 §11.1)."""
    return first_uses(session.connection(), (claim_of(proof),))[0]


def claim_of(proof: VerifiedProof) -> Claim:
    """Return what is claimed when the proof is used up."""
    # Kept past the last moment at which the proof would still be accepted.
    expires_at = proof.usable_until + timedelta(seconds=1)
    return Claim(kind="dpop_proof", owner=proof.jkt, value=proof.jti, expires_at=expires_at)


def thumbprint_of(certificate: bytes) -> str:
    """Return the `x5t#S256` of a certificate in DER (RFC 8705 §3.1)."""
    return b64url_encode(hashlib.sha256(certificate).digest())


def check_certificate(cnf: dict[str, Any], presented: Presented) -> None:
    """RFC 8705 §3: a token bound to a certificate needs that very certificate; raises `ProofRefused`."""
    bound_to = cnf.get("x5t#S256")
    if bound_to is None:
        return
    shown = thumbprint_of(presented.certificate) if presented.certificate is not None else ""
    if not hmac.compare_digest(str(bound_to).encode(), shown.encode()):
        raise ProofRefused("The token is bound to a certificate that was not shown")
