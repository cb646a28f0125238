"""Where the demonstration's parts are: addresses, folders, and the settings of its gateway."""

from dataclasses import dataclass
from pathlib import Path

from gateway.settings import Settings

DWP = "dwp"
BLACKBURN = "E06000008"
OVERSIGHT = "oversight"
SANDBOX = "sandbox"
PORTAL_CLIENT = "blackburn-portal"
PROVIDER_CLIENT = "dwp-benefits"
SERVICE = "dwp/free-school-meals/v1"
PURPOSE = "free-school-meals"


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """A server certificate for localhost, its key, and the authority that issued it: PEM files."""

    chain: Path
    key: Path
    authority: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Addresses and folders of one demonstration."""

    state_dir: Path
    policies_dir: Path
    gateway_port: int = 8000
    provider_port: int = 8001
    portal_port: int = 8002
    database_url: str | None = None
    certificate: Certificate | None = None
    """With one, everything speaks TLS, as in production; without, plain http on loopback."""
    more_providers: tuple[str, ...] = ()
    """Further `host:port` on loopback that the gateway may call."""

    @property
    def scheme(self) -> str:
        """`https` or `http`."""
        return "https" if self.certificate else "http"

    @property
    def ca_file(self) -> Path | None:
        """What clients need in order to trust the certificate."""
        return self.certificate.authority if self.certificate else None

    @property
    def gateway(self) -> str:
        """The gateway's issuer."""
        return f"{self.scheme}://localhost:{self.gateway_port}"

    @property
    def provider(self) -> str:
        """The department's origin."""
        return f"{self.scheme}://localhost:{self.provider_port}"

    @property
    def portal(self) -> str:
        """The council's origin."""
        return f"{self.scheme}://localhost:{self.portal_port}"

    @property
    def world_dir(self) -> Path:
        """What belongs to the demonstration's members and people, not to the gateway."""
        return self.state_dir / "demo"

    @property
    def people_file(self) -> Path:
        """The demonstration accounts with their passwords: readable because nobody real is behind them."""
        return self.world_dir / "accounts.json"

    def records_file(self, member: str) -> Path:
        """A department's own database."""
        return self.world_dir / "departments" / f"{member}.sqlite3"

    def key_file(self, owner: str) -> Path:
        """The private key of a member's system (by client id) or of a member (by code)."""
        return self.world_dir / "keys" / f"{owner}.pem"

    @property
    def _developers(self) -> tuple[str, ...]:
        # Relying parties that are being written run on this machine too: their keys are fetched, and they are told of
        # the end of sessions, at whatever port they have. Under TLS the settings are those of production.
        return () if self.certificate else ("localhost:*", "127.0.0.1:*")

    def settings(self) -> Settings:
        """Return the settings of the demonstration's gateway; without a certificate, plain http, said out loud."""
        certificate = self.certificate
        return Settings(
            issuer=self.gateway,
            state_dir=self.state_dir,
            database_url=self.database_url or f"sqlite:///{self.state_dir / 'gateway.sqlite3'}",
            policies_dir=self.policies_dir,
            log_origin="demo.gateway.example/log",
            unsafe_allow_plain_http=certificate is None,
            demonstration=True,
            sandbox=True,
            outgoing_allow_loopback=(f"localhost:{self.provider_port}", *self.more_providers, *self._developers),
            outgoing_ca_file=self.ca_file,
            tls_certificate=certificate.chain if certificate else None,
            tls_key=certificate.key if certificate else None,
            listen=f"127.0.0.1:{self.gateway_port}",
            log_level="WARNING",
        )
