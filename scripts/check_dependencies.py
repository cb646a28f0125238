"""Compare what the code imports with what pyproject.toml asks for: nothing missing, nothing idle.

An import in gateway/ or migrations/ must come from `dependencies`, or from an extra that deployments choose; one in
tests/, scripts/ or benchmarks/ may also come from the `dev` extra. A dependency that nothing imports must say here how
it is used instead. And what is asked for must be in the lock files, or an installation would go without it.
"""

import ast
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import packages_distributions
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
RUN_TIME = ("gateway", "migrations")
DEVELOPMENT = ("tests", "scripts", "benchmarks")

USED_WITHOUT_IMPORT = {
    "gunicorn": "run as a program by `gateway serve`",
    "import-linter": "run as lint-imports by `make check`",
    "mypy": "run by `make check`",
    "pre-commit": "run by git",
    "psycopg": "loaded by SQLAlchemy when the database URL names it",
    "pytest-socket": "a pytest plugin",
    "pytest-timeout": "a pytest plugin",
    "pytest-xdist": "a pytest plugin",
    "ruff": "run by `make check`",
    "tzdata": "read by zoneinfo where the system has no time zones",
    "uv": "run by `make lock`",
}


def canonical_name(requirement: str) -> str:
    """A requirement's distribution name, normalised as PEP 503 says: lower case, runs of `-_.` as one hyphen."""
    name = re.split(r"[\s\[<>=!~;]", requirement, maxsplit=1)[0]
    return re.sub(r"[-_.]+", "-", name).lower()


def imported_modules(folders: Iterable[str]) -> Iterator[tuple[str, Path]]:
    """Each top-level module imported below the folders, with the file that does it."""
    for folder in folders:
        for path in sorted((REPOSITORY / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    yield from ((alias.name.partition(".")[0], path) for alias in node.names)
                elif isinstance(node, ast.ImportFrom) and node.module:
                    yield node.module.partition(".")[0], path


def unmet(folders: Iterable[str], allowed: set[str], distributions: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """A line for each import that no allowed distribution provides."""
    # `_typeshed` is the type checker's own, and never imported while anything runs.
    ours = {*RUN_TIME, *DEVELOPMENT, *sys.stdlib_module_names, "_typeshed"}
    for module, path in imported_modules(folders):
        if module in ours:
            continue
        providers = {canonical_name(name) for name in distributions.get(module, [])}
        if not providers & allowed:
            yield f"{path.relative_to(REPOSITORY)} imports {module}, which pyproject.toml does not ask for"


def unlocked(names: Iterable[str], lock_file: str) -> Iterator[str]:
    """A line for each distribution that a lock file does not hold."""
    locked = re.findall(r"^([\w.-]+)==", (REPOSITORY / lock_file).read_text(encoding="utf-8"), re.MULTILINE)
    for name in set(names) - set(map(canonical_name, locked)):
        yield f"{lock_file} lacks {name}: run `make lock`"


def main() -> int:
    """Print what differs; the exit status: 0 when nothing does, else 1."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    run_time = set(map(canonical_name, project["dependencies"]))
    extras = project["optional-dependencies"]
    chosen = {
        canonical_name(name) for extra, names in extras.items() if extra not in {"dev", "build"} for name in names
    }
    development = run_time | set(map(canonical_name, extras["dev"]))
    distributions = packages_distributions()

    findings = {*unmet(RUN_TIME, run_time | chosen, distributions), *unmet(DEVELOPMENT, development, distributions)}
    used = {
        canonical_name(name)
        for module, _path in imported_modules((*RUN_TIME, *DEVELOPMENT))
        for name in distributions.get(module, [])
    }
    for name in development - used - USED_WITHOUT_IMPORT.keys():
        # Stub packages are read by mypy; pytest finds the tests themselves.
        if not name.startswith("types-"):
            findings.add(f"pyproject.toml asks for {name}, which nothing imports")
    findings.update(
        f"{name} is in USED_WITHOUT_IMPORT and not in pyproject.toml"
        for name in USED_WITHOUT_IMPORT.keys() - development
    )
    findings.update(unlocked(run_time, "requirements.txt"))
    findings.update(unlocked(development, "requirements-dev.txt"))
    for finding in sorted(findings):
        print(finding)
    return 1 if findings else 0


if __name__ == "__main__":
    raise SystemExit(main())
