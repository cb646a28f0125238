"""Going on from a password to a security code in a session that has only the first."""

from datetime import datetime

from gateway.identity.assurance import PASSWORD, SECURITY_CODE
from gateway.identity.sessions import AWAITING_CODE, AwaitingCode, BrowserState, SignedIn


def may_step_up(signed_in: SignedIn, *, now: datetime) -> bool:
    """Tell whether a security code alone makes this sign-in one by both.

    Only while the password is as recent as it would be in a sign-in by both: later the two prove nothing together.
    """
    return (
        signed_in.account.has_security_code
        and PASSWORD in signed_in.methods
        and SECURITY_CODE not in signed_in.methods
        and now - signed_in.auth_time <= AWAITING_CODE
    )


def code_awaited(state: BrowserState, *, now: datetime) -> AwaitingCode | None:
    """Return whose security code would be taken at this browser; None when nobody's would be."""
    if isinstance(state, SignedIn) and may_step_up(state, now=now):
        return AwaitingCode(session_id=state.session_id, account=state.account)
    return state if isinstance(state, AwaitingCode) else None
