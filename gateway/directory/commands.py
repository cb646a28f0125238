"""`gateway members`: the organisations that take part."""

import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import click

from gateway.audit.append import AuditLog
from gateway.clock import Clock
from gateway.db import Database
from gateway.directory.members import OVERSIGHT_BODY, Jwk, Member, MemberContact, list_members
from gateway.directory.registration import register_member
from gateway.errors import GatewayError
from gateway.listings import AS_JSON, SHOWN_AS_JSON, print_listing
from gateway.wire.encoding import parse_json_object
from gateway.wire.keys import algorithm_of, thumbprint

BY = "command line"
KINDS = ("department", "agency", "council", "shared-service centre", "sandbox", OVERSIGHT_BODY)
_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{1,39}")
_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s.]+(?:\.[^@\s.]+)+")
_TELEPHONE = re.compile(r"\+?[0-9](?: ?[0-9]){4,24}")
_LONGEST_WORDS = 100
_PRIVATE = ("d", "p", "q", "dp", "dq", "qi", "oth", "k")


_FUNCTION = click.option("--function", "functions", multiple=True, help="What it does for others, such as benefits.")
_CONTACT = click.option(
    "--contact",
    "contacts",
    multiple=True,
    nargs=3,
    metavar="ROLE EMAIL TELEPHONE",
    help="How to reach a role, never a named person; give it once for each role.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MembersContext:
    """What these commands work on."""

    database: Database
    audit: AuditLog
    clock: Clock


def members_group(open_context: Callable[[], MembersContext]) -> click.Group:
    """Make the group; `open_context` is called when a command runs, not before."""
    group = click.Group("members", help="Organisations that take part: departments, councils, oversight bodies.")
    _add_looking(group, open_context)
    _add_adding(group, open_context)
    _add_changing(group, open_context)
    return group


def _add_looking(group: click.Group, open_context: Callable[[], MembersContext]) -> None:
    @group.command("list")
    @AS_JSON
    def list_command(*, as_json: bool) -> None:
        """List every organisation, inactive ones included."""
        with open_context().database.read() as session:
            found = list_members(session)
        shown = ("code", "name", "kind", "functions", "active")
        rows = [
            {name: getattr(member, name) for name in shown}
            | {"contacts": len(member.contacts), "keys": len(member.keys)}
            for member in found
        ]
        print_listing((*shown, "contacts", "keys"), rows, as_json=as_json)

    @group.command("show")
    @click.argument("code")
    @SHOWN_AS_JSON
    def show(code: str) -> None:
        """Show one organisation as JSON: functions, contacts, and the public keys that sign its agreements."""
        member = _member(open_context(), code)
        shown: dict[str, object] = {
            name: getattr(member, name) for name in ("code", "name", "kind", "active", "functions", "keys")
        }
        shown["contacts"] = [asdict(contact) for contact in member.contacts]
        click.echo(json.dumps(shown, indent=2, default=list, ensure_ascii=False))


def _add_adding(group: click.Group, open_context: Callable[[], MembersContext]) -> None:
    @group.command("add")
    @click.argument("code")
    @click.option("--name", required=True, help="What it is called.")
    @click.option("--kind", required=True, type=click.Choice(KINDS), help="What sort of organisation it is.")
    @click.option(
        "--key",
        "keys",
        multiple=True,
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        help="A file with a public key as JWK, which signs its agreements; give it once for each key.",
    )
    @_FUNCTION
    @_CONTACT
    def add(
        *,
        code: str,
        name: str,
        kind: str,
        keys: tuple[Path, ...],
        functions: tuple[str, ...],
        contacts: tuple[tuple[str, str, str], ...],
    ) -> None:
        """Register an organisation under a short code, such as dwp, or its GSS code, such as E06000008."""
        if not _CODE.fullmatch(code):
            raise click.ClickException("a code is 2 to 40 letters, digits and hyphens, such as dwp or E06000008")
        if not name.strip() or len(name) > 200 or not name.isprintable():  # noqa: PLR2004 - the column's length
            raise click.ClickException("--name has to be 1 to 200 printable characters")
        context = open_context()
        new = Member(
            code=code,
            name=name,
            kind=kind,
            keys=tuple(_public_key(path) for path in keys),
            functions=_functions(functions),
            contacts=_contacts(contacts),
        )
        with context.database.write() as session:
            if any(member.code.lower() == code.lower() for member in list_members(session)):
                raise click.ClickException(f"there is a member {code} already")
            register_member(session, new, audit=context.audit, by=BY, at=context.clock.now())
        click.echo(f"added: {code}. Next: gateway clients add --member {code}")


def _add_changing(group: click.Group, open_context: Callable[[], MembersContext]) -> None:
    @group.command("describe")
    @click.argument("code")
    @_FUNCTION
    @_CONTACT
    def describe(*, code: str, functions: tuple[str, ...], contacts: tuple[tuple[str, str, str], ...]) -> None:
        """Change what an organisation does and how it is reached; what is given replaces what was there."""
        if not functions and not contacts:
            raise click.ClickException("give --function, --contact or both")
        changes: dict[str, Any] = {}
        if functions:
            changes["functions"] = _functions(functions)
        if contacts:
            changes["contacts"] = _contacts(contacts)
        context = open_context()
        _change(context, replace(_member(context, code), **changes))
        click.echo(f"changed: {code}")

    @group.command("disable")
    @click.argument("code")
    def disable(code: str) -> None:
        """Stop an organisation at once: none of its systems is authenticated any more."""
        _activate(open_context(), code, active=False)
        click.echo(f"disabled: {code}")

    @group.command("enable")
    @click.argument("code")
    def enable(code: str) -> None:
        """Let a disabled organisation take part again."""
        _activate(open_context(), code, active=True)
        click.echo(f"enabled: {code}")


def _member(context: MembersContext, code: str) -> Member:
    with context.database.read() as session:
        found = next((member for member in list_members(session) if member.code == code), None)
    if found is None:
        raise click.ClickException(f"there is no member {code}: `gateway members list` shows them")
    return found


def _activate(context: MembersContext, code: str, *, active: bool) -> None:
    member = _member(context, code)
    if member.active is active:
        raise click.ClickException(f"{code} is {'active' if active else 'disabled'} already")
    _change(context, replace(member, active=active))


def _change(context: MembersContext, changed: Member) -> None:
    with context.database.write() as session:
        register_member(session, changed, audit=context.audit, by=BY, at=context.clock.now())


def _functions(given: tuple[str, ...]) -> tuple[str, ...]:
    for words in given:
        _check_words("--function", words)
    return tuple(dict.fromkeys(given))


def _contacts(given: tuple[tuple[str, str, str], ...]) -> tuple[MemberContact, ...]:
    if len({role.casefold() for role, _, _ in given}) != len(given):
        raise click.ClickException("--contact names a role twice")
    for role, email, telephone in given:
        _check_words("--contact", role)
        if not _EMAIL.fullmatch(email) or not email.isprintable():
            raise click.ClickException(f"--contact: {email} is not an e-mail address")
        if not _TELEPHONE.fullmatch(telephone):
            raise click.ClickException(f"--contact: {telephone} is not a telephone number")
    return tuple(MemberContact(role=role, email=email, telephone=telephone) for role, email, telephone in given)


def _check_words(option: str, words: str) -> None:
    if not words.strip() or len(words) > _LONGEST_WORDS or not words.isprintable():
        raise click.ClickException(f"{option} takes 1 to {_LONGEST_WORDS} printable characters")


def _public_key(path: Path) -> Jwk:
    try:
        key = parse_json_object(path.read_bytes())
        if held := [name for name in _PRIVATE if name in key]:
            raise click.ClickException(f"{path} holds the private member {held[0]}: give the public half alone")
        algorithm_of(key)
        named: Jwk = {"kid": thumbprint(key), **key}
    except GatewayError as error:
        raise click.ClickException(f"{path}: {error.public}") from error
    return named
