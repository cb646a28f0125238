"""Whose certificate a request is taken to show, where a proxy has a certificate of its own."""

import ssl
from collections.abc import Iterable
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest

from gateway.web.client_certificates import CERTIFICATE, with_client_certificate

PROXY, STRANGER = "192.0.2.1", "198.51.100.7"


class _Handshake(ssl.SSLSocket):
    """A connection whose other end showed a certificate."""

    def __init__(self) -> None:
        """Nothing is connected."""

    def getpeercert(self, binary_form: bool = False) -> Any:  # noqa: FBT001, FBT002 - as in ssl
        assert binary_form
        return b"of the handshake"


def certificate_of(environ: WSGIEnvironment, *, header: str | None) -> bytes | None:
    seen: list[bytes | None] = []

    def app(environ: WSGIEnvironment, _start: StartResponse) -> Iterable[bytes]:
        seen.append(environ.get(CERTIFICATE))
        return ()

    with_client_certificate(app, header=header, proxies=[PROXY])(
        {"gunicorn.socket": _Handshake.__new__(_Handshake), **environ},
        lambda *_: None,  # type: ignore[arg-type]
    )
    return seen[0]


@pytest.mark.parametrize(
    ("environ", "header", "expected"),
    [
        # A visitor without a certificate is not taken to hold the proxy's.
        ({"REMOTE_ADDR": PROXY}, "Client-Cert", None),
        ({"REMOTE_ADDR": PROXY, "HTTP_CLIENT_CERT": ":!:"}, "Client-Cert", None),
        ({"REMOTE_ADDR": PROXY, "HTTP_CLIENT_CERT": ":AAAA:"}, "Client-Cert", b"\x00\x00\x00"),
        # Whoever is no proxy shows their own, and what they write beside it counts for nothing.
        ({"REMOTE_ADDR": STRANGER, "HTTP_CLIENT_CERT": ":AAAA:"}, "Client-Cert", b"of the handshake"),
        # A proxy that passes nothing on passes the connection itself on.
        ({"REMOTE_ADDR": PROXY}, None, b"of the handshake"),
    ],
)
def test_a_proxys_own_certificate_is_no_visitors(
    environ: WSGIEnvironment, header: str | None, expected: bytes | None
) -> None:
    assert certificate_of(environ, header=header) == expected
