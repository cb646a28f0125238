"""Where providers answer, from the command line: recorded and logged, and refused where it is no address."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.audit.recorded import find_events
from gateway.db import Database
from gateway.errors import GatewayError
from gateway.sharing.catalogue.commands import ServicesContext, services_group
from tests.kit.agreements import members_in
from tests.kit.clock import FrozenClock

FSM = "dwp/free-school-meals/v1"
ADDRESS = "https://api.dwp.example/gateway"


@pytest.fixture
def context(database: Database, tmp_path: Path) -> ServicesContext:
    members = members_in(tmp_path, database)
    with database.write() as session:
        members.record(session)
    return ServicesContext(database=database, audit=members.audit, clock=FrozenClock())


def run(context: ServicesContext, *arguments: str) -> Result:
    return CliRunner().invoke(services_group(lambda: context), list(arguments))


def listed(context: ServicesContext) -> object:
    [service] = json.loads(run(context, "list", "--json").output)
    return service["endpoint"]


def test_an_address_is_recorded_and_who_changed_it_is_in_the_log(context: ServicesContext) -> None:
    done = run(context, "endpoint", FSM, ADDRESS, "--by", "A Sample")
    assert (done.exit_code, done.output) == (0, f"{FSM} is answered at {ADDRESS}\n")
    assert listed(context) == ADDRESS
    with context.database.read() as session:
        [event] = find_events(session, names=["sharing.service.endpoint_changed"], limit=5)
        details = context.audit.details_of(session, event.event_id)
    assert (details["endpoint"], details["by"]) == (ADDRESS, "A Sample")
    assert list(event.members) == ["dwp"]


@pytest.mark.parametrize(
    ("service", "address"),
    [
        ("dwp/another/v1", ADDRESS),
        (FSM, "api.dwp.example"),
        (FSM, "https://user:password@api.dwp.example"),
        (FSM, "file:///etc/passwd"),
    ],
)
def test_what_is_no_service_or_no_address_changes_nothing(context: ServicesContext, service: str, address: str) -> None:
    before = listed(context)
    done = run(context, "endpoint", service, address, "--by", "A Sample")
    assert isinstance(done.exception, GatewayError)
    assert listed(context) == before
    with context.database.read() as session:
        assert not find_events(session, names=["sharing.service.endpoint_changed"], limit=5)
