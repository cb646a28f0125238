"""Reads the YAML that policies are written in, with none of YAML's surprises.

Only the JSON part of YAML 1.2 is understood: `yes`, `2026-02-01` and `1:30` are text; a repeated key, an alias or a
foreign tag is refused. So a document has one meaning, which is what gets signed.
"""

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from gateway.errors import GatewayError, Kind
from gateway.policy.errors import PolicyInvalid

_LARGEST = 1_000_000  # bytes; a policy document is a few kilobytes


class DocumentUnreadable(GatewayError):
    """A file is not one readable document; the message names the file and the place."""

    kind = Kind.MALFORMED
    code = "document_unreadable"
    title = "The document cannot be read"


class _PlainLoader(yaml.SafeLoader):
    """A loader that knows text, numbers, booleans, null, lists and maps."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - as PyYAML declares it
    yaml_constructors = {  # noqa: RUF012 - as PyYAML declares it
        tag: constructor
        for tag, constructor in yaml.SafeLoader.yaml_constructors.items()
        # `None` is the constructor that refuses every other tag.
        if tag is None or tag.rpartition(":")[2] in {"null", "bool", "int", "float", "str", "seq", "map"}
    }

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Compose a node; an alias would let a short document grow without bound, and hides what is signed."""
        if self.check_event(yaml.AliasEvent):
            raise yaml.composer.ComposerError(None, None, "aliases are not accepted", self.get_mark())
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002 - PyYAML's signature
        """Construct a map whose keys are text, each once."""
        seen: set[str] = set()
        for key_node, _ in node.value:
            key = key_node.value if key_node.tag == "tag:yaml.org,2002:str" else None
            if key is None or key in seen:
                problem = "a key must be text" if key is None else f"the key {key!r} is repeated"
                raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


for _tag, _pattern, _first in (
    ("null", r"(?:null|~|)\Z", ["n", "~", ""]),
    ("bool", r"(?:true|false)\Z", list("tf")),
    ("int", r"-?(?:0|[1-9][0-9]*)\Z", list("-0123456789")),
    ("float", r"-?(?:0|[1-9][0-9]*)\.[0-9]+\Z", list("-0123456789")),
):
    _PlainLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), _first)


def load_document(path: Path) -> Any:
    """Read one YAML file; raises `DocumentUnreadable` naming the file, line and column."""
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST + 1)
    except OSError as error:
        raise DocumentUnreadable(f"{path.name}: {error.strerror or 'cannot be opened'}") from error
    if len(data) > _LARGEST:
        raise DocumentUnreadable(f"{path.name}: over {_LARGEST} bytes")
    return parse_document(data, name=path.name)


def parse_document(data: bytes, *, name: str) -> Any:
    """Read YAML from bytes; `name` stands for it in the error's text."""
    try:
        return yaml.load(data.decode("utf-8"), Loader=_PlainLoader)  # noqa: S506 - a SafeLoader with less in it
    except UnicodeDecodeError as error:
        raise DocumentUnreadable(f"{name}: not UTF-8") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise DocumentUnreadable(f"{name}{place}: {error.problem}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise DocumentUnreadable(f"{name}: not YAML that can be read", detail=type(error).__name__) from error


def load_text(path: Path) -> str:
    """Read a text file of the policies folder; raises `PolicyInvalid` when it is missing or not UTF-8."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PolicyInvalid(f"{path.name} cannot be read", detail=type(error).__name__) from error
