"""An officer who signs in with the browser, for the commands that need their token."""

from gateway.clock import SystemClock
from gateway.sdk.commands.client_settings import ClientSettings
from gateway.sdk.commands.printing import complain
from gateway.sdk.keys import signer_from
from gateway.sdk.possession import DPoPKey
from gateway.sdk.signing_in import SECONDS, sign_in
from gateway.sdk.tokens import TokenEndpoint

ADDRESS_HELP = "sign in with the browser; ADDRESS is a registered redirect URI on localhost"


def officers_token(settings: ClientSettings, *, redirect_uri: str) -> str:
    """Show where to sign in, wait, and return the officer's access token; raises as `sign_in`."""
    endpoint = TokenEndpoint(
        documents=settings.documents(),
        client_id=settings.client,
        signer=signer_from(settings.key),
        key=DPoPKey(signer_from(settings.dpop_key)) if settings.dpop_key else None,
    )

    def show(address: str) -> None:
        for line in (f"Sign in as an officer at this address, within {SECONDS:.0f} seconds:", "", address, ""):
            complain(line)

    return sign_in(endpoint, redirect_uri=redirect_uri, show=show, clock=SystemClock())
