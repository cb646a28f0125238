"""What clients publish themselves, keys and sectors, as a running gateway uses it."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests

from gateway.directory.members import ClientKind
from gateway.directory.oauth import OAuthSettings
from gateway.oidc.clients.limits import Limits
from gateway.oidc.clients.registration_tokens import issue_initial_token
from gateway.wire.signer import PrivateKeySigner
from tests.kit.clock import FrozenClock
from tests.kit.oidc_world import COUNCIL, OidcWorld, in_this_process
from tests.kit.pushing import by_value, request_object
from tests.oidc.clients.publishing import Publisher, publishing

CALLBACK = "http://localhost:9/callback"


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    with publishing() as made:
        yield made


@pytest.fixture
def world(database_url: str, tmp_path: Path, clock: FrozenClock, publisher: Publisher) -> Iterator[OidcWorld]:
    allowed = (publisher.address,)
    with in_this_process(
        database_url=database_url, state_dir=tmp_path / "state", clock=clock, outgoing_allow_loopback=allowed
    ) as made:
        yield made


def test_a_client_changes_its_key_at_its_own_address_and_goes_on(world: OidcWorld, publisher: Publisher) -> None:
    first, second = PrivateKeySigner.generate("ES256"), PrivateKeySigner.generate("PS256")
    publisher.publish({"keys": [first.public_jwk()]})
    rp = world.relying_party(signer=first, keys=(), oauth=OAuthSettings(jwks_uri=publisher.url()))
    for _ in range(3):
        assert rp.ask(grant_type="client_credentials").status_code == 200
    assert len(publisher.visits) == 1
    publisher.publish({"keys": [second.public_jwk()]})
    moved = replace(rp, signer=second)
    assert moved.ask(grant_type="client_credentials").status_code == 401, "asked for less than a minute ago"
    world.advance(seconds=60)
    assert moved.ask(grant_type="client_credentials").status_code == 200
    assert rp.ask(grant_type="client_credentials").status_code == 401, "the old key is gone"
    assert len(publisher.visits) == 2


def test_a_stranger_who_names_a_client_makes_its_server_no_work(world: OidcWorld, publisher: Publisher) -> None:
    own = PrivateKeySigner.generate("ES256")
    publisher.publish({"keys": [own.public_jwk()]})
    rp = world.relying_party(signer=own, keys=(), oauth=OAuthSettings(jwks_uri=publisher.url()))
    for number in range(10):
        stranger = PrivateKeySigner.generate("ES256", key_id=f"invented-{number}")
        assert rp.ask(grant_type="client_credentials", assertion=rp.assertion(signer=stranger)).status_code == 401
    assert rp.ask(grant_type="client_credentials").status_code == 200
    assert len(publisher.visits) == 1


def test_what_came_back_late_has_no_keys_fetched_more_often(world: OidcWorld, publisher: Publisher) -> None:
    """Sign-ins that were begun at different times and wait, with a key that their client has given up since."""
    own, later = PrivateKeySigner.generate("ES256"), PrivateKeySigner.generate("ES256")
    publisher.publish({"keys": [own.public_jwk()]})
    rp = world.relying_party(signer=own, keys=(), oauth=OAuthSettings(jwks_uri=publisher.url()))
    waiting = []
    for _ in range(2):
        page = world.browser().get(by_value(rp, request_object(rp)[0]))
        waiting.append(dict(parse_qsl(urlsplit(page.url).query))["next"])
        world.advance(minutes=2)
    publisher.publish({"keys": [later.public_jwk()]})
    world.advance(minutes=10)
    assert replace(rp, signer=later).ask(grant_type="client_credentials").status_code == 200
    before = len(publisher.visits)
    for path in waiting * 3:
        assert world.browser().get(path).status_code == 400
    assert len(publisher.visits) == before


def test_a_sector_is_declared_once_and_for_all(world: OidcWorld, publisher: Publisher) -> None:
    publisher.publish([CALLBACK])
    limits = Limits(
        member_code=COUNCIL, kinds=(ClientKind.RELYING_PARTY,), scopes=("openid",), account_kinds=("citizen",)
    )
    now = world.clock.now()
    with world.gateway.database.write() as session:
        token = issue_initial_token(session, limits, uses=1, expires_at=now + timedelta(days=1), by="test", now=now)
    metadata = {
        "client_name": "Specimen library",
        "redirect_uris": [CALLBACK],
        "jwks": {"keys": [PrivateKeySigner.generate("ES256").public_jwk()]},
        "sector_identifier_uri": publisher.url("/sector.json"),
    }
    bearer = {"Authorization": f"Bearer {token.token}"}
    elsewhere = metadata | {"redirect_uris": [CALLBACK, "http://localhost:9/other"]}
    refused = requests.post(f"{world.issuer}/register", json=elsewhere, headers=bearer, timeout=10)
    assert "does not hold http://localhost:9/other" in refused.json()["error_description"]
    told = requests.post(f"{world.issuer}/register", json=metadata, headers=bearer, timeout=10).json()
    assert told["sector_identifier_uri"] == metadata["sector_identifier_uri"]
    own = {"Authorization": f"Bearer {told['registration_access_token']}"}
    without = {**metadata, "client_id": told["client_id"], "sector_identifier_uri": None}
    changed = requests.put(told["registration_client_uri"], json=without, headers=own, timeout=10)
    assert changed.status_code == 400
    assert "another sub" in changed.json()["error_description"]
