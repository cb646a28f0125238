"""`gateway-client verify`: what a file proves, with nothing but public keys; and fields revealed one by one."""

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gateway.errors import GatewayError
from gateway.sdk.commands.printing import complain, say
from gateway.sdk.evidence import Brought, Settled, load_brought, reveal, settle
from gateway.sdk.receipts import is_kept, parse_kept
from gateway.sdk.settling import verify_kept, verify_receipt_alone, verify_record_alone
from gateway.sdk.verify import MAX_FILE_BYTES, Verdict, keys_for, keys_of_issuer, load_public_keys, verify
from gateway.wire.encoding import parse_json_object
from gateway.wire.errors import MalformedInput, ProofFailed
from gateway.wire.evidence import is_evidence, parse_evidence
from gateway.wire.jws import unverified_claims
from gateway.wire.keys import Jwk
from gateway.wire.proofs import step_named

HOLDS, FAILS, UNUSABLE = 0, 1, 2
_JWS = b"eyJ"
"""How every compact JWS begins: base64url of `{"`."""

_DESCRIPTION = """\
Check proof files, evidence files and kept answers offline.

A proof file (`gateway audit prove`, as JSON or as a C2SP tlog-proof) holds the
gateway's receipt for one exchange, the log entry it names, and the proof that this
entry is in the public log. An evidence file (`gateway evidence export`) holds all
that, and whatever else the receipt names. A kept answer (`gateway-client ask
--receipts FOLDER`) holds question, receipt and record. A receipt or a record alone is
checked too, as the JWS or SD-JWT it is.
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
  Of a kept answer:
   1 receipt      the gateway signed what the receipt says
   2 request      the receipt names exactly this question
   3 record       the provider signed these fields, with the key that the receipt names
   4 disclosure   the receipt names this record and its fields
"""

_EPILOG = """\
The public keys file is written by `gateway keys export`. Get it beforehand, and not from
whoever hands you the proof: JSON {"issuer", "log_vkey", "keys": [JWK, ...]}.

Exit status: 0 every step holds; 1 a step fails; 2 the command or a file cannot be used.

Examples:
  gateway-client verify proof.json --keys public-keys.json
  gateway-client verify receipts/*.json --keys public-keys.json
  gateway-client verify evidence.json --keys public-keys.json --record kept.json
  gateway-client verify evidence.json --keys public-keys.json --record kept.json \\
      --reveal eligible -o for-the-tribunal.json
"""


def add(verbs: Any) -> None:
    """Describe the verb."""
    command: argparse.ArgumentParser = verbs.add_parser(
        "verify",
        help="check proofs, evidence, kept answers, receipts and records offline",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,  # an option that is not there must not be taken for another
    )
    command.add_argument("files", type=Path, nargs="+", metavar="file", help="what to check; one file or several")
    command.add_argument(
        "--keys", type=Path, required=True, help="the gateway's public keys file, or a folder of such files (*.json)"
    )
    command.add_argument(
        "--provider-keys", type=Path, help="a provider's JWK set: for a record alone, or where a receipt names no key"
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
    command.set_defaults(run=lambda options: run(command, options))


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
        _check_as_what_it_is(file, options)
    except ProofFailed as failed:
        complain(f"FAILED  {failed.step}: {failed.reason}")
        return FAILS
    except OSError as error:
        complain(f"cannot use {error.filename}: {error.strerror}")
        return UNUSABLE
    return HOLDS


def _check_as_what_it_is(file: Path, options: argparse.Namespace) -> None:
    data = _read(file)
    provider_keys = _jwk_set(options.provider_keys) if options.provider_keys else ()
    compact = data.strip()
    if is_evidence(data):
        brought = load_brought(
            _read(options.request) if options.request else None, _read(options.record) if options.record else None
        )
        _settle(data, brought, options)
    elif is_kept(data):
        with step_named("0 file"):
            kept = parse_kept(data)
        public_keys = keys_of_issuer(_issuer_of(kept.receipt), load_public_keys(options.keys))
        _print_verdict(verify_kept(kept, public_keys, provider_keys=provider_keys))
    elif compact.startswith(_JWS) and b"~" in compact:
        _print_record(compact.decode("ascii", "replace"), provider_keys)
    elif compact.startswith(_JWS):
        receipt = compact.decode("ascii", "replace")
        public_keys = keys_of_issuer(_issuer_of(receipt), load_public_keys(options.keys))
        _print_verdict(verify_receipt_alone(receipt, public_keys))
    else:
        _print_verdict(verify(file, options.keys))


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
        say(f"ok  {step.number} {step.name}: {step.proved}")
    receipt = verdict.receipt
    asked = f"at {receipt.issued_at}, {receipt.consumer} asked for {receipt.service} ({receipt.purpose})"
    say(f"Proved: {asked}; decision {receipt.decision}, outcome {receipt.outcome}.")
    say(f"  disclosed: {', '.join(receipt.fields_disclosed) or 'nothing'}")
    for rule in receipt.rules:
        say(f"  rule {rule.code}: {rule.title}")


def _print_settled(settled: Settled) -> None:
    _print_verdict(Verdict(steps=settled.steps, receipt=settled.receipt))
    if settled.agreement is not None:
        say(f"  agreement: {settled.agreement.get('title')}")
    for name, value in settled.fields.items():
        say(f"  {name} = {value!r}")
    for name, value in sorted((settled.details or {}).items()):
        say(f"  details, {name}: {value!r}")


def _print_record(unverified: str, provider_keys: Sequence[Jwk]) -> None:
    if not provider_keys:
        raise ProofFailed("0 keys", "a record alone is checked with --provider-keys, the provider's JWK set")
    record = verify_record_alone(unverified, provider_keys=provider_keys)
    said = f"{record.claims['iss']} stated this for {record.claims['aud']} in exchange {record.claims.get('jti')}"
    say(f"ok  3 record: {said}")
    for name, value in record.fields.items():
        say(f"  {name} = {json.dumps(value, ensure_ascii=False)}")


def _issuer_of(unverified_receipt: str) -> object:
    try:
        return unverified_claims(unverified_receipt).get("issuer")
    except GatewayError as error:
        raise ProofFailed("1 receipt", error.public) from error


def _jwk_set(path: Path) -> Sequence[Jwk]:
    try:
        keys = parse_json_object(path.read_bytes()).get("keys")
    except MalformedInput:
        keys = None
    if not isinstance(keys, list) or not all(isinstance(key, dict) for key in keys):
        raise ProofFailed("0 keys", f"{path.name} is not a JWK set")
    return keys


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
