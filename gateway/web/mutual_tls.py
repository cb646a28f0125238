"""TLS that asks the client for a certificate (RFC 8705), where the gateway itself speaks TLS.

OpenSSL lets nobody in whose certificate it cannot trace back to one it was given, so it is given the authorities of
clients and every certificate that a client registered itself. That opens the door alone: a registered certificate could
have issued others, so who a client is, and what its certificate is worth, is decided by `oidc.clients.certificates`.

The certificates registered are read again every few seconds, in a thread of its own, and new connections are then made
under the new ones.
"""

import ssl
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

EVERY_SECONDS = 5.0

log = structlog.get_logger("gateway.web.mutual_tls")

Registered = Callable[[], Sequence[bytes]]
"""Returns the certificates that clients registered themselves, in DER."""


class MutualTls:
    """The TLS of one listening address, for one worker process."""

    def __init__(
        self, *, listen: str, certificate: Path, key: Path, authorities: Path | None, registered: Registered
    ) -> None:
        """Take what the listener is made of; nothing is read before `start`."""
        self.listen = listen
        self._certificate = certificate
        self._key = key
        self._authorities = authorities
        self._registered = registered
        self._known: frozenset[bytes] | None = None
        self._context: ssl.SSLContext | None = None
        self._stop = threading.Event()

    def start(self) -> None:
        """Read the registered certificates, and go on reading them in a thread."""
        self.read_again()
        threading.Thread(target=self._go_on_reading, name="mutual-tls", daemon=True).start()

    def stop(self) -> None:
        """Read no more."""
        self._stop.set()

    def context(self) -> ssl.SSLContext:
        """Return under what the next handshake is made."""
        if self._context is None:
            self._context = self._context_with(frozenset())
        return self._context

    def read_again(self) -> None:
        """Read the registered certificates now; while they cannot be read, those known before are taken."""
        try:
            registered = frozenset(self._registered())
        except Exception as error:  # noqa: BLE001 - whatever it is, those who are known stay known
            log.warning("registered certificates could not be read", error=type(error).__name__)
            return
        if registered != self._known:
            self._context = self._context_with(registered)
            self._known = registered

    def _go_on_reading(self) -> None:
        while not self._stop.wait(EVERY_SECONDS):
            self.read_again()

    def _context_with(self, registered: frozenset[bytes]) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self._certificate, self._key)
        # Asked for, not demanded: a client with a DPoP key, or without anything to prove, may call this address too.
        context.verify_mode = ssl.CERT_OPTIONAL
        # An authority that another one vouches for, and a client's own certificate, are trusted for themselves.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        # Each handshake looks at the certificate anew: nobody goes on with one that was taken back meanwhile.
        context.options |= ssl.OP_NO_TICKET
        context.num_tickets = 0
        if self._authorities is not None:
            context.load_verify_locations(cafile=self._authorities)
        for certificate in sorted(registered):
            try:
                context.load_verify_locations(cadata=certificate)
            except (ssl.SSLError, ValueError):
                log.warning("a registered certificate cannot be used")
        return context
