"""The lists that policies refer to: purposes, legal gateways, and the reasons that refusals give."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from gateway.policy.decision import Reason
from gateway.policy.documents import DocumentUnreadable, load_document
from gateway.policy.errors import PolicyInvalid


@dataclass(frozen=True, slots=True, kw_only=True)
class LegalGateway:
    """A power on which an agreement may rest, and where to read it."""

    code: str
    title: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Registers:
    """The lists, by code; `reasons` are by the @id of the rule that each explains, in the file's order."""

    purposes: Mapping[str, str]
    legal_gateways: Mapping[str, LegalGateway]
    reasons: Mapping[str, Reason]

    def texts(self) -> dict[str, Any]:
        """Return the lists as plain JSON, as `registers_from` reads them back."""
        return {
            "reasons": [[r.rule, r.code, r.title, r.about_subject] for r in self.reasons.values()],
            "purposes": [list(item) for item in self.purposes.items()],
            "legal_gateways": [[g.code, g.title, g.source] for g in self.legal_gateways.values()],
        }


def registers_from(texts: Mapping[str, Any]) -> Registers:
    """Read what `Registers.texts` returned; raises `KeyError`, `TypeError` or `ValueError` for anything else."""
    reasons = (
        Reason(rule=rule, code=code, title=title, about_subject=about) for rule, code, title, about in texts["reasons"]
    )
    gateways = (LegalGateway(code=code, title=title, source=source) for code, title, source in texts["legal_gateways"])
    return Registers(
        purposes=MappingProxyType(dict(texts["purposes"])),
        legal_gateways=MappingProxyType({gateway.code: gateway for gateway in gateways}),
        reasons=MappingProxyType({reason.rule: reason for reason in reasons}),
    )


def load_registers(policies_dir: Path) -> Registers:
    """Read the three lists; raises `PolicyInvalid` naming the file and the entry that is wrong."""
    purposes = _entries(policies_dir / "purposes.yaml", {"code": str, "title": str}, key="code")
    gateways = _entries(policies_dir / "legal-gateways.yaml", {"code": str, "title": str, "source": str}, key="code")
    reasons = _entries(
        policies_dir / "reasons.yaml", {"rule": str, "code": str, "title": str, "about_subject": bool}, key="rule"
    )
    if len({entry["code"] for entry in reasons.values()}) != len(reasons):
        raise PolicyInvalid("reasons.yaml: two rules have the same code")
    return Registers(
        purposes=MappingProxyType({code: entry["title"] for code, entry in purposes.items()}),
        legal_gateways=MappingProxyType({code: LegalGateway(**entry) for code, entry in gateways.items()}),
        reasons=MappingProxyType({rule: Reason(**entry) for rule, entry in reasons.items()}),
    )


def _entries(path: Path, shape: Mapping[str, type], *, key: str) -> dict[str, dict[str, Any]]:
    try:
        listed = load_document(path)
    except DocumentUnreadable as error:
        raise PolicyInvalid(error.public) from error
    if not isinstance(listed, list) or not listed:
        raise PolicyInvalid(f"{path.name}: a list of entries is expected")
    entries: dict[str, dict[str, Any]] = {}
    for number, entry in enumerate(listed, start=1):
        if not isinstance(entry, dict) or entry.keys() != shape.keys():
            raise PolicyInvalid(f"{path.name}: entry {number} must have exactly {', '.join(shape)}")
        wrong = [name for name, kind in shape.items() if type(entry[name]) is not kind or entry[name] == ""]
        if wrong:
            raise PolicyInvalid(f"{path.name}: entry {number}: {wrong[0]} must be {shape[wrong[0]].__name__}")
        if entry[key] in entries:
            raise PolicyInvalid(f"{path.name}: {entry[key]} stands there twice")
        entries[entry[key]] = entry
    return entries
