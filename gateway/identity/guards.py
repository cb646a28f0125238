"""Who may see a page: asked by every door that shows something to signed-in people."""

from datetime import datetime

from gateway.identity.accounts import AccountKind
from gateway.identity.errors import RoleRequired, SignInRequired
from gateway.identity.sessions import SignedIn
from gateway.identity.sign_in import SignIn


def signed_in_officer(
    sign_in: SignIn, browser_secret: str | None, *, role: str | None = None, now: datetime
) -> SignedIn:
    """Return the officer signed in at this browser, who has `role` if one is named.

    Raises `SignInRequired` when nobody is, `RoleRequired` when it is somebody else. A role needs both factors: one
    given to an officer who signed in by password alone counts for nothing here.
    """
    signed_in = sign_in.signed_in(browser_secret, now=now)
    if signed_in is None:
        raise SignInRequired
    if signed_in.account.kind is not AccountKind.OFFICER:
        raise RoleRequired
    if role is not None and (role not in signed_in.account.roles or signed_in.acr == "AAL1"):
        raise RoleRequired
    return signed_in
