"""Who asks whom, with which key: from options, the environment or a TOML file, in this order.

    issuer = "https://gateway.example"       # --issuer    GATEWAY_CLIENT_ISSUER
    client = "blackburn-portal"              # --client    GATEWAY_CLIENT_ID
    key = "blackburn-portal.pem"             # --key       GATEWAY_CLIENT_KEY
    dpop_key = "dpop.pem"                    # --dpop-key  GATEWAY_CLIENT_DPOP_KEY
    decryption_key = "decryption.pem"        # --decryption-key  GATEWAY_CLIENT_DECRYPTION_KEY
    certificate = "client.pem"               # --certificate      GATEWAY_CLIENT_CERTIFICATE
    certificate_key = "client-key.pem"       # --certificate-key  GATEWAY_CLIENT_CERTIFICATE_KEY
    ca_file = "authority.pem"                # --ca-file   GATEWAY_CLIENT_CA_FILE
    receipts = "receipts"                    # --receipts  GATEWAY_CLIENT_RECEIPTS
    encrypted = "dwp/free-school-meals/v1"   # --encrypted  GATEWAY_CLIENT_ENCRYPTED

Paths in the file are relative to it.
"""

import argparse
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gateway.sdk.commands.environment import environment
from gateway.sdk.metadata import GatewayDocuments
from gateway.sdk.possession import ClientCertificate

DEFAULT_FILE = "gateway-client.toml"
_TEXTS = {
    "issuer": "GATEWAY_CLIENT_ISSUER",
    "client": "GATEWAY_CLIENT_ID",
    "encrypted": "GATEWAY_CLIENT_ENCRYPTED",
}
_PATHS = {
    "key": "GATEWAY_CLIENT_KEY",
    "dpop_key": "GATEWAY_CLIENT_DPOP_KEY",
    "decryption_key": "GATEWAY_CLIENT_DECRYPTION_KEY",
    "certificate": "GATEWAY_CLIENT_CERTIFICATE",
    "certificate_key": "GATEWAY_CLIENT_CERTIFICATE_KEY",
    "ca_file": "GATEWAY_CLIENT_CA_FILE",
    "receipts": "GATEWAY_CLIENT_RECEIPTS",
}
_HELP = {
    "issuer": "the gateway's address, such as https://gateway.example",
    "client": "your system's client id",
    "key": "your system's private key (PEM)",
    "dpop_key": "the key your tokens are bound to, if you are registered so (DPoP)",
    "decryption_key": "the key for values that are encrypted to you alone (PEM)",
    "certificate": "your client certificate (PEM), if you are registered for mutual TLS",
    "certificate_key": "its private key (PEM)",
    "ca_file": "an authority to trust besides the system's (PEM)",
    "encrypted": "services, with spaces between, whose answers are believed only if encrypted to that key",
    "receipts": "keep question, receipt and record of every exchange in this folder",
}


class SettingsInvalid(Exception):
    """Something is missing or cannot be used; the message says what to give."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSettings:
    """Who asks whom."""

    issuer: str
    client: str
    key: Path
    dpop_key: Path | None = None
    decryption_key: Path | None = None
    certificate: ClientCertificate | None = None
    ca_file: Path | None = None
    receipts: Path | None = None
    encrypted: tuple[str, ...] = ()
    """The services whose answers are believed only if they are encrypted to `decryption_key`."""

    def documents(self) -> GatewayDocuments:
        """Return the gateway's documents as this client fetches them."""
        return GatewayDocuments(self.issuer, ca_file=self.ca_file, certificate=self.certificate)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Describe the options that every verb that asks has."""
    group = parser.add_argument_group(
        "who asks whom (also from the environment or a file, see `gateway-client --help`)"
    )
    group.add_argument(
        "--config", type=Path, help=f"a TOML file with these settings ({DEFAULT_FILE} where there is one)"
    )
    for name in (*_TEXTS, *_PATHS):
        group.add_argument(f"--{name.replace('_', '-')}", type=Path if name in _PATHS else str, help=_HELP[name])


def settings_from(options: argparse.Namespace) -> ClientSettings:
    """Return the settings; raises `SettingsInvalid` naming what is missing, `OSError`."""
    filed, folder = _file(options.config)
    found: dict[str, str | Path | None] = {}
    for name, variable in (_TEXTS | _PATHS).items():
        given = getattr(options, name) or environment().get(variable)
        in_file = filed.get(name)
        # A relative path in the file begins where the file is, any other where the command is run.
        found[name] = given or (folder / in_file if in_file and name in _PATHS else in_file)
    for name in ("issuer", "client", "key"):
        if not found[name]:
            variable = (_TEXTS | _PATHS)[name]
            raise SettingsInvalid(f"{name} is missing: give --{name}, {variable}, or {name} in {DEFAULT_FILE}")
    paths = {name: Path(value) for name in _PATHS if (value := found[name])}
    if ("certificate" in paths) != ("certificate_key" in paths):
        raise SettingsInvalid("certificate and certificate_key belong together: give both")
    if found["encrypted"] and "decryption_key" not in paths:
        raise SettingsInvalid("encrypted needs the key that answers are encrypted to: give decryption_key too")
    certificate = (
        ClientCertificate(certificate=paths["certificate"], key=paths["certificate_key"])
        if "certificate" in paths
        else None
    )
    return ClientSettings(
        issuer=str(found["issuer"]),
        client=str(found["client"]),
        key=paths["key"],
        dpop_key=paths.get("dpop_key"),
        decryption_key=paths.get("decryption_key"),
        certificate=certificate,
        ca_file=paths.get("ca_file"),
        receipts=paths.get("receipts"),
        encrypted=tuple(str(found["encrypted"] or "").split()),
    )


def _file(named: Path | None) -> tuple[Mapping[str, str], Path]:
    path = named or Path(DEFAULT_FILE)
    if named is None and not path.exists():
        return {}, path.parent
    try:
        members = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsInvalid(f"{path} is not TOML: {error}") from error
    unknown = sorted(members.keys() - _TEXTS.keys() - _PATHS.keys())
    if unknown:
        raise SettingsInvalid(f"{path}: {unknown[0]} is not known; known are {', '.join((*_TEXTS, *_PATHS))}")
    wrong = [name for name, value in members.items() if not isinstance(value, str)]
    if wrong:
        raise SettingsInvalid(f"{path}: {wrong[0]} is no text")
    return members, path.parent
