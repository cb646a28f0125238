"""Where the demonstration's parts are: addresses, folders, and the settings of its gateway."""

from dataclasses import dataclass
from pathlib import Path

from gateway.settings import Settings

DWP = "dwp"
BLACKBURN = "E06000008"
OVERSIGHT = "oversight"
PORTAL_CLIENT = "blackburn-portal"
PROVIDER_CLIENT = "dwp-benefits"
SERVICE = "dwp/free-school-meals/v1"
PURPOSE = "free-school-meals"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Addresses and folders of one demonstration."""

    state_dir: Path
    policies_dir: Path
    gateway_port: int = 8000
    provider_port: int = 8001
    portal_port: int = 8002
    database_url: str | None = None

    @property
    def gateway(self) -> str:
        """The gateway's issuer."""
        return f"http://localhost:{self.gateway_port}"

    @property
    def provider(self) -> str:
        """The department's origin."""
        return f"http://localhost:{self.provider_port}"

    @property
    def portal(self) -> str:
        """The council's origin."""
        return f"http://localhost:{self.portal_port}"

    @property
    def world_dir(self) -> Path:
        """What belongs to the demonstration's members and people, not to the gateway."""
        return self.state_dir / "demo"

    @property
    def people_file(self) -> Path:
        """The demonstration accounts with their passwords: readable because nobody real is behind them."""
        return self.world_dir / "accounts.json"

    def key_file(self, owner: str) -> Path:
        """The private key of a member's system (by client id) or of a member (by code)."""
        return self.world_dir / "keys" / f"{owner}.pem"

    def settings(self) -> Settings:
        """Return the settings of the demonstration's gateway: plain http on loopback, said out loud."""
        return Settings(
            issuer=self.gateway,
            state_dir=self.state_dir,
            database_url=self.database_url or f"sqlite:///{self.state_dir / 'gateway.sqlite3'}",
            policies_dir=self.policies_dir,
            log_origin="demo.gateway.example/log",
            unsafe_allow_plain_http=True,
            demonstration=True,
            outgoing_allow_loopback=(f"localhost:{self.provider_port}",),
            listen=f"127.0.0.1:{self.gateway_port}",
            log_level="WARNING",
        )
