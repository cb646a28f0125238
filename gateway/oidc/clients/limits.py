"""What a registration may at most have: said by an operator, or by the token that allows it. Empty means nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from gateway.directory.members import ClientKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The most that one registration can ask for, on behalf of one member."""

    member_code: str
    kinds: tuple[ClientKind, ...] = ()
    scopes: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    account_kinds: tuple[str, ...] = ()
    secrets: bool = False
    """Whether the client may authenticate with a secret: an exception."""
    by_operator: bool = False
    """Whether an operator registers, who may grant exceptions by name and has to say what else is taken as asked."""

    def as_stored(self) -> dict[str, Any]:
        """Return JSON values; whether an operator registers is never stored."""
        return {
            "member": self.member_code,
            "kinds": [kind.value for kind in self.kinds],
            "scopes": list(self.scopes),
            "resources": list(self.resources),
            "account_kinds": list(self.account_kinds),
            "secrets": self.secrets,
        }

    @classmethod
    def from_stored(cls, values: Mapping[str, Any]) -> Self:
        """Return what `as_stored` gave."""
        return cls(
            member_code=values["member"],
            kinds=tuple(ClientKind(kind) for kind in values["kinds"]),
            scopes=tuple(values["scopes"]),
            resources=tuple(values["resources"]),
            account_kinds=tuple(values["account_kinds"]),
            secrets=bool(values["secrets"]),
        )
