"""`gateway clients`: which systems there are, how each is registered, and what is wrong where one does not work."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
from sqlalchemy import select

from gateway.clock import rfc3339
from gateway.directory.members import find_registration, list_clients, list_members
from gateway.listings import AS_JSON, SHOWN_AS_JSON, print_listing
from gateway.oidc.clients.command_context import BY, ClientsContext, OpenContext, file_of_json, told
from gateway.oidc.clients.key_documents import private_content, read_public_keys
from gateway.oidc.clients.metadata_names import metadata_of
from gateway.oidc.clients.models import KeySetRow
from gateway.oidc.clients.registering_commands import (
    ACCOUNT_KINDS,
    KEY_ALGORITHMS,
    check_member,
    operators_limits,
    registering_commands,
)
from gateway.oidc.clients.registration_tokens import find_initial_token
from gateway.oidc.clients.secrets import secret_expiry
from gateway.oidc.clients.trial import Finding
from gateway.signing.private_files import write_private_file
from gateway.wire.keys import Jwk
from gateway.wire.sealed_disclosures import DecryptionKey
from gateway.wire.signer import PrivateKeySigner

OVERLAP_HOURS = 24
MOST_OVERLAP_HOURS = 24 * 30
_WHO = "For a file: who may sign in to it, as with `add`."
_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


def clients_group(open_context: OpenContext) -> click.Group:
    """Make the group; `open_context` is called when a command runs, not before."""
    group = click.Group("clients", help="Members' systems: register them, see how each is registered, find faults.")
    for command in registering_commands(open_context):
        group.add_command(command)
    _add_looking(group, open_context)
    _add_changing(group, open_context)
    return group


def _add_looking(group: click.Group, open_context: OpenContext) -> None:
    @group.command("list")
    @AS_JSON
    def list_command(*, as_json: bool) -> None:
        """List members and their systems."""
        with open_context().database.read() as session:
            members = {member.code: member for member in list_members(session)}
            found = list_clients(session)
        rows = [
            {
                "member": client.member_code,
                "client": client.client_id,
                "kinds": client.kinds,
                "active": client.active and members[client.member_code].active,
                "method": client.oauth.token_endpoint_auth_method,
            }
            for client in found
        ]
        print_listing(("member", "client", "kinds", "active", "method"), rows, as_json=as_json)

    @group.command("show")
    @click.argument("client_id")
    @SHOWN_AS_JSON
    def show(client_id: str) -> None:
        """Show one system's registration as JSON, the metadata as RFC 7591 spells it; never a secret."""
        with told():
            click.echo(json.dumps(_shown(open_context(), client_id), indent=2))

    @group.command("check", short_help="Try a registration, and say what is wrong.")
    @click.argument("what")
    @click.option("--member", help="For a file: code of the member whose system it will be, as with `add`.")
    @click.option("--token", type=click.File("r"), help="For a file, instead: the token it will be registered with.")
    @click.option("--account-kind", "account_kinds", multiple=True, type=click.Choice(ACCOUNT_KINDS), help=_WHO)
    @click.option("--assertion", type=click.File("r"), help="A client assertion to verify; - reads standard input.")
    @click.option("--reach", is_flag=True, help="Also try whether its servers answer over TLS, seen from here.")
    @click.option("--secret", is_flag=True, help="For a file: allow it a secret, as `add --secret` does.")
    def check(*, what: str, **options: Any) -> None:
        """Try a registration: a client_id, or a file of client metadata that is not registered yet.

        Every rule is applied as registration applies it: as `clients add` would with --member, as the registration
        endpoint would with --token, which is read from a file or, as -, from standard input, and not used up. Keys are
        fetched from a jwks_uri, and with --assertion an assertion is verified as the token endpoint would, without
        using it up. Nothing is written. The exit status is 0 when nothing is wrong, 1 otherwise.

        \b
          gateway clients check metadata.json --member E06000008 --account-kind citizen
          echo $TOKEN | gateway clients check metadata.json --token -
          gateway clients check library --assertion assertion.txt
        """  # noqa: D301 - click's mark
        with told():
            findings = _tried(open_context(), what, options)
        wrong = 0
        for finding in findings:
            wrong += finding.ok is False
            mark = {True: "ok   ", False: "WRONG", None: "note "}[finding.ok]
            named = "" if finding.told.startswith(finding.rule) else f"{finding.rule}: "
            click.echo(f"{mark} {named}{finding.told}")
        if wrong:
            click.echo(f"{wrong} thing(s) to change; docs/relying-parties.md says more", err=True)
            raise click.exceptions.Exit(1)


def _shown(context: ClientsContext, client_id: str) -> dict[str, Any]:
    with context.database.read() as session:
        client = context.registrar.registered(session, client_id)
        found = find_registration(session, client_id)
        ends = secret_expiry(session, client_id)
        fetched = session.scalar(select(KeySetRow).where(KeySetRow.client_id == client_id))
    told_of = metadata_of(client, issued_at=found[1] if found is not None else None)
    told_of |= {"member": client.member_code, "sector": client.sector, "active": client.active}
    if ends is not None:
        told_of["client_secret_expires_at"] = int(ends.timestamp())
    if client.oauth.jwks_uri is not None and fetched is not None and fetched.jwks_uri == client.oauth.jwks_uri:
        told_of["fetched_keys"] = {
            "key_ids": [key["kid"] for key in fetched.keys],
            "fetched_at": rfc3339(fetched.fetched_at) if fetched.fetched_at is not None else None,
            "attempted_at": rfc3339(fetched.attempted_at),
            "failure": fetched.failure,
        }
    return told_of


def _file_tried(context: ClientsContext, path: Path, options: dict[str, Any]) -> list[Finding]:
    member, token, now = options["member"], options["token"], context.clock.now()
    if not path.is_file():
        raise click.ClickException(f"there is neither a client nor a file {path}")
    if options["assertion"] is not None or options["reach"]:
        raise click.UsageError("--assertion and --reach are for a client that is registered")
    if (member is None) == (token is None):
        raise click.UsageError("for a file, give --member or --token: whose system it will be says what it may have")
    metadata = file_of_json(path)
    if options["account_kinds"]:
        metadata["account_kinds"] = list(options["account_kinds"])
    if token is None:
        metadata.setdefault("kinds", ["relying_party"])
        with context.database.read() as session:
            check_member(session, member)
        return list(context.trial().metadata(metadata, operators_limits(context, member, secrets=options["secret"])))
    with context.database.read() as session:
        initial = find_initial_token(session, token.read().strip(), now=now)
    if initial is None:
        raise click.ClickException("this token registers nothing: it is unknown, used up or over")
    return list(context.trial().metadata(metadata, initial.limits))


def _tried(context: ClientsContext, what: str, options: dict[str, Any]) -> list[Finding]:
    with context.database.read() as session:
        found = find_registration(session, what)
    if found is None:
        return _file_tried(context, Path(what), options)
    trial, assertion = context.trial(), options["assertion"]
    if options["member"] or options["token"] or options["account_kinds"] or options["secret"]:
        raise click.UsageError("--member, --token, --account-kind and --secret are for a file; this is a client")
    client = found[0]
    limits = operators_limits(context, client.member_code, secrets=context.has_secret(client))
    findings = list(trial.client(client, limits))
    if options["reach"]:
        findings += trial.reach(client)
    if assertion is not None:
        findings.append(trial.assertion(client, assertion.read().strip(), now=context.clock.now()))
    return findings


def _add_changing(group: click.Group, open_context: OpenContext) -> None:
    @group.command("rotate", short_help="Change a system's keys or secret, without a pause.")
    @click.argument("client_id")
    @click.option("--add-key", type=_FILE, help="A file with the new public key: JWK, JWK set, PEM or certificate.")
    @click.option(
        "--new-key",
        type=click.Path(path_type=Path, dir_okay=False),
        help="Make the new key: the private half goes into this file, which must not exist.",
    )
    @click.option(
        "--key-alg", type=click.Choice(KEY_ALGORITHMS), default="ES256", show_default=True, help="For --new-key."
    )
    @click.option(
        "--new-encryption-key",
        type=click.Path(path_type=Path, dir_okay=False),
        help="Make a key to which departments encrypt from end to end; the private half goes into this new file.",
    )
    @click.option(
        "--remove-key", metavar="KID", help="Remove the key with this kid: what it signed is refused at once."
    )
    @click.option("--secret", is_flag=True, help="Make a new secret, shown once.")
    @click.option(
        "--overlap-hours",
        type=click.IntRange(0, MOST_OVERLAP_HOURS),
        default=OVERLAP_HOURS,
        show_default=True,
        help="How long the secret before still works.",
    )
    def rotate(*, client_id: str, **options: Any) -> None:
        """Change a system's keys or secret, one step at a time, so that it never stops working.

        \b
        Keys:   rotate ID --add-key new.pem     then have the system use it,
                rotate ID --remove-key OLD-KID  then the old one is gone
        Secret: rotate ID --secret              both work for --overlap-hours

        Keys at a jwks_uri are changed there: a new one is found when it is first used.
        """  # noqa: D301 - click's mark
        steps = ("add_key", "new_key", "new_encryption_key", "remove_key", "secret")
        if len([name for name in steps if options[name]]) != 1:
            raise click.UsageError("give one of --add-key, --new-key, --new-encryption-key, --remove-key and --secret")
        with told():
            _rotate(open_context(), client_id, options)

    @group.command("disable")
    @click.argument("client_id")
    @click.option("--reason", help="Why, for the log.")
    def disable(client_id: str, reason: str | None) -> None:
        """Stop a system at once: it is authenticated no more, and every token it has is dead."""
        context = open_context()
        with told(), context.database.write() as session:
            context.registrar.disable(session, client_id, by=BY, reason=reason, now=context.clock.now())
        click.echo(f"disabled: {client_id}")

    @group.command("enable")
    @click.argument("client_id")
    def enable(client_id: str) -> None:
        """Let a disabled system work again; tokens it had stay dead."""
        context = open_context()
        with told(), context.database.write() as session:
            context.registrar.enable(session, client_id, by=BY, now=context.clock.now())
        click.echo(f"enabled: {client_id}")


def _rotate(context: ClientsContext, client_id: str, options: dict[str, Any]) -> None:
    registrar, now = context.registrar, context.clock.now()
    if options["secret"]:
        overlap = timedelta(hours=options["overlap_hours"])
        with context.database.write() as session:
            made = registrar.rotate_secret(session, client_id, overlap=overlap, by=BY, now=now)
        click.echo(f"secret: {made.secret}\n        shown once; it works until {made.expires_at:%d %B %Y}")
        click.echo(f"        the one before works for {options['overlap_hours']} more hours")
    elif options["remove_key"]:
        with context.database.write() as session:
            registrar.remove_key(session, client_id, options["remove_key"], by=BY, now=now)
        click.echo(f"removed: {options['remove_key']}")
    elif options["new_key"]:
        signer = PrivateKeySigner.generate(options["key_alg"])
        content = private_content(options["new_key"], signer)
        _add_new_key(context, client_id, signer.public_jwk(), private=content, path=options["new_key"])
    elif options["new_encryption_key"]:
        made_key = DecryptionKey.generate()
        content, path = made_key.private_pem(), options["new_encryption_key"]
        _add_new_key(context, client_id, made_key.public_jwk(), private=content, path=path)
    else:
        keys = read_public_keys(options["add_key"].read_bytes())
        with context.database.write() as session:
            for key in keys:
                registrar.add_key(session, client_id, key, by=BY, now=now)
        click.echo(f"added: {', '.join(str(key.get('kid')) for key in keys)}")


def _add_new_key(context: ClientsContext, client_id: str, key: Jwk, *, private: bytes, path: Path) -> None:
    if not write_private_file(path, private):
        raise click.ClickException(f"{path} exists already: a key is never overwritten")
    try:
        with context.database.write() as session:
            context.registrar.add_key(session, client_id, key, by=BY, now=context.clock.now())
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    click.echo(f"added: {key['kid']} ({key['alg']}), its private half in {path}")
