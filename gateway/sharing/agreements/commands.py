"""`gateway agreements …`: list, show, sign, import, suspend and resume agreements."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date
from pathlib import Path

import click
from sqlalchemy.orm import Session

from gateway.audit.append import AuditLog
from gateway.clock import Clock
from gateway.db import Database
from gateway.errors import GatewayError
from gateway.listings import AS_JSON, SHOWN_AS_JSON, print_listing
from gateway.policy.registers import load_registers
from gateway.sharing.agreements.agreement_files import load_agreements
from gateway.sharing.agreements.agreements import Agreement, AgreementStatus, list_agreements, versions_of
from gateway.sharing.agreements.errors import AgreementNotFound
from gateway.sharing.agreements.lifecycle import import_agreement, resume_agreement, suspend_agreement
from gateway.sharing.agreements.signatures import load_signatures, save_signature, sign_agreement, signatures_path
from gateway.sharing.agreements.terms import AgreementDocument
from gateway.sharing.catalogue.service_files import load_services
from gateway.sharing.catalogue.services import record_service
from gateway.wire.signer import PrivateKeySigner

Change = Callable[..., Agreement]


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreementsContext:
    """What the commands work with."""

    database: Database
    audit: AuditLog
    clock: Clock
    policies_dir: Path
    signatures_dir: Path
    """Where members' signatures rest: beside the state of this deployment, not among the policies."""


def agreements_group(open_context: Callable[[], AgreementsContext]) -> click.Group:
    """Return the command group; `open_context` is called by the command that runs, not before."""

    @click.group("agreements")
    def group() -> None:
        """Agreements between members.

        An agreement is written as YAML in policies/agreements, signed by both members, and imported. It is in force
        only while both signatures verify against the keys registered for the members.

        \b
          gateway agreements sign DSA-003.1 --member dwp --key dwp.pem
          gateway agreements sign DSA-003.1 --member E06000008 --key blackburn.pem
          gateway agreements import
          gateway agreements suspend DSA-003.1 --by "A Sample" --reason "incident 7"
        """  # noqa: D301 - click wants the very character \b before lines it must not wrap

    group.add_command(_list_command(open_context))
    group.add_command(_show_command(open_context))
    group.add_command(_sign_command(open_context))
    group.add_command(_import_command(open_context))
    group.add_command(
        _change_command(
            open_context, "suspend", suspend_agreement, "Suspend NAME: nothing is released under it from now on."
        )
    )
    group.add_command(
        _change_command(
            open_context, "resume", resume_agreement, "Put the suspended NAME in force again, if both signatures hold."
        )
    )
    return group


def _list_command(open_context: Callable[[], AgreementsContext]) -> click.Command:
    @click.command("list")
    @AS_JSON
    def list_all(*, as_json: bool) -> None:
        """List every recorded version, with its state and days, and what it permits today."""
        context = open_context()
        with context.database.read() as session:
            agreements = list_agreements(session)
        today = context.clock.now().astimezone(UTC).date()
        rows = [
            {
                "agreement": agreement.terms.name,
                "consumer": agreement.consumer,
                "provider": agreement.provider,
                "service": agreement.terms.service,
                "state": agreement.status,
                "today": _standing(agreement, today),
                "signed_by": _signers(agreement),
                "from": agreement.terms.starts.isoformat(),
                "to": agreement.ends_on.isoformat(),
                "review": agreement.terms.review.isoformat(),
            }
            for agreement in agreements
        ]
        columns = (
            "agreement",
            "consumer",
            "provider",
            "service",
            "state",
            "today",
            "signed_by",
            "from",
            "to",
            "review",
        )
        print_listing(columns, rows, as_json=as_json)

    return list_all


def _show_command(open_context: Callable[[], AgreementsContext]) -> click.Command:
    @click.command("show")
    @click.argument("name")
    @SHOWN_AS_JSON
    def show(name: str) -> None:
        """Show the recorded agreement NAME (such as DSA-003.1) as JSON: its state, and the signed document."""
        with open_context().database.read() as session:
            agreement = _recorded(session, name)
        shown = {
            "state": agreement.status,
            "ends_on": agreement.ends_on.isoformat(),
            "signatures_that_hold": _signers(agreement),
            "digest": agreement.document.digest,
            "document": json.loads(agreement.document.canonical),
        }
        click.echo(json.dumps(shown, indent=2, ensure_ascii=False))

    return show


def _sign_command(open_context: Callable[[], AgreementsContext]) -> click.Command:
    @click.command("sign")
    @click.argument("name")
    @click.option("--member", required=True, help="The code of the member who signs: a party of the agreement.")
    @click.option(
        "--key",
        required=True,
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="The member's private key (PEM). Its public part must be registered for the member.",
    )
    def sign(name: str, member: str, key: Path) -> None:
        """Sign the agreement NAME (such as DSA-003.1) of the policies folder for a member.

        The signature covers the canonical JSON of the whole document, so that any change needs a new version. It is
        kept under the state folder until `gateway agreements import` verifies it.
        """
        context = open_context()
        try:
            [document] = _chosen(context, [name])
            _check_is_party(document, member)
            jws = sign_agreement(document, signer=PrivateKeySigner.from_pem(key.read_bytes()))
            path = signatures_path(context.signatures_dir, document.terms)
            save_signature(path, document, member=member, jws=jws)
        except GatewayError as error:
            raise click.ClickException(error.public) from error
        click.echo(f"{name} ({document.digest}) signed for {member}: {path}")

    return sign


def _import_command(open_context: Callable[[], AgreementsContext]) -> click.Command:
    @click.command("import")
    @click.argument("names", nargs=-1)
    @click.option("--by", default="operator", show_default=True, help="Who does this, for the log.")
    def import_all(names: tuple[str, ...], by: str) -> None:
        """Record the agreements of the policies folder and their services: all of them, or only NAMES.

        An agreement with both members' signatures comes into force; without them it is recorded as a draft. If one
        cannot be recorded, nothing is.
        """
        context = open_context()
        try:
            imported = import_files(context, names, by=by)
        except GatewayError as error:
            raise click.ClickException(error.public) from error
        for agreement in imported:
            signers = ", ".join(_signers(agreement)) or "nobody"
            click.echo(f"{agreement.terms.name}: {agreement.status}, signed by {signers}")

    return import_all


def _change_command(
    open_context: Callable[[], AgreementsContext], name: str, change: Change, help_text: str
) -> click.Command:
    @click.command(name, help=help_text)
    @click.argument("name")
    @click.option("--by", required=True, help="Who decided this, for the log.")
    @click.option("--reason", required=True, help="Why, for the log.")
    def command(name: str, by: str, reason: str) -> None:
        context = open_context()
        reference, version = _parsed_name(name)
        try:
            with context.database.write() as session:
                agreement = change(
                    session, reference, version, audit=context.audit, by=by, reason=reason, at=context.clock.now()
                )
        except GatewayError as error:
            raise click.ClickException(error.public) from error
        click.echo(f"{agreement.terms.name}: {agreement.status}")

    return command


def import_files(context: AgreementsContext, names: Sequence[str], *, by: str) -> tuple[Agreement, ...]:
    """Record services and agreements from the files, in one transaction; raises what `import_agreement` does."""
    registers = load_registers(context.policies_dir)
    documents = _chosen(context, names)
    # With names, what others are about need not have its members here.
    named = {document.terms.service for document in documents}
    services = [each for each in load_services(context.policies_dir) if not names or each.id in named]
    with context.database.write() as session:
        now = context.clock.now()
        for service in services:
            record_service(session, service, at=now)
        return tuple(
            import_agreement(
                session,
                document,
                registers=registers,
                signatures=load_signatures(signatures_path(context.signatures_dir, document.terms), document),
                audit=context.audit,
                by=by,
                at=now,
            )
            for document in documents
        )


def _chosen(context: AgreementsContext, names: Sequence[str]) -> tuple[AgreementDocument, ...]:
    documents = {document.terms.name: document for document in load_agreements(context.policies_dir)}
    for name in names:
        if name not in documents:
            raise AgreementNotFound(f"There is no file {name}.yaml in {context.policies_dir / 'agreements'}")
    return tuple(document for name, document in documents.items() if not names or name in names)


def _check_is_party(document: AgreementDocument, member: str) -> None:
    parties = document.terms.parties
    if member not in {parties.consumer.member, parties.provider.member}:
        raise click.ClickException(f"{member} is not a party of {document.terms.name}")


def _recorded(session: Session, name: str) -> Agreement:
    reference, version = _parsed_name(name)
    for agreement in versions_of(session, reference):
        if agreement.version == version:
            return agreement
    raise click.ClickException(f"there is no agreement {name}; `gateway agreements list` shows them")


def _parsed_name(name: str) -> tuple[str, int]:
    reference, separator, version = name.rpartition(".")
    if not separator or not version.isascii() or not version.isdigit():
        raise click.ClickException(f"{name}: an agreement is named by reference and version, such as DSA-003.1")
    return reference, int(version)


def _signers(agreement: Agreement) -> list[str]:
    signed = ((agreement.consumer, agreement.consumer_signed), (agreement.provider, agreement.provider_signed))
    return [member for member, holds in signed if holds]


def _standing(agreement: Agreement, today: date) -> str:
    """Say in words what an agreement permits on this day; policy decides, and gives these reasons."""
    signers = _signers(agreement)
    missing = [member for member in (agreement.consumer, agreement.provider) if member not in signers]
    if agreement.status is AgreementStatus.SUSPENDED:
        return "suspended"
    if missing and agreement.status is AgreementStatus.DRAFT:
        return f"under review, {missing[0]} has not signed" if signers else "draft"
    if missing:
        return f"the signature of {missing[0]} no longer holds"
    if today < agreement.terms.starts:
        return "not started"
    if today > agreement.ends_on:
        return "expired"
    return "in force, review overdue" if today > agreement.terms.review else "in force"
