"""Check that every command the documents show exists: `make …` in the Makefile, `gateway …` in the program's own tree.

Commands are found in README.md, CONTRIBUTING.md and docs/**/*.md: in fenced blocks, at the start of a line (after an
optional `$ `), and between backticks. Sub-commands and options are compared with what `--help` would list.
"""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click

REPOSITORY = Path(__file__).resolve().parents[1]
FENCED = re.compile(r"^```[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`\n]+)`")
PROGRAMS = {"make", "gateway"}


def documents() -> list[Path]:
    """The documents whose commands a reader would type."""
    named = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md"]
    return [*filter(Path.exists, named), *sorted((REPOSITORY / "docs").rglob("*.md"))]


def commands_in(text: str) -> Iterator[list[str]]:
    """Each command of ours shown in a document, as words, its program first."""
    lines = [line for block in FENCED.findall(text) for line in block.replace("\\\n", " ").splitlines()]
    lines += INLINE.findall(FENCED.sub("", text))
    for line in lines:
        try:
            words = shlex.split(line.strip().removeprefix("$ "), comments=True)
        except ValueError:  # Not a shell's line: an apostrophe in a log, say.
            continue
        # Variables may stand before a command, as in `GATEWAY_ISSUER=… gateway serve`.
        while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
            words.pop(0)
        # `gateway = "…"` is a setting in a file.
        if words and Path(words[0]).name in PROGRAMS and words[1:2] != ["="]:
            yield [Path(words[0]).name, *words[1:]]


def make_targets() -> set[str]:
    """The targets `make help` lists."""
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z]+):.*## ", makefile, re.MULTILINE))


def wrong_with_make(words: list[str], targets: set[str]) -> str | None:
    """What is wrong with a `make` command, or None."""
    unknown = [word for word in words if "=" not in word and not word.startswith("-") and word not in targets]
    return f"make has no target {unknown[0]}" if unknown else None


def wrong_with_gateway(words: list[str], program: click.Command) -> str | None:
    """What is wrong with a `gateway` command, or None: an unknown sub-command or an unknown option."""
    command, path = program, "gateway"
    context = click.Context(program, info_name="gateway")
    for word in words:
        if word in {"|", ">", "&&", "&", ";"}:
            break
        if word.startswith("-"):
            option = word.partition("=")[0]
            known = {
                name for parameter in command.get_params(context) for name in parameter.opts + parameter.secondary_opts
            }
            if option not in known:
                return f"{path} has no option {option}"
        elif isinstance(command, click.Group):
            # `…` or `<command>` stands for any sub-command.
            if re.fullmatch(r"…|\.\.\.|<.*>|[A-Z]+", word):
                return None
            found = command.get_command(context, word)
            if found is None:
                return f"{path} has no command {word}"
            command, path = found, f"{path} {word}"
            context = click.Context(command, info_name=word, parent=context)
    return None


def main() -> int:
    """Print each command that does not exist; the exit status: 0 when all do, else 1."""
    from gateway.cli import main as program  # noqa: PLC0415 - the rest can be tested without the program.

    targets = make_targets()
    findings: list[str] = []
    for document in documents():
        for name, *words in commands_in(document.read_text(encoding="utf-8")):
            wrong = wrong_with_make(words, targets) if name == "make" else wrong_with_gateway(words, program)
            if wrong:
                findings.append(f"{document.relative_to(REPOSITORY)}: `{' '.join([name, *words])}`: {wrong}")
    for finding in findings:
        print(finding)
    return 1 if findings else 0


if __name__ == "__main__":
    raise SystemExit(main())
