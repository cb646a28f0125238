"""Relying parties that want to hear of the end of sessions, and what they hear."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

import pytest

from gateway.directory.oauth import OAuthSettings
from gateway.outbox.deliveries import Delivery, list_deliveries
from gateway.wire.jws import unverified_claims
from tests.kit.logout_receiver import Receiver, courier_to, receiving
from tests.kit.oidc_world import Browser, OidcWorld, RelyingParty

AFTER_LOGOUT = "http://localhost:9/signed-out?from=gateway"


@dataclass(slots=True, kw_only=True)
class Back:
    """Back-channel notices from the gateway to the receiver."""

    world: OidcWorld
    receiver: Receiver

    def deliver(self) -> None:
        courier_to(self.world.gateway, self.receiver).run_once()

    def told(self, rp: RelyingParty) -> list[dict[str, Any]]:
        """Deliver what is due, then return what this client was told so far."""
        self.deliver()
        return self.receiver.notices[rp.client.client_id]

    def deliveries(self, rp: RelyingParty) -> tuple[Delivery, ...]:
        with self.world.gateway.database.read() as session:
            return list_deliveries(session, recipient=rp.client.client_id, limit=10)


@pytest.fixture
def back(provider: OidcWorld) -> Iterator[Back]:
    with receiving(provider.issuer) as receiver:
        yield Back(world=provider, receiver=receiver)


@pytest.fixture
def listening(provider: OidcWorld, back: Back) -> Callable[..., RelyingParty]:
    """Register a client with a back channel (`rp-0`, `rp-1`, … at the receiver), and an address to come back to."""
    numbers = count()

    def register(**settings: Any) -> RelyingParty:
        name = f"rp-{next(numbers)}"
        oauth: dict[str, Any] = {
            "id_token_signed_response_alg": "ES256",
            "backchannel_logout_uri": back.receiver.address(name),
            "backchannel_logout_session_required": True,
        } | settings
        return provider.relying_party(oauth=OAuthSettings(**oauth), post_logout_redirect_uris=(AFTER_LOGOUT,))

    return register


def sid_of(tokens: dict[str, Any]) -> str:
    return str(unverified_claims(tokens["id_token"])["sid"])


def is_signed_in(browser: Browser) -> bool:
    page = browser.get("/account")
    assert page.status_code == 200
    return "Your account" in page.text
