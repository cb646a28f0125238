"""Front-channel notices (OIDC Front-Channel Logout 1.0): each client's address in a frame of our signed-out page.

Browsers that keep cookies of other sites from frames make such a notice worth little, and nobody learns whether it
arrived: a client that can should ask for back-channel notices.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit
from uuid import UUID

from sqlalchemy.orm import Session

from gateway.directory.members import find_client
from gateway.oidc.client_sessions import clients_of_sessions

# What may stand in a Content-Security-Policy: a registered address with anything else in it gets no frame.
_ORIGIN = re.compile(r"https?://[A-Za-z0-9.\-\[\]:]+\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One frame: what it loads, where from, and whose it is."""

    address: str
    origin: str
    client_name: str


def frames_for(session: Session, session_ids: Sequence[UUID], *, issuer: str) -> tuple[Frame, ...]:
    """Return the frames that tell the clients of sessions of their end; to be asked before they end."""
    frames = []
    for known in clients_of_sessions(session, session_ids):
        client = find_client(session, known.client_id)
        if client is None or client.oauth.frontchannel_logout_uri is None:
            continue
        registered = client.oauth.frontchannel_logout_uri
        parts = urlsplit(registered)
        origin = f"{parts.scheme}://{parts.netloc}"
        if not _ORIGIN.match(origin):
            continue
        # §2: `iss` and `sid` come together; sent to all, for they say nothing a client does not know.
        address = with_parameters(registered, {"iss": issuer, "sid": known.sid})
        frames.append(Frame(address=address, origin=origin, client_name=client.name))
    return tuple(frames)


def with_parameters(address: str, parameters: dict[str, str]) -> str:
    """Return an address with parameters added to whatever query it has."""
    if not parameters:
        return address
    before, hash_sign, fragment = address.partition("#")
    return f"{before}{'&' if '?' in before else '?'}{urlencode(parameters)}{hash_sign}{fragment}"
