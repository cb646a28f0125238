"""Decision tables: `policies/tests/*.yaml` say what must be decided, case by case, and are run against the engine.

A table starts from one shipped agreement, as it would be in force, and a request that it permits. Each case changes
some facts and names what must come of it: the fields permitted, or every code of the refusal and no other.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.policy.decision import AgreementFacts, DecisionInputs, Deny, Permit
from gateway.policy.documents import load_document
from gateway.policy.engine import PolicyEngine
from gateway.policy.errors import PolicyInvalid

_TABLE_KEYS = {"title", "agreement", "base", "cases"}
_FACTS = ("caller", "agreement", "request", "subject")


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreementBase:
    """What a table starts from: a shipped agreement as it would be in force, and the fields of its service."""

    agreement: AgreementFacts
    service_fields: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One line of a table. `expected` is `permit …` with the fields, or `deny …` with the codes, in order."""

    table: str
    name: str
    inputs: DecisionInputs
    expected: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A case and what was decided."""

    case: Case
    decided: str

    @property
    def holds(self) -> bool:
        """Whether the decision is the one the table asks for."""
        return self.decided == self.case.expected


def load_tables(policies_dir: Path, bases: Mapping[str, AgreementBase]) -> tuple[Case, ...]:
    """Read every case of the folder; `bases` are by agreement and version (`DSA-003.1`). Raises `PolicyInvalid`."""
    cases: list[Case] = []
    for path in sorted((policies_dir / "tests").glob("*.yaml")):
        cases.extend(_cases(load_document(path), bases, source=path.name))
    return tuple(cases)


def imagined(
    policies_dir: Path, bases: Mapping[str, AgreementBase], *, agreement: str, change: Mapping[str, Any]
) -> DecisionInputs:
    """Return a request like the one that an agreement's decision table begins with, but for `change`.

    Raises `PolicyInvalid` where there is no such table, or a change that does not fit the facts.
    """
    for path in sorted((policies_dir / "tests").glob("*.yaml")):
        table = load_document(path)
        if isinstance(table, dict) and table.get("agreement") == agreement and agreement in bases:
            start = _starting_point(table.get("base"), bases[agreement], source=path.name)
            case = {"name": "the imagined request", "change": change, "permit": []}
            return _case(case, start, table=agreement, source=agreement).inputs
    raise PolicyInvalid(
        f"there is no decision table for an agreement {agreement} to begin from; give every fact in a file of your "
        "own, --request FILE: caller, agreement, request, subject and now"
    )


def run_tables(engine: PolicyEngine, cases: Iterable[Case]) -> tuple[Outcome, ...]:
    """Decide every case."""
    return tuple(Outcome(case=case, decided=describe(engine.decide(case.inputs))) for case in cases)


def describe(decision: Permit | Deny) -> str:
    """Write a decision as the tables do: `permit eligible, tier` or `deny agreement_expired, unknown_purpose`."""
    if isinstance(decision, Permit):
        return f"permit {', '.join(decision.fields)}"
    return f"deny {', '.join(sorted(reason.code for reason in decision.reasons))}"


def rules_without_a_case(engine: PolicyEngine, cases: Sequence[Case]) -> tuple[str, ...]:
    """Return the rules whose code no case expects: nothing would notice if such a rule stopped working."""
    shown = {code for case in cases for code in case.expected.removeprefix("deny ").split(", ")}
    return tuple(rule for rule, reason in engine.registers.reasons.items() if reason.code not in shown)


def _cases(table: Any, bases: Mapping[str, AgreementBase], *, source: str) -> list[Case]:
    if not isinstance(table, dict) or table.keys() != _TABLE_KEYS:
        raise PolicyInvalid(f"{source}: a decision table has exactly {', '.join(sorted(_TABLE_KEYS))}")
    base = bases.get(table["agreement"])
    if base is None:
        raise PolicyInvalid(f"{source}: there is no agreement {table['agreement']}")
    start = _starting_point(table["base"], base, source=source)
    return [_case(case, start, table=table["title"], source=source) for case in table["cases"]]


def _starting_point(given: Any, base: AgreementBase, *, source: str) -> dict[str, Any]:
    """Return a document of inputs: what the table gives, and the rest from the agreement."""
    if not isinstance(given, dict) or given.keys() != {"caller", "request", "subject", "now"}:
        raise PolicyInvalid(f"{source}: the base has exactly caller, request, subject and now")
    agreement = base.agreement
    request = {
        "service": agreement.service,
        "provider": agreement.provider,
        "service_active": True,
        "service_fields": list(base.service_fields),
        **given["request"],
    }
    return {**given, "request": request, "agreement": agreement.to_document()}


def _case(case: Any, start: Mapping[str, Any], *, table: str, source: str) -> Case:
    name = case.get("name") if isinstance(case, dict) else None
    if not name or not case.keys() <= {"name", "change", "permit", "deny"} or ("permit" in case) == ("deny" in case):
        raise PolicyInvalid(f"{source}: a case has a name, perhaps a change, and either permit or deny ({name})")
    expected = f"permit {', '.join(case['permit'])}" if "permit" in case else f"deny {', '.join(sorted(case['deny']))}"
    try:
        inputs = DecisionInputs.from_document(_changed(start, case.get("change", {})))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise PolicyInvalid(f"{source}: {name}: the change does not fit the facts: {error}") from error
    return Case(table=table, name=name, inputs=inputs, expected=expected)


def _changed(start: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    changed = dict(start)
    for name, value in change.items():
        changed[name] = {**start[name], **value} if name in _FACTS and value is not None else value
    return changed
