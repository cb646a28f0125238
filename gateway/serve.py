"""`gateway serve`: gunicorn for the web and one `gateway work` beside it, watched over until told to stop.

If either ends by itself, `work` is started again, and gunicorn's end ends everything: a supervisor above us (systemd,
a container platform) decides what happens then. Told to stop, readiness says no at first while all is still served, so
that a proxy in front sends the next requests to other nodes; then the web ends, then `work`.
"""

import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Sequence
from types import FrameType

import structlog

from gateway.children import end_child, start_child
from gateway.errors import SettingsError
from gateway.settings import Settings

log = structlog.get_logger("gateway.serve")

STOP_SECONDS = 30.0
LOOK_EVERY = 0.2
RESTART_PAUSE = 1.0


def gunicorn_arguments(settings: Settings) -> list[str]:
    """Return the command line of the web server for these settings."""
    arguments = [
        sys.executable,
        "-m",
        "gunicorn",
        "gateway.wsgi:make_app()",
        f"--bind={settings.listen}",
        "--worker-class=gateway.punctual.PunctualWorker",
        f"--workers={settings.workers}",
        f"--threads={settings.threads}",
        "--graceful-timeout=25",
        "--timeout=60",
        # A keep-alive connection that idles must not hold a thread of a small server for long.
        "--keep-alive=5",
        # An interrupted sign-in travels in the address, with a relying party's whole request in it.
        "--limit-request-line=8190",
        f"--log-level={settings.log_level.lower()}",
        # Signals are enough: no second way in, in a place that every gunicorn of this user would share.
        "--no-control-socket",
        # Nothing is believed of a forwarded header unless the operator says who may set it.
        "--forwarded-allow-ips=",
    ]
    if settings.tls_certificate and settings.tls_key:
        arguments += [f"--certfile={settings.tls_certificate}", f"--keyfile={settings.tls_key}"]
    if settings.mtls_listen is not None:
        arguments += [f"--bind={settings.mtls_listen}"]
    return arguments


def serve(settings: Settings, *, with_work: bool = True) -> int:
    """Run both until SIGTERM or SIGINT, or until the web server ends; returns the exit status.

    Without work, some other node or container must run `gateway work`, or nothing is published.
    """
    _check_certificate(settings)
    if settings.unsafe_allow_plain_http:
        log.warning("plain http is allowed: for demonstrations on loopback only")
    if settings.sandbox:
        log.warning("this is a sandbox: errors tell strangers what is registered here; never with real people")
    supervisor = _Supervisor(
        web=gunicorn_arguments(settings),
        work=[sys.executable, "-m", "gateway", "work"] if with_work else None,
        drain_seconds=settings.drain_seconds,
    )
    return supervisor.run()


def _check_certificate(settings: Settings) -> None:
    if settings.tls_certificate is None or settings.tls_key is None:
        return
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(settings.tls_certificate, settings.tls_key)
    except OSError as error:
        raise SettingsError(
            "GATEWAY_TLS_CERTIFICATE and GATEWAY_TLS_KEY must name readable PEM files that belong together.",
            detail=str(error),
        ) from error


class _Supervisor:
    def __init__(self, *, web: Sequence[str], work: Sequence[str] | None, drain_seconds: float) -> None:
        self._web_arguments = web
        self._work_arguments = work
        self._drain_seconds = drain_seconds
        self._stopping = False

    def run(self) -> int:
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        web = start_child(self._web_arguments)
        work = start_child(self._work_arguments) if self._work_arguments else None
        while not self._stopping and web.poll() is None:
            if self._work_arguments and work is not None and work.poll() is not None:
                log.error("work ended and is started again", status=work.returncode)
                time.sleep(RESTART_PAUSE)
                work = start_child(self._work_arguments)
            time.sleep(LOOK_EVERY)
        if self._drain_seconds:
            self._drain(web)
        # The web first: what its last requests recorded is still sequenced.
        end_child(web, within_seconds=STOP_SECONDS)
        if work is not None:
            end_child(work, within_seconds=STOP_SECONDS)
        return 0 if self._stopping else web.returncode or 1

    def _drain(self, web: subprocess.Popen[bytes]) -> None:
        if web.poll() is None:
            web.send_signal(signal.SIGUSR1)  # gunicorn passes it on to every worker: `gateway.punctual`
        ends = time.monotonic() + self._drain_seconds
        while time.monotonic() < ends and web.poll() is None:
            time.sleep(LOOK_EVERY)

    def _stop(self, _signal: int, _frame: FrameType | None) -> None:
        self._stopping = True
