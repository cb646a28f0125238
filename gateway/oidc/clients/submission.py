"""Client metadata as somebody asks for it, what of it may be granted, and what the rules ask of the deployment."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.directory.members import ClientKind
from gateway.errors import GatewayError, Kind
from gateway.oidc.clients.addresses import AddressRules
from gateway.oidc.clients.limits import Limits

CODE, REFRESH, OWN = "authorization_code", "refresh_token", "client_credentials"


class RegistrationRefused(GatewayError):
    """Metadata that is not registered. `code` is RFC 7591 §3.2.2's, `public` says what to change, `rule` which rule."""

    kind = Kind.INVALID

    def __init__(self, public: str, *, code: str = "invalid_client_metadata", rule: str = "") -> None:
        super().__init__(public)
        self.code = code
        self.rule = rule


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the rules ask of the deployment."""

    addresses: AddressRules
    fetch_sector: Callable[[str], object]
    """Returns the JSON at a `sector_identifier_uri`; raises `GatewayError`."""
    auth_methods: tuple[str, ...]
    """How clients can authenticate here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """Metadata as sent, without the members that are null (RFC 7592 §2.2: as if left out)."""

    metadata: Mapping[str, Any]
    limits: Limits
    surroundings: Surroundings

    def text(self, name: str) -> str | None:
        """Return a member that is text; whether it is was checked first of all."""
        value = self.metadata.get(name)
        return value if isinstance(value, str) else None

    def items(self, name: str) -> tuple[str, ...]:
        """Return a member that is a list of texts."""
        value = self.metadata.get(name)
        return tuple(value) if isinstance(value, list) else ()

    @property
    def kinds(self) -> tuple[str, ...]:
        """What the client does: as asked, or all that it may."""
        given = self.items("kinds")
        return given or tuple(kind.value for kind in self.limits.kinds)

    @property
    def grant_types(self) -> tuple[str, ...]:
        """As asked; RFC 7591 §2's default for a client that signs people in."""
        if "grant_types" in self.metadata:
            return self.items("grant_types")
        return (CODE,) if ClientKind.RELYING_PARTY in self.kinds else ()

    @property
    def auth_method(self) -> str:
        """As asked. Stricter than RFC 7591, whose default is a secret."""
        return self.text("token_endpoint_auth_method") or "private_key_jwt"

    @property
    def scopes(self) -> tuple[str, ...]:
        """As asked; all that are allowed (RFC 7591 §2), or what every sign-in needs when an operator says nothing."""
        if "scope" in self.metadata:
            return tuple(dict.fromkeys((self.text("scope") or "").split()))
        if not self.limits.by_operator:
            return self.limits.scopes
        return ("openid",) if CODE in self.grant_types else ()

    def allowed(self, name: str, limit: tuple[str, ...]) -> tuple[str, ...]:
        """Return the items of one of our own members; all that are allowed when a token said which."""
        if name in self.metadata or self.limits.by_operator:
            return tuple(dict.fromkeys(self.items(name)))
        return limit


def submission_of(metadata: Mapping[str, Any], limits: Limits, surroundings: Surroundings) -> Submission:
    """Take metadata as it came."""
    given = {name: value for name, value in metadata.items() if value is not None}
    return Submission(metadata=given, limits=limits, surroundings=surroundings)
