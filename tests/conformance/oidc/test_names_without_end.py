"""What JSON can spell and no encoding can hold is a value like any other: used once, then refused."""

import json
import secrets

from gateway.wire.encoding import b64url_encode
from tests.kit.oidc_world import OidcWorld, RelyingParty


def test_a_jti_with_half_a_character_is_used_once(world: OidcWorld, rp: RelyingParty) -> None:
    now = int(world.clock.now().timestamp())
    claims = {
        "iss": rp.client.client_id,
        "sub": rp.client.client_id,
        "aud": rp.issuer,
        "jti": f"\ud800{secrets.token_hex(8)}",
        "iat": now,
        "exp": now + 60,
    }
    header = {"alg": "ES256", "kid": rp.signer.key_id, "typ": "JWT"}
    message = ".".join(b64url_encode(json.dumps(part).encode("ascii")) for part in (header, claims))
    assertion = f"{message}.{b64url_encode(rp.signer.sign(message.encode('ascii')))}"
    answers = [rp.ask(grant_type="client_credentials", assertion=assertion).status_code for _ in range(2)]
    assert answers == [200, 401]
