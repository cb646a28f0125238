"""What this room refuses."""

from gateway.errors import GatewayError, Kind


class DeliveryUnknown(GatewayError):
    """There is no such delivery."""

    kind = Kind.NOT_FOUND
    code = "delivery_unknown"
    title = "There is no such delivery"


class DeliverySettled(GatewayError):
    """The delivery was made or discarded already: there is nothing to retry or to discard."""

    kind = Kind.CONFLICT
    code = "delivery_settled"
    title = "The delivery was made or discarded already"
