"""A client, somebody signed in, and what the log says of what was refused: for tests of what is recorded."""

import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import requests
from sqlalchemy import func, select

from gateway.audit.events import REFUSED
from gateway.audit.models import NoiseRow
from gateway.audit.recorded import RecordedEvent, find_events
from gateway.directory.members import ClientKind
from gateway.directory.oauth import OAuthSettings
from gateway.oidc.clients.limits import Limits
from gateway.oidc.clients.registration_tokens import issue_initial_token
from tests.kit.dpop import DPoPKey
from tests.kit.oidc_world import COUNCIL, Browser, OidcWorld, Person, RelyingParty

BOUND = OAuthSettings(dpop_bound_access_tokens=True, id_token_signed_response_alg="ES256")


@dataclass(slots=True, kw_only=True)
class Scene:
    """A client, somebody signed in for a while, and a secret word that is sent wherever there is room for it."""

    provider: OidcWorld
    rp: RelyingParty
    person: Person
    browser: Browser
    word: str = field(default_factory=lambda: f"secret-{secrets.token_hex(8)}")
    sent: list[str] = field(default_factory=list)
    """What must not be found in the log, besides the word."""

    def tokens(self, rp: RelyingParty | None = None, *, headers: dict[str, str] | None = None, **asks: Any) -> Any:
        """Tokens for the person, none of which may be found in the log."""
        rp = rp or self.rp
        code, verifier = rp.code(self.browser, state=self.word, nonce=self.word, **asks)
        answer = rp.redeem(code, verifier, headers=headers).json()
        self.sent += [code, verifier, *(str(answer[name]) for name in answer if name.endswith("_token"))]
        return answer

    def another(self, **changes: Any) -> RelyingParty:
        return self.provider.relying_party(**changes)

    def bound(self) -> tuple[str, DPoPKey]:
        """A token that is bound to a key, and the key."""
        rp, key = self.another(oauth=BOUND), DPoPKey(clock=self.provider.clock)
        headers = {"DPoP": key.proof("POST", f"{rp.issuer}/token")}
        return self.tokens(rp, headers=headers)["access_token"], key

    def show(self, headers: dict[str, str]) -> requests.Response:
        self.sent += headers.values()
        return requests.get(f"{self.rp.issuer}/userinfo", headers=headers, timeout=10)

    def initial_token(self) -> str:
        limits = Limits(
            member_code=COUNCIL, kinds=(ClientKind.RELYING_PARTY,), scopes=("openid",), account_kinds=("officer",)
        )
        now = self.provider.clock.now()
        with self.provider.gateway.database.write() as session:
            made = issue_initial_token(session, limits, uses=1, expires_at=now + timedelta(days=1), by="test", now=now)
        self.sent.append(made.token)
        return made.token

    def register(self, body: bytes, *, kind: str = "application/json") -> requests.Response:
        headers = {"Authorization": f"Bearer {self.initial_token()}", "Content-Type": kind}
        return requests.post(f"{self.rp.issuer}/register", data=body, headers=headers, timeout=10)


Act = Callable[[Scene], requests.Response]


def a_scene(provider: OidcWorld) -> Scene:
    """Of this test's own."""
    person = provider.officer()
    browser = provider.signed_in(person)
    provider.advance(minutes=3)
    return Scene(provider=provider, rp=provider.relying_party(), person=person, browser=browser)


def refusals(provider: OidcWorld) -> list[RecordedEvent]:
    """What was refused since the test began."""
    with provider.gateway.database.read() as session:
        found = find_events(session, limit=500)
    return [
        event
        for event in found
        if provider.since is not None and event.at >= provider.since and event.outcome == REFUSED
    ]


def details_of(provider: OidcWorld, event: RecordedEvent) -> str:
    with provider.gateway.database.read() as session:
        return json.dumps(provider.gateway.audit.details_of(session, event.event_id))


def counted(provider: OidcWorld) -> int:
    with provider.gateway.database.read() as session:
        return session.scalar(select(func.sum(NoiseRow.count))) or 0
