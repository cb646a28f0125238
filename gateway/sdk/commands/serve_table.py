"""`gateway-client serve-table`: a department's table as a provider, with no code."""

import argparse
import logging
import os
import shutil
import socket
import sys
from pathlib import Path
from typing import Any, NoReturn

from gateway.sdk.commands.environment import environment
from gateway.sdk.commands.printing import say
from gateway.sdk.nonces import SharedNonces
from gateway.sdk.provider import Provider
from gateway.sdk.table_mapping import MappingInvalid, ProviderFile, load_provider_file
from gateway.sdk.tables import TableAnswers, open_database
from gateway.sdk.wsgi import WsgiApplication

NONCES = "questions-seen.sqlite3"

_DESCRIPTION = """\
Answer the gateway's questions out of a table of a database that is there already.

FILE says which columns hold which fields, and by which columns people are found. The
database is only read. Questions are accepted from the gateway alone, each once; answers are
signed. No record is told for whoever is unknown, restricted, or fits no better than another.

The web server is gunicorn. Outside a sandbox, give it a certificate, or put it behind a
proxy that has one.
"""
_EPILOG = """\
A file for a table `people`; paths in it are relative to it:

  member = "dwp"                          # your code
  gateway = "https://gateway.example"     # the gateway's issuer
  origin = "https://api.dwp.example"      # where the gateway calls you
  key = "dwp-benefits.pem"                # your registered signing key
  database = "sqlite:///people.sqlite3"   # an SQLAlchemy URL; or GATEWAY_CLIENT_DATABASE

  [services."dwp/free-school-meals/v1"]
  table = "people"
  sub = "gateway_sub"                     # your pairwise name for the person (optional)
  withheld = "restricted"                 # yes: nothing is told of this person (optional)
  area = "district_code"                  # GSS code of where they live (optional)
  schema = "free-school-meals.json"       # JSON Schema that answers must keep (optional)

  [services."dwp/free-school-meals/v1".match]
  family_name = ["surname", "former_surname"]
  birthdate = "date_of_birth"
  nino = "nino"                           # also: given_name, postcode

  [services."dwp/free-school-meals/v1".fields]
  tier = "tier"
  eligible = { column = "entitled", as = "boolean" }   # boolean date integer number text

Exit status: 0 stopped, or the check is good; 2 FILE, the key or the database cannot be used.

Examples:
  gateway-client serve-table department.toml --check
  gateway-client serve-table department.toml --listen 127.0.0.1:8010
"""


def add(verbs: Any) -> None:
    """Describe the verb."""
    parser: argparse.ArgumentParser = verbs.add_parser(
        "serve-table",
        help="answer questions out of a database table",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,  # an option that is not there must not be taken for another
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="the mapping, TOML")
    parser.add_argument("--check", action="store_true", help="look at file, key and database, and serve nothing")
    parser.add_argument("--listen", default="127.0.0.1:8010", help="where to listen (127.0.0.1:8010)")
    parser.add_argument("--workers", type=int, default=1, help="processes (1)")
    parser.add_argument("--threads", type=int, default=8, help="threads of each (8)")
    parser.add_argument("--state", type=Path, metavar="FOLDER", help="for questions already seen (that of FILE)")
    parser.add_argument("--tls-certificate", type=Path, help="serve https with this certificate (PEM)")
    parser.add_argument("--tls-key", type=Path, help="and its private key (PEM)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Check everything; then become the web server, unless only the check was wanted."""
    file = load_provider_file(options.file, environment=environment())
    provider_of(file, state=options.state)
    say(f"{options.file}: every table and column is there, for {', '.join(file.services)}")
    if not options.check:
        _become_server(options)
    return 0


def _become_server(options: argparse.Namespace) -> NoReturn:
    server = shutil.which("gunicorn", path=f"{Path(sys.executable).parent}{os.pathsep}{environment().get('PATH', '')}")
    if server is None:
        raise MappingInvalid("To serve, gunicorn is needed: pip install gunicorn")
    arguments = [
        f"--bind={options.listen}",
        f"--workers={options.workers}",
        "--worker-class=gthread",
        f"--threads={options.threads}",
        "--log-level=warning",
    ]
    if options.tls_certificate and options.tls_key:
        arguments += [f"--certfile={options.tls_certificate}", f"--keyfile={options.tls_key}"]
    require_free(options.listen)
    say(f"listening at {options.listen}")
    sys.stdout.flush()
    state = str(options.state.resolve()) if options.state else ""
    target = f"{__name__}:served({str(options.file.resolve())!r}, {state!r})"
    os.execv(server, [server, *arguments, target])  # noqa: S606 - gunicorn, with arguments of our own


def require_free(address: str) -> None:
    """Refuse an address of a host and port where another listens; raises `MappingInvalid`."""
    host, _colon, port = address.rpartition(":")
    host = host.strip("[]")
    if not host or not port.isdecimal():
        return  # gunicorn knows other ways to write where to listen, and says itself what is wrong with them
    try:
        socket.create_server((host, int(port)), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except (OSError, OverflowError) as error:
        raise MappingInvalid(f"{address} cannot be listened at: {error}") from error


def provider_of(file: ProviderFile, *, state: Path | None = None) -> Provider:
    """Return the provider that a file describes; raises `MappingInvalid`, `OSError`, `UnusableKey`."""
    engine = open_database(file.database, folder=file.folder)
    return Provider(
        member=file.member,
        key=file.key,
        gateway=file.gateway,
        origin=file.origin,
        services={name: TableAnswers(engine, mapping) for name, mapping in file.services.items()},
        schemas={name: mapping.schema for name, mapping in file.services.items() if mapping.schema is not None},
        encrypted={name: mapping.encrypted for name, mapping in file.services.items() if mapping.encrypted is not None},
        checks={name: mapping.checks for name, mapping in file.services.items() if mapping.checks is not None},
        # Each question once, whichever process it reaches, and after a restart too.
        nonces=SharedNonces((state or file.folder) / NONCES),
        ca_file=file.ca_file,
    )


def served(path: str, state: str) -> WsgiApplication:
    """Return the application; gunicorn calls this in each of its processes."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    file = load_provider_file(Path(path), environment=environment())
    return provider_of(file, state=Path(state) if state else None).wsgi
