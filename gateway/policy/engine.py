"""The engine: Cedar, under rules that leave no way to an accidental permit.

Cedar's trap: a `forbid` whose condition cannot be evaluated is skipped, and what it would have refused is permitted.
So the schema goes with every request, the entities are made here and validated, and any error while deciding is a
refusal.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Self
from zoneinfo import ZoneInfo

import cedarpy

from gateway.policy.decision import AgreementFacts, DecisionInputs, Deny, Permit, Reason
from gateway.policy.documents import load_text
from gateway.policy.errors import PolicyInvalid
from gateway.policy.registers import Registers, load_registers, registers_from
from gateway.wire.agreement_texts import texts_digest

POLICY_ERROR = Reason(
    code="policy_error",
    title="The request could not be checked against the rules, and is therefore refused",
    rule="every-rule-is-evaluated",
    about_subject=False,
)
_ASSURANCE = {"AAL1": 1, "AAL2": 2, "AAL3": 3}
MATCH_LEVELS = {"weak": 1, "fair": 2, "strong": 3, "exact": 4}
"""How surely a person was found, the least first."""
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_CIVIL_TIME = ZoneInfo("Europe/London")
_ASK = {"type": "Action", "id": "ask"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyEngine:
    """Parsed policies; make one with `load` and share it between threads."""

    registers: Registers
    digest: str
    """`sha-256:` and the base64url SHA-256 of `texts` in canonical JSON."""
    texts: Mapping[str, Any]
    """Schema, rules and lists: all that a decision depends on besides its inputs; `from_texts` reads them back."""
    rules: Mapping[str, str]
    """The Cedar text of each forbid, by its @id."""
    _evaluate: Callable[[str, str], "_Evaluated"]

    @classmethod
    def load(cls, policies_dir: Path) -> Self:
        """Read, parse and check the policies; raises `PolicyInvalid` saying what is wrong with them."""
        return cls._made(
            load_text(policies_dir / "gateway.cedarschema"),
            load_text(policies_dir / "rules.cedar"),
            load_registers(policies_dir),
        )

    @classmethod
    def from_texts(cls, texts: Mapping[str, Any]) -> Self:
        """Make an engine of kept `texts`, to decide as was decided then; raises `PolicyInvalid`."""
        try:
            return cls._made(str(texts["schema"]), str(texts["rules"]), registers_from(texts))
        except (KeyError, TypeError, ValueError) as error:
            raise PolicyInvalid("these are not the texts of policies") from error

    @classmethod
    def _made(cls, schema_text: str, rules_text: str, registers: Registers) -> Self:
        try:
            schema = cedarpy.Schema.from_str(schema_text)
            policies = cedarpy.PolicySet.from_str(rules_text)
            entities = cedarpy.Entities.from_json_str(json.dumps([_registers_entity(registers)]), schema)
        except ValueError as error:
            raise PolicyInvalid(f"Cedar cannot read the schema or the rules: {error}") from error
        _check_types(rules_text, schema)
        _check_rules(rules_text, registers)
        texts = {"schema": schema_text, "rules": rules_text, **registers.texts()}
        return cls(
            registers=registers,
            digest=texts_digest(texts),
            texts=texts,
            rules=_texts(rules_text),
            # Every exchange is decided twice, mostly on the same facts: what Cedar says depends on nothing else.
            _evaluate=lru_cache(maxsize=1024)(partial(_evaluate, policies, schema, entities)),
        )

    def decide(self, inputs: DecisionInputs) -> Permit | Deny:
        """Decide by every rule at once; never raises for what is in `inputs`."""
        try:
            evaluated = self._evaluate(json.dumps(_request(inputs)), json.dumps(_entities(inputs)))
        except (ValueError, TypeError):
            return Deny(reasons=(POLICY_ERROR,))
        reasons = tuple(reason for rule, reason in self.registers.reasons.items() if rule in evaluated.failed)
        if evaluated.allowed is None:
            return Deny(reasons=(*reasons, POLICY_ERROR))
        if evaluated.allowed:
            return Permit(fields=tuple(dict.fromkeys(inputs.request.fields)))
        # Deny without a rule of ours cannot happen with checked rules; if it does, it is still a refusal with a reason.
        return Deny(reasons=reasons or (POLICY_ERROR,))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Evaluated:
    """What Cedar says: the rules that failed, and whether it allows; None where not every rule could be evaluated."""

    failed: frozenset[str]
    allowed: bool | None


def _evaluate(
    policies: cedarpy.PolicySet, schema: cedarpy.Schema, registers: cedarpy.Entities, request: str, entities: str
) -> _Evaluated:
    """Ask Cedar; raises `ValueError` or `TypeError` for what it cannot read."""
    known = registers.with_added_json_str(entities, schema)
    result = cedarpy.is_authorized(json.loads(request), policies, known, schema)
    failed = frozenset(result.diagnostics.id_annotations_by_reason.values())
    # A skipped forbid is an error in the diagnostics, even where Cedar says Allow.
    if result.diagnostics.errors or result.decision is cedarpy.Decision.NoDecision:
        return _Evaluated(failed=failed, allowed=None)
    return _Evaluated(failed=failed, allowed=result.decision is cedarpy.Decision.Allow)


def _request(inputs: DecisionInputs) -> dict[str, Any]:
    caller, request = inputs.caller, inputs.request
    context: dict[str, Any] = {
        "purpose": request.purpose,
        "fields": sorted(set(request.fields)),
        "known_fields": sorted(set(request.fields) & set(request.service_fields)),
        "case_reference": bool(request.case_reference and request.case_reference.strip()),
        "subject_kind": request.subject_kind,
        "subject_known": inputs.subject.known,
        "subject_withheld": inputs.subject.withheld,
        "subject_objections": list(inputs.subject.objections),
        "subject_in_area": inputs.subject.in_consumer_area,
        # Presumed to suffice while nobody was asked; what a provider says and we do not know is no level at all.
        "subject_match": max(MATCH_LEVELS.values())
        if inputs.subject.match_level is None
        else MATCH_LEVELS.get(inputs.subject.match_level, 0),
        "exchanges_today": request.exchanges_today,
        "earlier_queries": request.earlier_queries,
        "today": _day(inputs.now.astimezone(UTC).date().isoformat()),
        **_civil_time(inputs.now),
    }
    if inputs.agreement is not None:
        context["agreement"] = _reference("Agreement", _agreement_id(inputs.agreement))
    if caller.officer_id is not None:
        context["officer"] = _reference("Officer", caller.officer_id)
    return {
        "principal": {"type": "Client", "id": caller.client_id},
        "action": _ASK,
        "resource": {"type": "Service", "id": request.service},
        "context": context,
    }


def _civil_time(now: datetime) -> dict[str, Any]:
    """Return weekday and minute of the day as clocks in the United Kingdom show them."""
    local = now.astimezone(_CIVIL_TIME)
    return {"weekday": WEEKDAYS[local.weekday()], "minute": local.hour * 60 + local.minute}


def _entities(inputs: DecisionInputs) -> list[dict[str, Any]]:
    """Return every entity that this decision names: so none can be missing when a rule looks at it."""
    caller, request = inputs.caller, inputs.request
    entities = [
        _entity(
            "Client",
            caller.client_id,
            {
                "member": _reference("Member", caller.member),
                "consumer": caller.is_consumer,
                "key_registered": caller.key_registered,
            },
        ),
        _entity(
            "Service",
            request.service,
            {
                "provider": _reference("Member", request.provider),
                "active": request.service_active,
                "fields": list(request.service_fields),
            },
        ),
    ]
    if caller.officer_id is not None:
        attributes = {
            # An officer of no member is of none that could be the client's: the empty code is nobody's.
            "member": _reference("Member", caller.officer_member or ""),
            "roles": list(caller.roles),
            "assurance": _ASSURANCE.get(caller.acr or "", 0),
        }
        entities.append(_entity("Officer", caller.officer_id, attributes))
    if inputs.agreement is not None:
        entities.append(_agreement_entity(inputs.agreement))
    return entities


def _agreement_entity(agreement: AgreementFacts) -> dict[str, Any]:
    return _entity(
        "Agreement",
        _agreement_id(agreement),
        {
            "status": agreement.status,
            "consumer_signed": agreement.consumer_signed,
            "provider_signed": agreement.provider_signed,
            "consumer": _reference("Member", agreement.consumer),
            "provider": _reference("Member", agreement.provider),
            "service": _reference("Service", agreement.service),
            "clients": [_reference("Client", client) for client in agreement.clients],
            "purposes": list(agreement.purposes),
            "fields": list(agreement.fields),
            "legal_gateway": agreement.legal_gateway,
            "starts_on": _day(agreement.starts_on.isoformat()),
            "ends_on": _day(agreement.ends_on.isoformat()),
            "roles": list(agreement.roles),
            # A strength that we do not know is stronger than any that an officer can have.
            "minimum_assurance": _ASSURANCE.get(agreement.minimum_acr, max(_ASSURANCE.values()) + 1),
            "case_reference_required": agreement.case_reference_required,
            "subject_kinds": list(agreement.subject_kinds),
            "own_area_only": agreement.own_area_only,
            "objection_lists": list(agreement.objection_lists),
            # A level that we do not know is surer than any that a provider can state.
            "minimum_match": 0
            if agreement.minimum_match is None
            else MATCH_LEVELS.get(agreement.minimum_match, max(MATCH_LEVELS.values()) + 1),
            **_limits(agreement),
        },
    )


def _limits(agreement: AgreementFacts) -> dict[str, Any]:
    """Return the attributes that an agreement has only where it sets such a limit."""
    limits: dict[str, Any] = {}
    if agreement.hours_from is not None and agreement.hours_until is not None:
        limits["hours"] = {
            "days": list(agreement.hours_days),
            "from": _minute(agreement.hours_from),
            "until": _minute(agreement.hours_until),
        }
    if agreement.volume_per_day is not None:
        limits["volume_per_day"] = agreement.volume_per_day
    if agreement.queries_per_subject is not None:
        limits["queries_per_subject"] = agreement.queries_per_subject
    return limits


def _minute(time_of_day: str) -> int:
    """Return the minute of the day of `HH:MM`."""
    hour, minute = time_of_day.split(":")
    return int(hour) * 60 + int(minute)


def _agreement_id(agreement: AgreementFacts) -> str:
    return f"{agreement.id}.{agreement.version}"


def _registers_entity(registers: Registers) -> dict[str, Any]:
    return _entity(
        "Registers",
        "gateway",
        {"purposes": list(registers.purposes), "legal_gateways": list(registers.legal_gateways)},
    )


def _entity(kind: str, name: str, attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {"uid": {"type": kind, "id": name}, "attrs": attributes, "parents": []}


def _reference(kind: str, name: str) -> dict[str, Any]:
    return {"__entity": {"type": kind, "id": name}}


def _day(iso: str) -> dict[str, Any]:
    return {"__extn": {"fn": "datetime", "arg": iso}}


def _check_types(rules_text: str, schema: cedarpy.Schema) -> None:
    result = cedarpy.validate_policies(rules_text, schema)
    if not result.validation_passed:
        names = result.id_annotations_by_policy_id
        faults = "; ".join(f"{names.get(fault.policy_id, fault.policy_id)}: {fault.error}" for fault in result.errors)
        raise PolicyInvalid(f"rules.cedar does not fit the schema: {faults}")


def _check_rules(rules_text: str, registers: Registers) -> None:
    """Check the form of the rules: one permit, every forbid named once and explained, no reason without its rule."""
    parsed = json.loads(cedarpy.policies_to_json_str(rules_text))
    if parsed["templates"]:
        raise PolicyInvalid("rules.cedar: templates are not used here")
    policies: Sequence[Mapping[str, Any]] = list(parsed["staticPolicies"].values())
    if sum(policy["effect"] == "permit" for policy in policies) != 1:
        raise PolicyInvalid("rules.cedar: there must be exactly one permit")
    names = [policy.get("annotations", {}).get("id") for policy in policies if policy["effect"] == "forbid"]
    if not all(names):
        raise PolicyInvalid("rules.cedar: every forbid needs an @id")
    if len(set(names)) != len(names):
        raise PolicyInvalid("rules.cedar: two forbids have the same @id")
    without_reason = sorted(set(names) - registers.reasons.keys())
    if without_reason:
        raise PolicyInvalid(f"reasons.yaml: no reason for the rule {without_reason[0]}")
    without_rule = sorted(registers.reasons.keys() - set(names))
    if without_rule:
        raise PolicyInvalid(f"reasons.yaml: there is no rule {without_rule[0]}")


def _texts(rules_text: str) -> dict[str, str]:
    """Return the Cedar text of each policy by its @id, comments left out, as Cedar itself formats it."""
    parsed = json.loads(cedarpy.policies_to_json_str(rules_text))
    return {
        policy["annotations"]["id"]: cedarpy.policies_from_json_str(
            json.dumps({"templates": {}, "staticPolicies": {"rule": policy}, "templateLinks": []})
        ).strip()
        for policy in parsed["staticPolicies"].values()
        if "id" in policy.get("annotations", {})
    }
