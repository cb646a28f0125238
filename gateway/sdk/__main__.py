"""`python -m gateway.sdk`: what a member, a citizen or a court can check for themselves, offline."""

import argparse
import sys
from collections.abc import Sequence

from gateway.sdk import verify_command


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m gateway.sdk", description="Check what the gateway says, offline.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    command = commands.add_parser(
        "verify",
        help="check proof and evidence files with the gateway's public keys",
        description=verify_command.DESCRIPTION,
        epilog=verify_command.EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verify_command.add_arguments(command)
    return verify_command.run(command, parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
