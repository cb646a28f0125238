"""The certificate that a client showed in its TLS handshake (RFC 8705), with us or with a proxy of ours.

A proxy passes it on in a header, which anybody else could send too: it is believed only of the address of a proxy that
is named, and taken out of every request. What the certificate is worth is for others to judge.
"""

import base64
import binascii
import re
import ssl
from collections.abc import Iterable, Sequence
from ipaddress import ip_network
from urllib.parse import unquote
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import structlog

from gateway.web.proxies import is_trusted

CERTIFICATE = "gateway.client_certificate"
"""The name under which the WSGI environment holds the certificate, in DER."""
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----\s*")

log = structlog.get_logger("gateway.web.client_certificates")


def with_client_certificate(app: WSGIApplication, *, header: str | None, proxies: Sequence[str]) -> WSGIApplication:
    """Return `app` told of the client's certificate; put it outside of what changes `REMOTE_ADDR`.

    `header` is the name of the header in which the `proxies` (addresses, networks) pass it on; None when none does.
    """
    trusted = [ip_network(proxy) for proxy in proxies]
    variable = f"HTTP_{header.upper().replace('-', '_')}" if header is not None else None

    def told(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        passed_on = environ.pop(variable, "") if variable is not None else ""
        environ.pop(CERTIFICATE, None)
        if variable is not None and is_trusted(environ.get("REMOTE_ADDR", ""), trusted):
            # The certificate of the handshake, if there is one, is the proxy's own and no visitor's.
            certificate = read_header(passed_on) if passed_on else None
            if passed_on and certificate is None:
                log.warning("a proxy passed on a certificate that cannot be read")
        else:
            certificate = _of_own_handshake(environ)
        if certificate is not None:
            environ[CERTIFICATE] = certificate
        return app(environ, start_response)

    return told


def read_header(value: str) -> bytes | None:
    """Return the certificate (DER) in a header of any of the usual forms, or None.

    A byte sequence between colons (RFC 9440 §2.1); PEM, percent-encoded (nginx, Envoy) or with its lines put on one
    (Apache); base64 of DER (HAProxy).
    """
    text = value.strip()
    if len(text) > 1 and text.startswith(":") and text.endswith(":"):
        text = text[1:-1]
    else:
        pem = _PEM.fullmatch(unquote(text))
        text = "".join(pem[1].split()) if pem else text
    try:
        return base64.b64decode(text.encode("ascii"), validate=True) or None
    except (UnicodeEncodeError, binascii.Error):
        return None


def _of_own_handshake(environ: WSGIEnvironment) -> bytes | None:
    connection = environ.get("gunicorn.socket")
    return connection.getpeercert(binary_form=True) if isinstance(connection, ssl.SSLSocket) else None
