"""A Dockerfile carried out without a container engine: its steps in a clean root, then its command as it would run.

The base is what debootstrap makes of the same Debian release. Only the instructions our Dockerfile uses are known;
any other is an error. Needs root, for chroot and mount namespaces.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.kit.processes import REPOSITORY, tied_to_this_process

SOURCES = Path("/etc/apt")
# How this machine reaches its package indexes: the steps that download need the same, the image itself does not.
PIP_SETTINGS = re.compile(r"PIP_|HTTPS?_PROXY$|https?_proxy$|NO_PROXY$|no_proxy$|SSL_CERT_FILE$|REQUESTS_CA_BUNDLE$")


class NotBuilt(RuntimeError):
    """A step failed; the message holds the step and the end of what it printed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """One instruction: its word in capitals, and everything behind it on one line."""

    word: str
    rest: str


@dataclass(slots=True, kw_only=True)
class Stage:
    """One stage as far as it has come: its root folder, and what later steps and the command inherit."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)
    folder: str = "/"
    user: str = "root"
    command: list[str] = field(default_factory=list)
    entrypoint: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)
    volumes: list[str] = field(default_factory=list)


def instructions(text: str) -> list[Instruction]:
    """The instructions of a Dockerfile, comments left out and continued lines joined."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    found = [line.split(None, 1) for line in joined.splitlines()]
    return [Instruction(word=word.upper(), rest=" ".join(rest.split())) for word, rest in found]


def build(dockerfile: Path, folder: Path) -> Stage:
    """Carry out every step below `folder`; returns the last stage. Raises `NotBuilt`."""
    arguments: dict[str, str] = {}
    stages: dict[str, Stage] = {}
    bases: dict[str, Path] = {}
    stage: Stage | None = None
    for step in instructions(dockerfile.read_text()):
        if step.word == "ARG":
            name, _, default = step.rest.partition("=")
            arguments[name] = default
        elif step.word == "FROM":
            image, *named = re.sub(r"\$\{(\w+)\}", lambda found: arguments[found.group(1)], step.rest).split()
            if image not in bases:
                bases[image] = _debian(image, folder / "base")
            root = folder / f"stage-{len(stages)}"
            _checked("cp", "--archive", "--reflink=auto", str(bases[image]), str(root))
            stage = Stage(root=root)
            stages[named[1] if named else str(len(stages))] = stage
        else:
            assert stage is not None, "a Dockerfile begins with FROM"
            _carry_out(step, stage, stages)
    assert stage is not None
    return stage


def _carry_out(step: Instruction, stage: Stage, stages: Mapping[str, Stage]) -> None:
    match step.word:
        case "RUN":
            _run(stage, step.rest)
        case "COPY":
            _copy(step.rest.split(), stage, stages)
        case "WORKDIR":
            stage.folder = step.rest
            (stage.root / step.rest.lstrip("/")).mkdir(parents=True, exist_ok=True)
        case "EXPOSE" | "STOPSIGNAL":
            pass  # said to people and to engines; SIGTERM is what everybody sends
        case _:
            _keep(step, stage)


def _keep(step: Instruction, stage: Stage) -> None:
    match step.word:
        case "ENV":
            name, _, value = step.rest.partition("=")
            stage.environment[name] = value
        case "USER":
            stage.user = step.rest
        case "ENTRYPOINT":
            stage.entrypoint = json.loads(step.rest)
        case "CMD":
            stage.command = json.loads(step.rest)
        case "HEALTHCHECK":
            stage.health = json.loads(step.rest.partition("CMD ")[2])
        case "VOLUME":
            stage.volumes.append(step.rest)
        case _:
            raise NotBuilt(f"{step.word} is not known here")


def _debian(image: str, root: Path) -> Path:
    """The root that stands for an official Debian image, from the mirror this machine itself uses."""
    release = re.fullmatch(r"debian:(\w+)-slim", image)
    if release is None:
        raise NotBuilt(f"{image}: only debian:<release>-slim has a counterpart here")
    _checked("debootstrap", "--variant=minbase", release.group(1), str(root), _mirror())
    return root


def _mirror() -> str:
    for file in sorted(SOURCES.glob("sources.list.d/*.sources")) + sorted(SOURCES.glob("sources.list")):
        found = re.search(r"^(?:URIs:|deb(?: \[[^]]*\])?) *(https?://\S+)", file.read_text(), re.MULTILINE)
        if found is not None:
            return found.group(1)
    raise NotBuilt("no Debian mirror is named below /etc/apt")


def _copy(words: Sequence[str], stage: Stage, stages: Mapping[str, Stage]) -> None:
    *sources, target = words
    if sources[0].startswith("--from="):
        root = stages[sources.pop(0).removeprefix("--from=")].root
        (source,) = sources
        _checked("cp", "--archive", "--no-target-directory", str(root / source[1:]), str(stage.root / target[1:]))
        return
    destination = (stage.root / stage.folder[1:] / target) if not target.startswith("/") else stage.root / target[1:]
    for source in sources:
        for name in _context(source):
            below = Path(name).relative_to(source) if name != source else Path(Path(name).name)
            to = destination / below if name != source or target.endswith("/") else destination
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / name, to)


def _context(source: str) -> list[str]:
    """The files of the build context at or below a path: what git knows or would add, never what it ignores."""
    listing = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z", "--", source],  # noqa: S607 - git of the tester's PATH
        cwd=REPOSITORY,
        capture_output=True,
        check=True,
        text=True,
    )
    names = [name for name in listing.stdout.split("\0") if name and (REPOSITORY / name).is_file()]
    if not names:
        raise NotBuilt(f"COPY {source}: there is no such file")
    return names


def _run(stage: Stage, command: str) -> None:
    environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"}
    settings = {name: value for name, value in os.environ.items() if PIP_SETTINGS.match(name)}
    if Path("/etc/pip.conf").exists():
        settings["PIP_CONFIG_FILE"] = "/etc/pip.conf"
    # What is lent lies on a file system of its own, gone with the step: nothing of this machine stays in the image.
    script = ["mount -t proc proc $ROOT/proc", "mount --bind /dev $ROOT/dev", "mount -t tmpfs tmpfs $ROOT/run"]
    script += ["cp /etc/resolv.conf /etc/hosts $ROOT/run", "touch $ROOT/etc/resolv.conf $ROOT/etc/hosts"]
    script += [f"mount --bind $ROOT/run/{name} $ROOT/etc/{name}" for name in ("resolv.conf", "hosts")]
    for name, value in settings.items():
        if value.startswith("/") and Path(value).exists():
            script.append(f"cp --recursive --dereference {shlex.quote(value)} $ROOT/run/{name}")
            settings[name] = f"/run/{name}"
    script.append(f"exec chroot $ROOT sh -ec {shlex.quote(f'cd {stage.folder}; {command}')}")
    own = {"ROOT": str(stage.root), "DEBIAN_FRONTEND": "noninteractive"}
    _checked(
        *("unshare", "--mount", "--pid", "--fork", "sh", "-ec", "\n".join(script)),
        environment=environment | settings | stage.environment | own,
    )


def _checked(*command: str, environment: Mapping[str, str] | None = None) -> None:
    done = subprocess.run(
        tied_to_this_process(command),
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise NotBuilt(f"{command[-1]}\n{done.stdout[-3000:]}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """An image's stage with a volume: how a container of it would run, on this machine's own network."""

    stage: Stage
    volume: Path
    settings: Mapping[str, str]

    def command(self, *arguments: str) -> list[str]:
        """The command line that runs `arguments` as the image's user, in its root made read-only."""
        stage, (volume,) = self.stage, self.stage.volumes
        root = str(stage.root)
        variables = [f"{name}={value}" for name, value in (stage.environment | dict(self.settings)).items()]
        script = [
            f"mount --bind {root} {root} && mount -o remount,bind,ro {root}",
            f"mount -t proc proc {root}/proc && mount --rbind /dev {root}/dev",
            f"mount -t tmpfs tmpfs {root}/tmp",  # noqa: S108 - the container's own
            f"mount --bind {self.volume} {root}{volume}",
            f"exec chroot --userspec={stage.user}:{stage.user} {root} "
            + shlex.join(["env", "-i", "--chdir", stage.folder, *variables, *arguments]),
        ]
        return ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-ec", "\n".join(script)]

    def run(self, *arguments: str, entrypoint: bool = True) -> subprocess.CompletedProcess[str]:
        """Run one command to its end."""
        words = [*(self.stage.entrypoint if entrypoint else []), *arguments]
        return subprocess.run(self.command(*words), capture_output=True, text=True, check=False, timeout=120)


@contextmanager
def image(dockerfile: Path) -> Iterator[Stage]:
    """The built image, removed in the end."""
    folder = Path(tempfile.mkdtemp(prefix="gateway-image-"))
    try:
        yield build(dockerfile, folder)
    finally:
        shutil.rmtree(folder)
