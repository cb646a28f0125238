"""Others beside the council whose portal asks: a second system of its own, another council, other citizens."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from gateway.clock import SystemClock
from gateway.demo.layout import BLACKBURN
from gateway.directory.members import Client, ClientKind, Member, record_client, record_member
from gateway.identity.accounts import AccountKind, NewAccount, record_account
from gateway.identity.passwords import generate_password
from gateway.wire.signer import PrivateKeySigner
from tests.kit.world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Other:
    """A registered system with its key."""

    client: Client
    signer: PrivateKeySigner

    @property
    def client_id(self) -> str:
        return self.client.client_id


def another_client(world: World, *, member: str = BLACKBURN, **changes: Any) -> Other:
    """A system of this member that may do whatever the portal may; `changes` replace what is registered."""
    signer = PrivateKeySigner.generate("ES256")
    values: dict[str, Any] = {
        "client_id": f"other-{secrets.token_hex(4)}",
        "member_code": member,
        "name": "Another system",
        "kinds": (ClientKind.RELYING_PARTY, ClientKind.CONSUMER),
        "keys": (signer.public_jwk(),),
        "redirect_uris": (f"{world.layout.portal}/callback",),
        "grant_types": ("authorization_code", "client_credentials"),
        "scopes": ("openid", "profile"),
        "resources": (f"{world.issuer}/sharing/v1",),
        "account_kinds": ("officer",),
        **changes,
    }
    client = Client(**values)
    with world.gateway.database.write() as session:
        record_client(session, client, at=SystemClock().now())
    return Other(client=client, signer=signer)


def another_member(world: World) -> str:
    """A council with a key to sign agreements with; its code."""
    signer = PrivateKeySigner.generate("ES256")
    code = f"specimen-{secrets.token_hex(4)}"
    world.layout.key_file(code).write_bytes(signer.private_pem())
    with world.gateway.database.write() as session:
        member = Member(code=code, name="Specimen Borough Council", kind="council", keys=(signer.public_jwk(),))
        record_member(session, member, at=SystemClock().now())
    return code


def officer_token_of(
    world: World,
    other: Other,
    *,
    roles: tuple[str, ...] = ("benefits-officer",),
    headers: Mapping[str, str] | None = None,
) -> str:
    """An officer's access token, obtained by this system through the code flow."""
    verifier = secrets.token_urlsafe(48)
    account = world.officer(member=other.client.member_code, roles=roles)
    code = world.code(account, verifier=verifier, client_id=other.client_id)
    answer = world.token_request(
        {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": other.client.redirect_uris[0],
            "code_verifier": verifier,
            "resource": f"{world.issuer}/sharing/v1",
        },
        assertion=world.assertion(other.client_id, signer=other.signer),
        headers=headers,
    )
    assert answer.status_code == 200, answer.text
    token: str = answer.json()["access_token"]
    return token


def token_of_its_own(world: World, client_id: str, signer: PrivateKeySigner) -> str:
    """An access token of the system itself, with no officer behind it."""
    answer = world.token_request(
        {"grant_type": "client_credentials", "resource": f"{world.issuer}/sharing/v1"},
        assertion=world.assertion(client_id, signer=signer),
    )
    assert answer.status_code == 200, answer.text
    token: str = answer.json()["access_token"]
    return token


def another_citizen(world: World) -> str:
    """A citizen whom the council knows by a `sub` and no department knows at all; that `sub`."""
    people = world.gateway.people
    with world.gateway.database.write() as session:
        new = NewAccount(
            kind=AccountKind.CITIZEN,
            email=f"t.{secrets.token_hex(6)}@people.example",
            given_name="Terry",
            family_name="Specimen",
            password=generate_password(),
            code_secret=None,
            birthdate=date(1990, 1, 1),
        )
        now = SystemClock().now()
        account = record_account(session, new, passwords=people.passwords, sealing=people.sealing, at=now)
        return people.pairwise.sub_for(session, account.account_id, BLACKBURN, at=now)
