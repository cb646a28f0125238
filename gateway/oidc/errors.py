"""What this room refuses. How each is told to a client is said in `oauth_errors`."""

from collections.abc import Mapping
from typing import Any

from gateway.errors import GatewayError, Kind
from gateway.wire.dpop import ALGORITHMS as PROOF_ALGORITHMS


class ParametersMalformed(GatewayError):
    """Parameters that are not text, too long or too many."""

    kind = Kind.MALFORMED
    code = "invalid_request"
    title = "The request is malformed"


class SignInRequestUnusable(GatewayError):
    """A request not answered by a redirect: who asked, or where to answer, is not known (RFC 6749 §4.1.2.1)."""

    kind = Kind.MALFORMED
    code = "sign_in_request_unusable"
    title = "There is a problem with this sign-in request"


class AuthorizationRefused(GatewayError):
    """A request that is answered by redirecting with an error. `code` is the OAuth error, `public` its description."""

    kind = Kind.INVALID

    def __init__(self, code: str, public: str) -> None:
        super().__init__(public)
        self.code = code


BEARER, DPOP = "bearer", "dpop"
"""The schemes of access tokens (RFC 6750 §2.1, RFC 9449 §7.1), compared without case."""


class TokenRefused(GatewayError):
    """An access token that does not open this door, or none at all (RFC 6750 §3, RFC 9449 §7.1)."""

    kind = Kind.UNAUTHENTICATED
    code = "invalid_token"
    title = "The access token is not valid here"

    def __init__(
        self,
        public: str | None = None,
        *,
        detail: str | None = None,
        presented: bool = True,
        scheme: str = BEARER,
        code: str | None = None,
    ) -> None:
        """Take the `scheme` by which the token was shown, and a `code` where it is the proof that does not hold."""
        super().__init__(public, detail=detail)
        self.code = code or self.code
        self.claims: Mapping[str, Any] | None = None
        """Of a good token of ours that does not open this very door; None: whoever showed it is nobody we know."""
        # RFC 6750 §3.1: without a token, the challenge carries no error code.
        error = f', error="{self.code}", error_description="{self.public}"' if presented else ""
        by_proof = f'algs="{" ".join(PROOF_ALGORITHMS)}"'
        self.www_authenticate = (
            f'DPoP realm="gateway"{error}, {by_proof}'
            if scheme == DPOP
            else f'Bearer realm="gateway"{error}, DPoP {by_proof}'
        )


class ScopeMissing(TokenRefused):
    """A valid access token without the scope this door needs."""

    kind = Kind.REFUSED
    code = "insufficient_scope"
    title = "The access token does not have the scope this needs"


class TokenShownTwice(TokenRefused):
    """An access token in more than one place, which leaves it open which was meant (RFC 6750 §3.1)."""

    kind = Kind.MALFORMED
    code = "invalid_request"
    title = "The access token was sent more than once"
