"""The shipped policies in tests: inputs that they permit, and ways to change one fact at a time."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from gateway.policy.decision import CallerFacts, DecisionInputs, RequestFacts, SubjectFacts
from gateway.sharing.agreements.policy_bases import load_policy_bases

POLICIES = Path(__file__).resolve().parent.parent.parent / "policies"


@cache
def permitted_inputs() -> DecisionInputs:
    """A request that the shipped agreement DSA-003.1 permits, as if both members had signed it."""
    base = load_policy_bases(POLICIES)["DSA-003.1"]
    return DecisionInputs(
        caller=CallerFacts(
            client_id="blackburn-portal",
            member="E06000008",
            is_consumer=True,
            officer_id="officer-sample",
            officer_member="E06000008",
            roles=("benefits-officer",),
            acr="AAL2",
        ),
        agreement=base.agreement,
        request=RequestFacts(
            service="dwp/free-school-meals/v1",
            provider="dwp",
            purpose="free-school-meals",
            fields=("eligible", "tier"),
            case_reference="FSM/2026/00017",
            service_active=True,
            service_fields=base.service_fields,
            subject_kind="match",
        ),
        subject=SubjectFacts(known=True, withheld=False),
        now=datetime(2026, 11, 23, 9, 30, tzinfo=UTC),
    )


def changed(inputs: DecisionInputs, change: Mapping[str, Any]) -> DecisionInputs:
    """The inputs with some facts changed: `{"caller": {"acr": "AAL1"}, "agreement": None}`."""
    parts: dict[str, Any] = {
        name: facts if facts is None else replace(getattr(inputs, name), **facts) for name, facts in change.items()
    }
    return replace(inputs, **parts)
