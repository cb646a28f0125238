"""What can go wrong, said once: every refusal and fault the gateway raises is a `GatewayError`.

An error carries a stable `code` for programs, a public sentence for people, and a private detail that only the
gateway's own logs see. It knows nothing of HTTP: `gateway.web.problems` alone turns a `Kind` into a status code.
"""

from collections.abc import Mapping
from enum import StrEnum


class Kind(StrEnum):
    """What sort of failure this is, from the caller's point of view."""

    MALFORMED = "malformed"  # the request cannot be understood
    INVALID = "invalid"  # understood, but its content breaks a stated rule
    UNAUTHENTICATED = "unauthenticated"  # who is calling was not proved
    REFUSED = "refused"  # who is calling is known, and may not
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"  # what is asked clashes with what already happened
    TOO_LARGE = "too_large"
    WRONG_MEDIA_TYPE = "wrong_media_type"
    THROTTLED = "throttled"
    UPSTREAM = "upstream"  # another party answered wrongly
    UPSTREAM_TIMEOUT = "upstream_timeout"  # another party did not answer in time
    UNAVAILABLE = "unavailable"  # the gateway cannot do this now; trying again later may work
    BROKEN = "broken"  # an invariant of ours does not hold


class GatewayError(Exception):
    """A failure with a stable code.

    `public` may be shown to the caller and must hold no personal data, token or code; `detail` is for logs only;
    `extensions` are additional members of a problem document (RFC 9457 §3.2); `retry_after` is in whole seconds.
    """

    kind: Kind = Kind.BROKEN
    code: str = "internal_error"
    title: str = "Something went wrong"

    def __init__(
        self,
        public: str | None = None,
        *,
        detail: str | None = None,
        extensions: Mapping[str, object] | None = None,
        retry_after: int | None = None,
    ) -> None:
        self.public = public or self.title
        self.detail = detail
        self.extensions = dict(extensions or {})
        self.retry_after = retry_after
        super().__init__(self.public if detail is None else f"{self.public} ({detail})")


class SettingsError(GatewayError):
    """A setting is missing or cannot be used; the gateway does not start."""

    kind = Kind.BROKEN
    code = "bad_settings"
    title = "The settings cannot be used"


class Unavailable(GatewayError):
    """The gateway cannot do this now; nothing was changed."""

    kind = Kind.UNAVAILABLE
    code = "unavailable"
    title = "The gateway cannot answer now"
