"""`gateway-client keys new`: a key, and the public half to send to the gateway's operator."""

import argparse
import json
import os
from pathlib import Path
from typing import Any

from gateway.sdk.commands.printing import say
from gateway.wire.sealed_disclosures import DecryptionKey
from gateway.wire.signer import PrivateKeySigner

_DESCRIPTION = """\
Make a signing key for your system.

The private half is written into FILE, readable by you alone, and goes nowhere else. The
public half is printed as a JWK set: send it to the gateway's operator, who registers it.
"""
_EPILOG = """\
Example:
  gateway-client keys new blackburn-portal.pem > blackburn-portal.jwks.json
"""


def add(verbs: Any) -> None:
    """Describe the verb."""
    parser = verbs.add_parser("keys", help="make a signing key")
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="COMMAND")
    new = kinds.add_parser(
        "new",
        help="make a key and print its public half",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,  # an option that is not there must not be taken for another
    )
    new.add_argument("file", type=Path, metavar="FILE", help="where the private key goes; must not exist")
    new.add_argument("--alg", choices=("ES256", "Ed25519"), default="ES256", help="what it signs with (ES256)")
    new.add_argument(
        "--encryption", action="store_true", help="for values encrypted to you alone, instead of for signing (P-256)"
    )
    new.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Make the key."""
    key = DecryptionKey.generate() if options.encryption else PrivateKeySigner.generate(options.alg)
    # Never over another key, and never readable by others, not even for a moment.
    descriptor = os.open(options.file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(key.private_pem())
    say(json.dumps({"keys": [key.public_jwk()]}))
    return 0
