"""Mutual TLS (RFC 8705 §2): a client is who its certificate says: by a name an authority vouches for, or by its key.

That the sender holds the certificate's private key was proved in the TLS handshake, here or at a proxy. What the
certificate is worth is decided here alone: a handshake may have been content with more (`gateway.mutual_tls`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from sqlalchemy.orm import Session

from gateway.directory.members import Client, list_clients
from gateway.errors import GatewayError, SettingsError
from gateway.wire.encoding import b64_decode
from gateway.wire.keys import Jwk, thumbprint
from gateway.wire.signer import jwk_of

BY_AUTHORITY = "tls_client_auth"
SELF_SIGNED = "self_signed_tls_client_auth"
METHODS = (BY_AUTHORITY, SELF_SIGNED)

# RFC 4514 §3 names nine attributes; these are in many certificates too, and software writes them so.
_MORE_NAMES = {
    "emailAddress": x509.NameOID.EMAIL_ADDRESS,
    "serialNumber": x509.NameOID.SERIAL_NUMBER,
    "organizationIdentifier": x509.NameOID.ORGANIZATION_IDENTIFIER,
}


class CertificateInvalid(GatewayError):
    """A certificate that does not show who the client is; `public` is the reason, one of our own words."""

    code = "invalid_client"


class SubjectUnreadable(GatewayError):
    """A subject that is not a distinguished name as RFC 4514 writes one."""

    code = "subject_unreadable"
    title = "The subject is not a distinguished name (RFC 4514), such as CN=portal,O=Specimen Council,C=GB"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientCertificates:
    """Judges the certificates of one gateway's clients; `authorities` may vouch for names."""

    authorities: tuple[x509.Certificate, ...] = ()

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods that can work here: without an authority nobody vouches for names."""
        return METHODS if self.authorities else (SELF_SIGNED,)

    def check(self, client: Client, certificate: bytes, *, keys: Sequence[Jwk], now: datetime) -> None:
        """Check that a certificate (DER) is this client's, as it is registered; raises `CertificateInvalid`."""
        try:
            shown = x509.load_der_x509_certificate(certificate)
            in_time = shown.not_valid_before_utc <= now <= shown.not_valid_after_utc
            if client.oauth.token_endpoint_auth_method == SELF_SIGNED:
                _check_key(shown, keys)
            else:
                self._check_authority(shown, now)
                _check_name(shown, client)
        except (ValueError, TypeError, x509.ExtensionNotFound) as error:
            raise CertificateInvalid("certificate_unreadable") from error
        if not in_time:
            raise CertificateInvalid("certificate_out_of_time")

    def _check_authority(self, shown: x509.Certificate, now: datetime) -> None:
        """RFC 8705 §2.1: an authority of ours issued it, itself: intermediate ones are named among them."""
        for authority in self.authorities:
            if authority.not_valid_before_utc <= now <= authority.not_valid_after_utc and _issued(shown, authority):
                return
        raise CertificateInvalid("certificate_of_no_authority")


def clients_with_certificates(session: Session) -> tuple[Client, ...]:
    """Return the active clients that may show a certificate which they registered with their keys."""
    return tuple(client for client in list_clients(session) if client.active and _may_show_its_own(client))


def _may_show_its_own(client: Client) -> bool:
    settings = client.oauth
    by_it = settings.token_endpoint_auth_method == SELF_SIGNED
    return by_it or settings.tls_client_certificate_bound_access_tokens or settings.fapi2


def load_authorities(path: Path | None) -> tuple[x509.Certificate, ...]:
    """Read the authorities in a PEM file; raises `SettingsError` for a certificate that may not issue others."""
    if path is None:
        return ()
    try:
        found = tuple(x509.load_pem_x509_certificates(path.read_bytes()))
        usable = all(_may_issue(certificate) for certificate in found)
    except (OSError, ValueError) as error:
        raise SettingsError(
            "GATEWAY_CLIENT_CERTIFICATE_AUTHORITIES names a file that cannot be read as PEM certificates.",
            detail=str(error),
        ) from error
    if not usable:
        raise SettingsError("GATEWAY_CLIENT_CERTIFICATE_AUTHORITIES holds a certificate that is not an authority's.")
    return found


def parse_subject(text: str) -> x509.Name:
    """Read a distinguished name as RFC 4514 writes it; raises `SubjectUnreadable`."""
    try:
        return x509.Name.from_rfc4514_string(text, _MORE_NAMES)
    except ValueError as error:
        raise SubjectUnreadable from error


def _may_issue(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _issued(shown: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        shown.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _check_key(shown: x509.Certificate, keys: Sequence[Jwk]) -> None:
    """RFC 8705 §2.2: the certificate's key is registered; where a certificate is registered with it, it is that one."""
    public_key = shown.public_key()
    if not isinstance(public_key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey):
        raise CertificateInvalid("certificate_not_registered")
    try:
        own = thumbprint(jwk_of(public_key))
        registered = [key for key in keys if thumbprint(key) == own]
    except GatewayError as error:
        raise CertificateInvalid("certificate_not_registered") from error
    der = shown.public_bytes(Encoding.DER)
    if not any("x5c" not in key or first_certificate(key) == der for key in registered):
        raise CertificateInvalid("certificate_not_registered")


def first_certificate(key: Jwk) -> bytes | None:
    """Return the certificate registered with a key (RFC 7517 §4.7), in DER; None when there is none to be read."""
    chain = key.get("x5c")
    if not isinstance(chain, list) or not chain or not isinstance(chain[0], str):
        return None
    try:
        return b64_decode(chain[0])
    except GatewayError:
        return None


def _check_name(shown: x509.Certificate, client: Client) -> None:
    """RFC 8705 §2.1.2: the one name that is registered, and no other kind of name."""
    settings = client.oauth
    named = [(value, has) for value, has in ((getattr(settings, field), has) for field, has in _NAMES.items()) if value]
    if len(named) != 1:
        raise CertificateInvalid("no_name_registered")
    value, has_name = named[0]
    if not has_name(shown, value):
        raise CertificateInvalid("certificate_of_another")


def _has_subject(shown: x509.Certificate, name: str) -> bool:
    try:
        return shown.subject == parse_subject(name)
    except SubjectUnreadable:
        return False


def _alternatives(shown: x509.Certificate) -> x509.SubjectAlternativeName:
    try:
        return shown.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return x509.SubjectAlternativeName([])


def _has_dns(shown: x509.Certificate, name: str) -> bool:
    # Host names know no case (RFC 4343). A certificate for `*.example` is not registered by the names it would fit.
    return name.lower() in {each.lower() for each in _alternatives(shown).get_values_for_type(x509.DNSName)}


def _has_uri(shown: x509.Certificate, name: str) -> bool:
    return name in _alternatives(shown).get_values_for_type(x509.UniformResourceIdentifier)


def _has_ip(shown: x509.Certificate, name: str) -> bool:
    return ip_address(name) in _alternatives(shown).get_values_for_type(x509.IPAddress)


def _has_email(shown: x509.Certificate, name: str) -> bool:
    return name in _alternatives(shown).get_values_for_type(x509.RFC822Name)


_NAMES: Mapping[str, Callable[[x509.Certificate, str], bool]] = {
    "tls_client_auth_subject_dn": _has_subject,
    "tls_client_auth_san_dns": _has_dns,
    "tls_client_auth_san_uri": _has_uri,
    "tls_client_auth_san_ip": _has_ip,
    "tls_client_auth_san_email": _has_email,
}
