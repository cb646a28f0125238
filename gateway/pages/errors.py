"""What these pages refuse."""

from gateway.errors import GatewayError, Kind


class FilterUnknown(GatewayError):
    """The address asks for a filter that the page does not offer."""

    kind = Kind.MALFORMED
    code = "filter_unknown"
    title = "The address names a filter that does not exist"


class PageUnknown(GatewayError):
    """The address names a page of the list that there is not."""

    kind = Kind.NOT_FOUND
    code = "page_unknown"
    title = "The list does not have this page"
