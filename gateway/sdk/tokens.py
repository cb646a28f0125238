"""Access tokens: in the client's own name, kept while they last, or for what somebody granted."""

import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import requests

from gateway.sdk.answers import NotAnswered
from gateway.sdk.metadata import MAX_DOCUMENT_BYTES, GatewayDocuments, GatewayUnreachable, Metadata, body_of
from gateway.sdk.possession import DPoPKey
from gateway.wire.encoding import parse_json_object
from gateway.wire.errors import MalformedInput
from gateway.wire.jws import issue_jwt
from gateway.wire.message_signatures import HttpResponse
from gateway.wire.signer import Signer

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION_LIFETIME = timedelta(seconds=60)
TOKEN_MARGIN = timedelta(seconds=30)
OK = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessToken:
    """A token, and when it ends."""

    value: str
    ends: datetime

    def __repr__(self) -> str:
        return f"AccessToken(ends={self.ends.isoformat()})"


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenEndpoint:
    """The gateway's token endpoint, and how this client proves there who it is. Timeouts are in seconds."""

    documents: GatewayDocuments
    client_id: str
    signer: Signer
    key: DPoPKey | None = None
    """To which tokens are bound."""
    by_certificate: bool = False
    """Whether the client authenticates by its certificate instead of by signing."""
    timeout: float = 30.0

    def token(self, grant: Mapping[str, str], *, now: datetime) -> AccessToken:
        """Ask for a token for the gateway's sharing side; `grant` is what RFC 6749 has for the kind of grant.

        Raises `NotAnswered` with the OAuth error as its code, `GatewayUnreachable`.
        """
        metadata = self.documents.metadata(now)
        response = self._post(metadata, grant, now)
        # RFC 9449 §8: a server may want its own nonce in the proof; it is asked once more with it.
        wanted = response.headers.get("DPoP-Nonce")
        if response.status != OK and self.key and self.key.remember_nonce(metadata.token_endpoint, wanted):
            response = self._post(metadata, grant, now)
        try:
            body: dict[str, Any] = parse_json_object(response.body)
            if response.status == OK:
                ends = now + timedelta(seconds=int(body.get("expires_in", 60)))
                return AccessToken(value=str(body["access_token"]), ends=ends)
            code = str(body.get("error", "not_answered"))
        except (MalformedInput, ValueError, KeyError, TypeError, OverflowError) as error:
            raise GatewayUnreachable(detail=f"token endpoint: status {response.status}") from error
        raise NotAnswered(str(body.get("error_description", code)), code=code, status=response.status, problem=body)

    def _post(self, metadata: Metadata, grant: Mapping[str, str], now: datetime) -> HttpResponse:
        form = {"resource": metadata.resource, **grant, **self._authentication(metadata, now)}
        headers = {}
        if self.key is not None:
            headers["DPoP"] = self.key.proof("POST", metadata.token_endpoint, now=now)
        try:
            with self.documents.session().post(
                metadata.token_endpoint,
                data=form,
                headers=headers,
                timeout=self.timeout,
                allow_redirects=False,
                stream=True,
            ) as answer:
                body = body_of(answer, most=MAX_DOCUMENT_BYTES)
                return HttpResponse(status=answer.status_code, headers=answer.headers, body=body)
        except requests.RequestException as error:
            raise GatewayUnreachable(detail=f"{metadata.token_endpoint}: {type(error).__name__}") from error

    def _authentication(self, metadata: Metadata, now: datetime) -> dict[str, str]:
        if self.by_certificate:
            return {"client_id": self.client_id}
        assertion = issue_jwt(
            {
                "iss": self.client_id,
                "sub": self.client_id,
                "aud": metadata.issuer,
                "jti": str(uuid.uuid4()),
                "iat": int(now.timestamp()),
                "exp": int((now + ASSERTION_LIFETIME).timestamp()),
            },
            typ="JWT",
            signer=self.signer,
        )
        return {"client_assertion_type": ASSERTION_TYPE, "client_assertion": assertion}


class OwnTokens:
    """The client's own tokens (`client_credentials`): fetched one at a time, kept while they last; safe in threads."""

    def __init__(self, endpoint: TokenEndpoint) -> None:
        self._endpoint = endpoint
        self._kept: AccessToken | None = None
        self._lock = threading.Lock()

    def token(self, now: datetime) -> str:
        """Return a token that lasts a while yet; raises as `TokenEndpoint.token`."""
        # Threads that need a token at the same moment wait for one request rather than make one each.
        with self._lock:
            if self._kept is None or now >= self._kept.ends - TOKEN_MARGIN:
                self._kept = self._endpoint.token({"grant_type": "client_credentials"}, now=now)
            return self._kept.value
