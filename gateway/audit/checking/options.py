"""What the checking commands have in common: whom to believe, where to read, how far it is."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from gateway.audit.checking.tree import Progress
from gateway.audit.checking.trust import Trust, load_policy, load_trust
from gateway.audit.context import OpenGateway
from gateway.errors import GatewayError

FILE = click.Path(dir_okay=False, path_type=Path)
LOCATION = click.option("--from", "location", metavar="DIR|URL", help="Where the log is: a folder, or its address.")
KEYS = click.option(
    "--key",
    "keys",
    multiple=True,
    metavar="VKEY|FILE",
    help="The log's verifier key, a file of such keys, or a public keys file of `gateway keys export`. Repeatable.",
)
POLICY = click.option(
    "--policy",
    type=FILE,
    help="A trust policy (C2SP tlog-policy): its quorum of witnesses must have cosigned. Its logs are believed where "
    "no --key is given.",
)
CA_FILE = click.option("--ca-file", type=FILE, help="Trust anchors for https (PEM), instead of the system's.")


def trust_of(keys: Sequence[str], policy: Path | None, open_gateway: OpenGateway | None) -> Trust:
    """Return the trust that was asked for; the gateway's own keys where nothing was, if `open_gateway` is given.

    Raises `click.UsageError` for keys or a policy that cannot be used.
    """
    try:
        if keys or open_gateway is None or (policy is not None and load_policy(policy).logs):
            return load_trust(keys, policy_file=policy)
        believed = load_policy(policy) if policy is not None else None
    except GatewayError as error:
        raise click.UsageError(error.public) from error
    try:
        return Trust(keys=open_gateway().trusted_keys, policy=believed)
    except GatewayError as error:
        # An outsider who forgot the key must not be sent looking for a gateway's settings.
        message = f"no --key is given, and there is no gateway here to take it from: {error.public}"
        raise click.UsageError(message) from error


@contextmanager
def progress_bar(title: str) -> Iterator[Progress]:
    """Show on standard error how far a long check is, where that is a terminal."""
    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Bar(*columns, console=console, transient=True, disable=not console.is_terminal) as shown:
        task = shown.add_task(title, total=None)

        def progress(done: int, total: int) -> None:
            shown.update(task, completed=done, total=total)

        yield progress
