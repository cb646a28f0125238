"""Settings: the environment (`GATEWAY_*`) read once into a frozen value; the only reader of the environment.

Every setting has a default that suits one machine, except `GATEWAY_ISSUER`, which only the operator can know.
"""

import os
import re
from dataclasses import dataclass, field, fields
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from environs import Env, EnvError, FileAwareEnv, validate
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from gateway.errors import SettingsError

SECRET = {"secret": True}
DATABASE_SECRET = {"secret": True, "address": True}
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
POLICIES_DIR = Path(__file__).resolve().parent.parent / "policies"
"""The policies that come with the code."""
# libpq allows several hosts with ports (PostgreSQL 15, §34.1.1.2); SQLAlchemy wants those as options.
_SEVERAL_HOSTS = re.compile(
    r"(postgresql(?:\+psycopg)?://(?:[^:/@]*(?::[^@]*)?@)?)([^/?@]*,[^/?@]*)(/[^?]*)?(?:\?(.*))?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All that an operator chooses. Times are in seconds, sizes in bytes."""

    issuer: str
    """The OpenID Provider's issuer identifier and the base of every address the gateway states about itself."""
    state_dir: Path
    """Holds keys, the embedded database, the log's files and the per-subject keys."""
    database_url: str = field(metadata=DATABASE_SECRET)
    policies_dir: Path
    log_origin: str
    """The log's origin line and key name (C2SP tlog-checkpoint)."""
    unsafe_allow_plain_http: bool = False
    """For demonstrations on loopback only: no TLS, cookies without `Secure`."""
    demonstration: bool = False
    """Synthetic people only: every page says so."""
    sandbox: bool = False
    """For developers' environments only: errors say what is registered and which rule failed."""
    outgoing_allow_loopback: tuple[str, ...] = ()
    """`host:port` pairs on loopback or private addresses that outgoing calls may reach; in a sandbox on plain http,
    which only this machine reaches, also `localhost:*`."""
    outgoing_ca_file: Path | None = None
    """Trust anchors for outgoing TLS; the system's when absent."""
    workers: int = 2
    threads: int = 8
    listen: str = "127.0.0.1:8000"
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    trusted_proxies: tuple[str, ...] = ()
    """Addresses and networks of our own proxies: only of them is `X-Forwarded-For` believed."""
    mtls_listen: str | None = None
    """A second `host:port` at which clients are asked for their certificates (RFC 8705), and browsers never arrive."""
    mtls_address: str | None = None
    """How clients reach the endpoints with a certificate, where that is another base address than the issuer's."""
    client_certificate_header: str | None = None
    """The header in which our own proxies pass on the certificate of a client."""
    client_certificate_authorities: Path | None = None
    """A PEM file of authorities, intermediate ones too, whose certificates name clients (`tls_client_auth`)."""
    dpop_nonce: bool = False
    """Whether DPoP proofs need a nonce of ours (RFC 9449 §8)."""
    drain_seconds: float = 0.0
    """How long requests are still taken after SIGTERM, while readiness already says no: for whoever balances load."""
    provider_timeout: float = 10.0
    """The whole time a provider has to answer."""
    provider_failures: int = 5
    """After so many failures in a row a process asks a provider's service no more for `provider_pause`."""
    provider_pause: float = 15.0
    """How long that is; then one question tries again."""
    provider_calls: int = 0
    """How many questions one worker may have with one provider's system at a time; 0: three quarters of `threads`."""
    exchange_lease: float = 30.0
    """How long an exchange may stay open before recovery closes it as abandoned; above `provider_timeout`."""
    member_requests_per_minute: int = 6000
    """How many requests for records all systems of one member may send in a minute, to all nodes together."""
    agreement_requests_per_minute: int = 3000
    """How many of them under one agreement."""
    database_timeout: float = 5.0
    """How long a writer waits for its turn before the request is answered `503`."""
    sequencer_interval: float = 0.2
    """How often pending audit events are numbered and published."""
    merge_delay: float = 10.0
    """The stated maximum between an event's commit and its appearance under a published checkpoint."""
    witness_policy: Path | None = None
    """A C2SP tlog-policy file: which witnesses are asked, and how many must have cosigned what is published."""
    witness_timeout: float = 2.0
    """How long all witnesses together have to answer; well below `merge_delay`."""
    keys_passphrase: str | None = field(default=None, metadata=SECRET)
    """Encrypts the files under `keys/`; without it they lie there for whoever reads the disk."""
    key_rotation_days: float = 90.0
    """How old a key of the tokens may become before `gateway work` makes its successor; 0: never by itself."""
    pkcs11_module: Path | None = None
    """The PKCS #11 library of a hardware module: new signing keys are made and kept in it."""
    pkcs11_token: str | None = None
    """The label of the token in it."""
    pkcs11_pin: str | None = field(default=None, metadata=SECRET)
    log_level: str = "INFO"
    retention: tuple[str, ...] = ()
    """`class=days`: how long details of a class of events are kept, where it is not as `audit.keeping.classes` says."""

    def __post_init__(self) -> None:
        """Refuse combinations that would be unsafe or could not work."""
        parts = urlsplit(self.issuer)
        if parts.scheme not in {"https", "http"} or not parts.netloc or parts.query or parts.fragment:
            raise SettingsError("GATEWAY_ISSUER must be an https URL without query or fragment.")
        if self.issuer.endswith("/"):
            raise SettingsError("GATEWAY_ISSUER must not end with a slash.")
        if parts.scheme == "http" and not self.unsafe_allow_plain_http:
            raise SettingsError(
                "GATEWAY_ISSUER must be https (or set GATEWAY_UNSAFE_ALLOW_PLAIN_HTTP=true on loopback)."
            )
        if parts.scheme == "http" and parts.hostname not in LOOPBACK:
            raise SettingsError("Plain http is for loopback only; GATEWAY_ISSUER names another host.")
        if parts.scheme == "http" and not _is_loopback(self.listen):
            raise SettingsError("Plain http is for loopback only; GATEWAY_LISTEN is reachable from elsewhere.")
        if bool(self.tls_certificate) != bool(self.tls_key):
            raise SettingsError("GATEWAY_TLS_CERTIFICATE and GATEWAY_TLS_KEY belong together.")
        _check_networks(self.trusted_proxies)
        _check_outgoing(self.outgoing_allow_loopback, any_port=self.sandbox and parts.scheme == "http")
        self._check_mutual_tls()
        _check_listen(self.listen, protected=bool(self.tls_certificate or self.trusted_proxies))
        parse_database_url(self.database_url)
        if len({bool(self.pkcs11_module), bool(self.pkcs11_token), bool(self.pkcs11_pin)}) > 1:
            raise SettingsError("GATEWAY_PKCS11_MODULE, GATEWAY_PKCS11_TOKEN and GATEWAY_PKCS11_PIN belong together.")
        if self.exchange_lease <= self.provider_timeout:
            raise SettingsError("GATEWAY_EXCHANGE_LEASE must be longer than GATEWAY_PROVIDER_TIMEOUT.")
        if self.witness_policy is not None and self.witness_timeout * 2 > self.merge_delay:
            raise SettingsError("GATEWAY_WITNESS_TIMEOUT must be at most half of GATEWAY_MERGE_DELAY.")

    def _check_mutual_tls(self) -> None:
        if self.mtls_listen is not None and not (self.tls_certificate and self.mtls_address):
            raise SettingsError(
                "GATEWAY_MTLS_LISTEN needs GATEWAY_TLS_CERTIFICATE and GATEWAY_TLS_KEY, and in GATEWAY_MTLS_ADDRESS "
                "the https address by which clients reach it."
            )
        if self.mtls_listen is not None and not re.search(r":[0-9]+$", self.mtls_listen):
            raise SettingsError("GATEWAY_MTLS_LISTEN must be host:port, such as 127.0.0.1:8443.")
        if self.mtls_listen == self.listen:
            raise SettingsError("GATEWAY_MTLS_LISTEN must be another address than GATEWAY_LISTEN.")
        if self.client_certificate_header is not None:
            if not self.trusted_proxies:
                raise SettingsError(
                    "GATEWAY_CLIENT_CERTIFICATE_HEADER is believed of proxies alone: name them in "
                    "GATEWAY_TRUSTED_PROXIES."
                )
            if not re.fullmatch(r"[A-Za-z][A-Za-z0-9-]*", self.client_certificate_header):
                raise SettingsError("GATEWAY_CLIENT_CERTIFICATE_HEADER must be a header's name, such as Client-Cert.")
        if self.mtls_address is not None:
            parts = urlsplit(self.mtls_address)
            if parts.scheme != "https" or not parts.netloc or parts.path or parts.query or parts.fragment:
                raise SettingsError("GATEWAY_MTLS_ADDRESS must be https://host or https://host:port, and no more.")
            if not self.mutual_tls:
                raise SettingsError(
                    "GATEWAY_MTLS_ADDRESS needs GATEWAY_MTLS_LISTEN, or GATEWAY_CLIENT_CERTIFICATE_HEADER."
                )

    @property
    def mutual_tls(self) -> bool:
        """Whether clients can show certificates here: to this gateway itself, or to a proxy of ours."""
        return self.mtls_listen is not None or self.client_certificate_header is not None

    @property
    def provider_places(self) -> int:
        """How many questions one worker may have with one provider's system: others need threads too."""
        return self.provider_calls or max(1, self.threads * 3 // 4)

    @property
    def secure_cookies(self) -> bool:
        """Whether cookies carry `Secure` and the `__Host-` prefix: always, unless plain http was chosen."""
        return urlsplit(self.issuer).scheme == "https"

    @property
    def keys_dir(self) -> Path:
        """Private keys of the gateway itself."""
        return self.state_dir / "keys"

    @property
    def subject_keys_dir(self) -> Path:
        """Per-subject keys; kept out of every backup of the database."""
        return self.state_dir / "subject-keys"

    @property
    def log_dir(self) -> Path:
        """The published log: tiles, entry bundles, checkpoint."""
        return self.state_dir / "log"

    @property
    def spool_dir(self) -> Path:
        """Large parts of answers on their way, encrypted; shared by all nodes, kept out of every backup."""
        return self.state_dir / "spool"

    def environment(self) -> dict[str, str]:
        """Return the variables that give these settings to another process, secrets in the clear."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return {
            f"GATEWAY_{name.upper()}": ",".join(value) if isinstance(value, tuple) else str(value)
            for name, value in values.items()
            if value is not None
        }

    def masked(self) -> dict[str, str]:
        """Return every setting as text, secrets masked, in the order declared."""
        return {
            f"GATEWAY_{item.name.upper()}": _masked(item.metadata, getattr(self, item.name)) for item in fields(self)
        }

    def __repr__(self) -> str:
        """Name the settings without their secrets."""
        return f"Settings({self.masked()})"


def parse_database_url(text: str) -> URL:
    """Return the database's address: `sqlite:///…`, or `postgresql://…` with one host or several; `SettingsError`."""
    several = _SEVERAL_HOSTS.fullmatch(text)
    if several is not None and ":" in several[2]:
        options = [f"host={place}" for place in several[2].split(",")] + ([several[4]] if several[4] else [])
        text = f"{several[1]}{several[3] or '/'}?{'&'.join(options)}"
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        url = None
    if url is None or url.get_backend_name() not in {"sqlite", "postgresql"}:
        # The address itself is not repeated: it may hold a password.
        raise SettingsError("GATEWAY_DATABASE_URL must be sqlite:///path or postgresql://user@host:port/database.")
    return url


def _is_loopback(listen: str) -> bool:
    return listen.startswith("unix:") or listen.rpartition(":")[0].strip("[]") in LOOPBACK


def _check_listen(listen: str, *, protected: bool) -> None:
    if not listen.startswith("unix:") and not re.search(r":[0-9]+$", listen):
        raise SettingsError("GATEWAY_LISTEN must be host:port, such as 127.0.0.1:8000.")
    if not (protected or _is_loopback(listen)):
        raise SettingsError(
            "GATEWAY_LISTEN is reachable from elsewhere without TLS: give GATEWAY_TLS_CERTIFICATE and "
            "GATEWAY_TLS_KEY, or name the proxy that speaks TLS for this gateway in GATEWAY_TRUSTED_PROXIES."
        )


def _check_outgoing(places: tuple[str, ...], *, any_port: bool) -> None:
    for place in places:
        host, _, port = place.rpartition(":")
        if port == "*" and host in LOOPBACK:
            # Whoever registers a client could have every service of this machine called.
            if not any_port:
                raise SettingsError(
                    f"GATEWAY_OUTGOING_ALLOW_LOOPBACK: {place} is for a sandbox alone (GATEWAY_SANDBOX, and an issuer "
                    "on plain http). Name host:port."
                )
        elif host in {"", "*"} or not re.fullmatch(r"[0-9]{1,5}", port):
            raise SettingsError(f"GATEWAY_OUTGOING_ALLOW_LOOPBACK: {place} must be host:port, such as localhost:8001.")


def _check_networks(proxies: tuple[str, ...]) -> None:
    for proxy in proxies:
        try:
            network = ip_network(proxy)
        except ValueError as error:
            raise SettingsError(f"GATEWAY_TRUSTED_PROXIES: {error}") from error
        if network.prefixlen == 0:
            raise SettingsError(f"GATEWAY_TRUSTED_PROXIES: {proxy} would believe everybody.")


def chosen_policies_dir() -> Path:
    """Return the policies folder of the environment, or the one that comes with the code; needs no other setting."""
    folder: Path = FileAwareEnv(prefix="GATEWAY_", eager=True).path("POLICIES_DIR", POLICIES_DIR)
    return folder.resolve()


def process_environment(settings: Settings) -> dict[str, str]:
    """Return this process's environment with these settings in place of whatever `GATEWAY_*` it holds."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
    return inherited | settings.environment()


def _masked(metadata: Any, value: object) -> str:
    if not metadata.get("secret"):
        return ",".join(value) if isinstance(value, tuple) else str(value)
    if not metadata.get("address"):
        return "None" if value is None else "***"
    # Read as the driver will read it: a password may hold any character, and may stand among the options too.
    url = parse_database_url(str(value))
    # What is worth reading of a database's address: which kind, where, which one.
    credentials = "***@" if url.username is not None or url.password is not None else ""
    hosts = url.query.get("host", "")
    place = url.host or ("" if isinstance(hosts, str) else ",".join(hosts))
    place += f":{url.port}" if url.port else ""
    return f"{url.drivername}://{credentials}{place}/{url.database or ''}{'?***' if url.query else ''}"


def load_settings() -> Settings:
    """Read the settings from the environment; `GATEWAY_X_FILE` names a file that holds `GATEWAY_X`.

    Raises `SettingsError` naming the variable that is missing or wrong.
    """
    try:
        return _read(FileAwareEnv(prefix="GATEWAY_", eager=True))
    except (EnvError, ValueError) as error:
        raise SettingsError(str(error)) from error


def _secret(env: Env, name: str) -> str | None:
    # A file ends in a newline that is no part of what it holds.
    value: str | None = env.str(name, None)
    return (value or "").strip() or None


def _read(env: Env) -> Settings:
    state_dir = env.path("STATE_DIR", Path("var")).resolve()
    issuer = env.str("ISSUER")
    return Settings(
        issuer=issuer,
        state_dir=state_dir,
        database_url=env.str("DATABASE_URL", f"sqlite:///{state_dir / 'gateway.sqlite3'}"),
        policies_dir=env.path("POLICIES_DIR", POLICIES_DIR).resolve(),
        log_origin=env.str("LOG_ORIGIN", (urlsplit(issuer).netloc or "gateway") + "/log"),
        unsafe_allow_plain_http=env.bool("UNSAFE_ALLOW_PLAIN_HTTP", False),
        demonstration=env.bool("DEMONSTRATION", False),
        sandbox=env.bool("SANDBOX", False),
        outgoing_allow_loopback=tuple(env.list("OUTGOING_ALLOW_LOOPBACK", [])),
        outgoing_ca_file=env.path("OUTGOING_CA_FILE", None),
        workers=env.int("WORKERS", 2, validate=validate.Range(min=1, max=64)),
        threads=env.int("THREADS", 8, validate=validate.Range(min=1, max=256)),
        listen=env.str("LISTEN", "127.0.0.1:8000"),
        tls_certificate=env.path("TLS_CERTIFICATE", None),
        tls_key=env.path("TLS_KEY", None),
        trusted_proxies=tuple(env.list("TRUSTED_PROXIES", [])),
        mtls_listen=env.str("MTLS_LISTEN", None),
        mtls_address=env.str("MTLS_ADDRESS", None),
        client_certificate_header=env.str("CLIENT_CERTIFICATE_HEADER", None),
        client_certificate_authorities=env.path("CLIENT_CERTIFICATE_AUTHORITIES", None),
        dpop_nonce=env.bool("DPOP_NONCE", False),
        drain_seconds=env.float("DRAIN_SECONDS", 0.0, validate=validate.Range(min=0.0, max=300.0)),
        provider_timeout=env.float("PROVIDER_TIMEOUT", 10.0, validate=validate.Range(min=0.1)),
        provider_failures=env.int("PROVIDER_FAILURES", 5, validate=validate.Range(min=1)),
        provider_pause=env.float("PROVIDER_PAUSE", 15.0, validate=validate.Range(min=0.1)),
        provider_calls=env.int("PROVIDER_CALLS", 0, validate=validate.Range(min=0)),
        exchange_lease=env.float("EXCHANGE_LEASE", 30.0, validate=validate.Range(min=0.2)),
        member_requests_per_minute=env.int("MEMBER_REQUESTS_PER_MINUTE", 6000, validate=validate.Range(min=1)),
        agreement_requests_per_minute=env.int("AGREEMENT_REQUESTS_PER_MINUTE", 3000, validate=validate.Range(min=1)),
        database_timeout=env.float("DATABASE_TIMEOUT", 5.0, validate=validate.Range(min=0.1)),
        sequencer_interval=env.float("SEQUENCER_INTERVAL", 0.2, validate=validate.Range(min=0.01)),
        merge_delay=env.float("MERGE_DELAY", 10.0, validate=validate.Range(min=1.0)),
        retention=tuple(env.list("RETENTION", [])),
        witness_policy=env.path("WITNESS_POLICY", None),
        witness_timeout=env.float("WITNESS_TIMEOUT", 2.0, validate=validate.Range(min=0.1)),
        keys_passphrase=_secret(env, "KEYS_PASSPHRASE"),
        key_rotation_days=env.float("KEY_ROTATION_DAYS", 90.0, validate=validate.Range(min=0.0)),
        pkcs11_module=env.path("PKCS11_MODULE", None),
        pkcs11_token=env.str("PKCS11_TOKEN", None) or None,
        pkcs11_pin=_secret(env, "PKCS11_PIN"),
        log_level=env.str("LOG_LEVEL", "INFO", validate=validate.OneOf(LOG_LEVELS)),
    )
