"""What people ask of a running gateway: sign-ins. All over loopback HTTP."""

import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests
from requests.adapters import BaseAdapter

from benchmarks.figures import Figure, Work, figure
from benchmarks.floor import CLIENTS, Floor
from benchmarks.measuring import Measured, OutOfWork, cpu_seconds, run_for
from gateway.clock import SystemClock
from gateway.demo.browser import Browser
from gateway.demo.layout import BLACKBURN, PORTAL_CLIENT
from gateway.demo.world import DemoAccount
from gateway.errors import GatewayError
from gateway.identity.accounts import AccountKind, NewAccount, record_account
from gateway.identity.passwords import Passwords, generate_password
from gateway.identity.security_codes import generate_code_secret
from gateway.sdk.consumer import ASSERTION_TYPE
from tests.kit.processes import Running
from tests.kit.world import World

SIGN_INS_A_SECOND = 60
"""Above anything that could happen: every sign-in needs an account of its own, since a security code works once."""


class NotGranted(GatewayError):
    """The gateway answered, but not with what was asked for."""


def sign_ins(world: World, floor: Floor, *, database: str, seconds: float) -> Figure:
    """Whole sign-ins of officers through the pages, password and security code, up to the tokens at the portal."""
    accounts = _accounts(world, int(SIGN_INS_A_SECOND * (seconds + 2)))
    left, lock, trips = iter(accounts), threading.Lock(), count()

    def sign_in(_client: int) -> None:
        with lock:
            account = next(left, None)
        if account is None:
            raise OutOfWork
        _sign_in(world, account, trip=trips.__next__)

    with gateway_time(world) as spent:
        measured = run_for(seconds, sign_in, clients=CLIENTS, when_warm=spent.begin)
    used = len(accounts) - len(list(left))
    # Six commits: the attempt and its success for each of the two steps, the code, the tokens.
    work = Work(signs=2, verifies=1, argon2=1, commits=6, round_trips=round(next(trips) / used))
    return with_spent("sign-ins", measured, work, floor, database=database, spent=spent)


class Spent:
    """The processor time of the gateway's processes (web and work, not the database's) while something ran."""

    def __init__(self, pids: Sequence[int]) -> None:
        self._pids = pids
        self._began = 0.0
        self.seconds = 0.0

    def begin(self) -> None:
        """Count from now."""
        self._began = cpu_seconds(self._pids)

    def end(self) -> None:
        """Count no further."""
        self.seconds = cpu_seconds(self._pids) - self._began


@contextmanager
def gateway_time(world: World) -> Iterator[Spent]:
    """Count the time that the gateway spends meanwhile."""
    serve = Running(process=world.processes["gateway"], log=world.layout.world_dir / "logs" / "gateway.log")
    spent = Spent([serve.pid, *(child.pid for child in serve.descendants())])
    spent.begin()
    yield spent
    spent.end()


def with_spent(name: str, measured: Measured, work: Work, floor: Floor, *, database: str, spent: Spent) -> Figure:
    """Put a measurement over HTTP beside its floor, and the gateway's processor time beside what cannot be left out."""
    computing = work.signs * floor.es256_sign + work.verifies * floor.es256_verify + work.argon2 * floor.argon2
    return figure(
        name,
        measured,
        database=database,
        clients=CLIENTS,
        floor_per_second=work.floor(floor),
        floor_of=str(work),
        cpu_milliseconds=1000 * spent.seconds / len(measured.durations),
        cpu_floor_milliseconds=1000 * computing,
    )


def _sessions() -> Callable[[], requests.Session]:
    kept = threading.local()

    def session() -> requests.Session:
        if not hasattr(kept, "session"):
            kept.session = requests.Session()
            kept.session.trust_env = False
        found: requests.Session = kept.session
        return found

    return session


def _token_request(world: World, session: requests.Session, data: dict[str, str]) -> requests.Response:
    proof = {"client_assertion_type": ASSERTION_TYPE, "client_assertion": world.assertion(PORTAL_CLIENT)}
    return session.post(f"{world.issuer}/token", data={**data, **proof}, timeout=30)


def _granted(answer: requests.Response) -> dict[str, Any]:
    body: dict[str, Any] = answer.json()
    if "access_token" not in body:
        raise NotGranted(str(body.get("error") or body.get("code")))
    return body


class _Callback(BaseAdapter):
    """Stands where the portal's callback is: keeps the address that the browser was sent to, and asks nobody."""

    def __init__(self) -> None:
        super().__init__()
        self.address = ""

    def send(self, request: requests.PreparedRequest, *_arguments: object, **_options: object) -> requests.Response:
        """Keep the address."""
        self.address = request.url or ""
        answer = requests.Response()
        answer.status_code, answer.url, answer.request = 200, self.address, request
        answer._content = b""  # noqa: SLF001 - how requests builds a response by hand
        return answer

    def close(self) -> None:
        """Nothing is open."""


def _sign_in(world: World, account: DemoAccount, *, trip: Callable[[], int]) -> None:
    with requests.Session() as session:
        callback = _Callback()
        session.mount(world.layout.portal, callback)

        def count_trip(answer: requests.Response, **_options: object) -> None:
            if answer.url.startswith(world.issuer):
                trip()

        session.hooks["response"].append(count_trip)
        browser, verifier = Browser(session=session), secrets.token_urlsafe(48)
        browser.open(world.authorization_url(verifier=verifier))
        world.sign_in(browser, account)
        code = parse_qs(urlsplit(callback.address).query).get("code")
        if code is None:
            raise NotGranted("no code")
        data = {
            "grant_type": "authorization_code",
            "code": code[0],
            "redirect_uri": f"{world.layout.portal}/callback",
            "code_verifier": verifier,
            "resource": f"{world.issuer}/sharing/v1",
        }
        _granted(_token_request(world, session, data))


class _HashedOnce(Passwords):
    """Gives every account the same hash, made once at the usual cost: verifying costs what it always does."""

    def __init__(self, password: str) -> None:
        super().__init__()
        self._kept = super().hash(password)

    def hash(self, password: str) -> str:  # noqa: ARG002 - there is one
        """Return the one hash."""
        return self._kept


def _accounts(world: World, number: int) -> list[DemoAccount]:
    password = generate_password()
    passwords, now, accounts = _HashedOnce(password), SystemClock().now(), []
    with world.gateway.database.write() as session:
        for _ in range(number):
            account = DemoAccount(
                email=f"b.{secrets.token_hex(8)}@blackburn.example",
                password=password,
                code_secret=generate_code_secret(),
            )
            new = NewAccount(
                kind=AccountKind.OFFICER,
                email=account.email,
                given_name="Bench",
                family_name="Specimen",
                password=password,
                code_secret=account.code_secret,
                member_code=BLACKBURN,
                roles=("benefits-officer",),
            )
            record_account(session, new, passwords=passwords, sealing=world.gateway.people.sealing, at=now)
            accounts.append(account)
    return accounts
