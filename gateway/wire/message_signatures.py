"""HTTP messages signed and checked: RFC 9421 with RFC 9530 digests, in the one profile the gateway speaks.

A request covers its method, raw target URI and Content-Digest, and whichever of Authorization, Idempotency-Key and DPoP
it carries; a response covers its status and Content-Digest and, by `;req`, the request it answers, signature included,
so an answer can be shown to belong to exactly one question. The label is `gw`; a request's keyid is
`<client>#<kid>`, a response's the gateway's `kid`. Refusing a repeated nonce is left to the caller, who remembers.
"""

import hashlib
import hmac
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, TypeVar

import http_sf

from gateway.wire.encoding import b64_encode
from gateway.wire.errors import (
    DigestMismatch,
    InvalidMessageSignature,
    InvalidSignature,
    StaleMessageSignature,
    UnusableKey,
)
from gateway.wire.http_messages import HeaderFields, HttpRequest, HttpResponse
from gateway.wire.keys import Jwk, algorithm_of, check_signature, find_key
from gateway.wire.signature_base import (
    LABEL,
    SignatureFields,
    is_representable,
    parse_signature_fields,
    serialize_parameters,
    signature_base,
)
from gateway.wire.signer import Signer

__all__ = [
    "HeaderFields",
    "HttpRequest",
    "HttpResponse",
    "VerifiedRequest",
    "VerifiedResponse",
    "check_content_digest",
    "content_digest",
    "sign_request",
    "sign_response",
    "sign_response_head",
    "stated_digest",
    "verify_request",
    "verify_response",
    "verify_response_head",
]

MAX_AGE_SECONDS = 60
MAX_CLOCK_SKEW_SECONDS = 5

REQUEST_COMPONENTS = ("@method", "@target-uri", "content-digest")
REQUEST_COMPONENTS_IF_PRESENT = ("authorization", "idempotency-key", "dpop")
RESPONSE_COMPONENTS = ("@status", "content-digest", "@method;req", "@target-uri;req")
RESPONSE_COMPONENTS_IF_PRESENT = ("content-digest", "authorization", "idempotency-key", "signature", "signature-input")

# RFC 9421 §3.3 has no name for PS256, so an RSA client key may sign tokens but not messages.
_ALGORITHMS: Mapping[str, str] = {"ES256": "ecdsa-p256-sha256", "Ed25519": "ed25519"}
_DIGESTS: Mapping[str, str] = {"sha-256": "sha256", "sha-512": "sha512"}
_NONCE = re.compile(r"[\x21-\x7e]{8,128}")

# What an answer is bound to: the whole signed request, or only its method, target and body when the request's own
# signature was not accepted.
Binding = Literal["request", "target"]

Message = TypeVar("Message", HttpRequest, HttpResponse)


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedRequest:
    """Who signed a request with which key, when, under which nonce, and what the signature covers."""

    client_id: str
    key_id: str
    nonce: str
    created: datetime
    covered: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedResponse:
    """Which key signed a response, when, what it covers, and how closely it is bound to the request."""

    key_id: str
    created: datetime
    covered: tuple[str, ...]
    binding: Binding


def content_digest(body: bytes) -> str:
    """Return the Content-Digest field of a body: `sha-256=:…:` (RFC 9530 §2)."""
    return f"sha-256=:{b64_encode(hashlib.sha256(body).digest())}:"


def check_content_digest(headers: Mapping[str, str], body: bytes) -> None:
    """Check Content-Digest against the actual body; every sha-256 and sha-512 member must hold, and one must exist.

    Raises `DigestMismatch`.
    """
    digests = _parse_digests(headers)
    known = {name: digests[name] for name in _DIGESTS if name in digests}
    # RFC 9530 §5: other algorithms are ignored, so alone they prove nothing.
    if not known:
        raise DigestMismatch("Content-Digest needs a sha-256 or sha-512 member")
    for name, digest in known.items():
        if not hmac.compare_digest(digest, hashlib.new(_DIGESTS[name], body).digest()):
            raise DigestMismatch


def sign_request(
    request: HttpRequest,
    *,
    signer: Signer,
    client_id: str,
    nonce: str,
    created: datetime,
    tag: str,
    components: Collection[str] = (),
) -> HttpRequest:
    """Return the request with Content-Digest, Signature-Input and Signature; `components` are further fields to cover.

    Raises `InvalidMessageSignature` when the request is signed already or holds what cannot be signed.
    """
    if "signature" in request.headers or "signature-input" in request.headers:
        raise InvalidMessageSignature("this request is signed already")
    if not _NONCE.fullmatch(nonce) or not client_id or "#" in client_id:
        raise InvalidMessageSignature("the nonce or the client id cannot be used in a signature")
    digested = _with_digest(request)
    required = _required_of_request(digested)
    covered = (*required, *(name for name in map(str.lower, components) if name not in required))
    parameters = {
        "created": int(created.timestamp()),
        "nonce": nonce,
        "keyid": f"{client_id}#{signer.key_id}",
        "tag": tag,
    }
    serialized = serialize_parameters(covered, parameters)
    return digested.with_headers(_signed(signature_base(covered, serialized, digested), serialized, signer))


def verify_request(
    request: HttpRequest,
    *,
    keys_of: Callable[[str, str], Jwk | None],
    tag: str,
    now: datetime,
    max_age_seconds: int = MAX_AGE_SECONDS,
) -> VerifiedRequest:
    """Check a request's signature; `keys_of(client_id, kid)` finds a registered public key or None.

    Raises `InvalidMessageSignature`, `StaleMessageSignature` or `DigestMismatch`. The nonce is not remembered here.
    """
    fields = parse_signature_fields(request.headers)
    _check_parameters(fields, tag=tag, required=("created", "keyid", "nonce", "tag"))
    nonce = fields.parameters["nonce"]
    if not _NONCE.fullmatch(nonce):
        raise InvalidMessageSignature("the nonce must be 8 to 128 visible characters")
    _check_covered(fields.covered, _required_of_request(request))
    created = _check_age(fields, now=now, max_age_seconds=max_age_seconds)
    check_content_digest(request.headers, request.body)
    client_id, separator, kid = fields.parameters["keyid"].partition("#")
    if not (client_id and separator and kid) or "#" in kid:
        raise InvalidMessageSignature("the keyid is not <client>#<kid>")
    key = keys_of(client_id, kid)
    if key is None:
        raise InvalidMessageSignature("the keyid names no registered key")
    _check_signature(fields, signature_base(fields.covered, fields.serialized, request), key)
    return VerifiedRequest(client_id=client_id, key_id=kid, nonce=nonce, created=created, covered=fields.covered)


def sign_response(
    response: HttpResponse,
    *,
    request: HttpRequest,
    signer: Signer,
    created: datetime,
    tag: str,
    binding: Binding = "request",
) -> HttpResponse:
    """Return the response with Content-Digest, Signature-Input and Signature, bound to the request it answers.

    `binding="target"` is for answers to a request whose own signature was not accepted.
    """
    return _sign_response(
        _with_digest(response), request=request, signer=signer, created=created, tag=tag, binding=binding
    )


def sign_response_head(
    response: HttpResponse, *, request: HttpRequest, signer: Signer, created: datetime, tag: str
) -> HttpResponse:
    """As `sign_response`, for a body that is sent piece by piece: its Content-Digest must be stated, and is believed.

    Raises `DigestMismatch` when none is stated.
    """
    stated_digest(response)
    return _sign_response(response, request=request, signer=signer, created=created, tag=tag, binding="request")


def stated_digest(response: HttpResponse) -> bytes:
    """Return the SHA-256 that Content-Digest states, 32 bytes, before the body is read; raises `DigestMismatch`."""
    digest = _parse_digests(response.headers).get("sha-256")
    if digest is None or len(digest) != hashlib.sha256().digest_size:
        raise DigestMismatch("Content-Digest needs a sha-256 member")
    return digest


def verify_response(
    response: HttpResponse,
    *,
    request: HttpRequest,
    keys: Sequence[Jwk],
    tag: str,
    now: datetime,
    max_age_seconds: int = MAX_AGE_SECONDS,
) -> VerifiedResponse:
    """Check a response's signature, and that it answers exactly this request.

    Only an error (status 400 and above) may be bound to no more than method, target and body; `binding` tells which.
    Raises as `verify_request` does.
    """
    verified = verify_response_head(
        response, request=request, keys=keys, tag=tag, now=now, max_age_seconds=max_age_seconds
    )
    check_content_digest(response.headers, response.body)
    return verified


def verify_response_head(
    response: HttpResponse,
    *,
    request: HttpRequest,
    keys: Sequence[Jwk],
    tag: str,
    now: datetime,
    max_age_seconds: int = MAX_AGE_SECONDS,
) -> VerifiedResponse:
    """As `verify_response`, before the body is read.

    **Nothing is proved of the body here**: whoever reads it holds it against `stated_digest`, which the signature
    covers, before using any of it.
    """
    fields = parse_signature_fields(response.headers)
    _check_parameters(fields, tag=tag, required=("created", "keyid", "tag"))
    binding: Binding = "request"
    if response.status >= 400 and not set(_required_of_response(request, "request")) <= set(fields.covered):  # noqa: PLR2004
        binding = "target"
    _check_covered(fields.covered, _required_of_response(request, binding))
    created = _check_age(fields, now=now, max_age_seconds=max_age_seconds)
    try:
        key = find_key(keys, fields.parameters["keyid"])
    except UnusableKey as error:
        raise InvalidMessageSignature("the keyid is ambiguous") from error
    if key is None:
        raise InvalidMessageSignature("the keyid names no trusted key")
    _check_signature(fields, signature_base(fields.covered, fields.serialized, response, request), key)
    return VerifiedResponse(key_id=fields.parameters["keyid"], created=created, covered=fields.covered, binding=binding)


def _with_digest(message: Message) -> Message:
    if "content-digest" in message.headers:
        check_content_digest(message.headers, message.body)
        return message
    return message.with_headers({"Content-Digest": content_digest(message.body)})


def _sign_response(
    digested: HttpResponse, *, request: HttpRequest, signer: Signer, created: datetime, tag: str, binding: Binding
) -> HttpResponse:
    covered = _required_of_response(request, binding)
    parameters = {"created": int(created.timestamp()), "keyid": signer.key_id, "tag": tag}
    serialized = serialize_parameters(covered, parameters)
    return digested.with_headers(_signed(signature_base(covered, serialized, digested, request), serialized, signer))


def _required_of_request(request: HttpRequest) -> tuple[str, ...]:
    return (*REQUEST_COMPONENTS, *(name for name in REQUEST_COMPONENTS_IF_PRESENT if name in request.headers))


def _required_of_response(request: HttpRequest, binding: Binding) -> tuple[str, ...]:
    if binding == "request":
        bound = [name for name in RESPONSE_COMPONENTS_IF_PRESENT if name in request.headers]
    else:
        # A refused request may hold anything; what no signature base can hold is left out by both sides alike.
        digest = request.headers.get("content-digest")
        bound = ["content-digest"] if digest is not None and is_representable(digest) else []
    return (*RESPONSE_COMPONENTS, *(f"{name};req" for name in bound))


def _signed(base: bytes, serialized: str, signer: Signer) -> dict[str, str]:
    if signer.algorithm not in _ALGORITHMS:
        raise UnusableKey("messages are signed with ES256 or Ed25519 keys")
    signature = b64_encode(signer.sign(base))
    return {"Signature-Input": f"{LABEL}={serialized}", "Signature": f"{LABEL}=:{signature}:"}


def _check_parameters(fields: SignatureFields, *, tag: str, required: Sequence[str]) -> None:
    missing = [name for name in required if name not in fields.parameters]
    if missing:
        raise InvalidMessageSignature(f"the signature parameter {missing[0]} is missing")
    # RFC 9421 §7.2.4: a tag keeps a signature made for one use from serving another.
    if fields.parameters["tag"] != tag:
        raise InvalidMessageSignature("the signature was made for another use (tag)")


def _check_covered(covered: Collection[str], required: Sequence[str]) -> None:
    # RFC 9421 §7.2.1: what is not covered can be changed on the way.
    missing = [name for name in required if name not in covered]
    if missing:
        raise InvalidMessageSignature(f"the signature does not cover {missing[0]}")


def _check_age(fields: SignatureFields, *, now: datetime, max_age_seconds: int) -> datetime:
    # RFC 9421 §7.2.2: age and nonce together bound how long a replay has to be remembered.
    created, instant = fields.parameters["created"], now.timestamp()
    if created > instant + MAX_CLOCK_SKEW_SECONDS:
        raise StaleMessageSignature("the signature was created in the future")
    if created < instant - max_age_seconds:
        raise StaleMessageSignature("the signature was created too long ago")
    if fields.parameters.get("expires", instant) < instant:
        raise StaleMessageSignature("the signature has expired")
    return datetime.fromtimestamp(created, UTC)


def _check_signature(fields: SignatureFields, base: bytes, key: Jwk) -> None:
    try:
        algorithm = algorithm_of(key)
        # RFC 9421 §3.2: the key decides the algorithm; a parameter that disagrees is refused.
        if (
            algorithm not in _ALGORITHMS
            or fields.parameters.get("alg", _ALGORITHMS[algorithm]) != _ALGORITHMS[algorithm]
        ):
            raise InvalidMessageSignature("the key and the algorithm of the signature do not match")
        check_signature(base, fields.signature, jwk=key, algorithm=algorithm)
    except UnusableKey as error:
        raise InvalidMessageSignature("the registered key cannot verify messages", detail=str(error)) from error
    except InvalidSignature as error:
        raise InvalidMessageSignature("the message signature does not verify") from error


def _parse_digests(headers: Mapping[str, str]) -> dict[str, bytes]:
    if "content-digest" not in headers:
        raise DigestMismatch("Content-Digest is missing")
    try:
        parsed: Any = http_sf.parse(
            headers["content-digest"].encode("ascii"), tltype="dictionary", on_duplicate_key=_refuse_duplicate
        )
    except (ValueError, RecursionError) as error:
        raise DigestMismatch("Content-Digest is malformed") from error
    digests = {name: member[0] for name, member in parsed.items()}
    if not all(isinstance(digest, bytes) for digest in digests.values()):
        raise DigestMismatch("Content-Digest is malformed")
    return digests


def _refuse_duplicate(_key: str, _context: str) -> None:
    raise DigestMismatch("Content-Digest repeats a member")
