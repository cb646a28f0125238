"""docs/consumers.md and docs/providers.md, followed as they stand by somebody who has only them and a gateway."""

import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway import cli
from gateway.clock import SystemClock
from gateway.demo.world import open_sandbox
from gateway.sdk.consumer import Answer, Refusal
from gateway.sdk.questions import NoRecord
from gateway.sdk.table_mapping import load_provider_file
from gateway.sdk.tables import TableAnswers, open_database
from gateway.sharing.catalogue.services import find_service, record_service
from tests.kit.processes import REPOSITORY, Processes, Running, free_port, tied_to_this_process
from tests.kit.world import Asking, World
from tests.sdk.test_tables import QUESTION

DOCS = REPOSITORY / "docs"
FSM = "dwp/free-school-meals/v1"
ANSWER_SECONDS = 2.0
"""When "no record" leaves; the department has four fifths of it."""
OWN = ("exchange", "issued_at", "handle", "request_digest", "log_entry")
"""What every receipt has for itself."""


@dataclass(kw_only=True)
class Reader:
    """Follows one document in a folder of their own, with other ports than those it names."""

    document: str
    world: World
    folder: Path
    changes: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        (self.folder / "var").mkdir()
        (self.folder / "var" / "demo").symlink_to(self.world.layout.world_dir)
        self.world.public_keys_file()
        self.changes["http://localhost:8000"] = self.world.issuer
        for name, text in re.findall(r"<!-- file (\S+) -->\n\n```\w+\n(.*?)```\n", self._text(), re.DOTALL):
            (self.folder / name).write_text(self._here(text))

    def block(self, kind: str, name: str) -> str:
        """The block under this mark, with the addresses of this test."""
        found = re.search(rf"<!-- {kind} {name} -->\n\n```\w+\n(.*?)```\n", self._text(), re.DOTALL)
        assert found, f"{self.document} does not {kind} {name}"
        return self._here(found[1])

    def operate(self, command: str) -> str:
        """Run a command of the operator's, with the settings of the running gateway."""
        arguments = shlex.split(command.replace("\\\n", " "))[1:]
        forget = (cli._settings.cache_clear, cli._gateway.cache_clear)
        before = Path.cwd()
        os.chdir(self.folder)
        try:
            for each in forget:
                each()
            result = CliRunner().invoke(cli.main, arguments, env=self.world.settings.environment())
            cli._gateway().database.close()
        finally:
            os.chdir(before)
            for each in forget:
                each()
        assert result.exit_code == 0, result.output
        return result.output

    @contextmanager
    def started(self, command: str) -> Iterator[subprocess.Popen[str]]:
        """Run a block in the reader's shell, and end it with the test."""
        shell = subprocess.Popen(
            tied_to_this_process(["/bin/bash", "-euo", "pipefail", "-c", f"exec {command}"]),
            env=self.environment,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        with shell:
            try:
                yield shell
            finally:
                shell.terminate()

    def run(self, command: str, **environment: str) -> str:
        """Run a block to its end, which must be good; return what it printed."""
        done = subprocess.run(
            ["/bin/bash", "-euo", "pipefail", "-c", command],
            env={**self.environment, **environment},
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @property
    def environment(self) -> dict[str, str]:
        return {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "PYTHONPATH": str(REPOSITORY)}

    def _text(self) -> str:
        return (DOCS / self.document).read_text(encoding="utf-8")

    def _here(self, text: str) -> str:
        for documented, here in self.changes.items():
            text = text.replace(documented, here)
        return text


@pytest.mark.any_database
def test_a_developer_asks_a_first_question(world: World, tmp_path: Path) -> None:
    port = free_port()
    reader = Reader(
        document="consumers.md", world=world, folder=tmp_path, changes={"localhost:8003": f"localhost:{port}"}
    )
    reader.operate(reader.block("register", "my-system"))
    open_sandbox(world.tools, world.layout)  # as the demonstration does when it starts

    browser = world.signed_in_browser(world.officer(roles=("benefits-officer",)))

    def signed_in(command: str) -> str:
        with reader.started(command) as shell:
            assert shell.stderr is not None
            address = next(line.strip() for line in iter(shell.stderr.readline, "") if line.startswith("http"))
            assert "close this page" in browser.open(address)
            told, complaints = shell.communicate(timeout=30)
        assert shell.returncode == 0, complaints
        return told

    told = signed_in(reader.block("run", "first-question"))
    assert re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "…", told) == reader.block("shows", "first-question")

    signed_in(reader.block("run", "token"))
    assert reader.run("python ask.py") == "eligible\n"
    program = reader.folder / "ask.py"
    (program.parent / "wrong.py").write_text(program.read_text().replace('"birthdate"', '"born"'))
    assert "subject.match.born: Unknown field." in reader.run("python wrong.py")
    kept = reader.folder / "var" / "officer.token"
    # This token is the portal's: a system asks with tokens of its own alone.
    kept.write_text(world.tokens(world.officer(roles=("benefits-officer",)))["access_token"])
    assert reader.run("python ask.py").startswith("not answered: ")

    proved = reader.run(reader.block("run", "verify"))
    assert "ok  4 disclosure: the receipt names this record and its fields: eligible, tier" in proved


@pytest.mark.any_database
def test_an_officer_who_may_ask_every_twin_is_made_as_the_document_says(world: World, tmp_path: Path) -> None:
    reader = Reader(document="sandbox.md", world=world, folder=tmp_path)
    assert "dev@blackburn.example" in reader.operate(reader.block("operator", "developer"))


@pytest.fixture
def department(world: World, tmp_path: Path, server_processes: Processes) -> "Department":
    """A department that reads docs/providers.md, and a service of its own that it may answer."""
    port = world.own_provider.partition(":")[2]
    asking = world.asking()
    with world.gateway.database.write() as session:
        service = find_service(session, asking.service)
        assert service is not None
        wider = replace(
            service,
            match_attributes=("family_name", "birthdate", "given_name", "nino", "nino_fragment", "postcode"),
            match_required=("family_name", "birthdate"),
            answer_seconds=ANSWER_SECONDS,
        )
        record_service(session, wider, at=SystemClock().now())
    changes = {"8010": port, FSM: asking.service}
    return Department(
        document="providers.md", world=world, folder=tmp_path, changes=changes, asking=asking, group=server_processes
    )


@dataclass(kw_only=True)
class Department(Reader):
    """The reader, and the gateway's side of their service."""

    asking: Asking
    group: Processes

    def serve(self, name: str) -> Running:
        self.operate(self.block("operator", "endpoint"))
        return self.group.start(
            shlex.split(self.block("serve", name)),
            env=self.environment,
            name=name,
            ready_url=f"http://{self.world.own_provider}/readyz",
            cwd=self.folder,
        )

    def asked(self, **match: str) -> Answer | Refusal:
        """What a council is told about whoever is described."""
        return self.world.consumer().ask(
            service=self.asking.service,
            purpose=self.asking.purpose,
            subject={"match": match},
            fields=["eligible", "tier"],
            case_reference="FSM/2026/00017",
            access_token=self.world.officer_token(),
        )


ADA = {"family_name": "Testcase", "given_name": "Ada", "birthdate": "1988-01-01", "nino": "QQ123456C"}


@pytest.mark.any_database
def test_a_department_answers_out_of_its_table_with_no_code(department: Department) -> None:
    department.run(department.block("run", "people"))
    assert "every table and column is there" in department.run(department.block("run", "check"))
    server = department.serve("table")
    for described in (
        ADA,
        {**ADA, "family_name": "o’Sample"},
        {"family_name": "Testcase", "birthdate": "1988-01-01", "nino_fragment": "3456"},
        {"family_name": "Testcase", "given_name": "Ada", "birthdate": "1988-01-01", "postcode": "ZZ1 1AA"},
    ):
        answer = department.asked(**described)
        assert isinstance(answer, Answer), answer
        assert answer.fields == {"eligible": True, "tier": "targeted"}
    # Nothing about anybody is in the department's own log.
    assert "outcome=answered" in server.output()
    assert not [value for value in ("Testcase", "QQ123456C", "1988", "targeted") if value in server.output()]


def test_unknown_ambiguous_and_withheld_are_one_answer_in_words_code_and_time(department: Department) -> None:
    department.run(department.block("run", "people"))
    department.serve("table")
    described = {
        "unknown": {**ADA, "nino": "QQ999999C"},
        "ambiguous": {"family_name": "Testcase", "given_name": "Zoe", "birthdate": "1990-01-01", "postcode": "ZZ1 1AC"},
        "withheld": {"family_name": "Specimen", "birthdate": "1988-02-29", "nino": "QQ654321A"},
    }
    department.world.officer_token()

    def told(match: dict[str, str]) -> tuple[object, float]:
        began = time.monotonic()
        refused = department.asked(**match)
        seconds = time.monotonic() - began
        assert isinstance(refused, Refusal), refused
        assert refused.code == "no_record"
        # Of the receipt all but what each one has for itself: which exchange this was, and when.
        receipt = asdict(refused.receipt)
        common = {name: value for name, value in receipt.items() if name not in OWN}
        return (refused.code, refused.rules, common), seconds

    with ThreadPoolExecutor(3) as threads:
        answers = list(threads.map(told, described.values()))
    words, times = zip(*answers, strict=True)
    assert words[0] == words[1] == words[2]
    # None of them leaves before the service's own time, whoever knew and when.
    assert min(times) >= ANSWER_SECONDS
    # To the department they were not the same.
    file = load_provider_file(department.folder / "department.toml", environment={})
    [mapping] = file.services.values()
    answers_of = TableAnswers(open_database(file.database, folder=file.folder), mapping)
    reasons = [answers_of(replace(QUESTION, subject={"match": match})) for match in described.values()]
    assert reasons == [NoRecord(reason="unknown"), NoRecord(reason="ambiguous"), NoRecord(reason="withheld")]


@pytest.mark.any_database
def test_a_department_answers_with_a_function(department: Department) -> None:
    department.serve("function")
    answer = department.asked(**ADA)
    assert isinstance(answer, Answer)
    assert answer.fields == {"eligible": True, "tier": "targeted"}
    assert isinstance(department.asked(**{**ADA, "birthdate": "1988-01-02"}), Refusal)
