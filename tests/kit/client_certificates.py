"""Clients' certificates: by an authority made for a test, or by their own key; as files that `requests` can show."""

import base64
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateway.oidc.possession import thumbprint_of
from gateway.wire.signer import jwk_of


def name_of(common_name: str) -> x509.Name:
    """The subject `CN=…,O=Specimen Council,C=GB`."""
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "GB"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Specimen Council"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A certificate, its private key, and both as files."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)
    folder: Path

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def x5t_s256(self) -> str:
        return thumbprint_of(self.der)

    def jwk(self, *, with_certificate: bool = True) -> dict[str, object]:
        """The key as a client registers it, with its certificate (RFC 8705 §2.2.2)."""
        x5c = {"x5c": [base64.b64encode(self.der).decode()]} if with_certificate else {}
        return {**jwk_of(self.key.public_key()), **x5c}

    def files(self) -> tuple[str, str]:
        """The certificate and the key as `requests` takes them."""
        return str(self.certificate_file), str(self._write("key", self._key_pem()))

    @property
    def certificate_file(self) -> Path:
        return self._write("certificate", self.pem.encode())

    def issue(
        self,
        common_name: str,
        *,
        alternatives: Sequence[x509.GeneralName] = (),
        authority: bool = False,
        days: tuple[int, int] = (-1, 1),
        now: datetime,
    ) -> "Holder":
        """A certificate by this one's key, whether or not it may issue any."""
        return _issued(
            common_name,
            by=self,
            alternatives=alternatives,
            authority=authority,
            days=days,
            folder=self.folder,
            now=now,
        )

    def _key_pem(self) -> bytes:
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def _write(self, kind: str, content: bytes) -> Path:
        path = self.folder / f"{self.certificate.serial_number:x}-{kind}.pem"
        if not path.exists():
            path.write_bytes(content)
        return path


def self_signed(
    common_name: str,
    *,
    folder: Path,
    now: datetime,
    authority: bool = False,
    days: tuple[int, int] = (-1, 1),
    key: ec.EllipticCurvePrivateKey | None = None,
) -> Holder:
    """A certificate by its own key; valid for these days from now."""
    return _issued(
        common_name, by=None, alternatives=(), authority=authority, days=days, folder=folder, now=now, key=key
    )


def _issued(
    common_name: str,
    *,
    by: Holder | None,
    alternatives: Sequence[x509.GeneralName],
    authority: bool,
    days: tuple[int, int],
    folder: Path,
    now: datetime,
    key: ec.EllipticCurvePrivateKey | None = None,
) -> Holder:
    key = key or ec.generate_private_key(ec.SECP256R1())
    issuer_key = by.key if by is not None else key
    builder = (
        x509.CertificateBuilder()
        .subject_name(name_of(common_name))
        .issuer_name(by.certificate.subject if by is not None else name_of(common_name))
        .public_key(key.public_key())
        .serial_number(secrets.randbits(120))
        .not_valid_before(now + timedelta(days=days[0]))
        .not_valid_after(now + timedelta(days=days[1]))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    if alternatives:
        builder = builder.add_extension(x509.SubjectAlternativeName(list(alternatives)), critical=False)
    return Holder(certificate=builder.sign(issuer_key, hashes.SHA256()), key=key, folder=folder)
