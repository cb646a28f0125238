"""FAPI 2.0, client by client: what its Security Profile demands of a registration and of a request.

The rules here are those that the authorization endpoint can see. Kept elsewhere: client authentication with the issuer
as its only audience (`clients`), codes of a minute (`codes`), tokens bound to a key, whichever of the two ways the
client chooses (`possession`), refreshing without rotation (`tokens`), and what is signed by its clients
(`request_objects`, FAPI 2.0 Message Signing).
"""

from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

from gateway.directory.members import Client
from gateway.oidc.authorization.request import Asked
from gateway.oidc.authorization.response_modes import SIGNED_MODES
from gateway.oidc.errors import AuthorizationRefused
from gateway.oidc.tokens.response_signing import ALGORITHMS as OURS
from gateway.wire.errors import UnusableKey
from gateway.wire.keys import SIGNING_ALGORITHMS, algorithm_name, algorithm_of

AUTHENTICATION_METHODS = ("private_key_jwt", "tls_client_auth", "self_signed_tls_client_auth")
GRANT_TYPES = (
    "authorization_code",
    "refresh_token",
    "client_credentials",
    "urn:ietf:params:oauth:grant-type:token-exchange",
)
REFUSED_MODES = ("fragment", "fragment.jwt")
LOOPBACK = ("localhost", "127.0.0.1", "::1")


def fapi_problems(client: Client, *, plain_http: bool = False) -> tuple[str, ...]:
    """Say what in a registration FAPI 2.0 does not allow; empty when all of it holds.

    `plain_http`: this gateway is a demonstration without TLS, whose clients may be on loopback without TLS too.
    """
    found = [problem for rule in RULES for problem in rule(client)]
    unprotected = [uri for uri in client.redirect_uris if not _is_protected(uri, plain_http=plain_http)]
    return (*found, *(f"redirect_uris must be https, and {uri} is not" for uri in unprotected))


def check_fapi(asked: Asked) -> None:
    """Apply every rule to a request of a client that keeps to FAPI 2.0; of another, none."""
    if asked.client.oauth.fapi2:
        for check in CHECKS:
            check(asked)


def check_client(asked: Asked) -> None:
    """FAPI 2.0 Security Profile §5.3.2.1 items 3 and 6: a confidential client, with a key of its own."""
    if asked.client.oauth.token_endpoint_auth_method not in AUTHENTICATION_METHODS:
        raise AuthorizationRefused("unauthorized_client", "This client is not registered to authenticate with a key")


def check_pushed(asked: Asked) -> None:
    """FAPI 2.0 Security Profile §5.3.2.2 item 3: a request is pushed, and so its client authenticated."""
    if asked.effective.pushed is None:
        raise AuthorizationRefused("invalid_request", "This client pushes its requests (RFC 9126)")


def check_redirect_uri(asked: Asked) -> None:
    """FAPI 2.0 Security Profile §5.3.2.2 item 8: answers do not travel in the clear."""
    if not _is_protected(asked.redirect_uri, plain_http=asked.endpoints.issuer.startswith("http:")):
        raise AuthorizationRefused("invalid_request", "The redirect_uri is not https")


def check_code_challenge(asked: Asked) -> None:
    """FAPI 2.0 Security Profile §5.3.2.2 item 5: PKCE with S256, from which no client is exempt."""
    if asked.parameters.one("code_challenge") is None or asked.parameters.one("code_challenge_method") != "S256":
        raise AuthorizationRefused("invalid_request", "code_challenge is missing: PKCE with S256 is required")


def check_response_mode(asked: Asked) -> None:
    """RFC 9700 §4.3: a code in a fragment is read by every script of the page, and stays in the browser's history."""
    if asked.parameters.one("response_mode") in REFUSED_MODES:
        raise AuthorizationRefused("invalid_request", "This client is not answered in a fragment")


def check_answer_is_signed(asked: Asked) -> None:
    """FAPI 2.0 Message Signing §5.4: a client that is registered for signed answers asks for no other (JARM)."""
    registered = asked.client.oauth.authorization_signed_response_alg
    if registered is not None and asked.parameters.one("response_mode") not in SIGNED_MODES:
        raise AuthorizationRefused("invalid_request", "This client is answered by a signed response_mode, such as jwt")


CHECKS = (
    check_client,
    check_pushed,
    check_redirect_uri,
    check_code_challenge,
    check_response_mode,
    check_answer_is_signed,
)


def _authentication(client: Client) -> Iterator[str]:
    # FAPI 2.0 Security Profile §5.3.2.1 items 3 and 6: confidential clients, with a key of their own.
    if client.oauth.token_endpoint_auth_method not in AUTHENTICATION_METHODS:
        yield f"token_endpoint_auth_method must be one of {', '.join(AUTHENTICATION_METHODS)}"


def _pkce(client: Client) -> Iterator[str]:
    # FAPI 2.0 Security Profile §5.3.2.2 item 5.
    if client.oauth.pkce_exempt:
        yield "pkce_exempt must be false"


def _grants(client: Client) -> Iterator[str]:
    # FAPI 2.0 Security Profile §5.3.2.1 item 2, §5.3.2.2 item 1: no password grant, and the code flow alone.
    for grant in client.grant_types:
        if grant not in GRANT_TYPES:
            yield f"grant_types must not hold {grant}"


def _algorithms(client: Client) -> Iterator[str]:
    # FAPI 2.0 Security Profile §5.4.1: PS256, ES256 and Ed25519, in every JWT of this client and for it. What is signed
    # for such a client is never RS256, whatever it registered (`tokens.response_signing`).
    answers, settings = [name for name in OURS if _is_accepted(name)], client.oauth
    for name, algorithm, accepted in (
        ("id_token_signed_response_alg", settings.id_token_signed_response_alg, answers),
        ("userinfo_signed_response_alg", settings.userinfo_signed_response_alg, answers),
        ("authorization_signed_response_alg", settings.authorization_signed_response_alg, answers),
        ("introspection_signed_response_alg", settings.introspection_signed_response_alg, answers),
        ("request_object_signing_alg", settings.request_object_signing_alg, SIGNING_ALGORITHMS),
    ):
        if algorithm is not None and algorithm_name(algorithm) not in accepted:
            yield f"{name} must be one of {', '.join(accepted)}, and is {algorithm}"


def _keys(client: Client) -> Iterator[str]:
    # FAPI 2.0 Security Profile §5.4.1: keys for other algorithms are not even there to be tried.
    for key in client.keys:
        try:
            accepted = _is_accepted(algorithm_of(key))
        except UnusableKey:
            accepted = False
        if not accepted:
            yield f"the key {key.get('kid')} is not made for one of {', '.join(SIGNING_ALGORITHMS)}"


RULES: tuple[Callable[[Client], Iterator[str]], ...] = (
    _authentication,
    _pkce,
    _grants,
    _algorithms,
    _keys,
)


def _is_protected(uri: str, *, plain_http: bool) -> bool:
    parts = urlsplit(uri)
    on_loopback = parts.scheme == "http" and parts.hostname in LOOPBACK
    return parts.scheme == "https" or (plain_http and on_loopback)


def _is_accepted(algorithm: str) -> bool:
    return algorithm_name(algorithm) in SIGNING_ALGORITHMS
