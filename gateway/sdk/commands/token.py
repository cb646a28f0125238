"""`gateway-client token`: an officer's access token in a file, to try a program with."""

import argparse
import os
from pathlib import Path
from typing import Any

from gateway.sdk.commands.client_settings import SettingsInvalid, add_options, settings_from
from gateway.sdk.commands.officers import ADDRESS_HELP, officers_token
from gateway.sdk.commands.printing import complain

_DESCRIPTION = """\
Sign in as an officer with the browser, and write the access token into a file that is
readable by you alone: to try a program that asks. It lasts a few minutes.

Your own service signs its officers in itself (docs/relying-parties.md).
"""
_EPILOG = """\
Exit status: 0 written; 2 the command, a file or a setting cannot be used; 3 nobody signed in.

Example:
  gateway-client token --sign-in http://localhost:8003/callback -o officer.token
"""


def add(verbs: Any) -> None:
    """Describe the verb."""
    parser: argparse.ArgumentParser = verbs.add_parser(
        "token",
        help="sign in as an officer, and keep the token in a file",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,  # an option that is not there must not be taken for another
    )
    parser.add_argument("--sign-in", metavar="ADDRESS", required=True, help=ADDRESS_HELP)
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", required=True, help="a new file")
    add_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Sign in, and write the token."""
    # Said before anybody signs in; never over another file, which may be a key.
    if options.output.exists():
        raise SettingsInvalid(f"{options.output} is there already: remove it, or name another file")
    token = officers_token(settings_from(options), redirect_uri=options.sign_in)
    descriptor = os.open(options.output, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(token + "\n")
    complain(f"written to {options.output}")
    return 0
