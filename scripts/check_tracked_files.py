"""Look through every tracked file for what belongs to one machine: a package index's host, or somebody's folder.

A lock file or a script that names an index sends everybody there; a path from the author's disk works nowhere else.
"""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]

# Written in parts, so that this file passes its own check.
INDEX_HOSTS = [
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("npmjs", "org"),
        ("npmjs", "com"),
        ("yarnpkg", "com"),
        ("crates", "io"),
        ("proxy", "golang", "org"),
        ("deb", "debian", "org"),
    )
]
FOLDERS = ["/" + name + r"/\w" for name in ("home", "root", "Users")]
# Where this very clone lies, unless that is a name as general as /app or /src.
if len(REPOSITORY.parts) > 2:  # noqa: PLR2004 - the root, and one name below it.
    FOLDERS.append(re.escape(str(REPOSITORY)) + r"(?![\w-])")

FORBIDDEN = (
    ("the host of a package index", re.compile("|".join(map(re.escape, INDEX_HOSTS)), re.IGNORECASE)),
    # After a letter, digit or dot it is part of something longer, such as a web address.
    ("a folder of one machine", re.compile(r"(?<![\w.])(?:" + "|".join(FOLDERS) + ")")),
)


def findings_in(name: str, text: str) -> Iterator[str]:
    """A line `file:number: what: the text` for each forbidden thing in `text`."""
    for number, line in enumerate(text.splitlines(), start=1):
        for what, pattern in FORBIDDEN:
            if found := pattern.search(line):
                yield f"{name}:{number}: {what}: {found.group()}"


def main() -> int:
    """Print what was found; the exit status: 0 when nothing was, else 1."""
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, check=True)
    findings: list[str] = []
    for name in filter(None, listing.stdout.decode().split("\0")):
        path = REPOSITORY / name
        if path.is_file():  # A file removed and not yet committed is still listed.
            findings += findings_in(name, path.read_bytes().decode(errors="replace"))
    for finding in findings:
        print(finding)
    return 1 if findings else 0


if __name__ == "__main__":
    raise SystemExit(main())
