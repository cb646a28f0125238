"""RFC 9700 §4.15: a token that a client has in its own name is never taken for one of a person."""

import json

import pytest

from gateway.identity.caller import Presented
from gateway.wire.jws import unverified_claims
from tests.conformance.oidc.scenes import Scene, a_scene
from tests.kit.oidc_world import OidcWorld
from tests.kit.tokens import introspect

pytestmark = pytest.mark.any_database


def test_a_client_named_as_a_persons_sub_is_still_a_client(provider: OidcWorld) -> None:
    rp, officer = provider.relying_party(), provider.officer()
    code, verifier = rp.code(provider.signed_in(officer))
    sub = unverified_claims(rp.redeem(code, verifier).json()["id_token"])["sub"]
    # However it came to that name: of the client's sector, where the person is known by it.
    userinfo = f"{rp.issuer}/userinfo"
    posing = provider.relying_party(client_id=sub, sector=rp.client.sector, resources=(provider.sharing, userinfo))
    token = posing.ask(grant_type="client_credentials", resource=userinfo).json()["access_token"]
    assert posing.userinfo(token).status_code in {401, 403}
    for_sharing = posing.ask(grant_type="client_credentials", resource=provider.sharing).json()["access_token"]
    shown = Presented(method="POST", endpoint=provider.sharing, authorization=(f"Bearer {for_sharing}",))
    caller = provider.gateway.provider.caller_from_request(shown, provider.clock.now())
    assert caller.officer is None
    told = introspect(posing, for_sharing)
    # RFC 9068 §2.2: who reads the token can tell, for a person's has the strength of a sign-in.
    assert told["sub"] == told["client_id"] == sub
    assert not {"acr", "auth_time"} & set(told)


@pytest.mark.parametrize("proposed", ["the name of another client", "somebody's sub"])
def test_nobody_chooses_a_client_id_by_registering(provider: OidcWorld, proposed: str) -> None:
    scene: Scene = a_scene(provider)
    sub = unverified_claims(scene.tokens()["id_token"])["sub"]
    name = sub if proposed == "somebody's sub" else scene.rp.client.client_id
    metadata = {
        "client_id": name,
        "client_name": "Specimen library",
        "redirect_uris": ["https://rp.example/callback"],
        "grant_types": ["authorization_code"],
        "jwks": {"keys": [scene.rp.signer.public_jwk()]},
    }
    answer = scene.register(json.dumps(metadata).encode())
    assert answer.status_code == 201
    assert answer.json()["client_id"] != name
