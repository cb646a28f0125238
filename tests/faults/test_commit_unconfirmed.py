"""The database commits and its confirmation is lost: nobody is told what is not sure, and nothing happens twice."""

import json
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from http import HTTPStatus
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from tests.faults.conftest import SETTINGS
from tests.faults.pressure import (
    asking_all_the_while,
    assert_accounted_for,
    exchanges_of,
    verified,
    wait_until,
    wait_until_none_is_open,
)
from tests.kit.cutting import CuttingProxy, cutting_proxy
from tests.kit.processes import processes
from tests.kit.world import World, running_world

pytestmark = [pytest.mark.prove, pytest.mark.postgresql, pytest.mark.timeout(150)]

DISCLOSED = b"sharing.record.disclosed"


@pytest.fixture(scope="module")
def cut_world(
    _databases: Callable[[], AbstractContextManager[str]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[World, CuttingProxy]]:
    folder = tmp_path_factory.mktemp("cut")
    with (
        _databases() as url,
        # The path of a socket has about a hundred characters; pytest's folders are longer.
        tempfile.TemporaryDirectory(prefix="gateway-") as sockets,
        cutting_proxy(Path(sockets), str(make_url(url).query["host"])) as proxy,
        processes(folder / "logs") as group,
        running_world(
            folder / "state",
            make_url(url).update_query_dict({"host": sockets}).render_as_string(hide_password=False),
            group,
            **SETTINGS,
        ) as world,
    ):
        yield world, proxy


def test_an_answer_whose_commit_was_not_confirmed_is_withheld_and_told_to_who_asks_again(
    cut_world: tuple[World, CuttingProxy],
) -> None:
    world, proxy = cut_world
    asking, token = world.asking("gated"), world.officer_token()
    request = world.signed(world.body(asking), token=token)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(world.send, request)
        wait_until(lambda: len(exchanges_of(world, asking)) == 1, within_seconds=10)
        proxy.lose_commits(1, of=DISCLOSED)
        world.open_gate(asking)
        unsure = waiting.result()
    assert proxy.left == 0
    assert unsure.status == HTTPStatus.SERVICE_UNAVAILABLE, unsure.body
    problem = json.loads(unsure.body)
    assert problem["code"] == "commit_unconfirmed"
    assert not {"record", "receipt"} & problem.keys()

    again = world.send(world.signed(request.body, token=token, key=request.headers["Idempotency-Key"]))
    assert again.status == HTTPStatus.OK
    [row] = assert_accounted_for(world, asking, [verified(world, json.loads(again.body)["receipt"])])
    assert row.state == "disclosed"
    assert len(world.questions(str(row.id))) == 1, "the department was asked twice"


@pytest.mark.parametrize("marker", [DISCLOSED, b""], ids=["endings", "any"])
def test_confirmations_are_lost_again_and_again_and_each_question_stays_one_exchange(
    marker: bytes, cut_world: tuple[World, CuttingProxy]
) -> None:
    world, proxy = cut_world
    asking = world.asking()
    with asking_all_the_while(world, asking, threads=6) as load:
        for _ in range(3):
            before = len(load.told)
            proxy.lose_commits(4, of=marker)
            wait_until(lambda: proxy.left == 0, within_seconds=30)
            load.wait_until(lambda load, before=before: len(load.told) > before + 3)  # type: ignore[misc]
    wait_until_none_is_open(world, asking)
    rows = assert_accounted_for(world, asking, load.told)
    told = [receipt.exchange for receipt in load.told]
    assert len(set(told)) == len(told)
    assert len(told) <= len(rows) <= load.asked
