"""The bytes an HTTP message signature covers: RFC 9421 §2, and the fields that carry it, §4.

Component identifiers are written here as the name, with `;req` when the component is taken from the request that a
response answers (§2.4): `content-digest`, `@target-uri;req`. Parameters other than `req` are refused: our messages have
no use for them, and each one is another way to read a message twice.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import http_sf

from gateway.wire.errors import InvalidMessageSignature
from gateway.wire.http_messages import HttpRequest, HttpResponse

LABEL = "gw"

_PARAMETERS: Mapping[str, type] = {
    "created": int,
    "expires": int,
    "nonce": str,
    "alg": str,
    "keyid": str,
    "tag": str,
}
_DEFAULT_PORTS = {"http": 80, "https": 443}
# RFC 9421 §2.5: visible ASCII, spaces and tabs; a newline would forge another line of the base.
_VALUE = re.compile(r"[\x20-\x7e\t]*")
_COMPONENT = re.compile(r"(@?[a-z0-9!#$%&'*+.^_`|~-]+)(;req)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureFields:
    """One signature as its header fields state it: what it covers, its parameters, the raw signature bytes.

    `serialized` is the value of `@signature-params`, in the one spelling RFC 9651 gives it.
    """

    covered: tuple[str, ...]
    parameters: Mapping[str, Any]
    serialized: str
    signature: bytes


def signature_base(
    covered: Sequence[str], serialized: str, message: HttpRequest | HttpResponse, request: HttpRequest | None = None
) -> bytes:
    """Return the signature base (RFC 9421 §2.5); raises `InvalidMessageSignature` for a component it cannot read."""
    lines = [f"{_spelled(name)}: {component_value(name, message, request)}" for name in covered]
    lines.append(f'"@signature-params": {serialized}')
    return "\n".join(lines).encode("ascii")


def serialize_parameters(covered: Sequence[str], parameters: Mapping[str, object]) -> str:
    """Return covered components and parameters as the inner list of Signature-Input (RFC 9421 §4.1)."""
    item: Any = (True, dict(parameters))
    try:
        return _list_of(tuple(covered)) + http_sf.ser(item).removeprefix("?1")
    except ValueError as error:
        raise InvalidMessageSignature("a signature parameter cannot be written", detail=str(error)) from error


# Messages of one kind cover the same components, and writing them costs more than all the rest of a signature base.
@lru_cache(maxsize=64)
def _list_of(covered: tuple[str, ...]) -> str:
    inner_list: Any = ([_item(name) for name in covered], {})
    return http_sf.ser([inner_list])


def parse_signature_fields(headers: Mapping[str, str]) -> SignatureFields:
    """Read the one signature labelled `gw`; signatures under other labels are other people's and are ignored.

    Raises `InvalidMessageSignature` when it is absent, malformed, or could be read in two ways.
    """
    inputs = _dictionary(headers, "signature-input")
    signatures = _dictionary(headers, "signature")
    if LABEL not in inputs or LABEL not in signatures:
        raise InvalidMessageSignature(f"no signature labelled {LABEL}")
    inner_list, (signature, _) = inputs[LABEL], signatures[LABEL]
    if not isinstance(inner_list[0], list) or not isinstance(signature, bytes):
        raise InvalidMessageSignature("the signature fields do not have the types of RFC 9421 §4")
    items, parameters = inner_list
    covered = tuple(_component(item) for item in items)
    if len(set(covered)) != len(covered):
        raise InvalidMessageSignature("a component is covered twice")
    for name, value in parameters.items():
        # `type` and not `isinstance`: a Boolean is no Integer here, a Token no String.
        if name not in _PARAMETERS or type(value) is not _PARAMETERS[name]:
            raise InvalidMessageSignature("a signature parameter is unknown or of the wrong type")
    serialized = serialize_parameters(covered, parameters)
    return SignatureFields(covered=covered, parameters=parameters, serialized=serialized, signature=signature)


def component_value(component: str, message: HttpRequest | HttpResponse, request: HttpRequest | None = None) -> str:
    """Return the value of one component (RFC 9421 §2.1, §2.2, §2.4)."""
    name, _, from_request = component.partition(";")
    source: HttpRequest | HttpResponse = message
    if from_request:
        if not isinstance(message, HttpResponse) or request is None:
            raise InvalidMessageSignature("only a response may cover parts of a request")
        source = request
    value = _derived(name, source) if name.startswith("@") else source.headers.get(name)
    if value is None:
        raise InvalidMessageSignature(f"the covered component {name} is not in the message")
    if not is_representable(value):
        raise InvalidMessageSignature(f"the covered component {name} holds characters that cannot be signed")
    return value


def is_representable(value: str) -> bool:
    """Tell whether a field value can stand in a signature base at all."""
    return _VALUE.fullmatch(value) is not None


def _derived(name: str, source: HttpRequest | HttpResponse) -> str:
    if isinstance(source, HttpResponse):
        if name == "@status":
            return str(source.status)
        raise InvalidMessageSignature("of a response, the only derived component is @status")
    if name not in _REQUEST_COMPONENTS:
        raise InvalidMessageSignature("an unknown derived component is covered")
    return _REQUEST_COMPONENTS[name](source)


def _authority(request: HttpRequest) -> str:
    # RFC 9421 §2.2.3: the host in lower case, without the scheme's own port.
    parts = urlsplit(request.target_uri)
    try:
        port = parts.port
    except ValueError as error:
        raise InvalidMessageSignature("the target URI has no usable port") from error
    host = parts.netloc.rpartition("@")[2].lower()
    return host.rpartition(":")[0] if port is not None and port == _DEFAULT_PORTS.get(parts.scheme) else host


def _query(request: HttpRequest) -> str:
    # RFC 9421 §2.2.7: an absent query is written as a lone question mark.
    return "?" + request.target_uri.partition("?")[2].partition("#")[0]


_REQUEST_COMPONENTS: Mapping[str, Callable[[HttpRequest], str]] = {
    "@method": lambda request: request.method,
    "@target-uri": lambda request: request.target_uri,
    "@authority": _authority,
    "@scheme": lambda request: urlsplit(request.target_uri).scheme,
    "@path": lambda request: urlsplit(request.target_uri).path or "/",
    "@query": _query,
}


def _dictionary(headers: Mapping[str, str], name: str) -> Mapping[str, Any]:
    if name not in headers:
        raise InvalidMessageSignature(f"the {name} field is missing")
    try:
        parsed = http_sf.parse(headers[name].encode("ascii"), tltype="dictionary", on_duplicate_key=_refuse_duplicate)
    except (ValueError, RecursionError) as error:
        raise InvalidMessageSignature(f"the {name} field is not a structured dictionary") from error
    if not isinstance(parsed, dict):
        raise InvalidMessageSignature(f"the {name} field is not a structured dictionary")
    return parsed


def _refuse_duplicate(_key: str, context: str) -> None:
    raise InvalidMessageSignature(f"a {context} key is repeated in a signature field")


def _component(item: Any) -> str:
    name, parameters = item
    if type(name) is not str or (parameters and (len(parameters) > 1 or parameters.get("req") is not True)):
        raise InvalidMessageSignature("a covered component carries parameters that are not accepted")
    component = f"{name};req" if parameters else name
    if not _COMPONENT.fullmatch(component):
        raise InvalidMessageSignature("a covered component is not a lower-case name")
    return component


def _item(component: str) -> tuple[str, dict[str, bool]]:
    name, _, from_request = component.partition(";")
    return name, {"req": True} if from_request else {}


def _spelled(component: str) -> str:
    name, _, from_request = component.partition(";")
    return f'"{name}";req' if from_request else f'"{name}"'
