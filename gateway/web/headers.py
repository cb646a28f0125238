"""What every answer carries: a request id, and headers that tell browsers to trust nothing but us.

The policy allows no inline script or style, no framing, and forms only to ourselves (and to the redirect URIs of
clients, because browsers apply `form-action` to the redirects that follow a form).
"""

import re
import secrets

from flask import Flask, Response, g, request

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}\Z")


def install_headers(app: Flask, *, https: bool) -> None:
    """Give each request an id and a nonce, and each answer its security headers."""

    @app.before_request
    def begin() -> None:
        # A caller's correlation id is echoed when it is harmless; it is never trusted for anything.
        offered = request.headers.get("X-Request-Id", "")
        g.request_id = offered if REQUEST_ID.match(offered) else secrets.token_hex(16)
        g.csp_nonce = secrets.token_urlsafe(16)

    @app.after_request
    def finish(response: Response) -> Response:
        response.headers["X-Request-Id"] = g.get("request_id", "")
        for name, value in security_headers(
            https=https,
            nonce=g.get("csp_nonce", ""),
            form_targets=g.get("form_targets", ()),
            frame_sources=g.get("frame_sources", ()),
            own_forms=g.get("own_forms", True),
        ).items():
            response.headers.setdefault(name, value)
        return response


def security_headers(
    *,
    https: bool,
    nonce: str,
    form_targets: tuple[str, ...] = (),
    own_forms: bool = True,
    frame_sources: tuple[str, ...] = (),
) -> dict[str, str]:
    """Return the headers by name. `form_targets` are origins to which a posted form may finally lead.

    `own_forms` is false for a page whose form leads to them alone. `frame_sources` are origins that the page frames.
    """
    policy = {
        "default-src": "'none'",
        "script-src": f"'nonce-{nonce}'" if nonce else "'none'",
        "style-src": "'self'",
        "img-src": "'self'",
        "font-src": "'self'",
        "form-action": " ".join((*(["'self'"] if own_forms else []), *form_targets)),
        **({"frame-src": " ".join(frame_sources)} if frame_sources else {}),  # none, by `default-src`
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
    }
    headers = {
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
        "Cache-Control": "no-store",
    }
    if https:
        headers["Strict-Transport-Security"] = "max-age=63072000; includeSubDomains"
    return headers
