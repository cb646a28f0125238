"""The one page of OAuth answers: RFC 6749 §5 for tokens, §4.1.2.1 for redirects, RFC 6750 §3 for access tokens.

Framework-free: status, members and headers, which the door turns into a response.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.errors import GatewayError, Kind
from gateway.oidc.authorization.pushing import RequestPushed, RequestRefused
from gateway.oidc.clients.authentication import ClientRefused
from gateway.oidc.errors import TokenRefused
from gateway.oidc.sandbox_refusals import NOTE_HEADER
from gateway.oidc.tokens.endpoint import TokensGranted, TokensRefused

NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}


@dataclass(frozen=True, slots=True, kw_only=True)
class OAuthAnswer:
    """A JSON answer."""

    status: int
    members: Mapping[str, Any] = field(repr=False)
    headers: Mapping[str, str]


def token_answer(answer: TokensGranted | TokensRefused | ClientRefused) -> OAuthAnswer:
    """RFC 6749 §5.1 and §5.2: neither tokens nor errors are ever cached."""
    if isinstance(answer, TokensGranted):
        return OAuthAnswer(status=200, members=answer.members, headers=NO_STORE)
    if isinstance(answer, ClientRefused):
        return client_answer(answer)
    members = {"error": answer.error, "error_description": answer.description}
    return OAuthAnswer(status=400, members=members, headers=NO_STORE)


def pushed_answer(answer: RequestPushed | RequestRefused | ClientRefused) -> OAuthAnswer:
    """RFC 9126 §2.2 and §2.3: a reference is a secret until it is used, and no more cached than an error is."""
    if isinstance(answer, RequestPushed):
        members: dict[str, Any] = {"request_uri": answer.request_uri, "expires_in": answer.expires_in}
        note = {NOTE_HEADER: answer.sandbox_note} if answer.sandbox_note is not None else {}
        return OAuthAnswer(status=201, members=members, headers={**NO_STORE, **note})
    if isinstance(answer, ClientRefused):
        return client_answer(answer)
    members = {"error": answer.error, "error_description": answer.description}
    return OAuthAnswer(status=400, members=members, headers=NO_STORE)


def client_answer(refused: ClientRefused) -> OAuthAnswer:
    """RFC 6749 §5.2: a client that tried the `Authorization` header is told which scheme it was."""
    members = {"error": refused.error, "error_description": refused.description}
    challenge = {"WWW-Authenticate": refused.challenge} if refused.challenge is not None else {}
    return OAuthAnswer(status=401, members=members, headers={**NO_STORE, **challenge})


def fault_answer(error: GatewayError) -> OAuthAnswer:
    """A fault of ours as an OAuth client can read it: try again later, nothing was issued."""
    status = 503 if error.kind is Kind.UNAVAILABLE else 400 if error.kind is Kind.MALFORMED else 500
    name = "invalid_request" if error.kind is Kind.MALFORMED else "temporarily_unavailable"
    headers = {**NO_STORE, **({"Retry-After": "1"} if status == 503 else {})}  # noqa: PLR2004 - HTTP's own number
    return OAuthAnswer(status=status, members={"error": name, "error_description": error.public}, headers=headers)


def bearer_answer(error: TokenRefused) -> OAuthAnswer:
    """RFC 6750 §3: the challenge is in the header; the body repeats it for people."""
    members = {"error": error.code, "error_description": error.public}
    status = {Kind.REFUSED: 403, Kind.MALFORMED: 400}.get(error.kind, 401)
    return OAuthAnswer(status=status, members=members, headers={**NO_STORE, "WWW-Authenticate": error.www_authenticate})
