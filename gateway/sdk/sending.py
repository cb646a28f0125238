"""Send a question, and send it again when its answer was lost: same key, same body, a fresh signature."""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import requests

from gateway.clock import Clock
from gateway.sdk.metadata import GatewayDocuments, GatewayUnreachable, body_of
from gateway.sdk.possession import DPoPKey, headers_showing
from gateway.wire.contracts import EXCHANGE_TAG
from gateway.wire.message_signatures import HttpRequest, HttpResponse, sign_request
from gateway.wire.signer import Signer

ATTEMPTS = 4
LONGEST_PAUSE = 5.0
"""Seconds between two attempts, whatever `Retry-After` says: the caller is waiting."""
MAX_ANSWER_BYTES = 16 * 1024 * 1024
"""A provider's answer has at most 10 MB, and what the gateway adds is small."""
UNAUTHORIZED, CONFLICT, BAD_GATEWAY, UNAVAILABLE, GATEWAY_TIMEOUT = 401, 409, 502, 503, 504


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """Who sends, and with what it signs and proves."""

    documents: GatewayDocuments
    client_id: str
    signer: Signer
    key: DPoPKey | None
    clock: Clock
    timeout: float

    def send(
        self, content: bytes, *, idempotency_key: str, token: Callable[[datetime], str]
    ) -> tuple[HttpRequest, HttpResponse]:
        """Return the request that was answered and the answer, still unverified; raises `GatewayUnreachable`.

        `token` gives the access token to show at a given time.
        """
        pause = 0.2
        for attempt in range(ATTEMPTS):
            last = attempt == ATTEMPTS - 1
            now = self.clock.now()
            request = self.signed(
                content,
                method="POST",
                address=self.documents.metadata(now).exchanges_endpoint,
                accept="application/json, application/problem+json",
                idempotency_key=idempotency_key,
                access_token=token(now),
                now=now,
            )
            try:
                response = self._post(request)
            except requests.RequestException as error:
                if last:
                    raise GatewayUnreachable(detail=f"{request.target_uri}: {type(error).__name__}") from error
            else:
                if last or not self.worth_another_try(request, response):
                    return request, response
                pause = max(pause, _seconds(response.headers.get("Retry-After")))
            time.sleep(min(pause, LONGEST_PAUSE))
            pause *= 2
        raise GatewayUnreachable

    def _post(self, request: HttpRequest) -> HttpResponse:
        with self.documents.session().post(
            request.target_uri,
            data=request.body,
            headers=dict(request.headers),
            timeout=self.timeout,
            allow_redirects=False,
            stream=True,
        ) as answer:
            body = body_of(answer, most=MAX_ANSWER_BYTES)
            return HttpResponse(status=answer.status_code, headers=answer.headers, body=body)

    def signed(
        self,
        content: bytes,
        *,
        method: str,
        address: str,
        accept: str,
        idempotency_key: str,
        access_token: str,
        now: datetime,
    ) -> HttpRequest:
        """Return a request to the gateway as it is sent: once, for its nonce is new."""
        return sign_request(
            HttpRequest(
                method=method,
                target_uri=address,
                headers={
                    **({"Content-Type": "application/json"} if content else {}),
                    "Accept": accept,
                    "Idempotency-Key": idempotency_key,
                    **headers_showing(access_token, method=method, address=address, key=self.key, now=now),
                },
                body=content,
            ),
            signer=self.signer,
            client_id=self.client_id,
            nonce=secrets.token_urlsafe(18),
            created=now,
            tag=EXCHANGE_TAG,
        )

    def worth_another_try(self, request: HttpRequest, response: HttpResponse) -> bool:
        """Tell whether the answer may be another one soon, or was never the gateway's."""
        if response.status == CONFLICT:
            return b'"still_running"' in response.body
        if response.status == UNAUTHORIZED and self.key is not None:
            # RFC 9449 §9: the proof was to hold a nonce of the server's.
            return self.key.remember_nonce(request.target_uri, response.headers.get("DPoP-Nonce"))
        # An unsigned one is a proxy's: the node that was asked is gone, and its answer is lost like any other.
        lost = response.status in (BAD_GATEWAY, GATEWAY_TIMEOUT) and "Signature" not in response.headers
        # With a receipt it is the exchange's outcome, which stays what it is under this key.
        return (response.status == UNAVAILABLE and b'"receipt"' not in response.body) or lost


def _seconds(retry_after: str | None) -> float:
    return float(retry_after) if retry_after and retry_after.isdecimal() else 0.0
