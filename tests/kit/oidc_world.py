"""A gateway with invented people and clients, served over real HTTP on loopback, and what talks to it.

`in_this_process` serves from a thread and lets the test own the clock; `under_gunicorn` starts the real server with
two workers and the machine's clock.

A start costs a third of a second, a test against a gateway that runs a tenth of that. So ask for the fixture
`provider` (tests/conftest.py): one gateway in this process serves every test of a worker that asks for it, on the
database the run is for, over HTTP, under a `FrozenClock`. Each test gets it an hour after the test before, so that
nothing is throttled or counted together, and `events` gives what happened since then:

    def test_a_code_is_for_one_client(provider: OidcWorld) -> None:
        rp, thief = provider.relying_party(), provider.relying_party()
        code, verifier = rp.code(provider.signed_in(provider.officer()))
        assert thief.redeem(code, verifier).json()["error"] == "invalid_grant"
        provider.advance(seconds=61)
        assert [event["reason"] for event in provider.events("oidc.tokens.refused")] == ["invalid_grant"]

The rules of sharing: make your own people and clients (`officer`, `citizen`, `relying_party`); do not look at whole
tables; do not change keys or settings; only ever advance the clock. A test that must do one of these is marked
`@pytest.mark.own_provider` and gets a gateway of its own.

`signed_in` gives a browser at which somebody is signed in already: no page is asked for and no password hashed. Use it
wherever the sign-in itself is not what is tested. In this process passwords are hashed at Argon2's least cost, which
only a program that assembles a gateway can ask for: no setting does it. Under gunicorn the cost is the real one.
"""

import hashlib
import html
import re
import secrets
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit

import requests
from werkzeug.serving import make_server

from gateway.app import Gateway, assemble, create_app
from gateway.audit.recorded import find_events
from gateway.clock import Clock, SystemClock
from gateway.directory.members import Client, ClientKind, Member, record_client, record_member
from gateway.directory.oauth import OAuthSettings
from gateway.identity.accounts import Account, AccountKind, NewAccount
from gateway.identity.assurance import PASSWORD, SECURITY_CODE
from gateway.identity.passwords import Passwords
from gateway.identity.registration import register_account
from gateway.identity.security_codes import code_at, generate_code_secret
from gateway.identity.sessions import begin_session
from gateway.serve import gunicorn_arguments
from gateway.settings import Settings
from gateway.signing.keeping import open_keeping
from gateway.signing.signing_keys import make_missing_keys
from gateway.wire.encoding import b64url_encode
from gateway.wire.jws import issue_jwt
from gateway.wire.signer import PrivateKeySigner, Signer
from tests.kit.clock import FrozenClock
from tests.kit.processes import REPOSITORY, Processes, free_port

COUNCIL = "E06000008"
REDIRECT_URI = "http://localhost:9/callback"
LEAST_COST = Passwords(memory_kib=8, passes=1)
"""For the passwords of invented people: a real one costs three thousand times as much to guess."""
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody invented, and all they know."""

    account: Account
    email: str
    password: str
    code_secret: str | None

    def code(self, clock: Clock) -> str:
        assert self.code_secret is not None
        return code_at(self.code_secret, clock.now())


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Where the browser was sent in the end: the redirect URI and the parameters of the answer."""

    address: str

    @property
    def parameters(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.address).query))


@dataclass(slots=True, kw_only=True)
class Browser:
    """A browser without JavaScript: keeps cookies, fills in forms, follows redirects while they stay at the gateway."""

    issuer: str
    session: requests.Session = field(default_factory=requests.Session)

    def __post_init__(self) -> None:
        self.session.trust_env = False
        self.session.headers["Accept"] = "text/html"

    def get(self, address: str, **options: Any) -> requests.Response:
        return self.follow(self.session.get(self._absolute(address), allow_redirects=False, timeout=10, **options))

    def post(self, address: str, data: Mapping[str, str]) -> requests.Response:
        return self.follow(self.session.post(self._absolute(address), data=data, allow_redirects=False, timeout=10))

    def follow(self, response: requests.Response) -> requests.Response:
        """Follow redirects within the gateway; an answer that leads elsewhere is returned as it is."""
        for _ in range(10):
            location = response.headers.get("Location")
            if location is None:
                return response
            target = urljoin(response.url, location)
            if not target.startswith(self.issuer + "/"):
                return response
            response = self.session.get(target, allow_redirects=False, timeout=10)
        raise AssertionError("redirected in circles")

    def submit(self, page: requests.Response, fields: Mapping[str, str]) -> requests.Response:
        """Fill in the page's form, its hidden token included, and send it back to the page's address."""
        return self.post(page.url, {**hidden_fields(page.text), **fields})

    def sign_in(self, person: Person, clock: Clock, page: requests.Response | None = None) -> requests.Response:
        """Sign in on a sign-in page (the gateway's own, unless one was reached already), both steps."""
        page = page or self.get("/sign-in")
        assert page.status_code == 200, page.text
        answer = self.submit(page, {"email": person.email, "password": person.password})
        if person.code_secret is not None and answer.headers.get("Location") is None:
            assert "/sign-in/code" in answer.url, answer.text
            answer = self.submit(answer, {"code": person.code(clock)})
        return answer

    def _absolute(self, address: str) -> str:
        return urljoin(self.issuer + "/", address)


def hidden_fields(page: str) -> dict[str, str]:
    """The hidden inputs of a page's main form."""
    main = page.partition("<main")[2]
    inputs = re.findall(r"<input[^>]*type=\"hidden\"[^>]*>", main)
    found = {}
    for text in inputs:
        name, value = re.search(r'name="([^"]*)"', text), re.search(r'value="([^"]*)"', text)
        if name and value:
            found[name.group(1)] = html.unescape(value.group(1))
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class RelyingParty:
    """A client with its key: builds requests rightly, or wrongly where a test says how."""

    issuer: str
    clock: Clock
    client: Client
    signer: Signer

    def request(self, **changes: Any) -> tuple[str, str]:
        """The address of an authorization request, and its code_verifier. A change to None leaves a parameter out."""
        verifier = secrets.token_urlsafe(48)
        parameters: dict[str, Any] = {
            "response_type": "code",
            "client_id": self.client.client_id,
            "redirect_uri": self.client.redirect_uris[0],
            "scope": "openid",
            "state": secrets.token_urlsafe(8),
            "nonce": secrets.token_urlsafe(8),
            "code_challenge": challenge_of(verifier),
            "code_challenge_method": "S256",
        } | changes
        given = {name: value for name, value in parameters.items() if value is not None}
        return f"{self.issuer}/authorize?{urlencode(given, doseq=True)}", verifier

    def sign_in(self, browser: Browser, person: Person, **changes: Any) -> tuple[dict[str, str], str]:
        """Have somebody sign in for us; the answer's parameters, and the code_verifier."""
        address, verifier = self.request(**changes)
        page = browser.get(address)
        answer = page if page.headers.get("Location") else browser.sign_in(person, self.clock, page)
        return Answer(address=answer.headers["Location"]).parameters, verifier

    def code(self, browser: Browser, **changes: Any) -> tuple[str, str]:
        """A code for whoever is signed in at this browser, and its code_verifier."""
        address, verifier = self.request(**changes)
        answer = browser.get(address)
        assert answer.headers.get("Location"), answer.text
        return Answer(address=answer.headers["Location"]).parameters["code"], verifier

    def assertion(self, *, signer: Signer | None = None, typ: str = "JWT", **changes: Any) -> str:
        """A client assertion (RFC 7523). A change to None leaves a claim out."""
        now = int(self.clock.now().timestamp())
        claims: dict[str, Any] = {
            "iss": self.client.client_id,
            "sub": self.client.client_id,
            "aud": self.issuer,
            "jti": secrets.token_urlsafe(16),
            "iat": now,
            "exp": now + 60,
        } | changes
        given = {name: value for name, value in claims.items() if value is not None}
        return issue_jwt(given, typ=typ, signer=signer or self.signer)

    def post_token(
        self, pairs: Sequence[tuple[str, str]], *, headers: Mapping[str, str] | None = None
    ) -> requests.Response:
        """Send exactly these parameters to the token endpoint."""
        with requests.Session() as session:
            session.trust_env = False
            return session.post(
                f"{self.issuer}/token", data=list(pairs), headers=headers, timeout=20, allow_redirects=False
            )

    def ask(
        self, *, assertion: str | None = None, headers: Mapping[str, str] | None = None, **parameters: Any
    ) -> requests.Response:
        """Ask for tokens, authenticated by a new assertion or the one given."""
        pairs = [
            ("client_assertion_type", ASSERTION_TYPE),
            ("client_assertion", assertion or self.assertion()),
        ]
        for name, value in parameters.items():
            pairs += [(name, item) for item in ([value] if isinstance(value, str) else value or [])]
        return self.post_token(pairs, headers=headers)

    def redeem(self, code: str, verifier: str | None, **changes: Any) -> requests.Response:
        """Redeem a code."""
        parameters: dict[str, Any] = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.client.redirect_uris[0],
            "code_verifier": verifier,
        } | changes
        return self.ask(**parameters)

    def tokens(self, browser: Browser, person: Person, **changes: Any) -> dict[str, Any]:
        """Have somebody sign in, and redeem the code."""
        answer, verifier = self.sign_in(browser, person, **changes)
        response = self.redeem(answer["code"], verifier)
        assert response.status_code == 200, response.text
        tokens: dict[str, Any] = response.json()
        return tokens

    def userinfo(self, access_token: str, *, method: str = "GET", **options: Any) -> requests.Response:
        """Ask for claims about the person."""
        headers = {"Authorization": f"Bearer {access_token}"}
        with requests.Session() as session:
            session.trust_env = False
            return session.request(method, f"{self.issuer}/userinfo", **{"headers": headers, "timeout": 10, **options})


def challenge_of(verifier: str) -> str:
    return b64url_encode(hashlib.sha256(verifier.encode()).digest())


@dataclass(frozen=True, slots=True, kw_only=True)
class OidcWorld:
    """The gateway as the test process sees it, and where it is served."""

    gateway: Gateway
    clock: Clock
    issuer: str
    since: datetime | None = None
    """When the test began that shares this world with others."""

    @property
    def sharing(self) -> str:
        return f"{self.issuer}/sharing/v1"

    def advance(self, **by: float) -> datetime:
        """Move the clock of a world in this process on, as `advance(seconds=61)`; the new time."""
        assert isinstance(self.clock, FrozenClock)
        return self.clock.advance(**by)

    def browser(self) -> Browser:
        return Browser(issuer=self.issuer)

    def signed_in(self, person: Person, *, methods: Sequence[str] | None = None) -> Browser:
        """A browser at which this person has just signed in, by both steps unless they have but one.

        The session is written as the sign-in writes it; the log says nothing of it.
        """
        both = (PASSWORD, SECURITY_CODE) if person.code_secret is not None else (PASSWORD,)
        with self.gateway.database.write() as session:
            secret = begin_session(
                session,
                person.account,
                methods=tuple(methods) if methods is not None else both,
                awaiting_code=False,
                now=self.clock.now(),
            )
        browser = self.browser()
        # Under the domain by which Python's cookie jar keeps what localhost sets: a step that follows replaces it.
        browser.session.cookies.set(self.gateway.people.cookie.name, secret, domain="localhost.local", path="/")
        return browser

    def officer(self, *, roles: Sequence[str] = ("benefits-officer",), with_code: bool = True) -> Person:
        return self._person(
            kind=AccountKind.OFFICER, with_code=with_code, member_code=COUNCIL, roles=tuple(roles), birthdate=None
        )

    def citizen(self, *, with_code: bool = True) -> Person:
        return self._person(
            kind=AccountKind.CITIZEN, with_code=with_code, member_code=None, roles=(), birthdate=date(1990, 1, 1)
        )

    def relying_party(self, *, signer: Signer | None = None, **changes: Any) -> RelyingParty:
        """Register a client of the council that may do everything, but for `changes`."""
        signer = signer or PrivateKeySigner.generate("ES256")
        client_id = f"client-{secrets.token_hex(4)}"
        values: dict[str, Any] = {
            "client_id": client_id,
            "member_code": COUNCIL,
            "name": "Specimen service",
            "kinds": (ClientKind.RELYING_PARTY, ClientKind.CONSUMER),
            "keys": (signer.public_jwk(),),
            "redirect_uris": (REDIRECT_URI,),
            "grant_types": ("authorization_code", "refresh_token", "client_credentials"),
            "scopes": ("openid", "profile", "email", "offline_access"),
            "resources": (self.sharing,),
            "account_kinds": ("officer", "citizen"),
            # A sector of its own, as if each client were of another member.
            "sector": client_id,
            "oauth": OAuthSettings(id_token_signed_response_alg="ES256"),
        } | changes
        client = Client(**values)
        self.change_client(client)
        return RelyingParty(issuer=self.issuer, clock=self.clock, client=client, signer=signer)

    def change_client(self, client: Client) -> None:
        with self.gateway.database.write() as session:
            record_client(session, client, at=self.clock.now())

    def events(self, name: str) -> list[dict[str, Any]]:
        """The details of every event of this name, newest first; of a shared world, those of this test."""
        with self.gateway.database.read() as session:
            found = find_events(session, names=(name,), limit=500)
            own = [event for event in found if self.since is None or event.at >= self.since]
            return [self.gateway.audit.details_of(session, event.event_id) for event in own]

    def _person(self, *, with_code: bool, **facts: Any) -> Person:
        email = f"olive.testcase.{secrets.token_hex(4)}@council.example"
        password, secret = secrets.token_urlsafe(12), generate_code_secret() if with_code else None
        new = NewAccount(
            email=email,
            given_name="Olive",
            family_name="Testcase",
            password=password,
            code_secret=secret,
            **facts,
        )
        people = self.gateway.people
        with self.gateway.database.write() as session:
            account = register_account(
                session, new, people=people, audit=self.gateway.audit, by="test", at=self.clock.now()
            )
        return Person(account=account, email=email, password=password, code_secret=secret)


def for_the_next_test(shared: OidcWorld) -> OidcWorld:
    """The shared world as its next test is given it: an hour later, with nothing having happened yet."""
    return replace(shared, since=shared.advance(hours=1))


def settings_for(*, database_url: str, state_dir: Path, port: int) -> Settings:
    return Settings(
        issuer=f"http://localhost:{port}",
        state_dir=state_dir,
        database_url=database_url,
        policies_dir=REPOSITORY / "policies",
        log_origin=f"localhost:{port}/log",
        unsafe_allow_plain_http=True,
        demonstration=True,
        listen=f"127.0.0.1:{port}",
        workers=2,
        threads=8,
        merge_delay=10_000_000.0,  # nobody publishes here
    )


@contextmanager
def in_this_process(*, database_url: str, state_dir: Path, clock: Clock, **changes: Any) -> Iterator[OidcWorld]:
    """Serve from a thread of this process; `changes` replace settings."""
    settings = settings_for(database_url=database_url, state_dir=state_dir, port=free_port())
    settings = replace(settings, **changes)
    world = assembled(settings, clock, passwords=LEAST_COST)
    host, _, port = settings.listen.partition(":")
    server = make_server(host, int(port), create_app(world.gateway), threaded=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield world
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        world.gateway.database.close()


@contextmanager
def under_gunicorn(processes: Processes, *, database_url: str, state_dir: Path) -> Iterator[OidcWorld]:
    """Serve with gunicorn, as a deployment does."""
    settings = settings_for(database_url=database_url, state_dir=state_dir, port=free_port())
    world = assembled(settings, SystemClock())
    env = {
        "GATEWAY_ISSUER": settings.issuer,
        "GATEWAY_STATE_DIR": str(settings.state_dir),
        "GATEWAY_DATABASE_URL": settings.database_url,
        "GATEWAY_POLICIES_DIR": str(settings.policies_dir),
        "GATEWAY_UNSAFE_ALLOW_PLAIN_HTTP": "true",
        "GATEWAY_DEMONSTRATION": "true",
        "GATEWAY_LISTEN": settings.listen,
        "GATEWAY_LOG_LEVEL": "WARNING",
        "GATEWAY_MERGE_DELAY": str(settings.merge_delay),
    }
    processes.start(gunicorn_arguments(settings), env=env, name="gateway", ready_url=f"{settings.issuer}/healthz")
    try:
        yield world
    finally:
        world.gateway.database.close()


def assembled(settings: Settings, clock: Clock, *, passwords: Passwords | None = None) -> OidcWorld:
    """A world of these settings that nobody serves yet."""
    make_missing_keys(settings.keys_dir, open_keeping(settings), now=clock.now())
    gateway = assemble(settings, clock=clock, passwords=passwords)
    with gateway.database.write() as session:
        member = Member(code=COUNCIL, name="Blackburn with Darwen Borough Council", kind="council")
        record_member(session, member, at=clock.now() - timedelta(days=1))
    return OidcWorld(gateway=gateway, clock=clock, issuer=settings.issuer)
