"""Documents beside an answer: fetched once each, streamed, and given to nobody before all of them was verified.

    answer.attachments["award_letter"].save(Path("letter.pdf"))
    with answer.attachments["award_letter"].open() as letter: …

A document waits at the gateway for 15 minutes, for whoever asked. A fetch that was cut is made again with the same
Idempotency-Key; another key would not get it.
"""

import hashlib
import hmac
import os
import secrets
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urljoin

import requests

from gateway.errors import GatewayError
from gateway.sdk.answers import AnswerNotBelievable, NotAnswered
from gateway.sdk.metadata import MAX_DOCUMENT_BYTES, GatewayUnreachable, body_of, pieces_of
from gateway.sdk.sending import ATTEMPTS, LONGEST_PAUSE, Sender
from gateway.sdk.signed_answers import check_signed
from gateway.wire.attachments import value_of
from gateway.wire.encoding import b64url_decode, parse_json_object
from gateway.wire.errors import MalformedInput
from gateway.wire.message_signatures import HttpRequest, HttpResponse, stated_digest, verify_response_head

OK = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentFetcher:
    """Fetches for one client; `token` gives the access token to show at a given time."""

    sender: Sender
    token: Callable[[datetime], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachedDocument:
    """A document that the provider's record names: 32 bytes of SHA-256, its size in bytes, its media type."""

    name: str
    """The field that describes it."""
    address: str
    digest: bytes
    size: int
    media_type: str
    idempotency_key: str
    """Who wants to fetch it after a restart, too, keeps this with the answer."""
    fetcher: DocumentFetcher = field(repr=False)

    def save(self, path: Path, *, access_token: str | None = None) -> None:
        """Write the document to this path, at which it is whole and verified, or not there.

        Raises `NotAnswered` (`attachment_already_fetched`, `attachment_expired`, `refused`, …), `AnswerNotBelievable`,
        `GatewayUnreachable`, `OSError`.
        """
        unfinished = path.with_name(f".{path.name}.{secrets.token_hex(6)}.part")
        descriptor = os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w+b") as file:
                self._fetch_into(file, access_token)
            unfinished.replace(path)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise

    @contextmanager
    def open(self, *, access_token: str | None = None) -> Iterator[BinaryIO]:
        """Give the verified document as a file without a name, at its beginning; raises as `save` does."""
        with tempfile.TemporaryFile() as file:
            self._fetch_into(file, access_token)
            file.seek(0)
            yield file

    def _fetch_into(self, file: BinaryIO, access_token: str | None) -> None:
        token = self.fetcher.token if access_token is None else lambda _now: access_token
        pause = 0.2
        for attempt in range(ATTEMPTS):
            last = attempt == ATTEMPTS - 1
            file.seek(0)
            file.truncate()
            try:
                if self._attempt(file, token=token, last=last):
                    return
            except requests.RequestException as error:
                if last:
                    raise GatewayUnreachable(detail=type(error).__name__) from error
            time.sleep(min(pause, LONGEST_PAUSE))
            pause *= 2

    def _attempt(self, file: BinaryIO, *, token: Callable[[datetime], str], last: bool) -> bool:
        """Fetch once; tells whether it is done, and False where another try is worth it."""
        sender = self.fetcher.sender
        now = sender.clock.now()
        request = sender.signed(
            b"",
            method="GET",
            address=self.address,
            accept=f"{self.media_type}, application/problem+json",
            idempotency_key=self.idempotency_key,
            access_token=token(now),
            now=now,
        )
        with sender.documents.session().get(
            request.target_uri,
            headers=dict(request.headers),
            timeout=sender.timeout,
            allow_redirects=False,
            stream=True,
        ) as answer:
            if answer.status_code != OK:
                body = body_of(answer, most=MAX_DOCUMENT_BYTES)
                response = HttpResponse(status=answer.status_code, headers=answer.headers, body=body)
                if not last and sender.worth_another_try(request, response):
                    return False
                raise self._not_given(request, response)
            self._check_head(request, HttpResponse(status=OK, headers=answer.headers))
            self._receive(file, answer)
        return True

    def _check_head(self, request: HttpRequest, head: HttpResponse) -> None:
        sender = self.fetcher.sender
        _, verified = check_signed(
            request, head, documents=sender.documents, now=sender.clock.now(), verify=verify_response_head
        )
        if verified.binding != "request" or not hmac.compare_digest(stated_digest(head), self.digest):
            raise AnswerNotBelievable("What the gateway sends is not the document that the record names.")

    def _receive(self, file: BinaryIO, answer: requests.Response) -> None:
        seen, size = hashlib.sha256(), 0
        for piece in pieces_of(answer):
            seen.update(piece)
            size += len(piece)
            if size > self.size:
                break
            file.write(piece)
        file.flush()
        if size != self.size or seen.digest() != self.digest:
            raise AnswerNotBelievable("What arrived is not the document that the record names.")

    def _not_given(self, request: HttpRequest, response: HttpResponse) -> GatewayError:
        sender = self.fetcher.sender
        check_signed(request, response, documents=sender.documents, now=sender.clock.now())
        try:
            problem = parse_json_object(response.body)
        except MalformedInput:
            return AnswerNotBelievable("The answer is not JSON.")
        return NotAnswered(
            str(problem.get("detail") or problem.get("title") or "no answer"),
            code=str(problem.get("code", "not_answered")),
            status=response.status,
            problem=problem,
        )


def attachments_in(
    body: Mapping[str, Any],
    fields: Mapping[str, Any],
    *,
    base: str,
    fetcher: DocumentFetcher | None,
) -> dict[str, AttachedDocument]:
    """Return the documents that an answer offers, by field; `base` is the address that was asked.

    Raises `AnswerNotBelievable` unless each is what the provider's record says, at an address below that one. Without a
    fetcher there are none.
    """
    offered = body.get("attachments", [])
    found: dict[str, AttachedDocument] = {}
    if fetcher is None:
        return found
    if not isinstance(offered, list):
        raise AnswerNotBelievable("The attachments of the answer cannot be read.")
    for link in offered:
        try:
            name, address = link["field"], urljoin(base, link["href"])
            digest, size, media_type = b64url_decode(link["digest"]), link["size"], link["type"]
            described = fields[name]
        except (KeyError, TypeError, AttributeError, MalformedInput) as error:
            raise AnswerNotBelievable("An attachment of the answer cannot be read.") from error
        if described != value_of(digest, size=size, media_type=media_type) or not address.startswith(f"{base}/"):
            raise AnswerNotBelievable("An attachment is not the one that the provider signed.")
        found[name] = AttachedDocument(
            name=name,
            address=address,
            digest=digest,
            size=size,
            media_type=media_type,
            idempotency_key=str(uuid.uuid4()),
            fetcher=fetcher,
        )
    return found
