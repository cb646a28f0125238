"""A department whose answers have documents beside them, or something that only looks like them.

The path says how it behaves and how large the document is: `/attached-good/1000`. What it does well, it does with the
real kit.
"""

import json
import random
import time
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

from gateway.clock import SystemClock
from gateway.sdk.attaching import Attachment
from gateway.sdk.metadata import GatewayDocuments
from gateway.sdk.nonces import SeenNonces
from gateway.sdk.provider import AskedQuestion, Provider, StartResponse
from gateway.wire.attachments import value_of
from gateway.wire.contracts import PROVIDER_TAG
from gateway.wire.encoding import b64_encode, b64url_decode
from gateway.wire.message_signatures import HttpRequest, HttpResponse, sign_response_head
from gateway.wire.signer import PrivateKeySigner

PREFIX = "attached"
PDF = "application/pdf"
FIELD = "letter"
PIECE = 32 * 1024


def document(size: int) -> bytes:
    """The document of this size, the same each time."""
    return random.Random(size).randbytes(size)  # noqa: S311 - any bytes will do


class AttachingDepartment:
    """The WSGI application."""

    def __init__(self, *, signer: PrivateKeySigner, gateway: str, origin: str, folder: Path) -> None:
        self._signer = signer
        self._gateway = gateway
        self._origin = origin
        self._folder = folder
        self._documents = GatewayDocuments(gateway)
        self._nonces = SeenNonces()

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        behaviour, size = environ["PATH_INFO"].strip("/").split("/")[:2]
        name = behaviour.removeprefix(f"{PREFIX}-").replace("-", "_")
        if environ["REQUEST_METHOD"] == "POST":
            return self._answer(environ, start_response, name, int(size))
        self._note(environ["PATH_INFO"])
        sent: Callable[[int], Iterator[bytes]] | None = getattr(self, f"_sent_{name}", None)
        if sent is None:
            return self._provider("", lambda _question: {}).wsgi(environ, start_response)
        return self._send(environ, start_response, name, sent(int(size)), size=int(size))

    def _answer(self, environ: dict[str, Any], start_response: StartResponse, name: str, size: int) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        environ["wsgi.input"] = BytesIO(body)

        def answer(_question: AskedQuestion) -> dict[str, Any]:
            return {"eligible": True, FIELD: self._value(name, size)}

        return self._provider(json.loads(body)["service"], answer).wsgi(environ, start_response)

    def _value(self, name: str, size: int) -> Any:
        digest = sha256(document(size)).digest()
        if name == "size_too_small":
            return value_of(digest, size=size - 1, media_type=PDF)
        if name == "size_too_large":
            return value_of(digest, size=size + 1, media_type=PDF)
        if name == "another_type":
            return value_of(digest, size=size, media_type="text/html")
        if hasattr(self, f"_sent_{name}"):
            return value_of(digest, size=size, media_type=PDF)
        return Attachment(content=lambda: BytesIO(document(size)), media_type=PDF)

    def _provider(self, service: str, answer: Callable[[AskedQuestion], dict[str, Any]]) -> Provider:
        return Provider(
            member="dwp",
            key=self._signer,
            gateway=self._gateway,
            origin=self._origin,
            services={service: answer},
            attachments=self._folder,
            nonces=self._nonces,
            documents=self._documents,
        )

    def _send(
        self,
        environ: dict[str, Any],
        start_response: StartResponse,
        name: str,
        pieces: Iterator[bytes],
        *,
        size: int,
    ) -> Iterable[bytes]:
        target = environ.get("RAW_URI") or environ["PATH_INFO"]
        headers = {key[5:].replace("_", "-"): str(v) for key, v in environ.items() if key.startswith("HTTP_")}
        request = HttpRequest(method="GET", target_uri=self._origin + target, headers=headers)
        stated = b64url_decode(target.rpartition("/")[2])
        if name == "another_honestly":
            stated = sha256(b"another").digest()
        head = HttpResponse(
            status=200,
            headers={
                "Content-Type": "text/html" if name == "sent_as_html" else PDF,
                "Content-Digest": f"sha-256=:{b64_encode(stated)}:",
                **({"Content-Length": str(size)} if name == "cut_off" else {}),
            },
        )
        signer = PrivateKeySigner.generate("ES256") if name == "signed_by_another" else self._signer
        if name != "unsigned":
            now = SystemClock().now()
            head = sign_response_head(head, request=request, signer=signer, created=now, tag=PROVIDER_TAG)
        start_response("200 OK", list(head.headers.items()))
        return pieces

    def _note(self, path: str) -> None:
        exchange = path.split("/")[-2]
        (self._folder.parent / f"fetched-{exchange}").touch()

    # --- What is sent in the place of the document

    def _sent_another(self, size: int) -> Iterator[bytes]:
        """Other bytes of the same length, under the record's digest."""
        yield b"x" * size

    def _sent_another_honestly(self, _size: int) -> Iterator[bytes]:
        """Another document, under its own digest."""
        yield b"another"

    def _sent_sent_as_html(self, size: int) -> Iterator[bytes]:
        yield document(size)

    def _sent_size_too_small(self, size: int) -> Iterator[bytes]:
        yield document(size)

    def _sent_size_too_large(self, size: int) -> Iterator[bytes]:
        yield document(size)

    def _sent_signed_by_another(self, size: int) -> Iterator[bytes]:
        yield document(size)

    def _sent_unsigned(self, size: int) -> Iterator[bytes]:
        yield document(size)

    def _sent_endless(self, _size: int) -> Iterator[bytes]:
        """More than was said, for ever."""
        while True:
            yield b"x" * PIECE

    def _sent_dripping(self, size: int) -> Iterator[bytes]:
        """A byte now and then."""
        for byte in document(size):
            yield bytes([byte])
            time.sleep(0.25)

    def _sent_cut(self, size: int) -> Iterator[bytes]:
        """Half of it, as if that were all."""
        yield document(size)[: size // 2]

    def _sent_cut_off(self, size: int) -> Iterator[bytes]:
        """Half of what its Content-Length promises."""
        yield document(size)[: size // 2]

    def _sent_gated(self, size: int) -> Iterator[bytes]:
        """Half of it, and the rest once the gate `open-document-<size>` is open (or 20 s have passed)."""
        whole = document(size)
        yield whole[: size // 2]
        gate = self._folder.parent / f"open-document-{size}"
        deadline = time.monotonic() + 20
        while not gate.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        yield whole[size // 2 :]
