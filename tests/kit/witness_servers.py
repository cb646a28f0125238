"""Witnesses on loopback: the real service, and ones that misbehave as they are told."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from werkzeug.serving import WSGIRequestHandler, make_server

from gateway.audit.witness.state import WitnessFolder
from gateway.audit.witness.views import create_witness_app
from gateway.audit.witness.witness import Witness
from gateway.clock import Clock
from gateway.web.alerts import Alerts
from gateway.wire.cosignatures import CosignatureKey, cosign
from gateway.wire.notes import VerifierKey, split_note
from gateway.wire.signer import PrivateKeySigner
from gateway.wire.witness_requests import SIZE_TYPE, parse_add_checkpoint

Reply = tuple[int, str, Iterable[bytes]]
Behaviour = Callable[["ServedWitness", bytes], Reply | None]
"""What a witness does with a request's body; None: what is right."""


class ServedWitness:
    """One witness: the real one, behind whatever `behaviour` says."""

    def __init__(self, directory: Path, *, name: str, logs: Iterable[VerifierKey], clock: Clock) -> None:
        WitnessFolder(directory).make(name)
        self.name = name
        self.directory = directory
        self.clock = clock
        self.signer: PrivateKeySigner = WitnessFolder(directory).signer()
        self._right = Witness(directory, logs=logs, clock=clock, alerts=Alerts())
        self._app = create_witness_app(self._right)
        self.behaviour: Behaviour = honest
        self.asked = 0
        self.port = 0

    @property
    def key(self) -> CosignatureKey:
        return self._right.key

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/w"

    def size(self, origin: str) -> int:
        """How much of the log it remembers."""
        last = WitnessFolder(self.directory).read().last(origin)
        return last.size if last is not None else 0

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        self.asked += 1
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        reply = self.behaviour(self, body)
        if reply is None:
            reply = self.right(body)
        status, content_type, chunks = reply
        start_response(f"{status} Answer", [("Content-Type", content_type)])
        return chunks

    def right(self, body: bytes) -> Reply:
        """What the real witness answers."""
        answer = self._app.test_client().post("/add-checkpoint", data=body)
        return answer.status_code, answer.headers["Content-Type"], [answer.data]


class _Quiet(WSGIRequestHandler):
    def log(self, *_args: Any, **_options: Any) -> None:
        """Say nothing."""


@contextmanager
def served(*witnesses: ServedWitness) -> Iterator[None]:
    """Serve each at a port of its own."""
    with ExitStack() as stack:
        for witness in witnesses:
            server = make_server("127.0.0.1", 0, witness, threaded=True, request_handler=_Quiet)
            witness.port = server.server_port
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
            thread.start()
            stack.callback(thread.join)
            stack.callback(server.server_close)
            stack.callback(server.shutdown)
        yield


def honest(_witness: ServedWitness, _body: bytes) -> Reply | None:
    return None


def unavailable(_witness: ServedWitness, _body: bytes) -> Reply:
    return 503, "text/plain", [b"later\n"]


def garbage(_witness: ServedWitness, _body: bytes) -> Reply:
    return 200, "text/plain", [b"\xff\xfe not a signature line\n"]


def huge(_witness: ServedWitness, _body: bytes) -> Reply:
    return 200, "text/plain", [b"a" * 1_000_000]


def redirecting(_witness: ServedWitness, _body: bytes) -> Reply:
    return 307, "text/plain", [b""]


def false_signature(witness: ServedWitness, body: bytes) -> Reply:
    text = split_note(parse_add_checkpoint(body).checkpoint)[0]
    line = cosign(text.replace("\n", "/other\n", 1), witness.signer, witness.name, at=witness.clock.now())
    return 200, "text/plain", [f"{line}\n".encode()]


def wrong_key(witness: ServedWitness, body: bytes) -> Reply:
    return _cosigned(witness, body, signer=PrivateKeySigner.generate("Ed25519"))


def far_future(witness: ServedWitness, body: bytes) -> Reply:
    return _cosigned(witness, body, signer=witness.signer, later=timedelta(days=30))


def far_past(witness: ServedWitness, body: bytes) -> Reply:
    return _cosigned(witness, body, signer=witness.signer, later=timedelta(days=-3650))


def other_root(_witness: ServedWitness, body: bytes) -> Reply:
    return 409, SIZE_TYPE, [f"{_size(body)}\n".encode()]


def larger_size(_witness: ServedWitness, body: bytes) -> Reply:
    return 409, SIZE_TYPE, [f"{_size(body) + 5}\n".encode()]


def never_consistent(_witness: ServedWitness, _body: bytes) -> Reply:
    return 422, "text/plain", [b"no\n"]


def slow(seconds: float) -> Behaviour:
    """Answer rightly, after a while."""

    def behave(_witness: ServedWitness, _body: bytes) -> None:
        time.sleep(seconds)

    return behave


def dripping(witness: ServedWitness, body: bytes) -> Reply:
    """Answer rightly, a byte now and then."""
    status, content_type, chunks = witness.right(body)

    def drip() -> Iterator[bytes]:
        for byte in b"".join(chunks):
            yield bytes([byte])
            time.sleep(0.1)

    return status, content_type, drip()


def _cosigned(
    witness: ServedWitness, body: bytes, *, signer: PrivateKeySigner, later: timedelta = timedelta(0)
) -> Reply:
    text = split_note(parse_add_checkpoint(body).checkpoint)[0]
    line = cosign(text, signer, witness.name, at=witness.clock.now() + later)
    return 200, "text/plain", [f"{line}\n".encode()]


def _size(body: bytes) -> int:
    return int(split_note(parse_add_checkpoint(body).checkpoint)[0].split("\n")[1])
