"""A client that did not prove who it is, whatever method it tried."""

from dataclasses import dataclass

from gateway.directory.members import Client


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientRejected:
    """What went wrong: `reason` is one of our own words; `client` the known client that was named, if any."""

    reason: str
    client: Client | None = None
    signed: bool = False
    """Whether the client's own key or secret was shown, so that it is the client who failed."""
    by_header: bool = False
    """Whether the `Authorization` header was tried, which the answer then has to name (RFC 6749 §5.2)."""
    explanation: str | None = None
    """What to change, which a sandbox alone tells."""
