"""`gateway accounts list` leaves nobody out, however many there are."""

import json
from typing import cast

from click.testing import CliRunner
from sqlalchemy import insert

from gateway.db import Database, new_id
from gateway.identity.commands import AccountsContext, accounts_group
from gateway.identity.models import AccountRow
from tests.kit.clock import MIDDAY

MANY = 2500
"""More than a page of the database, and no whole number of pages."""


class OnlyADatabase:
    """All that listing needs."""

    def __init__(self, database: Database) -> None:
        self.database = database


def test_every_account_is_listed(database: Database) -> None:
    row = {
        "kind": "citizen",
        "email_verified": True,
        "given_name": "Ada",
        "family_name": "Testcase",
        "roles": [],
        "active": True,
        "password_hash": "",
        "created_at": MIDDAY,
        "updated_at": MIDDAY,
    }
    expected = [f"{number:04}@people.example" for number in range(MANY)]
    with database.write() as session:
        session.execute(insert(AccountRow), [{**row, "account_id": new_id(), "email": email} for email in expected])
    group = accounts_group(lambda: cast("AccountsContext", OnlyADatabase(database)))
    as_json = CliRunner().invoke(group, ["list", "--json"])
    assert [account["email"] for account in json.loads(as_json.output)] == expected
    table = CliRunner().invoke(group, ["list"])
    assert [line.split()[1] for line in table.output.splitlines()[1:]] == expected
