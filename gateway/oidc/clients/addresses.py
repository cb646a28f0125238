"""Which addresses a client may register: where people and codes are sent, and where we call.

Addresses are compared character by character later (RFC 9700 §2.1), so everything that different software reads
differently is refused here: there is then one way to read what was registered.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import parse_qsl, urlsplit

LONGEST_ADDRESS = 2000
LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})
# RFC 3986 §2: what an address is made of; the brackets stand in the host alone.
_ALPHABET = re.compile(r"[A-Za-z0-9\-._~:/?\[\]@!$&'()+,;=%#]*")
_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
# Escapes that some software undoes before it reads the path: "/", "\", ".", "%" itself, and control characters.
_TRICK = re.compile(r"%(?:2[fFeE5]|5[cC]|[01][0-9A-Fa-f]|7[fF])")
_HOST = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_NUMBER = re.compile(r"0x[0-9a-f]*|[0-9]+")
# What our answer adds to a redirect URI; one of them there already would be a parameter that is sent twice.
ANSWER_PARAMETERS = frozenset({"code", "state", "iss", "error", "error_description", "error_uri", "response", "sid"})


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressRules:
    """What depends on the deployment."""

    allow_loopback_http: bool
    """Plain http to this machine itself: where the gateway is allowed plain http too."""
    issuer: str


def origin_of(address: str) -> str:
    """Return scheme, host and port of an address, the port always spelled out."""
    parts = urlsplit(address)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return f"{parts.scheme}://{parts.hostname}:{port}"


def host_of(address: str) -> str:
    """Return the host of an address that passed `problem_with`."""
    return urlsplit(address).hostname or ""


def problem_with(address: object, rules: AddressRules) -> str | None:
    """Return all that is wrong with an address, as what to change; None when nothing is."""
    if not isinstance(address, str) or not address:
        return "has to be a text that is not empty"
    return "; ".join(filter(None, (check(address, rules) for check in CHECKS))) or None


def problem_with_redirect(address: object, rules: AddressRules) -> str | None:
    """Return all that is wrong with an address to which browsers are sent with an answer."""
    problem = problem_with(address, rules)
    if problem is not None and not _is_readable(str(address)):
        return problem
    found = [problem] if problem is not None else []
    # An answer sent to ourselves would make us pass it on (RFC 9700 §4.11.2).
    if origin_of(str(address)) == origin_of(rules.issuer):
        found.append("leads to the gateway itself")
    query = urlsplit(str(address)).query
    taken = ANSWER_PARAMETERS & {name for name, _ in parse_qsl(query, keep_blank_values=True)}
    if taken:
        found.append(f"has the parameter {min(taken)} in its query, which the answer brings itself: leave it out")
    return "; ".join(found) or None


def _spelling(address: str, _rules: AddressRules) -> str | None:
    # RFC 3986 §2; browsers turn backslashes into slashes, and drop tabs and line breaks.
    if len(address) > LONGEST_ADDRESS:
        return f"is longer than {LONGEST_ADDRESS} characters"
    if "*" in address:
        return "holds a wildcard: register each address in full, they are compared character by character"
    if not _ALPHABET.fullmatch(address):
        return "holds characters that are not those of an address (RFC 3986): write others as %XX"
    if _ESCAPE.search(address):
        return "holds a % without two hexadecimal digits after it"
    if _TRICK.search(address):
        return "holds an escaped slash, backslash, dot, percent or control character: write the address without it"
    return None


def _scheme(address: str, rules: AddressRules) -> str | None:
    # RFC 9700 §2.6 and §4.1.3: TLS, but for this machine itself. Schemes of apps' own can be taken by other apps
    # (RFC 8252 §8.5), and the clients here have keys to keep, which an app on somebody's telephone cannot.
    scheme = address.partition(":")[0].lower()
    if address.startswith("https://"):
        return None
    if not address.startswith("http://"):
        return (
            f"has to begin with https:// (it begins with {scheme[:20]}:)"
            if ":" in address
            else ("has to be absolute, beginning with https://")
        )
    if _authority(address).rpartition(":")[0] not in LOOPBACK and _authority(address) not in LOOPBACK:
        return "has to begin with https://: http:// is for localhost and 127.0.0.1 alone, at a gateway without TLS"
    if not rules.allow_loopback_http:
        return "has to begin with https://: this gateway does not allow http://, not even to localhost"
    return None


def _no_user(address: str, _rules: AddressRules) -> str | None:
    # RFC 3986 §7.6: https://trusted.example@attacker.example/ leads to the latter.
    return "holds an @ before its path: leave out the user name" if "@" in _authority(address) else None


def _host(address: str, _rules: AddressRules) -> str | None:
    authority = _authority(address)
    if "://" not in address or set(authority) & set("*@"):
        return None  # another rule says so, and more clearly
    if not _is_readable(address) or authority.endswith(":"):
        return "has a port or host that cannot be used"
    port = urlsplit(address).port
    written = authority.rpartition(":")[0] if port is not None else authority
    if written.startswith("["):
        return None if _is_address(written[1:-1]) else "has a host that is not an IPv6 address"
    if not _HOST.fullmatch(written):
        return "has a host that is not a name in small letters (write international names in their xn-- form)"
    # 0177.1, 0x7f.1 and 2130706433 are 127.0.0.1 to some software.
    if _NUMBER.fullmatch(written.rpartition(".")[2]) and not _is_address(written):
        return "has a host that some software reads as a number: write the address in its four parts"
    return None


def _path(address: str, _rules: AddressRules) -> str | None:
    # RFC 3986 §5.2.4: browsers remove dot segments, so the address reached is another one than was compared.
    segments = re.split(r"[?#]", address.partition("://")[2])[0].split("/")[1:]
    if {".", ".."} & set(segments):
        return "holds . or .. as a part of its path: write the path it leads to"
    return None


def _no_fragment(address: str, _rules: AddressRules) -> str | None:
    # RFC 6749 §3.1.2.
    return "has a fragment (#): leave it out" if "#" in address else None


CHECKS: tuple[Callable[[str, AddressRules], str | None], ...] = (
    _spelling,
    _scheme,
    _no_user,
    _host,
    _path,
    _no_fragment,
)


def _authority(address: str) -> str:
    return re.split(r"[/?#]", address.partition("://")[2], maxsplit=1)[0]


def _is_readable(address: str) -> bool:
    try:
        port = urlsplit(address).port
    except ValueError:
        return False
    return port != 0


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
