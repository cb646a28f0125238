"""A person erased by an operator's command: gone for auditors, proved as before, and a restored key does not help."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.audit.commands import audit_group
from gateway.audit.errors import DetailsErased
from gateway.demo.browser import Browser
from gateway.demo.layout import OVERSIGHT
from gateway.sdk.verify import verify
from gateway.work import tasks
from tests.kit.world import ADA_MATCH, World

BY = ("--by", "O Sample", "--reason", "request 2026/17", "--yes")


def test_a_person_named_by_an_exchange_is_erased_for_good(world: World, tmp_path: Path) -> None:
    asking = world.asking()
    # Somebody no other test asks about: their key is theirs alone.
    person = ADA_MATCH | {"nino": "QQ765432A"}
    answer = world.send(world.signed(world.body(asking, subject={"match": person})))
    exchange = json.loads(answer.body)["exchange"]
    [event] = world.events(reference=exchange)
    assert world.details(event)
    keys = world.settings.subject_keys_dir
    before = {path: path.read_bytes() for path in keys.rglob("*") if path.is_file()}

    group = audit_group(world.gateway.audit_context)
    erased = CliRunner().invoke(group, ["erase", "--exchange", exchange, *BY])
    assert erased.exit_code == 0, erased.output
    with pytest.raises(DetailsErased):
        world.details(event)
    page: Browser = world.signed_in_browser(world.officer(member=OVERSIGHT, roles=("auditor",)))
    page.open(f"{world.issuer}/auditor/exchanges/{exchange}")
    assert "They were erased" in page.text

    # The proof stands: made after the erasure, and checked as a stranger would.
    leaves = world.assert_log_verifies()
    assert [leaf.event for leaf in leaves if leaf.event == "audit.subject.erased"]
    made = CliRunner().invoke(group, ["prove", exchange, "-o", str(tmp_path / "proof.json")])
    assert made.exit_code == 0, made.output
    assert verify(tmp_path / "proof.json", world.public_keys_file()).receipt.exchange == exchange

    # A copy of the folder brings the key back. Nothing is opened under it, and the next look destroys it.
    [gone] = [path for path in before if not path.exists()]
    gone.write_bytes(before[gone])
    with pytest.raises(DetailsErased):
        world.details(event)
    [task] = [task for task in tasks(world.gateway) if task.name == "finish erasures"]
    task.run()
    assert not gone.exists()
