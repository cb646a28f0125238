"""A gateway that clients reach with certificates: over TLS of its own under gunicorn, or behind a proxy."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from werkzeug.serving import make_server

from gateway.app import create_app
from gateway.clock import Clock, SystemClock
from gateway.directory.oauth import OAuthSettings
from gateway.identity.passwords import Passwords
from gateway.serve import gunicorn_arguments
from tests.kit.client_certificates import Holder
from tests.kit.oidc_world import OidcWorld, RelyingParty, assembled, settings_for
from tests.kit.processes import Processes, free_port
from tests.kit.tls import TestAuthority

HEADER = "Client-Cert"
PROXY, STRANGER = "127.0.0.2", "127.0.0.1"
"""Addresses from which a test calls: one of them is a proxy's that the gateway believes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateWorld:
    """A running gateway, its second address, and how it is called."""

    world: OidcWorld
    mtls: str
    """The base address at which certificates are asked for; the issuer's where there is no other."""
    ca_file: Path | None
    authority: Holder
    """Whose certificates may name clients."""

    def client(self, **oauth: Any) -> RelyingParty:
        """Register a client with these OAuth settings and, in `keys`, other keys than one of its own."""
        keys = oauth.pop("keys", None)
        given: dict[str, Any] = {"keys": tuple(keys)} if keys is not None else {}
        return self.world.relying_party(oauth=OAuthSettings(**oauth), **given)

    def call(
        self,
        method: str,
        path: str,
        *,
        shown: Holder | None = None,
        at: str | None = None,
        source: str | None = None,
        headers: Mapping[str, str] | None = None,
        data: Sequence[tuple[str, str]] | bytes | None = None,
    ) -> requests.Response:
        """Call the gateway, showing a certificate in the handshake."""
        with requests.Session() as session:
            session.trust_env = False
            if source is not None:
                session.mount("http://", _From(source))
            return session.request(
                method,
                f"{at or self.mtls}{path}",
                data=list(data) if isinstance(data, Sequence) and not isinstance(data, bytes) else data,
                headers=headers,
                cert=shown.files() if shown is not None else None,
                verify=str(self.ca_file) if self.ca_file is not None else True,
                timeout=15,
                allow_redirects=False,
            )

    def token(self, rp: RelyingParty, **how: Any) -> requests.Response:
        """Ask for a token in the client's own name, saying who it is by `client_id` alone."""
        pairs = [("grant_type", "client_credentials"), ("client_id", rp.client.client_id)]
        return self.call("POST", "/token", data=pairs, **how)


class _From(HTTPAdapter):
    """Calls from one of the addresses of loopback."""

    def __init__(self, address: str) -> None:
        self._address = address
        super().__init__()

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options, source_address=(self._address, 0))


@contextmanager
def over_tls(
    processes: Processes, *, database_url: str, folder: Path, tls: TestAuthority, authority: Holder
) -> Iterator[CertificateWorld]:
    """Serve with gunicorn over TLS, at two addresses; the second asks for certificates."""
    server = tls.issue(file_name="mutual")
    port, second = free_port(), free_port()
    plain = settings_for(database_url=database_url, state_dir=folder / "state", port=port)
    settings = replace(
        plain,
        issuer=f"https://localhost:{port}",
        unsafe_allow_plain_http=False,
        tls_certificate=server.certificate,
        tls_key=server.key,
        mtls_listen=f"127.0.0.1:{second}",
        mtls_address=f"https://localhost:{second}",
        client_certificate_authorities=authority.certificate_file,
        workers=1,
        log_level="WARNING",
    )
    world = assembled(settings, SystemClock())
    processes.start(
        gunicorn_arguments(settings),
        env=settings.environment(),
        name="mutual-tls",
        ready_url=f"{settings.issuer}/healthz",
        ca_file=tls.ca_file,
    )
    try:
        yield CertificateWorld(
            world=world, mtls=f"https://localhost:{second}", ca_file=tls.ca_file, authority=authority
        )
    finally:
        world.gateway.database.close()


@contextmanager
def behind_a_proxy(
    *, database_url: str, folder: Path, clock: Clock, authority: Holder, **changes: Any
) -> Iterator[CertificateWorld]:
    """Serve from a thread of this process, which believes certificates that `PROXY` passes on."""
    plain = settings_for(database_url=database_url, state_dir=folder / "state", port=free_port())
    values: dict[str, Any] = {
        "trusted_proxies": (f"{PROXY}/32",),
        "client_certificate_header": HEADER,
        "client_certificate_authorities": authority.certificate_file,
    } | changes
    settings = replace(plain, **values)
    world = assembled(settings, clock, passwords=Passwords(memory_kib=8, passes=1))
    host, _, port = settings.listen.partition(":")
    server = make_server(host, int(port), create_app(world.gateway), threaded=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield CertificateWorld(world=world, mtls=world.issuer, ca_file=None, authority=authority)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        world.gateway.database.close()
