"""`gateway clients add|change|token`: the ways in which an operator has clients registered."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
import uuid_utils.compat
from sqlalchemy.orm import Session

from gateway.audit.append import Event
from gateway.audit.events import DONE
from gateway.directory.members import ClientKind, find_member, find_registration
from gateway.identity.accounts import AccountKind
from gateway.oidc.clients.command_context import BY, ClientsContext, OpenContext, file_of_json, told
from gateway.oidc.clients.key_documents import private_content, read_public_keys
from gateway.oidc.clients.limits import Limits
from gateway.oidc.clients.metadata_names import metadata_of
from gateway.oidc.clients.metadata_rules import checked_client
from gateway.oidc.clients.registration_tokens import issue_initial_token
from gateway.oidc.clients.secrets import NewSecret
from gateway.oidc.clients.submission import submission_of
from gateway.signing.private_files import write_private_file
from gateway.wire.signer import PrivateKeySigner

KEY_ALGORITHMS = ("ES256", "PS256", "RS256", "Ed25519")
ACCOUNT_KINDS = tuple(kind.value for kind in AccountKind)
KINDS = tuple(kind.value for kind in ClientKind)
MOST_USES = 100
MOST_DAYS = 90
_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)

# Options that say the same as a member of the metadata file, and win over it.
_LISTS = {
    "redirect_uri": ("redirect_uris", "Where people come back to after signing in; give it once for each address."),
    "post_logout_redirect_uri": ("post_logout_redirect_uris", "Where people come back to after signing out."),
    "grant_type": ("grant_types", "An OAuth grant; authorization_code where none is given."),
    "resource": ("resources", "A resource (RFC 8707) for which the client may have access tokens."),
}
_TEXTS = {
    "name": ("client_name", "What people are told they sign in to."),
    "jwks_uri": ("jwks_uri", "Where the client publishes its keys, instead of --keys."),
    "auth_method": ("token_endpoint_auth_method", "How the client proves who it is; private_key_jwt by default."),
    "scope": ("scope", "What it may ask for, separated by spaces; openid by default."),
    "id_token_alg": (
        "id_token_signed_response_alg",
        "With which algorithm its ID tokens are signed; RS256 by default.",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Key:
    """A private key made for a client, not yet in its file."""

    path: Path
    signer: PrivateKeySigner


def registering_commands(open_context: OpenContext) -> tuple[click.Command, ...]:
    """Return the commands; `open_context` is called when one runs."""
    common: list[click.Parameter] = [
        *(
            click.Option([f"--{name.replace('_', '-')}"], multiple=True, help=text)
            for name, (_, text) in _LISTS.items()
        ),
        *(click.Option([f"--{name.replace('_', '-')}"], help=text) for name, (_, text) in _TEXTS.items()),
        click.Option(
            ["--kind"], multiple=True, type=click.Choice(KINDS), help="What it does; relying_party by default."
        ),
        click.Option(
            ["--account-kind"], multiple=True, type=click.Choice(ACCOUNT_KINDS), help="Who may sign in to it."
        ),
        click.Option(["--keys"], type=_FILE, help="A file with its public keys: JWK, JWK set, PEM or certificate."),
        click.Option(
            ["--new-key"],
            type=click.Path(path_type=Path, dir_okay=False),
            help="Make a key for it: the private half goes into this file, which must not exist, and nowhere else. A "
            "name that ends in .json gives a JWK, any other PEM.",
        ),
        click.Option(
            ["--key-alg"],
            type=click.Choice(KEY_ALGORITHMS),
            default="ES256",
            show_default=True,
            help="What --new-key signs with.",
        ),
        click.Option(["--fapi2"], is_flag=True, help="Hold it to FAPI 2.0: nothing weaker is accepted from it."),
        click.Option(
            ["--secret"],
            is_flag=True,
            help="An exception: let it authenticate with a secret (client_secret_basic unless --auth-method says "
            "otherwise), made here and shown once.",
        ),
    ]

    def add(*, member: str, client_id: str | None, file: Path | None, **options: Any) -> None:
        context = open_context()
        with told():
            metadata, key = _metadata(file, options)
            named = client_id or metadata.get("client_id") or str(uuid_utils.compat.uuid7())
            limits = operators_limits(context, member, secrets=options["secret"])
            with context.database.read() as session:
                check_member(session, member)
                if find_registration(session, named) is not None:
                    raise click.ClickException(
                        f"there is a client {named} already: `gateway clients change` changes it"
                    )
            _write(context, metadata, limits, client_id=_client_id(named), key=key)

    def change(*, client_id: str, file: Path | None, **options: Any) -> None:
        context = open_context()
        with told():
            with context.database.read() as session:
                before = context.registrar.registered(session, client_id)
            metadata, key = _metadata(file, options, before=metadata_of(before) if file is None else {})
            limits = operators_limits(
                context, before.member_code, secrets=options["secret"] or context.has_secret(before)
            )
            _write(context, metadata, limits, client_id=client_id, key=key, sector=before.sector, active=before.active)

    file = click.Argument(["file"], required=False, type=_FILE)
    member = click.Option(["--member"], required=True, help="Code of the member whose system it is.")
    named = click.Option(["--client-id"], help="Its client_id; one is made where none is given.")
    return (
        click.Command("add", callback=add, params=[file, member, named, *common], help=_ADD, short_help=_ADD_SHORT),
        click.Command(
            "change",
            callback=change,
            params=[click.Argument(["client_id"]), file, *common],
            help=_CHANGE,
            short_help="Change a registration.",
        ),
        _token_command(open_context),
    )


_ADD_SHORT = "Register a member's system."
_ADD = """Register a member's system: from a FILE of client metadata (RFC 7591, JSON), from options, or from both.

\b
A first client, for a service that runs on this machine:
  gateway clients add --member E06000008 --name "Library" \\
    --redirect-uri http://localhost:5000/callback \\
    --account-kind citizen --new-key library.pem

Nothing private is made unless --new-key asks for it. What is wrong is said with what to change, and changes nothing.
"""
_CHANGE = """Change a registration: options replace what they name; a FILE replaces all of it.

Keys are changed by `gateway clients rotate`, unless --keys or --jwks-uri replace all of them.
"""


def check_member(session: Session, code: str) -> None:
    """A client is an active member's; any other code is told with where to look."""
    if find_member(session, code) is None:
        raise click.ClickException(f"there is no active member {code}: `gateway members list` shows them")


def operators_limits(context: ClientsContext, member: str, *, secrets: bool) -> Limits:
    """Return what an operator may register: everything there is; what of it is asked for has to be said."""
    return Limits(
        member_code=member,
        kinds=tuple(ClientKind),
        scopes=context.scopes,
        resources=(context.endpoints.sharing, context.endpoints.userinfo),
        account_kinds=ACCOUNT_KINDS,
        secrets=secrets,
        by_operator=True,
    )


def _client_id(text: str) -> str:
    if not text.isascii() or not text.isprintable() or not 0 < len(text) <= 200 or set(text) & set(' /?#%"\\'):  # noqa: PLR2004 - a column's length
        raise click.ClickException(
            "a client_id is 1 to 200 printable ASCII characters without spaces, / ? # % and quotes"
        )
    return text


def _metadata(
    file: Path | None, options: Mapping[str, Any], *, before: Mapping[str, Any] | None = None
) -> tuple[dict[str, Any], _Key | None]:
    metadata = dict(before or {}) | (file_of_json(file) if file is not None else {})
    named = {option: name for given in (_LISTS, _TEXTS) for option, (name, _) in given.items()}
    for option, name in {**named, "kind": "kinds", "account_kind": "account_kinds"}.items():
        value = options[option]
        if value:
            metadata[name] = list(value) if isinstance(value, tuple) else value
    metadata.setdefault("kinds", ["relying_party"])
    if options["fapi2"]:
        metadata["fapi2"] = True
    if options["secret"]:
        metadata.setdefault("token_endpoint_auth_method", "client_secret_basic")
    if options["jwks_uri"] is not None:
        metadata.pop("jwks", None)
    return metadata, _keys(metadata, options)


def _keys(metadata: dict[str, Any], options: Mapping[str, Any]) -> _Key | None:
    keys, new = options["keys"], options["new_key"]
    if keys is not None and new is not None:
        raise click.ClickException("--keys and --new-key exclude each other")
    if keys is not None:
        metadata["jwks"] = {"keys": list(read_public_keys(keys.read_bytes()))}
        metadata.pop("jwks_uri", None)
    if new is None:
        return None
    if new.exists():
        raise click.ClickException(f"{new} exists already: a key is never overwritten")
    signer = PrivateKeySigner.generate(options["key_alg"])
    metadata["jwks"] = {"keys": [signer.public_jwk()]}
    metadata.pop("jwks_uri", None)
    return _Key(path=new, signer=signer)


def _write(
    context: ClientsContext,
    metadata: dict[str, Any],
    limits: Limits,
    *,
    client_id: str,
    key: _Key | None,
    sector: str | None = None,
    active: bool = True,
) -> None:
    submission = submission_of(metadata, limits, context.surroundings)
    client = context.with_state(
        checked_client(submission, client_id=client_id, client_rules=context.client_rules), active=active
    )
    if sector is not None and client.sector != sector:
        raise click.ClickException("another sector would give every person another sub: register a new client instead")
    if key is not None and not write_private_file(key.path, private_content(key.path, key.signer)):
        raise click.ClickException(f"{key.path} exists already: a key is never overwritten")
    try:
        with context.database.write() as session:
            secret = context.registrar.write(session, client, by=BY, now=context.clock.now())
    except BaseException:
        if key is not None:
            key.path.unlink(missing_ok=True)
        raise
    _say(context, client_id, key, secret)


def _say(context: ClientsContext, client_id: str, key: _Key | None, secret: NewSecret | None) -> None:
    click.echo(f"client_id: {client_id}")
    click.echo(f"issuer:    {context.endpoints.issuer}")
    if key is not None:
        click.echo(f"key:       {key.path} (kid {key.signer.key_id}, {key.signer.algorithm}); keep it to the client")
    if secret is not None:
        click.echo(f"secret:    {secret.secret}")
        click.echo(f"           shown once: hand it over safely; it works until {secret.expires_at:%d %B %Y}")
    click.echo(f"Next: gateway clients check {client_id}; docs/relying-parties.md has a first sign-in.")


def _token_command(open_context: OpenContext) -> click.Command:
    @click.command("token", short_help="Let a member register systems of its own.")
    @click.option("--member", required=True, help="Code of the member on whose behalf is registered.")
    @click.option(
        "--kind",
        "kinds",
        multiple=True,
        type=click.Choice(KINDS),
        default=("relying_party",),
        show_default=True,
        help="What the systems may do.",
    )
    @click.option("--account-kind", "account_kinds", multiple=True, type=click.Choice(ACCOUNT_KINDS), help=_WHO)
    @click.option("--scope", default="openid", show_default=True, help="What they may ask for, separated by spaces.")
    @click.option("--resource", "resources", multiple=True, help="For which resources they may have access tokens.")
    @click.option("--uses", type=click.IntRange(1, MOST_USES), default=1, show_default=True, help="How many systems.")
    @click.option("--days", type=click.IntRange(1, MOST_DAYS), default=7, show_default=True, help="For how long.")
    @click.option("--secrets", is_flag=True, help="An exception: let them authenticate with secrets.")
    def token(
        *,
        member: str,
        kinds: tuple[str, ...],
        account_kinds: tuple[str, ...],
        scope: str,
        resources: tuple[str, ...],
        uses: int,
        days: int,
        secrets: bool,
    ) -> None:
        """Make an initial access token (RFC 7591): with it a member registers systems of its own, within these limits.

        \b
        The token is shown once. It is used so:
          curl --header "Authorization: Bearer $TOKEN" --header "Content-Type: application/json" \\
            --data @metadata.json "$GATEWAY/register"
        """  # noqa: D301 - click's mark
        context = open_context()
        most = operators_limits(context, member, secrets=secrets)
        limits = Limits(
            member_code=member,
            kinds=tuple(ClientKind(kind) for kind in kinds),
            scopes=_among(tuple(scope.split()), most.scopes, "scope"),
            resources=_among(resources, most.resources, "resource"),
            account_kinds=account_kinds,
            secrets=secrets,
        )
        _issue(context, limits, uses=uses, days=days)

    return token


_WHO = "Who may sign in to them. Without it nobody may."


def _issue(context: ClientsContext, limits: Limits, *, uses: int, days: int) -> None:
    now = context.clock.now()
    expires_at = now + timedelta(days=days)
    with told(), context.database.write() as session:
        check_member(session, limits.member_code)
        made = issue_initial_token(session, limits, uses=uses, expires_at=expires_at, by=BY, now=now)
        details = {
            "member": limits.member_code,
            "token": str(made.token_id),
            "kinds": [kind.value for kind in limits.kinds],
            "scope": " ".join(limits.scopes),
            "resource": list(limits.resources),
            "count": uses,
            "before": expires_at.isoformat(),
            "by": BY,
        }
        event = Event(
            name="directory.registration_token.issued", outcome=DONE, members=(limits.member_code,), details=details
        )
        context.audit.append(session, event, at=now)
    click.echo(f"token:    {made.token}")
    click.echo(f"          shown once: hand it over safely; {uses} registration(s) until {expires_at:%d %B %Y}")
    click.echo(f"endpoint: {context.endpoints.registration}")
    click.echo(json.dumps(limits.as_stored(), indent=2))


def _among(given: tuple[str, ...], accepted: tuple[str, ...], name: str) -> tuple[str, ...]:
    for item in given:
        if item not in accepted:
            raise click.ClickException(f"--{name}: {item} is not one of {', '.join(accepted)}")
    return given
