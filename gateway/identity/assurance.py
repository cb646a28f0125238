"""How strong a sign-in was, as relying parties and policies read it.

Officers: `AAL1` (password), `AAL2` (password and code); `AAL3` is named, and nothing here reaches it yet. Citizens: the
credential levels of GOV.UK One Login, `Cl` and `Cl.Cm`. Methods are RFC 8176 values: `pwd`, `otp`.
"""

from collections.abc import Collection

from gateway.identity.accounts import AccountKind

PASSWORD = "pwd"  # noqa: S105 - a method's name (RFC 8176 §2)
SECURITY_CODE = "otp"

LEVELS = {
    AccountKind.OFFICER: ("AAL1", "AAL2", "AAL3"),
    AccountKind.CITIZEN: ("Cl", "Cl.Cm"),
}
"""The levels of each kind of account, weakest first."""


def level_of(kind: AccountKind, methods: Collection[str]) -> str:
    """Return the `acr` reached by these methods."""
    return LEVELS[kind][1 if SECURITY_CODE in methods else 0]


def reaches(kind: AccountKind, acr: str, *, minimum: str) -> bool:
    """Tell whether `acr` is at least `minimum`; a level that this kind of account does not have reaches nothing."""
    levels = LEVELS[kind]
    return acr in levels and minimum in levels and levels.index(acr) >= levels.index(minimum)
