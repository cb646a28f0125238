"""Access tokens in a client's own name (`client_credentials`), kept while they last; safe in threads."""

import threading
import uuid
from datetime import datetime, timedelta
from typing import Any

import requests

from gateway.sdk.answers import NotAnswered
from gateway.sdk.metadata import GatewayDocuments, GatewayUnreachable, Metadata
from gateway.sdk.possession import DPoPKey
from gateway.wire.jws import issue_jwt
from gateway.wire.signer import Signer

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION_LIFETIME = timedelta(seconds=60)
TOKEN_MARGIN = timedelta(seconds=30)
OK = 200


class OwnTokens:
    """Asks for the client's tokens, one at a time, and keeps the last."""

    def __init__(
        self,
        documents: GatewayDocuments,
        *,
        client_id: str,
        signer: Signer,
        key: DPoPKey | None,
        by_certificate: bool,
        timeout: float,
    ) -> None:
        self._documents = documents
        self._client_id = client_id
        self._signer = signer
        self._key = key
        self._by_certificate = by_certificate
        self._timeout = timeout
        self._kept: tuple[str, datetime] | None = None
        self._lock = threading.Lock()

    def token(self, now: datetime) -> str:
        """Return a token that lasts a while yet; raises `NotAnswered`, `GatewayUnreachable`."""
        # Threads that need a token at the same moment wait for one request rather than make one each.
        with self._lock:
            if self._kept is None or now >= self._kept[1] - TOKEN_MARGIN:
                self._kept = self._fetch(self._documents.metadata(now), now)
            return self._kept[0]

    def forget(self, token: str) -> None:
        """Do not use this token again: the gateway no longer accepts it."""
        with self._lock:
            if self._kept is not None and self._kept[0] == token:
                self._kept = None

    def _fetch(self, metadata: Metadata, now: datetime) -> tuple[str, datetime]:
        response = self._post(metadata, now)
        # RFC 9449 §8: a server may want its own nonce in the proof; it is asked once more with it.
        wanted = response.headers.get("DPoP-Nonce")
        if response.status_code != OK and self._key and self._key.remember_nonce(metadata.token_endpoint, wanted):
            response = self._post(metadata, now)
        try:
            body: dict[str, Any] = response.json()
            if response.status_code == OK:
                return str(body["access_token"]), now + timedelta(seconds=int(body.get("expires_in", 60)))
            code = str(body.get("error", "not_answered"))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise GatewayUnreachable(detail=f"token endpoint: status {response.status_code}") from error
        raise NotAnswered(
            str(body.get("error_description", code)), code=code, status=response.status_code, problem=body
        )

    def _post(self, metadata: Metadata, now: datetime) -> requests.Response:
        form = {
            "grant_type": "client_credentials",
            "resource": metadata.resource,
            **self._authentication(metadata, now),
        }
        headers = {}
        if self._key is not None:
            headers["DPoP"] = self._key.proof("POST", metadata.token_endpoint, now=now)
        try:
            return self._documents.session().post(
                metadata.token_endpoint, data=form, headers=headers, timeout=self._timeout, allow_redirects=False
            )
        except requests.RequestException as error:
            raise GatewayUnreachable(detail=type(error).__name__) from error

    def _authentication(self, metadata: Metadata, now: datetime) -> dict[str, str]:
        if self._by_certificate:
            return {"client_id": self._client_id}
        assertion = issue_jwt(
            {
                "iss": self._client_id,
                "sub": self._client_id,
                "aud": metadata.issuer,
                "jti": str(uuid.uuid4()),
                "iat": int(now.timestamp()),
                "exp": int((now + ASSERTION_LIFETIME).timestamp()),
            },
            typ="JWT",
            signer=self._signer,
        )
        return {"client_assertion_type": ASSERTION_TYPE, "client_assertion": assertion}
