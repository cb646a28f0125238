"""A whole gateway for tests: real processes over real HTTP, on whichever database the run is for.

One world serves many tests. What a test changes (an agreement, a service, an officer) it makes for itself, with
`agreement(…)` and `officer_token(…)`, so that tests do not meet each other.
"""

import json
import secrets
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pyotp
import requests
from sqlalchemy.orm import Session

from gateway.app import Gateway, assemble
from gateway.audit.recorded import RecordedEvent, find_events, oldest_unpublished
from gateway.cli import initialise, public_keys
from gateway.clock import SystemClock
from gateway.demo.browser import Browser
from gateway.demo.layout import BLACKBURN, DWP, PORTAL_CLIENT, PROVIDER_CLIENT, PURPOSE, SERVICE, Layout
from gateway.demo.people import PEOPLE
from gateway.demo.runner import gunicorn, running
from gateway.demo.world import DemoAccount, WorldTools, build_world, citizen_sub
from gateway.identity.accounts import AccountKind, NewAccount
from gateway.identity.passwords import generate_password
from gateway.identity.registration import register_account
from gateway.identity.security_codes import generate_code_secret
from gateway.sdk.consumer import ASSERTION_TYPE, Consumer
from gateway.settings import Settings
from gateway.sharing.agreements.agreement_files import load_agreement
from gateway.sharing.agreements.lifecycle import import_agreement, suspend_agreement
from gateway.sharing.agreements.schemas import read_agreement
from gateway.sharing.agreements.signatures import sign_agreement
from gateway.sharing.catalogue.services import find_service, record_service
from gateway.wire.contracts import EXCHANGE_TAG
from gateway.wire.encoding import b64url_encode
from gateway.wire.jws import issue_jwt, unverified_claims
from gateway.wire.leaves import Leaf
from gateway.wire.message_signatures import HttpRequest, HttpResponse, sign_request
from gateway.wire.signer import PrivateKeySigner
from tests.kit.hostile_provider import HostileProvider
from tests.kit.log import assert_log_verifies
from tests.kit.processes import Processes, Running, free_port
from tests.kit.raw_provider import RawProvider

ADA = PEOPLE[0]
ADA_MATCH = {"family_name": ADA.family_name, "birthdate": ADA.birthdate.isoformat(), "nino": ADA.nino}
WITHHELD_MATCH = {
    "family_name": PEOPLE[3].family_name,
    "birthdate": PEOPLE[3].birthdate.isoformat(),
    "nino": PEOPLE[3].nino,
}
NOBODY_MATCH = {"family_name": "Nobody", "birthdate": "1990-01-01", "nino": "QQ999999C"}
ANSWER_SECONDS = 1.0
"""For tests about the fixed time at which "no record" leaves."""
ENOUGH_SECONDS = 5.0
"""For all others: time enough for a department on a busy machine."""
PROJECT = Path(__file__).resolve().parent.parent.parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """An agreement of a test's own: which service to ask, for which purpose."""

    service: str
    reference: str
    version: int = 1
    purpose: str = PURPOSE


@dataclass(slots=True, kw_only=True)
class World:
    """The running gateway and all its members' keys."""

    layout: Layout
    settings: Settings
    gateway: Gateway
    accounts: Mapping[str, DemoAccount]
    hostile: str
    gates: Path
    processes: Mapping[str, Any]
    department: Running | None = None
    """The hostile department's server."""
    raw: RawProvider = field(repr=False)
    """A department whose server breaks HTTP itself."""
    _tokens: dict[tuple[str, ...], tuple[str, datetime]] = field(default_factory=dict, repr=False)

    # --- Who is here

    @property
    def issuer(self) -> str:
        """The gateway's address."""
        return self.layout.gateway

    @property
    def exchanges(self) -> str:
        """Where to ask."""
        return f"{self.issuer}/sharing/v1/exchanges"

    def signer(self, owner: str) -> PrivateKeySigner:
        """The private key of a system (client id) or of a member (code)."""
        return PrivateKeySigner.from_pem(self.layout.key_file(owner).read_bytes())

    @property
    def tools(self) -> WorldTools:
        """The parts with which the world is written."""
        gateway = self.gateway
        return WorldTools(
            database=gateway.database,
            audit=gateway.audit,
            people=gateway.people,
            policy=gateway.policy,
            clock=gateway.clock,
        )

    def consumer(self) -> Consumer:
        """The council's consumer client."""
        return Consumer(self.issuer, PORTAL_CLIENT, self.signer(PORTAL_CLIENT), ca_file=self.layout.ca_file)

    @property
    def own_provider(self) -> str:
        """A `host:port` on loopback that the gateway may call, for a provider of a test's own."""
        return self.layout.more_providers[-1]

    def public_keys_file(self) -> Path:
        """The keys with which outsiders verify, as a file."""
        path = self.layout.world_dir / "public-keys.json"
        path.write_bytes(public_keys(self.gateway))
        return path

    def citizen_sub(self, sector: str = BLACKBURN) -> str:
        """The citizen Ada's name in a sector."""
        return citizen_sub(self.tools, sector=sector, at=SystemClock().now())

    # --- Signing in

    def officer(self, *, member: str = BLACKBURN, roles: Sequence[str] = ("benefits-officer",)) -> DemoAccount:
        """A new officer; a new one each time, because a security code works once."""
        account = DemoAccount(
            email=f"t.{secrets.token_hex(6)}@blackburn.example",
            password=generate_password(),
            code_secret=generate_code_secret(),
        )
        people = self.gateway.people
        with self.gateway.database.write() as session:
            new = NewAccount(
                kind=AccountKind.OFFICER,
                email=account.email,
                given_name="Test",
                family_name="Specimen",
                password=account.password,
                code_secret=account.code_secret,
                member_code=member,
                roles=tuple(roles),
            )
            register_account(session, new, people=people, audit=self.gateway.audit, by="test", at=SystemClock().now())
        return account

    def sign_in(self, browser: Browser, account: DemoAccount) -> str:
        """Fill in the two sign-in pages at which the browser stands."""
        browser.submit({"email": account.email, "password": account.password})
        return browser.submit({"code": pyotp.TOTP(account.code_secret).at(SystemClock().now())})

    def signed_in_browser(self, account: DemoAccount) -> Browser:
        """A browser at which this officer is signed in to the gateway."""
        browser = Browser(ca_file=self.layout.ca_file)
        browser.open(f"{self.issuer}/sign-in")
        self.sign_in(browser, account)
        return browser

    def tokens(self, account: DemoAccount, *, scope: str = "openid profile", **changes: str) -> dict[str, Any]:
        """Tokens of the code flow for this officer at the council's portal, as the token endpoint answered."""
        verifier = secrets.token_urlsafe(48)
        code = self.code(account, verifier=verifier, scope=scope, **changes)
        answer = self.redeem(code, verifier=verifier)
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    def authorization_url(self, *, verifier: str, **changes: str) -> str:
        """An authorization request of the council's portal; `changes` replace parameters, empty ones drop them."""
        import hashlib  # noqa: PLC0415 - only here

        parameters = {
            "response_type": "code",
            "client_id": PORTAL_CLIENT,
            "redirect_uri": f"{self.layout.portal}/callback",
            "scope": "openid profile",
            "state": secrets.token_urlsafe(8),
            "nonce": secrets.token_urlsafe(8),
            "code_challenge": b64url_encode(hashlib.sha256(verifier.encode()).digest()),
            "code_challenge_method": "S256",
            "resource": f"{self.issuer}/sharing/v1",
            **changes,
        }
        return f"{self.issuer}/authorize?{urlencode({name: value for name, value in parameters.items() if value})}"

    def code(self, account: DemoAccount, *, verifier: str, **changes: str) -> str:
        """An authorization code for this officer, taken from the redirect before the portal could use it."""
        http = requests.Session()
        http.trust_env = False
        http.verify = str(self.layout.ca_file) if self.layout.ca_file else True
        browser = Browser(session=http)
        browser.open(f"{self.issuer}/sign-in")
        self.sign_in(browser, account)
        answer = http.get(self.authorization_url(verifier=verifier, **changes), allow_redirects=False, timeout=10)
        assert answer.status_code in {302, 303}, answer.text[:500]
        return parse_qs(urlsplit(answer.headers["Location"]).query)["code"][0]

    def assertion(
        self, client_id: str = PORTAL_CLIENT, *, signer: PrivateKeySigner | None = None, **changes: Any
    ) -> str:
        """A client assertion; `changes` replace claims, None drops one."""
        now = int(SystemClock().now().timestamp())
        claims = {
            "iss": client_id,
            "sub": client_id,
            "aud": self.issuer,
            "jti": str(uuid.uuid4()),
            "iat": now,
            "exp": now + 60,
            **changes,
        }
        kept = {name: value for name, value in claims.items() if value is not None}
        return issue_jwt(kept, typ="JWT", signer=signer or self.signer(client_id))

    def token_request(
        self, data: Mapping[str, str], *, assertion: str | None = None, headers: Mapping[str, str] | None = None
    ) -> requests.Response:
        """Ask the token endpoint, authenticated as the portal unless another assertion is given."""
        form = {
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": assertion if assertion is not None else self.assertion(),
            **data,
        }
        return requests.post(
            f"{self.issuer}/token",
            data=form,
            headers=headers,
            timeout=20,
            verify=str(self.layout.ca_file or "") or True,
        )

    def redeem(self, code: str, *, verifier: str, **changes: str) -> requests.Response:
        """Redeem a code as the portal."""
        data = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": f"{self.layout.portal}/callback",
            "code_verifier": verifier,
            "resource": f"{self.issuer}/sharing/v1",
            **changes,
        }
        return self.token_request({name: value for name, value in data.items() if value})

    def officer_token(self, roles: Sequence[str] = ("benefits-officer",)) -> str:
        """An access token for asking, on behalf of an officer with these roles; kept while it lasts."""
        now = SystemClock().now()
        kept = self._tokens.get(tuple(roles))
        if kept is None or kept[1] < now + timedelta(seconds=60):
            body = self.tokens(self.officer(roles=roles))
            kept = self._tokens[tuple(roles)] = (body["access_token"], now + timedelta(seconds=body["expires_in"]))
        return kept[0]

    # --- Agreements

    def asking(
        self,
        behaviour: str = "good",
        *,
        signed_by: Sequence[str] = (BLACKBURN, DWP),
        answer_seconds: float = ENOUGH_SECONDS,
        **changes: Any,
    ) -> Asking:
        """A service and an agreement of a test's own, answered by the hostile department in this way.

        `answer_seconds` is when its "no record" leaves, and bounds how long the department may take.
        `changes` replace terms of the shipped agreement; a name with `__` reaches inside (`conditions__roles=[…]`).
        """
        service_id = f"dwp/t-{secrets.token_hex(6)}/v1"
        with self.gateway.database.write() as session:
            service = find_service(session, SERVICE)
            assert service is not None
            record_service(
                session,
                replace(
                    service,
                    id=service_id,
                    endpoint=f"{self.hostile}/{behaviour}",
                    answer_seconds=answer_seconds,
                ),
                at=SystemClock().now(),
            )
        return self.agreed(service_id, signed_by=signed_by, **changes)

    def agreed(self, service: str, *, signed_by: Sequence[str] = (BLACKBURN, DWP), **changes: Any) -> Asking:
        """An agreement of a test's own about a service that is there; `changes` as of `asking`."""
        now = SystemClock().now()
        name = secrets.token_hex(6)
        asking = Asking(service=service, reference=f"DSA-T{name.upper()}")
        shipped = json.loads(load_agreement(PROJECT / "policies" / "agreements" / "DSA-003.1.yaml").canonical)
        # As shipped, but for the volume of a day: many a test asks more often than a council does.
        terms = shipped | {"reference": asking.reference, "service": asking.service, "volume_per_day": 1_000_000}
        for path, value in changes.items():
            *outer, last = path.split("__")
            place = terms
            for key in outer:
                place = place[key]
            place[last] = value
        document = read_agreement(terms, source=asking.reference)
        with self.gateway.database.write() as session:
            import_agreement(
                session,
                document,
                registers=self.gateway.policy.registers,
                signatures={code: sign_agreement(document, signer=self.signer(code)) for code in signed_by},
                audit=self.gateway.audit,
                by="tests",
                at=now,
            )
        return asking

    def suspend(self, asking: Asking, session: Session | None = None) -> None:
        """Suspend an agreement: in this session, or at once."""
        if session is None:
            with self.gateway.database.write() as own:
                self.suspend(asking, own)
            return
        suspend_agreement(
            session,
            asking.reference,
            asking.version,
            audit=self.gateway.audit,
            by="tests",
            reason="a test",
            at=SystemClock().now(),
        )

    def open_gate(self, asking: Asking) -> None:
        """Let the gated department answer."""
        (self.gates / f"open-{asking.service.replace('/', '-')}").touch()

    def asked_of_department(self, exchange: str) -> dict[str, Any] | None:
        """What the hostile department was asked in this exchange, or None when it was not asked."""
        questions = self.questions(exchange)
        return questions[-1] if questions else None

    def questions(self, exchange: str) -> list[dict[str, Any]]:
        """Every question that reached the hostile department in this exchange."""
        path = self.gates / f"asked-{exchange}"
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []

    # --- Asking by hand, as an attacker would

    def body(self, asking: Asking, **changes: Any) -> dict[str, Any]:
        """The body of a good question about Ada; `changes` replace members."""
        return {
            "service": asking.service,
            "purpose": asking.purpose,
            "subject": {"match": ADA_MATCH},
            "fields": ["eligible", "tier"],
            "case_reference": "FSM/2026/00017",
            "salt": secrets.token_urlsafe(16),
            **changes,
        }

    def signed(
        self,
        body: Mapping[str, Any] | bytes,
        *,
        signer: PrivateKeySigner | None = None,
        client_id: str = PORTAL_CLIENT,
        nonce: str | None = None,
        created: datetime | None = None,
        token: str | None = None,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
        tag: str = EXCHANGE_TAG,
    ) -> HttpRequest:
        """A signed request for a record; each argument replaces something of a good one."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        request = HttpRequest(
            method="POST",
            target_uri=self.exchanges,
            headers={
                "Content-Type": "application/json",
                "Authorization": f"Bearer {token or self.officer_token()}",
                "Idempotency-Key": key or str(uuid.uuid4()),
                **(headers or {}),
            },
            body=content,
        )
        return sign_request(
            request,
            signer=signer or self.signer(PORTAL_CLIENT),
            client_id=client_id,
            nonce=nonce or secrets.token_urlsafe(18),
            created=created or SystemClock().now(),
            tag=tag,
        )

    def send(self, request: HttpRequest, *, timeout: float = 30) -> HttpResponse:
        """Send exactly this request."""
        answer = requests.request(
            request.method,
            request.target_uri,
            headers=dict(request.headers),
            data=request.body,
            timeout=timeout,
            allow_redirects=False,
            verify=str(self.layout.ca_file or "") or True,
        )
        return HttpResponse(status=answer.status_code, headers=answer.headers, body=answer.content)

    # --- The log

    def events(self, *, reference: str | None = None, names: Sequence[str] | None = None) -> tuple[RecordedEvent, ...]:
        """What was recorded, newest first."""
        with self.gateway.database.read() as session:
            return find_events(session, reference=reference, names=names, limit=500)

    def details(self, event: RecordedEvent) -> Mapping[str, Any]:
        """The encrypted details of an event, opened."""
        with self.gateway.database.read() as session:
            return self.gateway.audit.details_of(session, event.event_id)

    def outcomes_of(self, exchange: str) -> list[str]:
        """The outcomes that the log holds for an exchange, in order."""
        return [event.outcome for event in reversed(self.events(reference=exchange))]

    def assert_log_verifies(self) -> list[Leaf]:
        """End as an outsider: wait until everything recorded is published, then verify all of it."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with self.gateway.database.read() as session:
                if oldest_unpublished(session) is None:
                    break
            time.sleep(0.1)
        # The independent reader knows no authority but the system's: over TLS it reads the files themselves.
        location = self.settings.log_dir if self.layout.certificate else f"{self.issuer}/log"
        return assert_log_verifies(location, self.gateway.log_key.encode())


def token_claims(token: str) -> dict[str, Any]:
    """What an access token says, unverified."""
    return unverified_claims(token)


@contextmanager
def running_world(state_dir: Path, database_url: str, processes: Processes, **changes: Any) -> Iterator[World]:
    """Start a world; keywords as of `prepared_world`."""
    with (
        prepared_world(state_dir, database_url, processes, **changes) as world,
        running(world.layout, world.settings) as world.processes,
    ):
        yield world


@contextmanager
def prepared_world(
    state_dir: Path,
    database_url: str,
    processes: Processes,
    *,
    layout_changes: Mapping[str, Any] | None = None,
    more_providers: Sequence[str] = (),
    **changes: Any,
) -> Iterator[World]:
    """Make a world whose hostile department runs, and whose gateway is not started yet.

    `changes` replace settings of the gateway, `layout_changes` fields of the layout; `more_providers` are further
    `host:port` on loopback that the gateway may call.
    """
    hostile_port, raw = free_port(), RawProvider()
    layout = Layout(
        state_dir=state_dir,
        policies_dir=PROJECT / "policies",
        gateway_port=free_port(),
        provider_port=free_port(),
        portal_port=free_port(),
        database_url=database_url,
        more_providers=(f"localhost:{hostile_port}", raw.place, *more_providers),
        **(layout_changes or {}),
    )
    # Answered as in production, where errors explain nothing and every address that may be called is named in full.
    demonstration = layout.settings()
    named = tuple(address for address in demonstration.outgoing_allow_loopback if "*" not in address)
    as_in_production = {"sandbox": False, "outgoing_allow_loopback": named}
    settings = replace(
        demonstration, **{**as_in_production, "sequencer_interval": 0.1, "exchange_lease": 12.0, **changes}
    )
    initialise(settings)
    gateway = assemble(settings)
    with ExitStack() as stack:
        stack.callback(gateway.database.close)
        gates = state_dir / "gates"
        gates.mkdir()
        hostile = f"{layout.scheme}://localhost:{hostile_port}"
        world = World(
            layout=layout,
            settings=settings,
            gateway=gateway,
            accounts={},
            hostile=hostile,
            gates=gates,
            processes={},
            raw=raw,
        )
        stack.callback(raw.stop)
        world.accounts = build_world(world.tools, layout)
        raw.department = HostileProvider(
            database=str(layout.records_file(DWP)),
            key_file=str(layout.key_file(PROVIDER_CLIENT)),
            gateway=layout.gateway,
            origin=raw.address,
            gates=str(gates),
        )
        raw.signer = world.signer(PORTAL_CLIENT)
        raw.start()
        application = (
            f"tests.kit.hostile_provider:make_app({str(layout.records_file(DWP))!r}, "
            f"{str(layout.key_file(PROVIDER_CLIENT))!r}, {layout.gateway!r}, {hostile!r}, {str(gates)!r})"
        )
        world.department = processes.start(
            gunicorn(application, hostile_port, layout),
            env={},
            name="hostile",
            ready_url=f"{hostile}/healthz",
            ca_file=layout.ca_file,
            cwd=PROJECT,
        )
        yield world
