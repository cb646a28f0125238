"""Between a WSGI server (PEP 3333) and signed messages: requests as they were sent, answers as they were signed."""

import json
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any

from gateway.wire.contracts import MAX_REQUEST_BYTES
from gateway.wire.message_signatures import HttpRequest, HttpResponse

StartResponse = Callable[..., Any]
WsgiApplication = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]

JSON = {"Content-Type": "application/json"}
PROBLEM = {"Content-Type": "application/problem+json"}


def request_of(environ: Mapping[str, Any], origin: str) -> HttpRequest | None:
    """Take the request as sent, or None when its body is too large to be a question.

    The target's authority is `origin`, the provider's own: a `Host` header is not believed.
    """
    length = environ.get("CONTENT_LENGTH") or "0"
    if not length.isdecimal() or int(length) > MAX_REQUEST_BYTES:
        return None
    headers = {name[5:].replace("_", "-"): str(value) for name, value in environ.items() if name.startswith("HTTP_")}
    headers["Content-Type"] = str(environ.get("CONTENT_TYPE", ""))
    return HttpRequest(
        method=environ["REQUEST_METHOD"],
        target_uri=origin + _raw_target(environ),
        headers=headers,
        body=environ["wsgi.input"].read(int(length)),
    )


def problem(status: int, code: str, title: str, **more: str) -> HttpResponse:
    """Return a problem document (RFC 9457)."""
    body = json.dumps({"title": title, "status": status, "code": code, **more}).encode()
    return HttpResponse(status=status, headers=PROBLEM, body=body)


def send(start_response: StartResponse, response: HttpResponse) -> Iterable[bytes]:
    """Send an answer with its length."""
    headers = [(name, value) for name, value in response.headers.items() if name.lower() != "content-length"]
    headers.append(("Content-Length", str(len(response.body))))
    start_response(f"{response.status} {HTTPStatus(response.status).phrase}", headers)
    return [response.body]


def _raw_target(environ: Mapping[str, Any]) -> str:
    # What was signed is the target as it was sent; servers that keep it give it one of these names.
    raw = environ.get("RAW_URI") or environ.get("REQUEST_URI")
    if raw:
        return str(raw)
    query = environ.get("QUERY_STRING")
    path = str(environ.get("SCRIPT_NAME", "")) + str(environ["PATH_INFO"])
    return f"{path}?{query}" if query else path
