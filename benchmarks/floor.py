"""The floor: what this machine takes for the work that nobody can leave out."""

import hashlib
import os
import secrets
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import requests

from benchmarks.connection import Connection, one_each
from benchmarks.measuring import run_for, seconds_each
from gateway.identity.passwords import Passwords
from gateway.wire.jws import issue_jwt, verify_jws
from gateway.wire.signer import PrivateKeySigner
from tests.kit.processes import free_port, processes

CLIENTS = 8
WORKERS = 2
THREADS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    """Seconds for one of each, in one thread; for HTTP, exchanges a second with `CLIENTS` clients at once.

    Clients are those of the `requests` library, as a department's would be; lean ones are `Connection`s, whose requests
    are built beforehand: the machine's processors are the gateway's then, as they would be with clients elsewhere.

    A signature is a whole JWT of a few claims, made or verified. `fsync` is a 512-byte append made durable. Argon2 has
    the gateway's own parameters.
    """

    es256_sign: float
    es256_verify: float
    sha256_kibibyte: float
    argon2: float
    fsync: float
    http_per_second: float
    lean_http_per_second: float

    def rate(
        self,
        *,
        signs: int = 0,
        verifies: int = 0,
        argon2: int = 0,
        commits: int = 0,
        round_trips: float = 0,
        lean_round_trips: float = 0,
    ) -> float:
        """How many times a second this machine can do all of that.

        Computing is shared among the processors that the gateway's workers can use; durable writes and HTTP are not
        divided, because they were measured as they are shared.
        """
        computing = signs * self.es256_sign + verifies * self.es256_verify + argon2 * self.argon2
        processors = min(WORKERS, os.cpu_count() or 1)
        trips = round_trips / self.http_per_second + lean_round_trips / self.lean_http_per_second
        return 1 / (computing / processors + commits * self.fsync + trips)


def measure_floor(*, seconds: float) -> Floor:
    """Measure everything, about `seconds` for each."""
    signer = PrivateKeySigner.generate("ES256")
    claims = {"iss": "floor", "sub": "floor", "aud": "floor", "jti": "floor", "iat": 1, "exp": 2}
    token = issue_jwt(claims, typ="JWT", signer=signer)
    keys = (signer.public_jwk(),)
    passwords = Passwords()
    hashed = passwords.hash("correct horse battery staple")
    kibibyte = secrets.token_bytes(1024)
    return Floor(
        es256_sign=seconds_each(lambda: issue_jwt(claims, typ="JWT", signer=signer), for_seconds=seconds),
        es256_verify=seconds_each(
            lambda: verify_jws(token, keys=keys, typ="JWT", algorithms=("ES256",)), for_seconds=seconds
        ),
        sha256_kibibyte=seconds_each(lambda: hashlib.sha256(kibibyte).digest(), for_seconds=seconds / 4),
        argon2=seconds_each(lambda: passwords.matches(hashed, "correct horse battery staple"), for_seconds=seconds),
        fsync=_fsync(seconds),
        http_per_second=_http(seconds, _by_requests),
        lean_http_per_second=_http(seconds, _by_lean_clients),
    )


def _fsync(seconds: float) -> float:
    entry = secrets.token_bytes(512)
    with tempfile.TemporaryFile() as file:

        def append() -> None:
            os.write(file.fileno(), entry)
            os.fsync(file.fileno())

        return seconds_each(append, for_seconds=seconds)


def _http(seconds: float, clients_of: Callable[[str], Callable[[int], None]]) -> float:
    port = free_port()
    address = f"http://127.0.0.1:{port}/"
    with tempfile.TemporaryDirectory() as folder, processes(Path(folder)) as group:
        command = [
            *(sys.executable, "-m", "gunicorn", "benchmarks.trivial:application", f"--bind=127.0.0.1:{port}"),
            *("--worker-class=gthread", f"--workers={WORKERS}", f"--threads={THREADS}"),
            *("--keep-alive=5", "--log-level=warning", "--no-control-socket"),
        ]
        group.start(command, env={}, name="trivial", ready_url=address)
        return run_for(seconds, clients_of(address), clients=CLIENTS, warm_up=0.5).per_second


def _by_requests(address: str) -> Callable[[int], None]:
    sessions = threading.local()

    def ask(_client: int) -> None:
        if not hasattr(sessions, "http"):
            sessions.http = requests.Session()
            sessions.http.trust_env = False
        sessions.http.post(address, data={"a": "b" * 500}, timeout=10).raise_for_status()

    return ask


def _by_lean_clients(address: str) -> Callable[[int], None]:
    connection = one_each(address)
    request = Connection(address).form("/", {"a": "b" * 500})

    def ask(_client: int) -> None:
        connection().send(request)

    return ask
