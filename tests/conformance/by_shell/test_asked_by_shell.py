"""A question asked, and its answer believed, by a consumer of openssl, curl and shell: no library of anybody's.

`consumer.sh` is written from docs/wire-protocol.md. Here it runs with nothing in its path but the programs it may use.
"""

import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.demo.layout import PORTAL_CLIENT
from gateway.wire.encoding import b64_encode
from tests.conformance.computed import ABOVE_LIMIT, computing
from tests.kit.world import World

SCRIPT = Path(__file__).with_name("consumer.sh")
PROGRAMS = ("openssl", "curl", *("awk", "cat", "cut", "date", "grep", "mktemp", "od", "rm", "sed", "sort", "tr"))
VERIFIER = "a-code-verifier-of-forty-three-characters-or-more"

pytestmark = pytest.mark.any_database


@dataclass(frozen=True, slots=True, kw_only=True)
class ShellConsumer:
    """The script, with what it is to know: an address, a client, a key, and the code of a sign-in."""

    environment: dict[str, str]

    def run(self, command: str, folder: Path) -> str:
        done = self.tried(command, folder)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def tried(self, command: str, folder: Path) -> subprocess.CompletedProcess[str]:
        arguments = ["/bin/sh", str(SCRIPT), command, str(folder)]
        return subprocess.run(arguments, env=self.environment, capture_output=True, text=True, timeout=50, check=False)

    def asked(self, folder: Path, question: dict[str, object], token: Path) -> Path:
        folder.mkdir()
        shutil.copy(token, folder / "token")
        (folder / "question.json").write_text(json.dumps(question), encoding="utf-8")
        self.run("ask", folder)
        return folder


@pytest.fixture(scope="module")
def consumer(world: World, tmp_path_factory: pytest.TempPathFactory) -> ShellConsumer:
    programs = tmp_path_factory.mktemp("programs")
    for name in PROGRAMS:
        found = shutil.which(name)
        assert found is not None, name
        (programs / name).symlink_to(found)
    return ShellConsumer(
        environment={
            "PATH": str(programs),
            "ISSUER": world.issuer,
            "CLIENT": PORTAL_CLIENT,
            "KEY": str(world.layout.key_file(PORTAL_CLIENT)),
            "KID": world.signer(PORTAL_CLIENT).key_id,
            "CODE": world.code(world.officer(), verifier=VERIFIER),
            "CODE_VERIFIER": VERIFIER,
            "REDIRECT_URI": f"{world.layout.portal}/callback",
        }
    )


@pytest.fixture(scope="module")
def token(consumer: ShellConsumer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The officer's token, got by the script with the code of a sign-in and a client assertion of its own."""
    folder = tmp_path_factory.mktemp("token")
    consumer.run("token", folder)
    return folder / "token"


def question(world: World, **changes: object) -> dict[str, object]:
    asked = world.body(world.asking(), **changes)
    del asked["salt"]
    return asked


@pytest.fixture(scope="module")
def answered(world: World, consumer: ShellConsumer, token: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return consumer.asked(tmp_path_factory.mktemp("asked") / "good", question(world), token)


def test_a_question_is_asked_and_its_answer_believed(world: World, consumer: ShellConsumer, answered: Path) -> None:
    believed = consumer.run("believe", answered)
    assert sorted(believed.splitlines()) == ["eligible: true", 'tier: "targeted"']
    exchange = json.loads((answered / "receipt.json").read_bytes())["exchange"]
    assert world.outcomes_of(exchange)[-1] == "disclosed"


def test_a_lost_answer_is_got_again(consumer: ShellConsumer, answered: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    shutil.copytree(answered, again)
    (again / "answer-body").unlink()
    consumer.run("ask", again)
    assert (again / "answer-body").read_bytes() == (answered / "answer-body").read_bytes()
    assert (again / "signature").read_bytes() != (answered / "signature").read_bytes()
    consumer.run("believe", again)


def test_a_refusal_is_believed(world: World, consumer: ShellConsumer, token: Path, tmp_path: Path) -> None:
    folder = consumer.asked(tmp_path / "refused", question(world, fields=["eligible", "award_amount"]), token)
    assert consumer.run("believe", folder).startswith("refused: field_not_covered: ")


def test_a_check_is_believed_as_the_gateway_stated_it(
    world: World, consumer: ShellConsumer, token: Path, tmp_path: Path
) -> None:
    asked = world.body(computing(world, "computed-well", ABOVE_LIMIT), fields=["above_limit", "tier"])
    folder = consumer.asked(tmp_path / "checked", {name: asked[name] for name in asked if name != "salt"}, token)
    assert sorted(consumer.run("believe", folder).splitlines()) == ["above_limit: true", 'tier: "targeted"']


def _answer(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    """Change the body of the answer, and the digest with it, as somebody on the way could."""

    def tamper(folder: Path) -> None:
        body, head = folder / "answer-body", folder / "answer-head"
        changed = change(body.read_bytes())
        assert changed != body.read_bytes()
        body.write_bytes(changed)
        digest = b64_encode(hashlib.sha256(changed).digest())
        lines = [
            f"Content-Digest: sha-256=:{digest}:" if line.lower().startswith("content-digest:") else line
            for line in head.read_text(encoding="utf-8").splitlines()
        ]
        head.write_text("\n".join(lines) + "\n", encoding="utf-8")

    return tamper


def _file(name: str, old: bytes, new: bytes) -> Callable[[Path], None]:
    def tamper(folder: Path) -> None:
        content = (folder / name).read_bytes()
        assert old in content
        (folder / name).write_bytes(content.replace(old, new, 1))

    return tamper


@pytest.mark.parametrize(
    ("tamper", "doubt"),
    [
        (_file("answer-body", b'"record": "e', b'"record": "f'), "the digest of the body"),
        (_answer(lambda body: body.replace(b'"record": "e', b'"record": "f')), "the signature of the answer"),
        (_file("answer-head", b"200 OK", b"201 OK"), "the signature of the answer"),
        (_file("answer-head", b'"idempotency-key";req ', b""), 'the signature does not cover "idempotency-key";req'),
        (_file("answer-head", b"created=1", b"created=0"), "the signature is not of now"),
        (_file("answer-head", b"gateway-exchange", b"gateway-provider"), "the signature is for something else"),
        (_file("idempotency-key", b"-", b"0"), "the signature of the answer"),
        (_file("body.json", b"salt", b"pepper"), "the receipt is for another request"),
        (_file("target", b"/sharing/", b"/elsewhere/"), "the signature of the answer"),
    ],
)
def test_what_was_tampered_with_is_not_believed(
    consumer: ShellConsumer, answered: Path, tmp_path: Path, tamper: Callable[[Path], None], doubt: str
) -> None:
    folder = tmp_path / "tampered"
    shutil.copytree(answered, folder)
    tamper(folder)
    tried = consumer.tried("believe", folder)
    assert (tried.returncode, tried.stdout) == (1, "")
    assert tried.stderr == f"not believed: {doubt}\n"
