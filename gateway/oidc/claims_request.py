"""The `claims` parameter (OIDC Core §5.5): single claims that a relying party asks for, and how much it needs them.

What is not understood is ignored, as §5.5 demands; what cannot be read at all is refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from gateway.oidc.errors import AuthorizationRefused
from gateway.oidc.parameters import NOT_TEXT
from gateway.wire.encoding import parse_json_object
from gateway.wire.errors import MalformedInput

# Far more than there are claims. What was asked is kept with the authorization.
MOST_CLAIMS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimAsked:
    """One claim as it was asked for (§5.5.1)."""

    essential: bool = False
    values: tuple[Any, ...] = ()
    """The acceptable values, best first; empty when any will do. `value` alone is a list of one."""

    def as_stored(self) -> dict[str, Any]:
        """Return what differs from a claim asked for plainly, as JSON values."""
        essential = {"essential": True} if self.essential else {}
        return essential | ({"values": list(self.values)} if self.values else {})


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimsRequest:
    """Which claims were asked for by name, for each of the two places where they can be told."""

    userinfo: Mapping[str, ClaimAsked] = field(default_factory=dict)
    id_token: Mapping[str, ClaimAsked] = field(default_factory=dict)

    def as_stored(self) -> dict[str, Any] | None:
        """Return JSON values for `AuthorizationRow.claims`; None when nothing was asked for by name."""
        places = {"userinfo": self.userinfo, "id_token": self.id_token}
        stored = {
            place: {name: claim.as_stored() for name, claim in asked.items()}
            for place, asked in places.items()
            if asked
        }
        return stored or None

    @classmethod
    def from_stored(cls, stored: Mapping[str, Any] | None) -> Self:
        """Return what `as_stored` gave."""
        return cls(**{place: _claims(asked) for place, asked in (stored or {}).items()})


def parse_claims_request(text: str | None) -> ClaimsRequest:
    """Read the parameter; raises `AuthorizationRefused` (`invalid_request`) for what is not such a request."""
    if text is None:
        return ClaimsRequest()
    try:
        asked = parse_json_object(text)
    except MalformedInput as error:
        raise _malformed("claims is not a JSON object") from error
    _check_text(asked)
    # §5.5: members other than these two are ignored.
    places = {name: asked[name] for name in ("userinfo", "id_token") if asked.get(name) is not None}
    for place in places.values():
        _check_place(place)
    return ClaimsRequest.from_stored(places)


def _check_text(asked: object) -> None:
    # JSON can spell NUL and halves of characters by escapes, which no name or value has and some databases reject.
    waiting = [asked]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting += [*value, *value.values()]
        elif isinstance(value, list):
            waiting += value
        elif isinstance(value, str) and NOT_TEXT.search(value):
            raise _malformed("claims holds characters that are not text")


def _check_place(place: object) -> None:
    if not isinstance(place, dict):
        raise _malformed("A member of claims is not a JSON object")
    if len(place) > MOST_CLAIMS:
        raise _malformed("claims asks for too many claims")
    for claim in place.values():
        # §5.5.1: a claim asked for plainly is null; otherwise an object says more.
        if not isinstance(claim, dict | None):
            raise _malformed("A claim asked for is neither null nor a JSON object")
        if not isinstance((claim or {}).get("essential", False), bool):
            raise _malformed("essential is not true or false")
        if not isinstance((claim or {}).get("values", []), list):
            raise _malformed("values is not a list")


def _claims(place: Mapping[str, Any]) -> dict[str, ClaimAsked]:
    return {name: _claim(asked or {}) for name, asked in place.items()}


def _claim(asked: Mapping[str, Any]) -> ClaimAsked:
    values = (asked["value"],) if "value" in asked else tuple(asked.get("values", ()))
    return ClaimAsked(essential=asked.get("essential", False), values=values)


def _malformed(public: str) -> AuthorizationRefused:
    return AuthorizationRefused("invalid_request", public)
