"""The `verify` command: check proof and evidence files offline, tell each step, reveal chosen fields."""

import argparse
import os
import sys
from pathlib import Path

from gateway.sdk.evidence import Brought, Settled, load_brought, reveal, settle
from gateway.sdk.verify import MAX_FILE_BYTES, Verdict, keys_for, load_public_keys, verify
from gateway.wire.errors import ProofFailed
from gateway.wire.evidence import is_evidence, parse_evidence
from gateway.wire.proofs import step_named

DESCRIPTION = """\
Check proof files and evidence files offline.

A proof file (`gateway audit prove`, as JSON or as a C2SP tlog-proof) holds the
gateway's receipt for one exchange, the log entry it names, and the proof that this
entry is in the public log. An evidence file (`gateway evidence export`) holds all
that, and whatever else the receipt names.
Nothing is sent anywhere and no server is asked: the file and the public keys suffice.

The steps:
   1 receipt      the gateway signed what the receipt says
   2 entry        the receipt names exactly this log entry
   3 statement    entry and receipt tell the same story
   4 checkpoint   the log signed its size and root hash
   5 inclusion    the entry is in the tree with that root hash
  Of an evidence file, where the exchange has it:
   6 answer       the provider signed what it answered
   7 checks       the gateway signed what it computed
   8 agreement    both members signed the agreement decided under
   9 policy       these are the rules that decided
  10 details      the log's entry commits to these details
  11 disclosures  what is revealed here was signed and disclosed then
  12 request      --request: the receipt names the request you kept
  13 record       --record: the record you kept is that of this exchange
"""

EPILOG = """\
The public keys file is written by `gateway keys export`. Get it beforehand, and not from
whoever hands you the proof: JSON {"issuer", "log_vkey", "keys": [JWK, ...]}.

Exit status: 0 every step holds; 1 a step fails; 2 the command or a file cannot be used.

Examples:
  python -m gateway.sdk verify proof.json --keys public-keys.json
  python -m gateway.sdk verify evidence.json --keys public-keys.json --record kept.json
  python -m gateway.sdk verify evidence.json --keys public-keys.json --record kept.json \\
      --reveal eligible -o for-the-tribunal.json
"""


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Give a parser the arguments of this command."""
    command.add_argument("files", type=Path, nargs="+", metavar="file", help="a proof or evidence file, or several")
    command.add_argument(
        "--keys", type=Path, required=True, help="the public keys file, or a folder of such files (*.json)"
    )
    command.add_argument("--request", type=Path, help="the body of the request, as the consumer sent it")
    command.add_argument(
        "--record", type=Path, help="what the consumer kept: a kept answer, an answer's JSON, or an SD-JWT"
    )
    command.add_argument(
        "--reveal",
        action="append",
        default=[],
        metavar="FIELD",
        help="write evidence that shows this field and no other",
    )
    command.add_argument("-o", "--output", type=Path, help="where --reveal writes")


def run(command: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    """Check what was named and return the exit status: every file is looked at, the worst result counts."""
    brings = options.request is not None or options.record is not None
    if (brings or options.reveal) and len(options.files) != 1:
        command.error("--request, --record and --reveal are about one file")
    if bool(options.reveal) != (options.output is not None) or (options.reveal and options.record is None):
        command.error("--reveal takes a field from what you kept and writes a file: give --record and --output")
    return max(_check(file, options) for file in options.files)


def _check(file: Path, options: argparse.Namespace) -> int:
    try:
        data = _read(file)
        if not is_evidence(data):
            _print_verdict(verify(file, options.keys))
            return 0
        brought = load_brought(
            _read(options.request) if options.request else None, _read(options.record) if options.record else None
        )
        _settle(data, brought, options)
    except ProofFailed as failed:
        print(_in_one_line(f"FAILED  {failed.step}: {failed.reason}"), file=sys.stderr)
        return 1
    except OSError as error:
        print(f"cannot use {error.filename}: {error.strerror}", file=sys.stderr)
        return 2
    return 0


def _settle(data: bytes, brought: Brought, options: argparse.Namespace) -> None:
    with step_named("0 file"):
        evidence = parse_evidence(data)
    public_keys = keys_for(evidence.proof, load_public_keys(options.keys))
    settled = settle(data, public_keys, brought=brought)
    if options.reveal:
        data = reveal(data, brought, options.reveal)
        settled = settle(data, public_keys)
        _write(options.output, data)
    _print_settled(settled)


def _print_verdict(verdict: Verdict) -> None:
    for step in verdict.steps:
        print(_in_one_line(f"ok  {step.number} {step.name}: {step.proved}"))
    receipt = verdict.receipt
    asked = f"at {receipt.issued_at}, {receipt.consumer} asked for {receipt.service} ({receipt.purpose})"
    print(_in_one_line(f"Proved: {asked}; decision {receipt.decision}, outcome {receipt.outcome}."))
    print(_in_one_line(f"  disclosed: {', '.join(receipt.fields_disclosed) or 'nothing'}"))
    for rule in receipt.rules:
        print(_in_one_line(f"  rule {rule.code}: {rule.title}"))


def _print_settled(settled: Settled) -> None:
    _print_verdict(Verdict(steps=settled.steps, receipt=settled.receipt))
    if settled.agreement is not None:
        print(_in_one_line(f"  agreement: {settled.agreement.get('title')}"))
    for name, value in settled.fields.items():
        print(_in_one_line(f"  {name} = {value!r}"))
    for name, value in sorted((settled.details or {}).items()):
        print(_in_one_line(f"  details, {name}: {value!r}"))


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        data = file.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise ProofFailed("0 file", "the file is larger than 10 MB")
    return data


def _write(path: Path, data: bytes) -> None:
    # What is revealed is about a person: the file is its owner's alone.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)


def _in_one_line(text: str) -> str:
    # What a gateway has signed may be meant to deceive whoever checks it: it writes no lines and steers no terminal.
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
