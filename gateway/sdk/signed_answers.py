"""That an answer is the gateway's own, to exactly the request that was sent."""

from datetime import datetime
from typing import Protocol

from gateway.errors import GatewayError
from gateway.sdk.answers import AnswerNotBelievable
from gateway.sdk.metadata import GatewayDocuments, GatewayUnreachable
from gateway.wire.contracts import EXCHANGE_TAG
from gateway.wire.errors import InvalidMessageSignature
from gateway.wire.keys import Jwk
from gateway.wire.message_signatures import HttpRequest, HttpResponse, VerifiedResponse, verify_response

SERVER_ERROR = 500


class Verify(Protocol):
    """`verify_response`, or `verify_response_head` for an answer whose body is read later."""

    def __call__(
        self, response: HttpResponse, *, request: HttpRequest, keys: tuple[Jwk, ...], tag: str, now: datetime
    ) -> VerifiedResponse:
        """Check the signature."""
        ...


def check_signed(
    request: HttpRequest,
    response: HttpResponse,
    *,
    documents: GatewayDocuments,
    now: datetime,
    verify: Verify = verify_response,
) -> tuple[tuple[Jwk, ...], VerifiedResponse]:
    """Return the gateway's keys and what was verified; raises `AnswerNotBelievable`, `GatewayUnreachable`."""
    keys = documents.gateway_keys(now)
    try:
        return keys, verify(response, request=request, keys=keys, tag=EXCHANGE_TAG, now=now)
    except InvalidMessageSignature:
        keys = documents.gateway_keys(now, fresh=True)  # the gateway may have changed keys
    try:
        return keys, verify(response, request=request, keys=keys, tag=EXCHANGE_TAG, now=now)
    except GatewayError as error:
        if response.status >= SERVER_ERROR:  # a proxy's own error page is not the gateway's answer
            raise GatewayUnreachable(detail=f"status {response.status}") from error
        raise AnswerNotBelievable("The gateway's signature does not hold.", detail=error.public) from error
