"""The edge where an error becomes an answer: problem documents for programs (RFC 9457), pages for people.

The only place that knows which HTTP status a `Kind` has; OAuth endpoints have their own page of RFC 6749 answers.
"""

import json

import structlog
from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException

from gateway.errors import GatewayError, Kind
from gateway.web import error_pages
from gateway.web.error_pages import ErrorPage, render_error_page

STATUS = {
    Kind.MALFORMED: 400,
    Kind.INVALID: 422,
    Kind.UNAUTHENTICATED: 401,
    Kind.REFUSED: 403,
    Kind.NOT_FOUND: 404,
    Kind.CONFLICT: 409,
    Kind.TOO_LARGE: 413,
    Kind.WRONG_MEDIA_TYPE: 415,
    Kind.THROTTLED: 429,
    Kind.UPSTREAM: 502,
    Kind.UPSTREAM_TIMEOUT: 504,
    Kind.UNAVAILABLE: 503,
    Kind.BROKEN: 500,
}
PAGES = {
    400: error_pages.CANNOT_ACCEPT,
    401: error_pages.SIGN_IN_NEEDED,
    403: error_pages.NOT_ALLOWED,
    404: error_pages.PAGE_NOT_FOUND,
    405: error_pages.CANNOT_ACCEPT,
    409: error_pages.NOT_NOW,
    413: error_pages.CANNOT_ACCEPT,
    415: error_pages.CANNOT_ACCEPT,
    422: error_pages.CANNOT_ACCEPT,
    429: error_pages.TOO_MANY_ATTEMPTS,
    503: error_pages.SERVICE_UNAVAILABLE,
}
PROBLEM_TYPE = "urn:gateway:problem:"

log = structlog.get_logger("gateway.problem")


def problem_document(error: GatewayError) -> tuple[int, dict[str, object]]:
    """Return the status and the members of a problem document (RFC 9457 §3)."""
    status = STATUS[error.kind]
    members: dict[str, object] = {
        "type": PROBLEM_TYPE + error.code,
        "title": error.title,
        "status": status,
        "detail": error.public,
        "code": error.code,
    }
    return status, members | error.extensions


def problem_response(error: GatewayError) -> Response:
    """Answer a program."""
    status, members = problem_document(error)
    members.setdefault("instance", f"urn:gateway:request:{g.get('request_id', '')}")
    response = Response(json.dumps(members), status, content_type="application/problem+json")
    challenge = getattr(error, "www_authenticate", None)
    if challenge:
        response.headers["WWW-Authenticate"] = challenge
    if error.retry_after is not None:
        response.headers["Retry-After"] = str(error.retry_after)
    return response


def install_problems(app: Flask) -> None:
    """Turn every error that reaches the edge into an answer that tells no more than it should."""

    @app.errorhandler(GatewayError)
    def gateway_error(error: GatewayError) -> Response:
        status = STATUS[error.kind]
        log.log(
            40 if status >= 500 else 20,  # noqa: PLR2004 - logging levels: our faults are errors, theirs are not
            "request refused",
            code=error.code,
            detail=error.detail,
            request_id=g.get("request_id"),
        )
        return _page(status, error) if wants_page() else problem_response(error)

    @app.errorhandler(HTTPException)
    def http_error(error: HTTPException) -> Response:
        status = error.code or 500
        if wants_page():
            response = _page(status, None)
        else:
            members = {
                "type": "about:blank",
                "title": error.name,
                "status": status,
                "instance": f"urn:gateway:request:{g.get('request_id', '')}",
            }
            response = Response(json.dumps(members), status, content_type="application/problem+json")
        for name, value in error.get_headers():
            if name.lower() in {"allow", "retry-after"}:
                response.headers[name] = value
        return response

    @app.errorhandler(Exception)
    def unexpected(error: Exception) -> Response:
        # The class and the place are enough to find it; a message might hold what must not be logged.
        log.error("unexpected", error=type(error).__name__, request_id=g.get("request_id"), where=_where(error))
        return gateway_error(GatewayError())


def _page(status: int, error: GatewayError | None) -> Response:
    page: ErrorPage = PAGES.get(status, error_pages.SERVICE_PROBLEM)
    detail = error.public if error is not None and status < 500 and error.public != error.title else None  # noqa: PLR2004 - server errors explain nothing
    html = render_error_page(page, detail=detail, reference=g.get("request_id"))
    response = Response(html, status, content_type="text/html; charset=utf-8")
    if error is not None and error.retry_after is not None:
        response.headers["Retry-After"] = str(error.retry_after)
    return response


def wants_page() -> bool:
    """Tell whether a person's browser is asking, rather than a program."""
    accept = request.accept_mimetypes
    return accept.best_match(["application/problem+json", "application/json", "text/html"]) == "text/html"


def _where(error: Exception) -> str:
    trace = error.__traceback__
    place = ""
    while trace is not None:
        place = f"{trace.tb_frame.f_globals.get('__name__')}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place
