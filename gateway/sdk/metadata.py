"""What a gateway says about itself, fetched once and kept for a while: addresses and public keys."""

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote, urlsplit

import requests

from gateway.errors import GatewayError, Kind
from gateway.sdk.possession import ClientCertificate
from gateway.wire.encoding import parse_json_object
from gateway.wire.errors import MalformedInput
from gateway.wire.keys import Jwk

METADATA_PATH = "/.well-known/gateway-configuration"
SERVER_METADATA_PATH = "/.well-known/oauth-authorization-server"
KEPT = timedelta(minutes=5)
MAX_DOCUMENT_BYTES = 256 * 1024
LOOKED_AGAIN = timedelta(seconds=10)
"""So often, and no oftener, does an unknown key of somebody unknown make us fetch the gateway's keys anew."""
_PIECE_BYTES = 65_536


class GatewayUnreachable(GatewayError):
    """The gateway did not answer, or not with what it should."""

    kind = Kind.UPSTREAM
    code = "gateway_unreachable"
    title = "The gateway did not answer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """The sharing side of a gateway: where to ask, for which resource tokens are issued, which keys sign."""

    issuer: str
    resource: str
    exchanges_endpoint: str
    token_endpoint: str
    jwks_uri: str
    member_jwks_uri: str
    """A template: `{member}` stands for the member's code."""
    log_vkey: str

    def check_addresses(self, issuer: str) -> None:
        """Refuse an address that is not of the issuer's own origin; raises `GatewayUnreachable`."""
        for name in ("exchanges_endpoint", "token_endpoint", "jwks_uri", "member_jwks_uri"):
            _require_of(issuer, name, getattr(self, name))

    def with_certificate(self, aliases: Mapping[str, Any]) -> Self:
        """Return it with the addresses for clients that show a certificate (RFC 8705 §5), where they are others.

        Those may be of another host or port, and then only with TLS; raises `GatewayUnreachable` otherwise.
        """
        named = ("exchanges_endpoint", "token_endpoint")
        found = {name: str(aliases[name]) for name in named if name in aliases}
        for name, address in found.items():
            if not address.startswith("https://"):
                _require_of(self.issuer, name, address)
        return replace(self, **found)


class GatewayDocuments:
    """Fetches and keeps the documents of one gateway; safe in threads. TLS is verified, redirects are not followed."""

    def __init__(
        self,
        issuer: str,
        *,
        timeout: float = 10.0,
        ca_file: Path | None = None,
        certificate: ClientCertificate | None = None,
    ) -> None:
        self.issuer = issuer.rstrip("/")
        self._timeout = timeout
        self._verify: str | bool = str(ca_file) if ca_file else True
        self._certificate = certificate
        self._kept: dict[str, tuple[datetime, Mapping[str, Any]]] = {}
        self._looked_again: datetime | None = None
        self._lock = threading.Lock()
        self._sessions = threading.local()

    def session(self) -> requests.Session:
        """Return this thread's HTTP session."""
        found: requests.Session | None = getattr(self._sessions, "session", None)
        if found is None:
            found = self._sessions.session = requests.Session()
            found.verify = self._verify
            found.trust_env = False
            # What is compressed can be a thousand times what was sent: nothing that comes is undone (`pieces_of`).
            found.headers["Accept-Encoding"] = "identity"
            if self._certificate is not None:
                found.cert = (str(self._certificate.certificate), str(self._certificate.key))
        return found

    def metadata(self, now: datetime) -> Metadata:
        """Return the gateway's metadata; raises `GatewayUnreachable` unless it speaks for this issuer.

        Tokens, and what describes a person, are sent to the addresses in it: they are the issuer's own.
        """
        document = self._document(self.issuer + METADATA_PATH, now)
        # As in OpenID Discovery §4.3: metadata that names another issuer is not this gateway's.
        if document.get("issuer") != self.issuer:
            raise GatewayUnreachable("The metadata names another issuer.")
        try:
            metadata = Metadata(**{name: str(document[name]) for name in Metadata.__dataclass_fields__})
        except KeyError as missing:
            raise GatewayUnreachable(f"The metadata lacks {missing}.") from None
        metadata.check_addresses(self.issuer)
        aliases = document.get("mtls_endpoint_aliases")
        if self._certificate is None or not isinstance(aliases, dict):
            return metadata
        return metadata.with_certificate(aliases)

    def authorization_endpoint(self, now: datetime) -> str:
        """Return where people sign in (RFC 8414); raises `GatewayUnreachable` unless it is this issuer's."""
        document = self._document(self.issuer + SERVER_METADATA_PATH, now)
        if document.get("issuer") != self.issuer:  # RFC 8414 §3.3
            raise GatewayUnreachable("The metadata names another issuer.")
        endpoint = str(document.get("authorization_endpoint"))
        _require_of(self.issuer, "authorization_endpoint", endpoint)
        return endpoint

    def gateway_keys(self, now: datetime, *, fresh: bool = False) -> tuple[Jwk, ...]:
        """Return the keys with which the gateway signs messages and receipts."""
        return self._keys(self.metadata(now).jwks_uri, now, fresh=fresh)

    def gateway_keys_again(self, now: datetime) -> tuple[Jwk, ...]:
        """Return them fetched anew, but those already kept within ten seconds of the last time.

        For whoever is asked by strangers: each can name a key that nobody knows.
        """
        with self._lock:
            last = self._looked_again
            fresh = last is None or not last <= now < last + LOOKED_AGAIN
            if fresh:
                self._looked_again = now
        return self.gateway_keys(now, fresh=fresh)

    def member_keys(self, member: str, now: datetime, *, fresh: bool = False) -> tuple[Jwk, ...]:
        """Return the keys with which a member's systems sign records, as the gateway's directory states them."""
        address = self.metadata(now).member_jwks_uri.replace("{member}", quote(member, safe=""))
        return self._keys(address, now, fresh=fresh)

    def _keys(self, address: str, now: datetime, *, fresh: bool = False) -> tuple[Jwk, ...]:
        keys = self._document(address, now, fresh=fresh).get("keys")
        if not isinstance(keys, list):
            raise GatewayUnreachable("The key set cannot be read.")
        return tuple(keys)

    def _document(self, address: str, now: datetime, *, fresh: bool = False) -> Mapping[str, Any]:
        with self._lock:
            kept = self._kept.get(address)
        if kept is not None and not fresh and now - kept[0] < KEPT:
            return kept[1]
        try:
            with self.session().get(address, timeout=self._timeout, allow_redirects=False, stream=True) as response:
                response.raise_for_status()
                document = parse_json_object(body_of(response, most=MAX_DOCUMENT_BYTES))
        except requests.RequestException as error:
            raise GatewayUnreachable(detail=f"{address}: {type(error).__name__}") from error
        except MalformedInput as error:
            raise GatewayUnreachable("The gateway's document is not JSON.", detail=address) from error
        with self._lock:
            self._kept[address] = (now, document)
        return document


def body_of(response: requests.Response, *, most: int) -> bytes:
    """Return the body of an answer asked for with `stream=True`; raises `GatewayUnreachable` over so many bytes."""
    body = bytearray()
    for piece in pieces_of(response):
        body += piece
        if len(body) > most:
            raise GatewayUnreachable("The gateway's answer is too long.")
    return bytes(body)


def pieces_of(response: requests.Response) -> Iterator[bytes]:
    """Give the body as it comes; raises `GatewayUnreachable` where it is compressed, which nobody asked for."""
    if response.headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity"):
        raise GatewayUnreachable("The gateway's answer is compressed, and was not to be.")
    yield from response.iter_content(_PIECE_BYTES)


def _require_of(issuer: str, name: str, address: str) -> None:
    parts = urlsplit(issuer)
    # Compared as text up to the slash that ends the host: no two readers can take that for different hosts.
    if not address.startswith(f"{parts.scheme}://{parts.netloc}/"):
        raise GatewayUnreachable(f"The metadata has an address that is not the issuer's own: {name}.")
