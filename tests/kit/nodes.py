"""Two gateway nodes behind the proxy of `docker/haproxy.cfg`, on a PostgreSQL primary with a synchronous replica."""

import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gateway.demo.layout import Certificate
from gateway.migrate import migrate
from gateway.settings import Settings, process_environment
from tests.kit.postgres import OWNER, Server
from tests.kit.processes import REPOSITORY, Processes, Running, free_port
from tests.kit.tls import ServerCertificate, TestAuthority
from tests.kit.world import World, prepared_world

HAPROXY = shutil.which("haproxy", path=f"{os.defpath}:/usr/sbin") or "haproxy"
PROXY = REPOSITORY / "docker" / "haproxy.cfg"
DATABASE = "gateway"
PATIENCE_SECONDS = 90
"""For what takes two seconds, on a machine that is busy with other things."""
GATEWAY = (sys.executable, "-m", "gateway")


@dataclass(frozen=True, slots=True, kw_only=True)
class Replicated:
    """A primary and the replica without which it acknowledges nothing."""

    primary: Server
    replica: Server

    @property
    def url(self) -> str:
        """What the gateway is given: both addresses, of which it takes the one that can be written to."""
        hosts = "&".join(f"host={server.cluster.socket_folder}" for server in (self.primary, self.replica))
        return f"postgresql://{OWNER}@/{DATABASE}?{hosts}&target_session_attrs=read-write"


@contextmanager
def replicated_postgresql() -> Iterator[Replicated]:
    """Start both, with an empty migrated database."""
    with ExitStack() as stack:
        primary = Server(durable=True)
        stack.callback(primary.stop)
        primary.cluster.create(DATABASE)
        # As in docker/postgresql: the replica is a copy of this setting too, and must be told otherwise if promoted.
        primary.replicate_synchronously()
        replica = Server.standby_of(primary)
        stack.callback(replica.stop)
        pair = Replicated(primary=primary, replica=replica)
        migrate(pair.url)
        yield pair


@dataclass(slots=True, kw_only=True)
class Node:
    """One `gateway serve` of several."""

    name: str
    settings: Settings
    processes: Processes
    running: Running = field(init=False)

    @property
    def address(self) -> str:
        """Where it answers without the proxy."""
        return f"http://{self.settings.listen}"

    def start(self) -> None:
        """Start it and wait until it says that it is ready."""
        environment = process_environment(self.settings)
        self.running = self.processes.start(
            [*GATEWAY, "serve"],
            env={name: value for name, value in environment.items() if name.startswith("GATEWAY_")},
            name=self.name,
            ready_url=f"{self.address}/readyz",
            within_seconds=PATIENCE_SECONDS,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """All of it; `world` asks through the proxy."""

    world: World
    databases: Replicated
    nodes: tuple[Node, ...]
    proxy: Running

    def times_up(self, node: Node) -> int:
        """How often the proxy has found that this node is ready again."""
        return self.proxy.output().count(f"Server nodes/{node.name} is UP")

    def wait_until_up(self, node: Node, *, more_often_than: int) -> None:
        """Return once the proxy sends requests to this node again."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.times_up(node) <= more_often_than:
            assert time.monotonic() < deadline, f"the proxy did not find {node.name} ready"
            time.sleep(0.05)


@contextmanager
def running_nodes(
    folder: Path, databases: Replicated, processes: Processes, authority: TestAuthority, **changes: Any
) -> Iterator[Topology]:
    """Start nodes and proxy; `changes` replace settings of the nodes."""
    issued = authority.issue(file_name="nodes")
    certificate = Certificate(chain=issued.certificate, key=issued.key, authority=authority.ca_file)
    with prepared_world(
        folder / "state", databases.url, processes, layout_changes={"certificate": certificate}, **changes
    ) as world:
        nodes = tuple(
            Node(name=f"node_{number}", settings=_behind_the_proxy(world.settings), processes=processes)
            for number in (1, 2)
        )
        for node in nodes:
            node.start()
        proxy = processes.start(
            [HAPROXY, "-db", "-f", str(PROXY)],
            env={
                "LISTEN": f"127.0.0.1:{world.layout.gateway_port}",
                "CERTIFICATE": str(_chain_and_key(issued, folder / "proxy.pem")),
                "NODE_1": nodes[0].settings.listen,
                "NODE_2": nodes[1].settings.listen,
            },
            name="proxy",
            ready_url=f"{world.issuer}/readyz",
            ca_file=authority.ca_file,
        )
        yield Topology(world=world, databases=databases, nodes=nodes, proxy=proxy)


def _behind_the_proxy(settings: Settings) -> Settings:
    return replace(
        settings,
        listen=f"127.0.0.1:{free_port()}",
        tls_certificate=None,
        tls_key=None,
        trusted_proxies=("127.0.0.1",),
        log_level="INFO",
    )


def _chain_and_key(issued: ServerCertificate, path: Path) -> Path:
    path.touch(mode=0o600)
    path.write_bytes(issued.certificate.read_bytes() + issued.key.read_bytes())
    return path
