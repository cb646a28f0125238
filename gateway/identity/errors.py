"""What this room refuses."""

from gateway.errors import GatewayError, Kind


class PasswordRefused(GatewayError):
    """A new password is too short, too long, or too easily guessed."""

    kind = Kind.INVALID
    code = "password_refused"
    title = "This password cannot be used"


class AccountExists(GatewayError):
    """Another account of the same kind has this e-mail address."""

    kind = Kind.CONFLICT
    code = "account_exists"
    title = "There is an account with this e-mail address already"


class AccountInvalid(GatewayError):
    """What was said about a new account does not fit its kind."""

    kind = Kind.INVALID
    code = "account_invalid"
    title = "This account cannot be made"


class AccountUnknown(GatewayError):
    """There is no such account."""

    kind = Kind.NOT_FOUND
    code = "account_unknown"
    title = "There is no such account"


class TooManyAttempts(GatewayError):
    """Too many tries for one account or from one source; `retry_after` says when the next is looked at."""

    kind = Kind.THROTTLED
    code = "too_many_attempts"
    title = "Too many attempts; try again later"


class SignInRequired(GatewayError):
    """Nobody is signed in here, or not any more."""

    kind = Kind.UNAUTHENTICATED
    code = "sign_in_required"
    title = "Sign in to see this page"


class RoleRequired(GatewayError):
    """Who is signed in is known, and does not have the role this page needs."""

    kind = Kind.REFUSED
    code = "role_required"
    title = "Your role does not include this page"


class SealBroken(GatewayError):
    """A sealed secret does not open: another key, another place, or changed bytes."""

    kind = Kind.BROKEN
    code = "seal_broken"
    title = "A stored secret cannot be opened"
