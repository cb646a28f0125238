"""What relying parties and browsers ask of the OpenID Provider, by clients that cost next to nothing.

Whatever can be made beforehand is: signed assertions, forms, sessions. What is measured is the gateway's part.
"""

import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from benchmarks.connection import Answer, Connection, one_each
from benchmarks.figures import Figure, Work
from benchmarks.floor import THREADS, WORKERS, Floor
from benchmarks.measuring import OutOfWork, run_for
from benchmarks.over_http import NotGranted, gateway_time, with_spent
from gateway.clock import SystemClock
from gateway.demo.layout import BLACKBURN
from gateway.directory.members import Client, ClientKind, record_client
from gateway.directory.oauth import OAuthSettings
from gateway.identity.accounts import Account, AccountKind, NewAccount, record_account
from gateway.identity.sessions import begin_session
from gateway.sdk.consumer import ASSERTION_TYPE
from gateway.wire.encoding import parse_json_object
from gateway.wire.jws import issue_jwt
from gateway.wire.signer import PrivateKeySigner
from tests.kit.oidc_world import challenge_of, hidden_fields
from tests.kit.world import World

CLIENTS = WORKERS * THREADS
"""As many as are answered at once: what one waits for, another uses."""
MOST_A_SECOND = 2500
"""Above anything that could happen: each assertion works once, and all are signed before the clock starts."""
REDIRECT_URI = "http://localhost:9/callback"
PASSWORD = secrets.token_urlsafe(16)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Party:
    """A relying party of our own, and the gateway that knows it."""

    world: World
    client: Client
    signer: PrivateKeySigner

    @property
    def sharing(self) -> str:
        return f"{self.world.issuer}/sharing/v1"

    def proof(self) -> dict[str, str]:
        """A client assertion that was not used before."""
        now = int(SystemClock().now().timestamp())
        claims = {
            "iss": self.client.client_id,
            "sub": self.client.client_id,
            "aud": self.world.issuer,
            "jti": secrets.token_urlsafe(16),
            "iat": now,
            "exp": now + 240,
        }
        assertion = issue_jwt(claims, typ="JWT", signer=self.signer)
        return {"client_assertion_type": ASSERTION_TYPE, "client_assertion": assertion}

    def browser(self, account: Account) -> dict[str, str]:
        """The cookie of a browser at which this person has just signed in."""
        gateway = self.world.gateway
        with gateway.database.write() as session:
            secret = begin_session(
                session, account, methods=("pwd", "otp"), awaiting_code=False, now=SystemClock().now()
            )
        return {"Cookie": f"{gateway.people.cookie.name}={secret}"}

    def authorization(self, *, verifier: str, **changes: str) -> dict[str, str]:
        """The parameters of an authorization request."""
        return {
            "response_type": "code",
            "client_id": self.client.client_id,
            "redirect_uri": REDIRECT_URI,
            "scope": "openid offline_access",
            "state": secrets.token_urlsafe(8),
            "nonce": secrets.token_urlsafe(8),
            "code_challenge": challenge_of(verifier),
            "code_challenge_method": "S256",
            **changes,
        }

    def redemption(self, code: str, *, verifier: str, proof: dict[str, str]) -> dict[str, str]:
        """The parameters with which a code is redeemed."""
        return {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": REDIRECT_URI,
            "code_verifier": verifier,
            **proof,
        }

    def tokens(self, connection: Connection, cookie: dict[str, str]) -> dict[str, Any]:
        """Tokens of the code flow for whoever is signed in."""
        verifier = secrets.token_urlsafe(48)
        asked = connection.built(
            "GET", f"/authorize?{urlencode(self.authorization(verifier=verifier))}", headers=cookie
        )
        code = _code_of(connection.send(asked))
        return _json(
            connection.send(connection.form("/token", self.redemption(code, verifier=verifier, proof=self.proof())))
        )


def grants(world: World, floor: Floor, *, database: str, seconds: float) -> Figure:
    """Access tokens by client_credentials, each with a fresh private_key_jwt."""
    party, connection = _party(world), one_each(world.issuer)
    template = Connection(world.issuer)
    asked = {"grant_type": "client_credentials", "resource": party.sharing}
    requests = _supply(lambda: template.form("/token", {**asked, **party.proof()}), seconds=seconds)

    def ask(_client: int) -> None:
        _json(connection().send(requests()))

    work = Work(signs=1, verifies=1, commits=1, lean_round_trips=1)
    return _measured("client_credentials", world, floor, work, ask, database=database, seconds=seconds)


def password_sign_ins(world: World, floor: Floor, *, database: str, seconds: float) -> Figure:
    """The password page sent by people of whom a service takes one kind: their session begins."""
    party, connection = _party(world), one_each(world.issuer)
    page, cookie, fields = _sign_in_page(party)
    people = [_account(world, code=False) for _ in range(64)]
    forms = [
        Connection(world.issuer).form(page, {**fields, "email": one.email, "password": PASSWORD}, headers=cookie)
        for one in people
    ]
    turn = _turns(forms)

    def sign_in(_client: int) -> None:
        answer = connection().send(turn())
        if answer.status != 303:
            raise NotGranted(f"status {answer.status}")

    # Two commits: the attempt, and the sign-in.
    work = Work(argon2=1, commits=2, lean_round_trips=1)
    return _measured("password sign-ins", world, floor, work, sign_in, database=database, seconds=seconds)


def refreshes(world: World, floor: Floor, *, database: str, seconds: float) -> Figure:
    """Refresh tokens exchanged for the next ones, each client going through a family of its own."""
    party, connection = _party(world), one_each(world.issuer)
    template = Connection(world.issuer)
    held = [party.tokens(template, party.browser(_account(world, code=True)))["refresh_token"] for _ in range(CLIENTS)]
    proofs = _supply(party.proof, seconds=seconds)

    def refresh(client: int) -> None:
        form = {"grant_type": "refresh_token", "refresh_token": held[client], **proofs()}
        held[client] = _json(connection().send(template.form("/token", form)))["refresh_token"]

    work = Work(signs=2, verifies=1, commits=1, lean_round_trips=1)
    return _measured("refreshes", world, floor, work, refresh, database=database, seconds=seconds)


def pushed_code_flows(world: World, floor: Floor, *, database: str, seconds: float) -> Figure:
    """A request pushed, answered with a code for somebody who is signed in, and the code redeemed."""
    party, connection = _party(world), one_each(world.issuer)
    template = Connection(world.issuer)
    cookies = [party.browser(_account(world, code=True)) for _ in range(CLIENTS)]
    proofs = _supply(party.proof, seconds=seconds)

    def flow(client: int) -> None:
        verifier, mine = secrets.token_urlsafe(48), connection()
        asked = {**party.authorization(verifier=verifier, scope="openid"), **proofs()}
        pushed = _json(mine.send(template.form("/par", asked)), status=201)
        query = urlencode({"client_id": party.client.client_id, "request_uri": pushed["request_uri"]})
        code = _code_of(mine.send(template.built("GET", f"/authorize?{query}", headers=cookies[client])))
        _json(mine.send(template.form("/token", party.redemption(code, verifier=verifier, proof=proofs()))))

    # Three commits: the request, the code, the tokens.
    work = Work(signs=2, verifies=2, commits=3, lean_round_trips=3)
    return _measured("PAR + code flows", world, floor, work, flow, database=database, seconds=seconds)


def userinfo(world: World, floor: Floor, *, database: str, seconds: float) -> Figure:
    """Claims about a person read with an access token."""
    party, connection = _party(world), one_each(world.issuer)
    template = Connection(world.issuer)
    tokens = party.tokens(template, party.browser(_account(world, code=True)))
    request = template.built("GET", "/userinfo", headers={"Authorization": f"Bearer {tokens['access_token']}"})

    def ask(_client: int) -> None:
        _json(connection().send(request))

    work = Work(verifies=1, lean_round_trips=1)
    return _measured("userinfo", world, floor, work, ask, database=database, seconds=seconds)


def introspections(world: World, floor: Floor, *, database: str, seconds: float) -> Figure:
    """An access token introspected by its own client."""
    party, connection = _party(world), one_each(world.issuer)
    template = Connection(world.issuer)
    token = party.tokens(template, party.browser(_account(world, code=True)))["access_token"]
    requests = _supply(lambda: template.form("/introspect", {"token": token, **party.proof()}), seconds=seconds)

    def ask(_client: int) -> None:
        if not _json(connection().send(requests()))["active"]:
            raise NotGranted("not active")

    work = Work(verifies=2, commits=1, lean_round_trips=1)
    return _measured("introspections", world, floor, work, ask, database=database, seconds=seconds)


def _measured(
    name: str,
    world: World,
    floor: Floor,
    work: Work,
    ask: Callable[[int], None],
    *,
    database: str,
    seconds: float,
) -> Figure:
    with gateway_time(world) as spent:
        measured = run_for(seconds, ask, clients=CLIENTS, when_warm=spent.begin)
    return with_spent(name, measured, work, floor, database=database, spent=spent)


def _party(world: World) -> _Party:
    signer = PrivateKeySigner.generate("ES256")
    name = f"bench-{secrets.token_hex(4)}"
    client = Client(
        client_id=name,
        member_code=BLACKBURN,
        name="Bench specimen",
        kinds=(ClientKind.RELYING_PARTY, ClientKind.CONSUMER),
        keys=(signer.public_jwk(),),
        redirect_uris=(REDIRECT_URI,),
        grant_types=("authorization_code", "refresh_token", "client_credentials"),
        scopes=("openid", "profile", "email", "offline_access"),
        resources=(f"{world.issuer}/sharing/v1",),
        account_kinds=("officer",),
        sector=name,
        oauth=OAuthSettings(id_token_signed_response_alg="ES256"),  # noqa: S106 - an algorithm's name
    )
    with world.gateway.database.write() as session:
        record_client(session, client, at=SystemClock().now())
    return _Party(world=world, client=client, signer=signer)


def _account(world: World, *, code: bool) -> Account:
    people = world.gateway.people
    new = NewAccount(
        kind=AccountKind.OFFICER,
        email=f"b.{secrets.token_hex(8)}@blackburn.example",
        given_name="Bench",
        family_name="Specimen",
        password=PASSWORD,
        code_secret="JBSWY3DPEHPK3PXP" if code else None,
        member_code=BLACKBURN,
        roles=("benefits-officer",),
    )
    with world.gateway.database.write() as session:
        return record_account(session, new, passwords=people.passwords, sealing=people.sealing, at=SystemClock().now())


def _sign_in_page(party: _Party) -> tuple[str, dict[str, str], dict[str, str]]:
    """The page to which a browser is sent: its path, the cookie it sets, its hidden fields."""
    connection = Connection(party.world.issuer)
    asked = party.authorization(verifier=secrets.token_urlsafe(48), scope="openid")
    page = connection.send(connection.built("GET", f"/authorize?{urlencode(asked)}")).header("Location")
    path = page.removeprefix(party.world.issuer)
    shown = connection.send(connection.built("GET", path))
    return path, {"Cookie": shown.header("Set-Cookie").partition(";")[0]}, hidden_fields(shown.body.decode())


def _supply(make: Callable[[], Any], *, seconds: float) -> Callable[[], Any]:
    """Make everything now; the result gives one after another, and raises `OutOfWork` in the end."""
    made = iter([make() for _ in range(int(MOST_A_SECOND * (seconds + 1)))])
    lock = threading.Lock()

    def take() -> Any:
        with lock:
            for one in made:
                return one
        raise OutOfWork

    return take


def _turns(forms: Sequence[bytes]) -> Callable[[], bytes]:
    lock = threading.Lock()

    def around() -> Iterator[bytes]:
        while True:
            yield from forms

    turns = around()

    def take() -> bytes:
        with lock:
            return next(turns)

    return take


def _code_of(answer: Answer) -> str:
    code = parse_qs(urlsplit(answer.header("Location")).query).get("code")
    if code is None:
        raise NotGranted(f"no code: status {answer.status}")
    return code[0]


def _json(answer: Answer, *, status: int = 200) -> dict[str, Any]:
    if answer.status != status:
        raise NotGranted(f"status {answer.status}")
    return parse_json_object(answer.body)
