"""What a request asks in effect: its own parameters, or those it brings or refers to."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from gateway.oidc.endpoints import Endpoints
from gateway.oidc.parameters import Parameters


@dataclass(frozen=True, slots=True, kw_only=True)
class Effective:
    """The parameters that count, and those that were sent; the two differ only where a request is brought along."""

    parameters: Parameters
    sent: Parameters
    """What waits in a ticket during a sign-in: a reference stays a reference, and an address short."""


def resolve(session: Session, sent: Parameters, *, endpoints: Endpoints, arrived_at: datetime) -> Effective:  # noqa: ARG001 - for requests by reference
    """Return what a request asks in effect. `arrived_at` is when it first came, before anybody signed in.

    Raises `SignInRequestUnusable`: who asks is not known yet.
    """
    return Effective(parameters=sent, sent=sent)
