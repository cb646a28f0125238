"""A sandbox on this machine's clock, and the examples of docs/relying-parties.md registered and run against it.

The database is SQLite whatever the run is for: what is tested is the way there and back, not what is kept.
"""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from click.testing import CliRunner

from gateway import cli
from gateway.clock import SystemClock
from gateway.migrate import migrate
from tests.kit.oidc_world import Browser, OidcWorld, in_this_process
from tests.kit.processes import REPOSITORY, Processes, free_port, processes

DOCUMENT = REPOSITORY / "docs" / "relying-parties.md"
EXAMPLES = REPOSITORY / "docs" / "examples" / "relying-parties"


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """A client as the document's own command registered it, and the environment that its example reads."""

    environment: dict[str, str]
    port: int

    @property
    def issuer(self) -> str:
        return self.environment["GATEWAY"]

    @property
    def home(self) -> str:
        return f"http://localhost:{self.port}/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Developer:
    """Somebody who follows the document, with a sandbox of their own."""

    world: OidcWorld
    folder: Path
    processes: Processes

    def _command_line(self, arguments: list[str]) -> str:
        for cache in (cli._settings, cli._gateway):
            cache.cache_clear()
        result = CliRunner().invoke(cli.main, arguments, env=self.world.gateway.settings.environment())
        cli._gateway().database.close()
        for cache in (cli._settings, cli._gateway):
            cache.cache_clear()
        assert result.exit_code == 0, result.output
        return result.output

    def token(self) -> str:
        """Return the initial access token that the document's own command makes."""
        found = re.search(r"```sh\n(gateway clients token .*?)```", DOCUMENT.read_text(), re.DOTALL)
        assert found
        made = re.search(r"token: +(\S+)", self._command_line(shlex.split(found[1])[1:]))
        assert made
        return made[1]

    def run(self, name: str, **environment: str) -> str:
        """Run the commands that the document gives under this name; files of `var/` are in a folder of the test."""
        found = re.search(rf"<!-- run {name} -->\n\n```sh\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
        assert found, f"the document does not run {name}"
        (self.folder / "var").mkdir(exist_ok=True)
        given = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "GATEWAY": self.world.issuer}
        done = subprocess.run(
            ["/bin/bash", "-euo", "pipefail", "-c", found[1].replace(" docs/", f" {REPOSITORY}/docs/")],
            env={**given, **environment},
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def register(self, name: str) -> Registered:
        """Run the command that the document gives for one example, on a port that is free here."""
        port = free_port()
        found = re.search(rf"<!-- register {name} -->\n\n```sh\n(gateway .*?)```", DOCUMENT.read_text(), re.DOTALL)
        assert found, f"the document does not register {name}"
        command = found[1].replace("\\\n", " ")
        arguments = shlex.split(re.sub(r"http://localhost:\d+", f"http://localhost:{port}", command))[1:]
        key = self.folder / Path(arguments[arguments.index("--new-key") + 1]).name
        arguments[arguments.index("--new-key") + 1] = str(key)
        told = self._command_line(arguments)
        kid = re.search(r"kid (\S+),", told)
        assert kid
        environment = {
            "GATEWAY": self.world.issuer,
            "CLIENT_ID": arguments[arguments.index("--client-id") + 1],
            "KEY_FILE": str(key),
            "KEY_ID": kid[1],
            "PORT": str(port),
        }
        return Registered(environment=environment, port=port)

    def signs_in(self, client: Registered) -> tuple[Browser, requests.Response]:
        """Visit the service for the first time, sign in on the pages of the gateway, and come back."""
        citizen, browser = self.world.citizen(), self.world.browser()
        page = browser.session.get(client.home, timeout=20)
        assert page.url.startswith(f"{self.world.issuer}/sign-in"), page.text
        back = browser.sign_in(citizen, self.world.clock, page)
        return browser, browser.session.get(back.headers["Location"], timeout=20)

    def signs_out(self, browser: Browser, client: Registered, address: str) -> str:
        """Sign out of the service and of the gateway; return what is told, once another visit has to sign in again."""
        there = browser.session.get(client.home + address, timeout=20)
        assert (there.status_code, there.url.startswith(f"{client.home}signed-out")) == (200, True), there.text
        again = browser.session.get(client.home, timeout=20)
        assert again.url.startswith(f"{self.world.issuer}/sign-in"), again.text
        return there.text


@pytest.fixture(scope="package")
def developer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Developer]:
    folder = tmp_path_factory.mktemp("relying-parties")
    url = f"sqlite:///{folder / 'gateway.sqlite3'}"
    migrate(url)
    with (
        processes(folder / "logs") as group,
        in_this_process(database_url=url, state_dir=folder / "state", clock=SystemClock(), sandbox=True) as world,
    ):
        yield Developer(world=world, folder=folder, processes=group)
