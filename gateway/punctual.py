"""The web server's worker: nobody holds a thread for longer than a request needs to arrive.

gunicorn waits without end for the rest of a request, so that as many half-sent requests as there are threads would stop
a whole gateway; and it lingers over every closing connection on the one thread that accepts new ones. It also writes
request lines into its own log, where tokens and codes may stand. A proxy in front that takes in whole requests is still
the better protection against very many slow clients.
"""

import contextlib
import copy
import errno
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable
from typing import Any

from gunicorn.http.errors import NoMoreData
from gunicorn.http.unreader import SocketUnreader
from gunicorn.util import close, parse_address
from gunicorn.workers.gthread import TConn, ThreadWorker

RECEIVE_SECONDS = 5.0
"""How long a whole request, its body included, may take to arrive after its first byte; and a TLS handshake."""
_DRAIN_AT_MOST = 1024 * 1024
_GONE = (errno.EAGAIN, errno.ECONNABORTED, errno.EWOULDBLOCK)


class PunctualUnreader(SocketUnreader):  # type: ignore[misc]  # gunicorn publishes no types
    """Reads a client's bytes until a deadline, after which the client counts as gone."""

    deadline = 0.0

    def chunk(self, size_hint: int | None = None) -> bytes:
        """Return the next bytes; raises `NoMoreData` at the deadline, so that no rest is taken for a new request."""
        before = self.sock.gettimeout()
        remaining = self.deadline - time.monotonic()
        if remaining <= 0:
            raise NoMoreData
        self.sock.settimeout(remaining if before is None else min(before, remaining))
        try:
            received: bytes = super().chunk(size_hint)
        except TimeoutError:
            raise NoMoreData from None
        finally:
            self.sock.settimeout(before)
        return received


class PunctualConnection(TConn):  # type: ignore[misc]
    """One client's connection."""

    def init(self) -> None:
        """Begin a request: gunicorn calls this before each, with the first byte waiting."""
        if not self.initialized:
            self._shake_hands_in_time()
            if not self.is_http2:
                self.parser.unreader = PunctualUnreader(self.sock)
        if not self.is_http2:
            self.parser.unreader.deadline = time.monotonic() + RECEIVE_SECONDS

    def close(self, graceful: bool = False) -> None:  # noqa: FBT001, FBT002 - gunicorn's signature
        """Close without waiting for the client: this runs where everybody's connections are accepted."""
        if graceful:
            self._finish_sending()
        close(self.sock)

    def _shake_hands_in_time(self) -> None:
        if not self.cfg.is_ssl:
            super().init()
            return
        # gunicorn sets its own blocking mode for the handshake, so it is ended from outside.
        with contextlib.closing(self.sock.dup()) as same:
            watch = threading.Timer(RECEIVE_SECONDS, _cut_off, [same])
            watch.daemon = True
            watch.start()
            try:
                super().init()
            finally:
                watch.cancel()

    def _finish_sending(self) -> None:
        # Bytes that nobody reads would reset the connection, and the client might lose our answer (RFC 9112 §9.6).
        drained = 0
        with contextlib.suppress(OSError):
            self.sock.settimeout(0)
            self.sock.shutdown(socket.SHUT_WR)
            while drained < _DRAIN_AT_MOST and (received := self.sock.recv(16_384)):
                drained += len(received)


class PunctualWorker(ThreadWorker):  # type: ignore[misc]
    """gunicorn's threaded worker with punctual connections and a log without request lines.

    SIGUSR1, by which gunicorn reopens log files that we do not have, tells it that it will be stopped soon: readiness
    says no from then on, and everything else is served as before.
    """

    def init_process(self) -> None:
        """Begin to serve."""
        logging.getLogger("gunicorn.error").addFilter(without_request_lines)
        super().init_process()

    def load_wsgi(self) -> None:
        """Load the application; where it has an address at which clients show certificates, prepare its TLS."""
        super().load_wsgi()
        self.mutual_tls = self.wsgi.extensions.get("gateway.mutual_tls")
        if self.mutual_tls is not None:
            self.mutual_tls.start()
            self.mutual_cfg = _with_ssl_context(self.cfg, self.mutual_tls.context)

    def handle_usr1(self, _signal: int, _frame: Any) -> None:
        """Be ready for nothing new."""
        self.wsgi.extensions["gateway.stopping"].set()

    def accept(self, listener: Any) -> None:
        """Take a new connection."""
        try:
            client, address = listener.accept()
        except OSError as error:
            if error.errno not in _GONE:
                raise
            return
        self.nr_conns += 1
        mutual = self.mutual_tls is not None and listener.cfg_addr == parse_address(self.mutual_tls.listen)
        cfg = self.mutual_cfg if mutual else self.cfg
        self.enqueue_req(PunctualConnection(cfg, client, address, listener.getsockname()))


def _with_ssl_context(cfg: Any, context: Callable[[], ssl.SSLContext]) -> Any:
    """Return gunicorn's configuration with another TLS: it has one for all addresses."""
    changed = copy.copy(cfg)
    changed.settings = {**cfg.settings, "ssl_context": copy.copy(cfg.settings["ssl_context"])}
    changed.set("ssl_context", lambda _cfg, _default: context())
    return changed


def without_request_lines(record: logging.LogRecord) -> bool:
    """Cut what a client sent off gunicorn's own messages; keeps every record."""
    message = record.getMessage()
    for beginning in ("Invalid request", "Error handling request"):
        if message.startswith(beginning):
            record.msg, record.args = beginning, ()
    return True


def _cut_off(raw: socket.socket) -> None:
    with contextlib.suppress(OSError):
        raw.shutdown(socket.SHUT_RDWR)
