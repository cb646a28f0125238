"""The compose file says nothing that the gateway, its image or its proxy would not understand."""

import re
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from gateway.cli import main
from gateway.settings import Settings
from tests.kit.processes import REPOSITORY

FOLDER = REPOSITORY / "docker"


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    document = yaml.safe_load((FOLDER / "compose.yaml").read_text())
    assert isinstance(document, dict)
    return document


def gateways(compose: dict[str, Any]) -> dict[str, Any]:
    return {name: service for name, service in compose["services"].items() if service["image"] == "gateway"}


def test_there_are_two_nodes_one_work_a_primary_with_its_replica_and_a_proxy(compose: dict[str, Any]) -> None:
    commands = [tuple(service["command"]) for service in gateways(compose).values()]
    assert sorted(commands) == [("init",), ("serve", "--without-work"), ("serve", "--without-work"), ("work",)]
    assert {"primary", "replica", "proxy"} < set(compose["services"])


def test_every_command_and_every_setting_exists(compose: dict[str, Any]) -> None:
    known = set(Settings.__dataclass_fields__)
    for service in gateways(compose).values():
        asked = CliRunner().invoke(main, [*service["command"], "--help"])
        assert asked.exit_code == 0, asked.output
        names = {name.removesuffix("_FILE").removeprefix("GATEWAY_").lower() for name in service["environment"]}
        assert names <= known


def test_no_gateway_may_write_its_image_or_gain_rights(compose: dict[str, Any]) -> None:
    for service in gateways(compose).values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        # What is asked to stop gets as long as it may need: draining, the last requests, the last publication.
        assert service["stop_grace_period"] == "60s"


def test_secrets_arrive_as_files_and_stand_in_no_variable(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        for variable, value in service.get("environment", {}).items():
            if re.search("PASSWORD|DATABASE_URL|CERTIFICATE", variable):
                assert str(value).startswith("/run/secrets/"), f"{name}: {variable}"
                assert str(value).removeprefix("/run/secrets/") in service["secrets"]


def test_every_file_that_is_mounted_is_there_and_the_proxy_gets_what_its_file_asks_for(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        for mounted in service.get("volumes", []):
            source = mounted.partition(":")[0]
            assert source in compose["volumes"] or (FOLDER / source).is_file()
    asked = set(re.findall(r'"\$\{(\w+)\}"', (FOLDER / "haproxy.cfg").read_text()))
    assert asked == set(compose["services"]["proxy"]["environment"])


def test_the_proxy_is_believed_and_nobody_else_reaches_the_nodes(compose: dict[str, Any]) -> None:
    (front,) = compose["networks"]["front"]["ipam"]["config"]
    for service in gateways(compose).values():
        assert service["environment"]["GATEWAY_TRUSTED_PROXIES"] == front["subnet"]
        assert "ports" not in service
    assert compose["networks"]["data"] == {"internal": True}
    assert all(compose["services"][name]["networks"] == ["data"] for name in ("primary", "replica"))
