"""Ask for a record, and verify everything about the answer before believing any of it.

    consumer = Consumer("https://gateway.example", "bwd-portal", "portal.pem")
    answer = consumer.ask(service="dwp/free-school-meals/v1", purpose="free-school-meals", subject={"sub": "…"},
                          fields=["eligible", "tier"], case_reference="FSM/2026/00017", access_token=token)

An `Answer` holds the fields; a `Refusal` holds the failing rules; both hold the signed receipt. A lost answer is asked
for again with the same Idempotency-Key, so that nothing is disclosed twice.
"""

import json
import secrets
import uuid
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from gateway.clock import Clock, SystemClock
from gateway.sdk.answers import Answer, AnswerNotBelievable, NotAnswered, Refusal
from gateway.sdk.attachments import DocumentFetcher
from gateway.sdk.believing import Asked, believe
from gateway.sdk.keys import signer_from
from gateway.sdk.metadata import GatewayDocuments
from gateway.sdk.opening import Opener, decryption_keys
from gateway.sdk.possession import ClientCertificate, DPoPKey
from gateway.sdk.receipts import ReceiptFolder
from gateway.sdk.sending import Sender
from gateway.sdk.tokens import ASSERTION_TYPE, OwnTokens, TokenEndpoint
from gateway.wire.keys import thumbprint
from gateway.wire.sealed_disclosures import DecryptionKey
from gateway.wire.signer import Signer

__all__ = ["ASSERTION_TYPE", "Answer", "AnswerNotBelievable", "Consumer", "NotAnswered", "Refusal"]


class Consumer:
    """Asks one gateway for one client. Assembles only; one instance serves any number of threads.

    `key` is the client's registered signing key: a PEM file, or a `Signer` where the key is kept elsewhere. `dpop` is
    the key its tokens are bound to, if it is registered so (RFC 9449), an officer's tokens among them; `certificate`
    its certificate, if it is registered for mutual TLS (RFC 8705). `ca_file` is a private authority's; without it the
    system's authorities are trusted. `receipts` is a folder that keeps question, receipt and record of every exchange
    (`receipts.ReceiptFolder`); without it nothing is kept.
    `decryption` are the private keys (PEM files, or `DecryptionKey`) for values that are encrypted to this client
    alone, and `encrypted` the services whose answers are believed in no other form.
    `timeout` is in seconds, for each attempt.
    """

    def __init__(
        self,
        issuer: str,
        client_id: str,
        key: Signer | Path | str,
        *,
        dpop: Signer | Path | str | None = None,
        certificate: ClientCertificate | None = None,
        ca_file: Path | None = None,
        receipts: Path | None = None,
        decryption: Sequence[DecryptionKey | Path | str] = (),
        encrypted: Collection[str] = (),
        timeout: float = 30.0,
        clock: Clock | None = None,
        documents: GatewayDocuments | None = None,
    ) -> None:
        self._documents = documents or GatewayDocuments(issuer, ca_file=ca_file, certificate=certificate)
        self._clock = clock or SystemClock()
        self._receipts = ReceiptFolder(receipts) if receipts is not None else None
        self._decryption = decryption_keys(decryption)
        self._encrypted = frozenset(encrypted)
        signer = signer_from(key)
        self._client_key = thumbprint(signer.public_jwk())
        bound_to = DPoPKey(signer_from(dpop)) if dpop is not None else None
        self._tokens = OwnTokens(
            TokenEndpoint(
                documents=self._documents,
                client_id=client_id,
                signer=signer,
                key=bound_to,
                by_certificate=certificate is not None and certificate.authenticates,
                timeout=timeout,
            )
        )
        self._sender = Sender(
            documents=self._documents,
            client_id=client_id,
            signer=signer,
            key=bound_to,
            clock=self._clock,
            timeout=timeout,
        )

    def ask(
        self,
        *,
        service: str,
        purpose: str,
        subject: Mapping[str, Any],
        fields: Sequence[str],
        case_reference: str | None = None,
        access_token: str | None = None,
        idempotency_key: str | None = None,
        salt: str | None = None,
    ) -> Answer | Refusal:
        """Ask, and return a verified answer or a verified refusal.

        `subject` is `{"sub": …}` or `{"match": {…}}`. `access_token` is an officer's; without one the client asks for
        itself. An answer lost on the way is asked for again here; who wants to do so after a restart, too, keeps
        `idempotency_key` (a UUID) and `salt` (128 random bits, base64url) beforehand and gives both again, with
        everything else unchanged. Raises `NotAnswered`, `AnswerNotBelievable` or `GatewayUnreachable`; `OSError` where
        receipts are to be kept and cannot be.
        """
        body: dict[str, Any] = {
            "service": service,
            "purpose": purpose,
            "subject": subject,
            "fields": list(fields),
            "salt": salt or secrets.token_urlsafe(16),
        }
        if case_reference is not None:
            body["case_reference"] = case_reference
        token = self._tokens.token if access_token is None else lambda _now: access_token
        request, response = self._sender.send(
            json.dumps(body).encode(), idempotency_key=idempotency_key or str(uuid.uuid4()), token=token
        )
        asked = Asked(
            fields=tuple(fields),
            client_key=self._client_key,
            fetcher=DocumentFetcher(sender=self._sender, token=token),
            opener=Opener(keys=self._decryption, demanded=service in self._encrypted),
        )
        try:
            answer = believe(request, response, asked=asked, documents=self._documents, now=self._clock.now())
        except NotAnswered as error:
            if self._receipts is not None:
                self._receipts.keep_failure(request.body, error)
            raise
        if self._receipts is not None:
            self._receipts.keep(request.body, answer)
        return answer
