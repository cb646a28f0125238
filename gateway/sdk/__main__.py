"""`python -m gateway.sdk`: what a member, a citizen or a court can check for themselves, offline."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from gateway.sdk.verify import Verdict, verify
from gateway.wire.errors import ProofFailed

_DESCRIPTION = """\
Check a proof file offline.

A proof file (written by `gateway audit prove`, as JSON or as a C2SP tlog-proof) holds
the gateway's receipt for one exchange, the log entry it names, and the proof that this
entry is in the public log.
Nothing is sent anywhere and no server is asked: the file and the public keys suffice.

The steps:
  1 receipt     the gateway signed what the receipt says
  2 entry       the receipt names exactly this log entry
  3 statement   entry and receipt tell the same story
  4 checkpoint  the log signed its size and root hash
  5 inclusion   the entry is in the tree with that root hash
"""

_EPILOG = """\
The public keys file is written by `gateway keys export`. Get it beforehand, and not from
whoever hands you the proof: JSON {"issuer", "log_vkey", "keys": [JWK, ...]}.

Exit status: 0 every step holds; 1 a step fails; 2 the command or a file cannot be used.

Example:
  python -m gateway.sdk verify proof.json --keys public-keys.json
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m gateway.sdk", description="Check what the gateway says, offline.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    command = commands.add_parser(
        "verify",
        help="check a proof file with the gateway's public keys",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("files", type=Path, nargs="+", metavar="file", help="a proof file, or several")
    command.add_argument(
        "--keys", type=Path, required=True, help="the public keys file, or a folder of such files (*.json)"
    )
    options = parser.parse_args(arguments)
    # Every file is looked at; the worst result is the command's.
    return max(_check(file, options.keys) for file in options.files)


def _check(file: Path, keys: Path) -> int:
    try:
        verdict = verify(file, keys)
    except ProofFailed as failed:
        print(_in_one_line(f"FAILED  {failed.step}: {failed.reason}"), file=sys.stderr)
        return 1
    except OSError as error:
        print(f"cannot read {error.filename}: {error.strerror}", file=sys.stderr)
        return 2
    _print(verdict)
    return 0


def _print(verdict: Verdict) -> None:
    for step in verdict.steps:
        print(_in_one_line(f"ok  {step.number} {step.name}: {step.proved}"))
    receipt = verdict.receipt
    asked = f"at {receipt.issued_at}, {receipt.consumer} asked for {receipt.service} ({receipt.purpose})"
    print(_in_one_line(f"Proved: {asked}; decision {receipt.decision}, outcome {receipt.outcome}."))
    print(_in_one_line(f"  disclosed: {', '.join(receipt.fields_disclosed) or 'nothing'}"))
    for rule in receipt.rules:
        print(_in_one_line(f"  rule {rule.code}: {rule.title}"))


def _in_one_line(text: str) -> str:
    # What a gateway has signed may be meant to deceive whoever checks it: it writes no lines and steers no terminal.
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


if __name__ == "__main__":
    sys.exit(main())
