"""One JSON line a request: what was asked of which door, how it ended, how long it took. Never who or with what.

A line holds the route's pattern, not the path, and never a query, header or body: tokens, codes and personal data
travel in all of those.
"""

import logging
import sys
import time

import structlog
from flask import Flask, Response, g, request

log = structlog.get_logger("gateway.request")


def configure_logs(level: str) -> None:
    """Send our own log lines, and those of libraries, to standard error as JSON."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.EventRenamer("message"),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
    )
    # Authlib logs whole tokens, and urllib3 whole addresses, at DEBUG.
    for name in ("authlib", "urllib3", "requests_oauthlib"):
        logging.getLogger(name).setLevel(logging.WARNING)


def install_request_log(app: Flask) -> None:
    """Write the line when the answer is ready."""

    @app.before_request
    def start() -> None:
        g.started = time.perf_counter()

    @app.after_request
    def line(response: Response) -> Response:
        log.info(
            "request",
            method=request.method if request.method.isalpha() else "?",
            route=request.url_rule.rule if request.url_rule else None,
            status=response.status_code,
            milliseconds=round((time.perf_counter() - g.get("started", time.perf_counter())) * 1000, 1),
            request_id=g.get("request_id"),
        )
        return response
