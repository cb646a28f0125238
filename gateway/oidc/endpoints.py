"""Where the provider's endpoints are. Everything follows from the configured issuer, never from a Host header."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoints:
    """The addresses under one issuer; also the audiences of what is sent to them."""

    issuer: str
    sharing: str
    """The resource identifier (RFC 8707) of the sharing API; what it names is that room's business."""
    mtls: str | None = None
    """The base of the same endpoints where clients are asked for certificates (RFC 8705 §5), if there is one."""

    def with_certificate(self, address: str) -> str:
        """Return where an endpoint is for clients with certificates; the same when there is no such place."""
        return address if self.mtls is None else self.mtls + address.removeprefix(self.issuer)

    def addresses_of(self, endpoint: str) -> frozenset[str]:
        """Return every address at which an endpoint may be called."""
        return frozenset({endpoint, self.with_certificate(endpoint)})

    @property
    def authorization(self) -> str:
        """Where browsers arrive from relying parties."""
        return f"{self.issuer}/authorize"

    @property
    def pushed_authorization(self) -> str:
        """Where clients push requests before they send a browser."""
        return f"{self.issuer}/par"

    @property
    def token(self) -> str:
        """Where clients ask for tokens."""
        return f"{self.issuer}/token"

    @property
    def registration(self) -> str:
        """Where clients are registered; each registration has an address under it."""
        return f"{self.issuer}/register"

    @property
    def userinfo(self) -> str:
        """Where claims about a person are read; the audience of an access token when no resource is named."""
        return f"{self.issuer}/userinfo"

    @property
    def introspection(self) -> str:
        """Where resource servers ask what a token is worth."""
        return f"{self.issuer}/introspect"

    @property
    def revocation(self) -> str:
        """Where clients give tokens back."""
        return f"{self.issuer}/revoke"

    @property
    def end_session(self) -> str:
        """Where relying parties send browsers to sign out."""
        return f"{self.issuer}/logout"

    @property
    def jwks(self) -> str:
        """Where the keys are that verify our tokens."""
        return f"{self.issuer}/.well-known/jwks.json"
