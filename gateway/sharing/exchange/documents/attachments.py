"""The documents beside a record: fetched from the provider into the spool, and kept only if they are what it signed.

No database is touched here. A record has been verified and minimised before its documents are fetched, so that only
those are which the consumer will be given; digest, size and type of each stand in the record, under the provider's
signature.
"""

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from secrets import token_urlsafe
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import structlog

from gateway.clock import Clock
from gateway.directory.members import Client
from gateway.errors import GatewayError
from gateway.outgoing.http_client import AnswerTooLarge, HttpClient, StreamedAnswer, TooSlow
from gateway.sharing.exchange.documents.spool import Place, Spool
from gateway.sharing.exchange.provider_call import OK, ProviderFailed, Question, failed
from gateway.wire.attachments import value_of
from gateway.wire.contracts import PROVIDER_TAG
from gateway.wire.encoding import b64url_decode, b64url_encode
from gateway.wire.message_signatures import (
    HttpRequest,
    HttpResponse,
    sign_request,
    stated_digest,
    verify_response_head,
)
from gateway.wire.signer import Signer

log = structlog.get_logger("gateway.exchange")


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """One document, as the provider's record describes it: 32 bytes of SHA-256, its size in bytes, its media type."""

    place: Place
    field: str
    digest: bytes
    size: int
    media_type: str

    @property
    def stated(self) -> dict[str, Any]:
        """The value that the record has for it."""
        return value_of(self.digest, size=self.size, media_type=self.media_type)


class _NotAccepted(Exception):
    """What came, or was promised, is not taken."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(code)
        self.failure = failed(code, detail)


def attachments_of(question: Question, fields: Mapping[str, Any], *, disclosed: tuple[str, ...]) -> list[Attachment]:
    """Return the attachments among the disclosed fields of a record that was held against its schema."""
    names = [name for name in disclosed if name in question.service.attachment_fields]
    return [
        Attachment(
            place=Place(exchange=question.exchange, number=number),
            field=name,
            digest=b64url_decode(fields[name]["digest"]),
            size=fields[name]["size"],
            media_type=fields[name]["type"],
        )
        for number, name in enumerate(names, start=1)
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Collector:
    """Fetches attachments. Assembles only."""

    http: HttpClient
    signer: Callable[[], Signer]
    issuer: str
    clock: Clock
    spool: Spool

    def collect(
        self, attachments: list[Attachment], question: Question, *, provider: Client, ends: float
    ) -> ProviderFailed | None:
        """Fetch all of them until `ends`, on `time.monotonic`'s scale; says what failed. Then none of them is kept."""
        kept: list[Place] = []
        failure: ProviderFailed | None = None
        try:
            for attachment in attachments:
                failure = self._fetch(attachment, question, provider=provider, ends=ends)
                if failure is not None:
                    return failure
                kept.append(attachment.place)
        finally:
            if len(kept) < len(attachments):
                self.spool.discard(kept)
        return None

    def _fetch(
        self, attachment: Attachment, question: Question, *, provider: Client, ends: float
    ) -> ProviderFailed | None:
        try:
            self._receive(attachment, question, provider=provider, ends=ends)
        except _NotAccepted as refused:
            return refused.failure
        except TooSlow as error:
            return failed("provider_timeout", f"{attachment.field}: {error.detail}")
        except AnswerTooLarge:
            return _another(attachment).failure
        except GatewayError as error:
            return failed("provider_unreachable", f"{attachment.field}: {error.code}: {error.detail}")
        except OSError as error:
            # Ours, not the provider's: no room, or a disk that fails.
            log.error("an attachment cannot be spooled", error=type(error).__name__, errno=error.errno)  # noqa: TRY400 - no traceback: it may hold data
            return failed("attachment_not_kept", f"{attachment.field}: {type(error).__name__}")
        return None

    def _receive(self, attachment: Attachment, question: Question, *, provider: Client, ends: float) -> None:
        """Spool one document; raises `_NotAccepted`, what the HTTP client does, and `OSError`."""
        most = question.service.max_attachment_bytes
        if attachment.size > most:
            raise _NotAccepted("provider_answer_too_large", f"{attachment.field} has more than {most} bytes")
        request = self._signed(attachment, question)
        with self.http.stream(
            "GET",
            request.target_uri,
            headers=request.headers,
            timeout_seconds=max(0.001, ends - time.monotonic()),
            max_bytes=attachment.size,
        ) as answer:
            self._check_head(answer, request, attachment, provider=provider)
            pieces = _held_against(attachment, answer.pieces)
            self.spool.write(attachment.place, pieces, size=attachment.size, digest=attachment.digest)

    def _signed(self, attachment: Attachment, question: Question) -> HttpRequest:
        parts = urlsplit(question.service.endpoint or "")
        path = f"{parts.path.rstrip('/')}/attachments/{question.exchange}/{b64url_encode(attachment.digest)}"
        return sign_request(
            HttpRequest(
                method="GET",
                target_uri=urlunsplit((parts.scheme, parts.netloc, path, parts.query, "")),
                headers={"Accept": f"{attachment.media_type}, application/problem+json"},
            ),
            signer=self.signer(),
            client_id=self.issuer,
            nonce=token_urlsafe(16),
            created=self.clock.now(),
            tag=PROVIDER_TAG,
        )

    def _check_head(
        self, answer: StreamedAnswer, request: HttpRequest, attachment: Attachment, *, provider: Client
    ) -> None:
        """Refuse an answer that is not worth reading, by what stands before its body."""
        head = HttpResponse(status=answer.status, headers=answer.headers)
        try:
            verify_response_head(head, request=request, keys=provider.keys, tag=PROVIDER_TAG, now=self.clock.now())
            stated = stated_digest(head)
        except GatewayError as error:
            told = f"{attachment.field}: {error.code}: {error.public}"
            raise _NotAccepted("provider_answer_unsigned", told) from error
        if answer.status != OK:
            raise _NotAccepted("provider_refused", f"{attachment.field}: status {answer.status}")
        if stated != attachment.digest or head.headers.get("content-type") != attachment.media_type:
            raise _another(attachment)


def _held_against(attachment: Attachment, pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Give the pieces on, and raise in the end unless together they are what the provider signed."""
    seen, size = hashlib.sha256(), 0
    for piece in pieces:
        seen.update(piece)
        size += len(piece)
        yield piece
    if size != attachment.size or seen.digest() != attachment.digest:
        raise _another(attachment)


def _another(attachment: Attachment) -> _NotAccepted:
    return _NotAccepted("provider_answer_invalid", f"{attachment.field} is not the document that the record names")
