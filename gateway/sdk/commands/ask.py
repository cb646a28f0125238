"""`gateway-client ask`: one question, its verified answer or refusal."""

import argparse
import json
import secrets
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gateway.sdk.commands.client_settings import ClientSettings, SettingsInvalid, add_options, settings_from
from gateway.sdk.commands.environment import environment
from gateway.sdk.commands.officers import ADDRESS_HELP, officers_token
from gateway.sdk.commands.printing import complain, say
from gateway.sdk.consumer import Answer, Consumer, NotAnswered, Refusal
from gateway.sdk.metadata import GatewayUnreachable

TOKEN_VARIABLE = "GATEWAY_CLIENT_TOKEN"  # noqa: S105 - the variable's name
ANSWERED, REFUSED = 0, 1

_DESCRIPTION = """\
Ask one question and verify everything about the answer before showing any of it.

The person is named by your own name for them (a pairwise sub), or described by attributes.
What is written on a command line can be read by others on the same machine: for anybody
real, put the person into a file, or pass it on standard input:
  {"sub": "…"}    or    {"match": {"family_name": "…", "birthdate": "…", "nino": "…"}}

Agreements name who may ask; most need an officer, with a role, who signed in with a second
factor. Their access token comes from your own service, in a file or in
GATEWAY_CLIENT_TOKEN; or you sign in yourself with --sign-in, in the browser.
"""
_EPILOG = """\
Exit status: 0 answered; 1 refused (every failing rule is shown); 2 the command, a file or a
setting cannot be used; 3 there is no answer that can be believed.

Examples:
  gateway-client ask dwp/free-school-meals/v1 --purpose free-school-meals \\
    --field eligible --field tier --subject person.json --case-reference FSM/2026/00017 \\
    --token-file token.txt
  echo '{"sub": "…"}' | gateway-client ask … --subject - --json
  gateway-client ask … --match family_name=Testcase --match birthdate=1988-01-01 \\
    --match nino=QQ123456C --sign-in http://localhost:8003/callback
"""


def add(verbs: Any) -> None:
    """Describe the verb."""
    parser: argparse.ArgumentParser = verbs.add_parser(
        "ask",
        help="ask a question and verify the answer",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,  # an option that is not there must not be taken for another
    )
    parser.add_argument("service", help="what to ask, such as dwp/free-school-meals/v1")
    parser.add_argument("--purpose", required=True, help="why, as in the agreement")
    parser.add_argument("--field", dest="fields", action="append", required=True, help="a field; once for each")
    person = parser.add_mutually_exclusive_group(required=True)
    person.add_argument("--subject", metavar="FILE", help="the person, as JSON in a file; - is standard input")
    person.add_argument("--match", action="append", metavar="NAME=VALUE", help="an attribute of an invented person")
    person.add_argument("--sub", help="your own name for the person")
    parser.add_argument("--case-reference", help="your own reference of the case")
    officer = parser.add_mutually_exclusive_group()
    officer.add_argument("--token-file", type=Path, metavar="FILE", help="an officer's access token")
    officer.add_argument(
        "--sign-in",
        metavar="ADDRESS",
        help=ADDRESS_HELP,
    )
    parser.add_argument(
        "--documents", type=Path, metavar="FOLDER", help="fetch the documents beside the answer into this folder"
    )
    parser.add_argument("--idempotency-key", metavar="UUID", help="ask for a lost answer again: what was shown then")
    parser.add_argument("--salt", metavar="TEXT", help="and its salt")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of lines")
    add_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Ask, and show what was answered."""
    settings = settings_from(options)
    subject = _subject(options)
    if bool(options.idempotency_key) != bool(options.salt):
        raise SettingsInvalid("--idempotency-key and --salt belong together: give both, as they were shown")
    token = _token(options, settings)
    consumer = Consumer(
        settings.issuer,
        settings.client,
        settings.key,
        dpop=settings.dpop_key,
        certificate=settings.certificate,
        ca_file=settings.ca_file,
        receipts=settings.receipts,
        decryption=[settings.decryption_key] if settings.decryption_key else [],
        encrypted=settings.encrypted,
    )
    answer = _asked(consumer, options, subject=subject, token=token)
    (_show_json if options.json else _show)(answer)
    if options.documents is not None and isinstance(answer, Answer):
        _fetch_documents(answer, options.documents)
    if settings.receipts is not None and not options.json:
        say(f"kept in {settings.receipts / answer.exchange}.json")
    return ANSWERED if isinstance(answer, Answer) else REFUSED


def _asked(
    consumer: Consumer, options: argparse.Namespace, *, subject: Mapping[str, Any], token: str | None
) -> Answer | Refusal:
    idempotency_key, salt = options.idempotency_key or str(uuid.uuid4()), options.salt or secrets.token_urlsafe(16)
    try:
        return consumer.ask(
            service=options.service,
            purpose=options.purpose,
            subject=subject,
            fields=options.fields,
            case_reference=options.case_reference,
            access_token=token,
            idempotency_key=idempotency_key,
            salt=salt,
        )
    except GatewayUnreachable:
        complain("The answer may only be lost. To ask for it again, give the same question, and with it:")
        # With an equals sign: a salt may begin with a hyphen.
        complain(f"  --idempotency-key={idempotency_key} --salt={salt}")
        raise
    except NotAnswered as error:
        if token is None and error.code == "unauthorized_client":
            complain(f"An officer asks: give --sign-in, --token-file or {TOKEN_VARIABLE}.")
        raise


def _fetch_documents(answer: Answer, folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, document in answer.attachments.items():
        path = folder / f"{answer.exchange}.{name}"  # a field's name is letters, digits and underscores
        document.save(path)
        complain(f"fetched {path}: {document.media_type}, {document.size} bytes")


def _subject(options: argparse.Namespace) -> Mapping[str, Any]:
    if options.sub:
        return {"sub": options.sub}
    if options.match:
        pairs = [item.partition("=") for item in options.match]
        if not all(name and value for name, _equals, value in pairs):
            raise SettingsInvalid("--match takes NAME=VALUE, such as --match family_name=Testcase")
        described = {name: value for name, _equals, value in pairs}
        if len(described) < len(pairs):
            raise SettingsInvalid("--match gives each attribute once")
        return {"match": described}
    text = sys.stdin.read() if options.subject == "-" else Path(options.subject).read_text(encoding="utf-8")
    try:
        subject = json.loads(text)
    except ValueError as error:
        raise SettingsInvalid("The person is not JSON: see `gateway-client ask --help`") from error
    if not isinstance(subject, dict):
        raise SettingsInvalid('The person must be {"sub": …} or {"match": {…}}')
    return subject


def _token(options: argparse.Namespace, settings: ClientSettings) -> str | None:
    if options.sign_in:
        return officers_token(settings, redirect_uri=options.sign_in)
    if options.token_file:
        return str(options.token_file.read_text(encoding="utf-8").strip())
    return environment().get(TOKEN_VARIABLE)


def _show(answer: Answer | Refusal) -> None:
    if isinstance(answer, Answer):
        say(f"Answered by {answer.receipt.provider} (exchange {answer.exchange}):")
        for name, value in answer.fields.items():
            say(f"  {name}: {json.dumps(value, ensure_ascii=False)}")
    else:
        say(f"Refused (exchange {answer.exchange}):")
        for rule in answer.rules:
            say(f"  {rule.code}: {rule.title}")
    for step in answer.verified:
        say(f"ok  {step}")


def _show_json(answer: Answer | Refusal) -> None:
    shown: dict[str, Any] = {"exchange": answer.exchange, "outcome": answer.receipt.outcome}
    if isinstance(answer, Answer):
        shown |= {"fields": dict(answer.fields), "record": answer.record}
    else:
        shown |= {"code": answer.code, "rules": [{"code": rule.code, "title": rule.title} for rule in answer.rules]}
    print(json.dumps({**shown, "receipt": answer.receipt_jws}))
