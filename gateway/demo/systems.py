"""The members' systems: who asks, who answers, and for whom officers sign in.

Whoever asks for records does so from a desk: a page of the portal, at which the member's officers sign in.
"""

from dataclasses import dataclass

from gateway.demo.layout import BLACKBURN, DWP, PORTAL_CLIENT, PROVIDER_CLIENT, SANDBOX


@dataclass(frozen=True, slots=True, kw_only=True)
class Answering:
    """A department's system that answers questions from its own database."""

    client_id: str
    member: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """A member's system that asks; `path` is where the portal serves it, below the portal's address."""

    client_id: str
    member: str
    name: str
    path: str
    theme: str = "council"


ANSWERING = (
    Answering(client_id=PROVIDER_CLIENT, member=DWP, name="Benefits records"),
    Answering(client_id="hmrc-records", member="hmrc", name="Tax records"),
    Answering(client_id="moj-opg", member="moj", name="Register of lasting powers of attorney"),
    Answering(client_id="hmps-hr", member="hmps", name="Personnel records"),
    Answering(client_id="defra-finance", member="defra", name="Finance records"),
    Answering(client_id="mod-jpa-pensions", member="mod-jpa", name="Pension records"),
    Answering(client_id="sandbox-answers", member=SANDBOX, name="Answers about invented people"),
)

DESKS = (
    Desk(client_id=PORTAL_CLIENT, member=BLACKBURN, name="Council portal", path=""),
    Desk(client_id="burnley-portal", member="E07000117", name="Council portal", path="/burnley"),
    Desk(client_id="dwp-casework", member=DWP, name="Casework", path="/dwp"),
    Desk(client_id="cabinet-office-desk", member="cabinet-office", name="Corporate services", path="/cabinet-office"),
    Desk(client_id="tfl-concessions", member="tfl", name="Concessionary travel", path="/tfl"),
)

OWNERS = tuple(
    dict.fromkeys(
        [system.member for system in (*ANSWERING, *DESKS)] + [system.client_id for system in (*ANSWERING, *DESKS)]
    )
)
"""Whoever has a private key here: members, to sign agreements, and their systems."""
