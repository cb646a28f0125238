"""Where the provider's endpoints are. Everything follows from the configured issuer, never from a Host header."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoints:
    """The addresses under one issuer; also the audiences of what is sent to them."""

    issuer: str
    sharing: str
    """The resource identifier (RFC 8707) of the sharing API; what it names is that room's business."""

    @property
    def authorization(self) -> str:
        """Where browsers arrive from relying parties."""
        return f"{self.issuer}/authorize"

    @property
    def token(self) -> str:
        """Where clients ask for tokens."""
        return f"{self.issuer}/token"

    @property
    def userinfo(self) -> str:
        """Where claims about a person are read; the audience of an access token when no resource is named."""
        return f"{self.issuer}/userinfo"

    @property
    def jwks(self) -> str:
        """Where the keys are that verify our tokens."""
        return f"{self.issuer}/.well-known/jwks.json"
