"""The engine: Cedar, under rules that leave no way to an accidental permit.

Cedar's trap: a `forbid` whose condition cannot be evaluated is skipped, and what it would have refused is permitted.
So the schema goes with every request, the entities are made here and validated, and any error while deciding is a
refusal.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import Any, Self

import cedarpy

from gateway.policy.decision import AgreementFacts, DecisionInputs, Deny, Permit, Reason
from gateway.policy.documents import load_text
from gateway.policy.errors import PolicyInvalid
from gateway.policy.registers import Registers, load_registers
from gateway.wire.canonical import canonical_json, digest_b64

POLICY_ERROR = Reason(
    code="policy_error",
    title="The request could not be checked against the rules, and is therefore refused",
    rule="every-rule-is-evaluated",
    about_subject=False,
)
_ASSURANCE = {"AAL1": 1, "AAL2": 2, "AAL3": 3}
_ASK = {"type": "Action", "id": "ask"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyEngine:
    """Parsed policies; make one with `load` and share it between threads."""

    registers: Registers
    digest: str
    """`sha-256:` and the base64url SHA-256 of the schema, the rules and the lists."""
    rules: Mapping[str, str]
    """The Cedar text of each forbid, by its @id."""
    _policies: cedarpy.PolicySet
    _schema: cedarpy.Schema
    _entities: cedarpy.Entities

    @classmethod
    def load(cls, policies_dir: Path) -> Self:
        """Read, parse and check the policies; raises `PolicyInvalid` saying what is wrong with them."""
        schema_text = load_text(policies_dir / "gateway.cedarschema")
        rules_text = load_text(policies_dir / "rules.cedar")
        registers = load_registers(policies_dir)
        try:
            schema = cedarpy.Schema.from_str(schema_text)
            policies = cedarpy.PolicySet.from_str(rules_text)
            entities = cedarpy.Entities.from_json_str(json.dumps([_registers_entity(registers)]), schema)
        except ValueError as error:
            raise PolicyInvalid(f"Cedar cannot read the schema or the rules: {error}") from error
        _check_types(rules_text, schema)
        _check_rules(rules_text, registers)
        return cls(
            registers=registers,
            digest=_digest(schema_text, rules_text, registers),
            rules=_texts(rules_text),
            _policies=policies,
            _schema=schema,
            _entities=entities,
        )

    def decide(self, inputs: DecisionInputs) -> Permit | Deny:
        """Decide by every rule at once; never raises for what is in `inputs`."""
        try:
            entities = self._entities.with_added_json_str(json.dumps(_entities(inputs)), self._schema)
            result = cedarpy.is_authorized(_request(inputs), self._policies, entities, self._schema)
        except (ValueError, TypeError):
            return Deny(reasons=(POLICY_ERROR,))
        failed = set(result.diagnostics.id_annotations_by_reason.values())
        reasons = tuple(reason for rule, reason in self.registers.reasons.items() if rule in failed)
        # A skipped forbid is an error in the diagnostics, even where Cedar says Allow.
        if result.diagnostics.errors or result.decision is cedarpy.Decision.NoDecision:
            return Deny(reasons=(*reasons, POLICY_ERROR))
        if result.decision is cedarpy.Decision.Allow:
            return Permit(fields=tuple(dict.fromkeys(inputs.request.fields)))
        # Deny without a rule of ours cannot happen with checked rules; if it does, it is still a refusal with a reason.
        return Deny(reasons=reasons or (POLICY_ERROR,))


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
        "today": _day(inputs.now.astimezone(UTC).date().isoformat()),
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


def _entities(inputs: DecisionInputs) -> list[dict[str, Any]]:
    """Return every entity that this decision names: so none can be missing when a rule looks at it."""
    caller, request = inputs.caller, inputs.request
    entities = [
        _entity(
            "Client", caller.client_id, {"member": _reference("Member", caller.member), "consumer": caller.is_consumer}
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
        },
    )


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


def _digest(schema_text: str, rules_text: str, registers: Registers) -> str:
    document = {
        "schema": schema_text,
        "rules": rules_text,
        "reasons": [[r.rule, r.code, r.title, r.about_subject] for r in registers.reasons.values()],
        "purposes": [list(item) for item in registers.purposes.items()],
        "legal_gateways": [[g.code, g.title, g.source] for g in registers.legal_gateways.values()],
    }
    return f"sha-256:{digest_b64(canonical_json(document))}"
