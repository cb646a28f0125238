"""From which address a visitor really comes, where proxies stand in front: believed only of proxies that are named.

Each proxy adds the address it was called from to the right end of `X-Forwarded-For` (a list, de facto; RFC 7239 §7.4
says how it is read). Whoever is not one of ours may have written anything, so the list is read from the right, and only
as far as our own proxies vouch for it.
"""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

Network = IPv4Network | IPv6Network


def believing_proxies(app: WSGIApplication, proxies: Sequence[str]) -> WSGIApplication:
    """Return `app` told the visitor's own address (`REMOTE_ADDR`), as far as `proxies` (addresses, networks) vouch."""
    trusted = [ip_network(proxy) for proxy in proxies]

    def told(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        peer, forwarded = environ.get("REMOTE_ADDR", ""), environ.get("HTTP_X_FORWARDED_FOR", "")
        environ["REMOTE_ADDR"] = visitors_address(peer, forwarded, trusted)
        return app(environ, start_response)

    return told


def visitors_address(peer: str, forwarded_for: str, trusted: Sequence[Network]) -> str:
    """Return the nearest address that is not a trusted proxy's; a hop that is no address is not looked beyond."""
    nearest = peer
    hops = [hop.strip() for hop in forwarded_for.split(",")] if forwarded_for else []
    while is_trusted(nearest, trusted) and hops:
        address = _address(hops.pop())
        if address is None:
            return nearest
        nearest = str(address)
    return nearest


def is_trusted(text: str, trusted: Sequence[Network]) -> bool:
    """Tell whether an address is a trusted proxy's; what is no address is not."""
    address = _address(text)
    return address is not None and any(address in network for network in trusted)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    # A socket for both families shows IPv4 visitors so: it is one and the same visitor.
    return getattr(address, "ipv4_mapped", None) or address
