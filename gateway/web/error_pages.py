"""The words of the pages people meet when something does not work: what happened, and what they can do.

They follow the design system's patterns: no status numbers, no blame, no jokes. Which failure gets which page, and the
status code that goes with it, is decided by `gateway.web.problems`.
"""

from dataclasses import dataclass

from flask import render_template


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorPage:
    """A heading and the paragraphs under it."""

    title: str
    paragraphs: tuple[str, ...]


PAGE_NOT_FOUND = ErrorPage(
    title="Page not found",
    paragraphs=(
        "If you typed the web address, check it is correct.",
        "If you pasted the web address, check you copied the whole of it.",
    ),
)
SERVICE_PROBLEM = ErrorPage(
    title="Sorry, there is a problem with the service",
    # Nothing is claimed about what was saved: whoever lands here, we do not know how far the request came.
    paragraphs=("Try again later.", "If it happens again, tell the team that runs the service the reference below."),
)
SERVICE_UNAVAILABLE = ErrorPage(
    title="Sorry, the service is unavailable",
    paragraphs=("You will be able to use the service again shortly. Nothing was changed.",),
)
SIGN_IN_REQUEST_PROBLEM = ErrorPage(
    title="There is a problem with this sign-in request",
    paragraphs=(
        "The service you came from asked us to sign you in, but we cannot accept its request.",
        "You have not been signed in. Go back to the service and try again. If it happens again, tell that service.",
    ),
)
SIGN_OUT_REQUEST_PROBLEM = ErrorPage(
    title="There is a problem with this sign-out request",
    paragraphs=(
        "The service you came from asked us to sign you out, but we cannot accept its request.",
        "Nothing was changed. If you are signed in here, you still are: sign out on your account page.",
    ),
)
SIGN_IN_NEEDED = ErrorPage(
    title="Sign in to see this page",
    paragraphs=("You are not signed in, or you were signed out because you did nothing for a while.",),
)
NOT_ALLOWED = ErrorPage(
    title="You do not have permission to see this page",
    paragraphs=(
        "You are signed in, but your role does not include this page, or you did not give a security code.",
        "To sign in as somebody else, sign out first.",
    ),
)
CANNOT_ACCEPT = ErrorPage(
    title="We cannot accept what was sent",
    paragraphs=("Go back, check your answers and try again. Nothing was changed.",),
)
NOT_NOW = ErrorPage(
    title="This cannot be done now",
    paragraphs=("Something else has to happen first. Wait a few seconds, then try again. Nothing was changed.",),
)
PAGE_EXPIRED = ErrorPage(
    title="This page has expired",
    paragraphs=("It was open for too long, or was opened in another window. Go back and start again.",),
)
TOO_MANY_ATTEMPTS = ErrorPage(
    title="You have tried too many times",
    paragraphs=("Wait a while, then try again. Your account has not been changed.",),
)


def render_error_page(page: ErrorPage, *, detail: str | None = None, reference: str | None = None) -> str:
    """The HTML of `page`; `detail` must be safe for anyone to read, `reference` is the request id."""
    return render_template(
        "error.html", title=page.title, paragraphs=page.paragraphs, detail=detail, reference=reference
    )
