"""Keys in a hardware module, by PKCS #11 (OASIS, v2.40): made there, used there, never seen here.

python-pkcs11 initialises a module for one thread at a time, so one lock stands before all calls of a process. Whoever
waits for it, waits a bounded time: a module that hangs costs `503`, not every thread. A session that is lost is opened
again; a wrong PIN is never sent twice, for a few attempts lock a token.
"""

import hashlib
import os
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key

from gateway.errors import GatewayError, SettingsError
from gateway.signing.errors import HsmUnavailable
from gateway.wire.errors import UnusableKey
from gateway.wire.keys import check_signature
from gateway.wire.signer import RSA_BITS, PublicKey, jwk_of

if TYPE_CHECKING:
    from pkcs11 import Session

LONGEST_WAIT = 5.0
"""Seconds that a caller waits for others' turns at the module."""
REST = 1.0
"""Seconds after a failure in which the module is not asked again: a module that is away must not be stormed."""
_ID_BYTES = 16
_ED25519_BYTES = 32
_EDWARDS25519 = b"\x13\x0cedwards25519"  # the curve's name as a DER PrintableString
_PROBE = b"gateway: does this key sign?"
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hsm:
    """One token of a hardware module: `module` is the path of its PKCS #11 library."""

    module: str
    token: str
    pin: str = field(repr=False)

    def generate(self, algorithm: str, *, label: str) -> tuple[bytes, PublicKey]:
        """Make a key pair that cannot leave the token; returns its id and its public key.

        Raises `HsmUnavailable`, or `UnusableKey` for an algorithm the module has no keys for.
        """
        key_id = secrets.token_bytes(_ID_BYTES)
        return key_id, self._do(lambda session: _generated(session, algorithm, key_id, label))

    def signer(self, key_id: bytes, public_key: PublicKey, *, algorithm: str) -> "HsmSigner":
        """Return the signer of a key; the module is not asked before it signs. Raises `UnusableKey`."""
        return HsmSigner(self, key_id, jwk_of(public_key, algorithm=algorithm))

    def destroy(self, key_id: bytes) -> None:
        """Destroy a key pair; none of that id is no error. Raises `HsmUnavailable`."""
        self._do(lambda session: _module(self.module).destroy(session, self.token, key_id))

    def sign(self, key_id: bytes, message: bytes, *, jwk: dict[str, str]) -> bytes:
        """Return the raw JOSE signature of `message` by the key of this id; raises `HsmUnavailable`."""

        def sign(session: "Session") -> bytes:
            key = _module(self.module).key(session, self.token, key_id, jwk=jwk)
            return _signature(key, message, jwk["alg"])

        return self._do(sign)

    def _do(self, work: Callable[["Session"], _T]) -> _T:
        return _module(self.module).do(self.token, self.pin, work)


class HsmSigner:
    """A `Signer` whose private key stays in the module."""

    def __init__(self, hsm: Hsm, object_id: bytes, jwk: dict[str, str]) -> None:
        self._hsm = hsm
        self._jwk = jwk
        self.object_id = object_id
        """The key's CKA_ID in the token."""
        self.key_id = jwk["kid"]
        self.algorithm = jwk["alg"]

    def __repr__(self) -> str:
        return f"{type(self).__name__}(key_id={self.key_id!r}, algorithm={self.algorithm!r})"

    def sign(self, message: bytes) -> bytes:
        """Return the raw JOSE signature of `message`; raises `HsmUnavailable`."""
        return self._hsm.sign(self.object_id, message, jwk=self._jwk)

    def public_jwk(self) -> dict[str, str]:
        """Return the public key as a JWK with `kid`, `alg` and `use`."""
        return dict(self._jwk)


class _Module:
    """One PKCS #11 library in this process: its sessions by token, and the keys found in them.

    What a fork carries over is thrown away: it belongs to the parent.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._sessions: dict[str, Session] = {}
        self._keys: dict[tuple[str, bytes], Any] = {}
        self._refused: set[tuple[str, str]] = set()
        self._begun = False
        self._rests_until = 0.0
        os.register_at_fork(after_in_child=self._forked)

    def do(self, token: str, pin: str, work: Callable[["Session"], _T]) -> _T:
        """Do some work in the token's session, once more in a new one if it was lost; raises `HsmUnavailable`."""
        from pkcs11 import NoSuchKey, PKCS11Error  # noqa: PLC0415 - the extra `pkcs11` may not be installed

        if not self._lock.acquire(timeout=LONGEST_WAIT):
            raise HsmUnavailable(detail="the hardware module is busy, or hangs")
        try:
            if time.monotonic() < self._rests_until:
                raise HsmUnavailable(detail="the hardware module failed a moment ago")
            try:
                if token in self._sessions:
                    return work(self._sessions[token])
            except (NoSuchKey, GatewayError) as error:
                raise _unavailable(error) from error
            except PKCS11Error:
                self._drop()  # lost, or the token was reset: a new session may do
            try:
                self._sessions[token] = self._opened(token, pin)
                return work(self._sessions[token])
            except (NoSuchKey, GatewayError) as error:
                raise _unavailable(error) from error  # one key's fault, not the module's
            except PKCS11Error as error:
                self._drop()
                self._rests_until = time.monotonic() + REST
                raise _unavailable(error) from error
        finally:
            self._lock.release()

    def key(self, session: "Session", token: str, key_id: bytes, *, jwk: dict[str, str]) -> Any:
        """Return the private key of this id, looked for once a session; called by `do`'s work alone."""
        if (token, key_id) not in self._keys:
            found = _found(session, key_id)
            # The key of this id is the one whose public half is published, and it signs.
            check_signature(_PROBE, _signature(found, _PROBE, jwk["alg"]), jwk=jwk, algorithm=jwk["alg"])
            self._keys[token, key_id] = found
        return self._keys[token, key_id]

    def destroy(self, session: "Session", token: str, key_id: bytes) -> None:
        """Destroy what bears this id; called by `do`'s work alone."""
        from pkcs11 import Attribute  # noqa: PLC0415 - as above

        self._keys.pop((token, key_id), None)
        for each in list(session.get_objects({Attribute.ID: key_id})):
            each.destroy()

    def _opened(self, token: str, pin: str) -> "Session":
        import pkcs11  # noqa: PLC0415 - as above

        attempt = (token, hashlib.sha256(pin.encode()).hexdigest())
        if attempt in self._refused:
            raise HsmUnavailable(detail="the hardware module refused this PIN; it is not tried again until a restart")
        library = pkcs11.lib(self._path)
        if self._begun:
            # Only so does a module see a token that came back, and a child stop using what is its parent's.
            self._drop()
            library.reinitialize()
        self._begun = True
        try:
            return library.get_token(token_label=token).open(rw=True, user_pin=pin)
        except (pkcs11.PinIncorrect, pkcs11.PinLocked, pkcs11.PinExpired, pkcs11.PinInvalid, pkcs11.PinLenRange):
            self._refused.add(attempt)
            raise

    def _drop(self) -> None:
        self._sessions.clear()
        self._keys.clear()

    def _forked(self) -> None:
        # A thread of the parent may have held the lock, and never releases it here.
        self._lock = threading.Lock()
        self._rests_until = 0.0
        self._drop()


@lru_cache(maxsize=8)
def _module(path: str) -> _Module:
    try:
        import pkcs11  # noqa: F401, PLC0415 - looked for when it is needed
    except ImportError as error:
        raise SettingsError("GATEWAY_PKCS11_MODULE needs the extra: pip install 'gateway[pkcs11]'.") from error
    return _Module(path)


def _unavailable(error: Exception) -> HsmUnavailable:
    return HsmUnavailable(detail=f"hardware module: {type(error).__name__} {error}".strip())


def _generated(session: "Session", algorithm: str, key_id: bytes, label: str) -> PublicKey:
    from pkcs11 import Attribute, KeyType  # noqa: PLC0415 - as above
    from pkcs11.util.ec import encode_ec_public_key, encode_named_curve_parameters  # noqa: PLC0415
    from pkcs11.util.rsa import encode_rsa_public_key  # noqa: PLC0415

    stays: dict[Any, Any] = {Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False, Attribute.SIGN: True}
    options: dict[str, Any] = {"store": True, "id": key_id, "label": label, "private_template": stays}
    if algorithm == "ES256":
        curve = {Attribute.EC_PARAMS: encode_named_curve_parameters("secp256r1")}
        public, _ = session.create_domain_parameters(KeyType.EC, curve, local=True).generate_keypair(**options)
        key: object = load_der_public_key(encode_ec_public_key(public))
    elif algorithm in {"RS256", "PS256"}:
        public, _ = session.generate_keypair(KeyType.RSA, RSA_BITS, **options)
        key = load_der_public_key(encode_rsa_public_key(public))
    else:
        curve = {Attribute.EC_PARAMS: _EDWARDS25519}
        domain = session.create_domain_parameters(KeyType.EC_EDWARDS, curve, local=True)
        public, _ = domain.generate_keypair(**options)
        # PKCS #11 v3.0 §2.3.5: the point in an OCTET STRING.
        key = Ed25519PublicKey.from_public_bytes(bytes(public[Attribute.EC_POINT])[-_ED25519_BYTES:])
    if not isinstance(key, PublicKey):
        raise UnusableKey("the hardware module made a key of another kind")
    return key


def _found(session: "Session", key_id: bytes) -> Any:
    from pkcs11 import ObjectClass  # noqa: PLC0415 - as above

    return session.get_key(object_class=ObjectClass.PRIVATE_KEY, id=key_id)


def _signature(key: Any, message: bytes, algorithm: str) -> bytes:
    from pkcs11 import MGF, Mechanism  # noqa: PLC0415 - as above

    if algorithm == "ES256":
        # PKCS #11 §2.3.1: the raw r‖s that JOSE asks for. Not every module hashes by itself.
        return bytes(key.sign(hashlib.sha256(message).digest(), mechanism=Mechanism.ECDSA))
    if algorithm == "RS256":
        return bytes(key.sign(message, mechanism=Mechanism.SHA256_RSA_PKCS))
    if algorithm == "PS256":
        # RFC 7518 §3.5: the salt is as long as the hash.
        salt = hashlib.sha256().digest_size
        return bytes(
            key.sign(
                message,
                mechanism=Mechanism.SHA256_RSA_PKCS_PSS,
                mechanism_param=(Mechanism.SHA256, MGF.SHA256, salt),
            )
        )
    return bytes(key.sign(message, mechanism=Mechanism.EDDSA))
