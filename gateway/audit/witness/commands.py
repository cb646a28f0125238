"""`gateway audit witness …`: be a witness for other gateways. Needs nothing of a gateway: no settings, no database."""

import os
import sys
from pathlib import Path

import click

from gateway.audit.witness.state import WitnessFolder
from gateway.audit.witness.witness import load_logs
from gateway.wire.cosignatures import cosignature_key_of

_STATE = click.option(
    "--state",
    required=True,
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="The witness's folder: its key, and what it cosigned.",
)


def gunicorn_arguments(state: Path, logs: Path, listen: str) -> list[str]:
    """Return the command line of the witness's web server."""
    return [
        sys.executable,
        "-m",
        "gunicorn",
        f"gateway.audit.witness.views:make_app({str(state)!r}, {str(logs)!r})",
        f"--bind={listen}",
        "--worker-class=gateway.punctual.PunctualWorker",
        "--workers=2",
        "--threads=4",
        "--keep-alive=15",
        "--no-control-socket",
        "--forwarded-allow-ips=",
    ]


@click.group("witness")
def witness_group() -> None:
    """Be a witness: cosign other gateways' checkpoints, each only if it continues the last one.

    \b
      gateway audit witness init --state witness --name witness.example/w1
      gateway audit witness key --state witness
      gateway audit witness serve --state witness --logs logs.txt --listen 127.0.0.1:8010
    """  # noqa: D301 - click wants the very character \b before lines it must not wrap


@witness_group.command("init")
@_STATE
@click.option("--name", required=True, help="The witness's name, a URL without its scheme.")
def _init(state: Path, name: str) -> None:
    """Make a new witness: a key and an empty memory. Refused where there is one."""
    folder = WitnessFolder(state)
    if "://" in name:
        raise click.BadParameter("a URL without its scheme, such as witness.example/w1", param_hint="'--name'")
    folder.make(name)
    click.echo(cosignature_key_of(folder.signer(), name).encode())


@witness_group.command("key")
@_STATE
def _key(state: Path) -> None:
    """Print the witness's verifier key (C2SP tlog-cosignature), for the policies of those who trust it."""
    folder = WitnessFolder(state)
    click.echo(cosignature_key_of(folder.signer(), folder.read().name).encode())


@witness_group.command("serve")
@_STATE
@click.option(
    "--logs",
    required=True,
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Whose checkpoints to cosign: the `log` lines of a C2SP tlog-policy file.",
)
@click.option("--listen", default="127.0.0.1:8010", show_default=True, metavar="HOST:PORT", help="Where to listen.")
def _serve(state: Path, logs: Path, listen: str) -> None:
    """Answer `POST /add-checkpoint` (C2SP tlog-witness) until stopped; SIGHUP reads the list of logs again."""
    # Said here, once, rather than by every worker that cannot start.
    folder = WitnessFolder(state)
    folder.signer()
    folder.read()
    load_logs(logs)
    arguments = gunicorn_arguments(state.resolve(), logs.resolve(), listen)
    os.execv(arguments[0], arguments)  # noqa: S606 - our own interpreter and arguments; signals go straight to it
