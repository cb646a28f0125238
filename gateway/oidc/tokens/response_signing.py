"""With which algorithm an answer to a client is signed: the one it registered, and under FAPI 2.0 never RS256."""

from gateway.directory.members import Client
from gateway.signing.signing_keys import Purpose, SigningKeys
from gateway.wire.signer import Signer

ALGORITHMS = ("RS256", "PS256", "ES256")
"""Of ID tokens, userinfo and introspection answers. RS256 is what OIDC Core §15.1 asks every provider for."""


def response_signer(keys: SigningKeys, client: Client, registered: str | None) -> Signer:
    """Return the key that signs for this client; omitted means RS256 (OIDC Registration §2, RFC 9701 §6).

    FAPI 2.0 Security Profile §5.4.1: PS256 stands in for RS256, which its clients would have to refuse.
    """
    algorithm = registered or "RS256"
    if client.oauth.fapi2 and algorithm == "RS256":
        algorithm = "PS256"
    return keys.current(Purpose.TOKENS, algorithm=algorithm)
