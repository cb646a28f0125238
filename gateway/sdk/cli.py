"""`gateway-client`: what members do from the command line. `python -m gateway.sdk` is the same."""

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from gateway.errors import GatewayError, Kind
from gateway.sdk.answers import NotAnswered
from gateway.sdk.commands import ask, keys, serve_table, token, verify
from gateway.sdk.commands.client_settings import SettingsInvalid
from gateway.sdk.commands.printing import complain
from gateway.sdk.metadata import GatewayUnreachable

UNUSABLE, NO_ANSWER = 2, 3

_DESCRIPTION = """\
What a member of the gateway does from the command line: ask, answer, and check what others
say. Each command explains itself: gateway-client ask --help
"""
_EPILOG = """\
Who asks whom is given by options, by the environment, or in gateway-client.toml:

  issuer = "https://gateway.example"      GATEWAY_CLIENT_ISSUER
  client = "blackburn-portal"             GATEWAY_CLIENT_ID
  key = "blackburn-portal.pem"            GATEWAY_CLIENT_KEY
  receipts = "receipts"                   GATEWAY_CLIENT_RECEIPTS (optional: keep what proves)
  ca_file = "authority.pem"               GATEWAY_CLIENT_CA_FILE (optional)

To begin: docs/consumers.md for those who ask, docs/providers.md for those who answer.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    parser = argparse.ArgumentParser(
        prog="gateway-client",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs: Any = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for verb in (ask, token, serve_table, verify, keys):
        verb.add(verbs)
    options = parser.parse_args(arguments)
    try:
        return int(options.run(options))
    except SettingsInvalid as error:
        complain(str(error))
        return UNUSABLE
    except GatewayError as error:
        # Of what cannot be reached the address is said too; there is nobody else whom it would tell anything.
        complain(f"{error.code}: {error if isinstance(error, GatewayUnreachable) else error.public}")
        for place in error.places if isinstance(error, NotAnswered) else ():
            complain(f"  {place}")
        return NO_ANSWER if error.kind == Kind.UPSTREAM else UNUSABLE
    except OSError as error:
        complain(f"{error.filename or error.__class__.__name__}: {error.strerror or error}")
        return UNUSABLE
    except KeyboardInterrupt:
        return UNUSABLE


if __name__ == "__main__":
    sys.exit(main())
