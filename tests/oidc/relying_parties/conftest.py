"""A sandbox on this machine's clock, and the examples of docs/relying-parties.md registered and run against it.

The database is SQLite whatever the run is for: what is tested is the way there and back, not what is kept.
"""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from click.testing import CliRunner

from gateway import cli
from gateway.clock import SystemClock
from gateway.migrate import migrate
from tests.kit.oidc_world import OidcWorld, in_this_process
from tests.kit.processes import REPOSITORY, Processes, free_port, processes

DOCUMENT = REPOSITORY / "docs" / "relying-parties.md"
EXAMPLES = REPOSITORY / "docs" / "examples" / "relying-parties"


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """A client as the document's own command registered it, and the environment that its example reads."""

    environment: dict[str, str]
    port: int

    @property
    def home(self) -> str:
        return f"http://localhost:{self.port}/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Developer:
    """Somebody who follows the document, with a sandbox of their own."""

    world: OidcWorld
    folder: Path
    processes: Processes

    def register(self, name: str) -> Registered:
        """Run the command that the document gives for one example, on a port that is free here."""
        port = free_port()
        found = re.search(rf"<!-- register {name} -->\n\n```sh\n(gateway .*?)```", DOCUMENT.read_text(), re.DOTALL)
        assert found, f"the document does not register {name}"
        command = found[1].replace("\\\n", " ")
        arguments = shlex.split(re.sub(r"http://localhost:\d+", f"http://localhost:{port}", command))[1:]
        key = self.folder / f"{name}.pem"
        arguments = [str(key) if one.endswith(".pem") else one for one in arguments]
        for cache in (cli._settings, cli._gateway):
            cache.cache_clear()
        result = CliRunner().invoke(cli.main, arguments, env=self.world.gateway.settings.environment())
        cli._gateway().database.close()
        for cache in (cli._settings, cli._gateway):
            cache.cache_clear()
        assert result.exit_code == 0, result.output
        kid = re.search(r"kid (\S+),", result.output)
        assert kid
        environment = {
            "GATEWAY": self.world.issuer,
            "CLIENT_ID": arguments[arguments.index("--client-id") + 1],
            "KEY_FILE": str(key),
            "KEY_ID": kid[1],
            "PORT": str(port),
        }
        return Registered(environment=environment, port=port)

    def signs_in(self, client: Registered) -> requests.Response:
        """Visit the service for the first time, sign in on the pages of the gateway, and come back."""
        citizen, browser = self.world.citizen(), self.world.browser()
        page = browser.session.get(client.home, timeout=20)
        assert page.url.startswith(f"{self.world.issuer}/sign-in"), page.text
        back = browser.sign_in(citizen, self.world.clock, page)
        return browser.session.get(back.headers["Location"], timeout=20)


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
