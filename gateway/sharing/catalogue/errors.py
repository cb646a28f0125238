"""What can be wrong with an entry of the catalogue."""

from gateway.errors import GatewayError, Kind


class ServiceInvalid(GatewayError):
    """A service is described in a way that cannot be offered; nothing was recorded."""

    kind = Kind.INVALID
    code = "service_invalid"
    title = "The service cannot be offered as described"


class ServiceNotFound(GatewayError):
    """There is no service with this id."""

    kind = Kind.NOT_FOUND
    code = "service_not_found"
    title = "There is no such service"
