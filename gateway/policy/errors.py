"""What can be wrong with the policies themselves; what a request lacks is a `Deny`, which is a value."""

from gateway.errors import GatewayError, Kind


class PolicyInvalid(GatewayError):
    """A file in the policies folder is missing, malformed or contradicts another; nothing is decided by it."""

    kind = Kind.BROKEN
    code = "policy_invalid"
    title = "The policies cannot be used"
