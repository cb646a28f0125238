"""Going on from a password to a security code in a session that has only the first."""

from datetime import datetime

from gateway.identity.assurance import PASSWORD, SECURITY_CODE
from gateway.identity.sessions import AWAITING_CODE, SignedIn


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
