"""`gateway keys list|rotate|retire|revoke`: the gateway's own keys, changed while everybody keeps verifying."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click

from gateway.audit.append import AuditLog
from gateway.clock import Clock, rfc3339
from gateway.db import Database
from gateway.listings import AS_JSON, print_listing
from gateway.signing.errors import KeyNotRetired
from gateway.signing.key_files import IN_THE_CLEAR, Keeping, Key, key_files, read_key
from gateway.signing.purposes import ALGORITHMS, Purpose
from gateway.signing.recording import record_added, record_log_key_retired, record_past
from gateway.signing.rotation import (
    PastKey,
    add_key,
    find_past_key,
    load_keys,
    past_keys,
    retire_key,
    retire_log_key,
    retire_over,
    revoke_key,
    revoke_past_key,
)
from gateway.signing.states import State, signing_key, state_of, superseded_at

BY = "command line"
STILL = {
    State.NEXT: "is published, and has not begun to sign",
    State.SIGNS: "signs",
    State.KEPT: "is published, for what it signed is still valid",
}
"""What a key that is needed does."""
LISTED = ("purpose", "number", "state", "algorithm", "kept", "key", "signs_from")
REVOKED_MEANS = """Within seconds every process publishes {number} no longer and refuses the access tokens it signed.
Relying parties refuse what it signed once they fetch the keys again: at the first token by a key they do not know, or
when their copy is over (5 minutes, where they heed what we say). Until then a forged token may still be believed: tell
them. People stay signed in here; clients refresh their tokens, or send people once more through sign-in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeysContext:
    """What these commands work on."""

    keys_dir: Path
    database: Database
    audit: AuditLog
    clock: Clock
    keeping: Keeping = IN_THE_CLEAR


def key_commands(open_context: Callable[[], KeysContext]) -> tuple[click.Command, ...]:
    """Return the commands; `open_context` is called when one runs, not before."""

    @click.command("list")
    @AS_JSON
    def list_keys(*, as_json: bool) -> None:
        """List every key: what it signs, its number, what it is good for now, its algorithm, where it lies, its id."""
        print_listing(LISTED, [dict(zip(LISTED, row, strict=True)) for row in _listed(open_context())], as_json=as_json)

    @click.command("rotate")
    @click.argument("purpose", type=click.Choice([purpose.value for purpose in Purpose]))
    @click.option("--algorithm", help="Of the tokens' keys, only this one's: ES256, RS256 or PS256.")
    @click.option(
        "--now", "at_once", is_flag=True, help="Let the new key sign at once, before relying parties know it."
    )
    def rotate(purpose: str, algorithm: str | None, *, at_once: bool) -> None:
        """Make the next key for PURPOSE: published now, signing in an hour, in every process and without a restart.

        The key before it stays published until nothing it signed can live; `gateway work` then sets it aside. Keys of
        the exchange stay published for ever, for receipts.

        Those of the log go on signing beside the new one until `gateway keys retire`, so that whoever knows the old one
        alone still verifies every checkpoint. They alone need every process to be started again.
        """
        _rotate(open_context(), Purpose(purpose), algorithm, at_once=at_once)

    @click.command("retire")
    @click.argument("purpose", type=click.Choice([Purpose.TOKENS.value, Purpose.LOG.value]))
    @click.argument("number")
    def retire(purpose: str, number: str) -> None:
        """Set key NUMBER aside, which signs no more and whose signatures nobody needs.

        A key of the log still opens what it signed, and signs until every process is started again.

        \b
          gateway keys retire log 0001
        """  # noqa: D301 - click wants the very character \b before lines it must not wrap
        context = open_context()
        if Purpose(purpose) is Purpose.LOG:
            _retire_of_the_log(context, number)
        else:
            _retire_of_the_tokens(context, number)

    @click.command("revoke")
    @click.argument("purpose", type=click.Choice([Purpose.TOKENS.value]))
    @click.argument("number")
    def revoke(purpose: str, number: str) -> None:  # noqa: ARG001 - said so that nobody revokes by number alone
        """Take key NUMBER of the tokens out of use at once: it may have been stolen.

        Where it is the one that signs, another one is made first, which signs at once.
        """
        _revoke(open_context(), number)

    return list_keys, rotate, retire, revoke


def _listed(context: KeysContext) -> list[tuple[str | None, ...]]:
    now = context.clock.now()
    rows: list[tuple[str | None, ...]] = []
    for purpose in Purpose:
        keys = load_keys(context.keys_dir, purpose, context.keeping)
        for key in keys:
            state = state_of(key, keys, purpose, now=now)
            since = rfc3339(key.signs_from) if state is State.NEXT and key.signs_from else None
            rows.append((purpose, key.number, state, key.algorithm, key.kept, key.key_id, since))
        for path in key_files(context.keys_dir, purpose, retired=True):
            key = read_key(path, purpose, context.keeping)
            rows.append((purpose, key.number, "retired", key.algorithm, key.kept, key.key_id, None))
    for past in past_keys(context.keys_dir):
        gone = "revoked" if past.revoked else "retired"
        rows.append((Purpose.TOKENS, past.number, gone, past.jwk["alg"], "public half", past.key_id, None))
    return rows


def _rotate(context: KeysContext, purpose: Purpose, algorithm: str | None, *, at_once: bool) -> None:
    algorithms = ALGORITHMS[purpose] if algorithm is None else (algorithm,)
    if not set(algorithms) <= set(ALGORITHMS[purpose]):
        raise click.BadParameter(f"keys of the {purpose} are for {', '.join(ALGORITHMS[purpose])}")
    before = load_keys(context.keys_dir, purpose, context.keeping)
    waiting = [key for key in before if state_of(key, before, purpose, now=context.clock.now()) is State.NEXT]
    for each in algorithms:
        key = _added(context, purpose, each, at_once=at_once)
        when = "signs now" if at_once else f"signs from {rfc3339(key.signs_from)}" if key.signs_from else ""
        if purpose is Purpose.LOG:
            click.echo(f"{key.path}: made; start every process of the gateway again")
            click.echo("Then publish it (`gateway audit key`, `gateway keys export`) and tell the witnesses.")
        else:
            click.echo(f"{key.path}: made for {each}; {when}")
            for passed_over in (other for other in waiting if other.algorithm == each):
                click.echo(
                    f"Key {passed_over.number}, which waited to sign, never will: {key.number} does in its place."
                )
    if purpose is Purpose.EXCHANGE:
        click.echo("Tell members who keep a copy of the public keys (`gateway keys export`): new receipts need it.")


def _added(context: KeysContext, purpose: Purpose, algorithm: str, *, at_once: bool) -> Key:
    now = context.clock.now()
    key = add_key(context.keys_dir, purpose, algorithm, context.keeping, now=now, at_once=at_once)
    # Made: should this process end here, `gateway work` records it.
    with context.database.write() as session:
        record_added(session, context.audit, purpose, key, by=BY, now=now)
    return key


def _retire_of_the_log(context: KeysContext, number: str) -> None:
    now = context.clock.now()
    with context.database.write() as session:
        path = retire_log_key(context.keys_dir, number)
        key = read_key(path, Purpose.LOG, context.keeping)
        record_log_key_retired(session, context.audit, key, by=BY, now=now)
    click.echo(f"{path}: retired; start every process of the gateway again")


def _retire_of_the_tokens(context: KeysContext, number: str) -> None:
    now = context.clock.now()
    keys = load_keys(context.keys_dir, Purpose.TOKENS, context.keeping)
    key = _numbered(keys, number)
    state = state_of(key, keys, Purpose.TOKENS, now=now)
    # Of one that an earlier release rotated nobody knows when it signed last; the operator does.
    if state is not State.OVER and not (state is State.KEPT and superseded_at(key, keys) is None):
        raise KeyNotRetired(f"Key {number} is needed: it {STILL[state]}. If it was stolen: `gateway keys revoke`.")
    _record_past(context, retire_key(context.keys_dir, key, context.keeping, now=now))
    click.echo(f"key {number} of the tokens: retired")


def _revoke(context: KeysContext, number: str) -> None:
    now = context.clock.now()
    # First what is over: with this key its end goes, and an older one would seem to be needed again.
    for over in retire_over(context.keys_dir, context.keeping, now=now):
        _record_past(context, over)
    past = find_past_key(context.keys_dir, number)
    if past is not None:
        past = revoke_past_key(context.keys_dir, past, now=now)
    else:
        keys = load_keys(context.keys_dir, Purpose.TOKENS, context.keeping)
        key = _numbered(keys, number)
        if signing_key(keys, key.algorithm, now=now) is key:
            made = _added(context, Purpose.TOKENS, key.algorithm, at_once=True)
            click.echo(f"{made.path}: made for {made.algorithm}; signs now")
        past = revoke_key(context.keys_dir, key, context.keeping, now=now)
    _record_past(context, past)
    click.echo(f"key {number} of the tokens: revoked")
    click.echo(REVOKED_MEANS.format(number=number))


def _record_past(context: KeysContext, past: PastKey) -> None:
    with context.database.write() as session:
        record_past(session, context.audit, past, by=BY, now=context.clock.now())


def _numbered(keys: tuple[Key, ...], number: str) -> Key:
    key = next((key for key in keys if key.number == number), None)
    if key is None:
        raise KeyNotRetired(f"There is no key {number} of the tokens; there are {', '.join(k.number for k in keys)}.")
    return key
