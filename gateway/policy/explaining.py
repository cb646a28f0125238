"""A decision in plain words: the facts, and of each rule whether it held, what it looked at, and the clause it goes by.

What a rule looks at is said here for each rule of ours by its @id; of one that is proposed and not said here, its own
Cedar text is shown instead.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Literal

from gateway.clock import rfc3339
from gateway.policy.decision import AgreementFacts, DecisionInputs, Permit
from gateway.policy.engine import POLICY_ERROR, PolicyEngine
from gateway.policy.past import Told, told_of

State = Literal["holds", "fails", "not asked"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What a rule looks at: facts as `caller.roles`, and clauses of the agreement by the name of their fact."""

    facts: tuple[str, ...] = ()
    clauses: tuple[str, ...] = ()
    needs_officer: bool = False


# Where each fact of an agreement stands in its signed document.
CLAUSES: Mapping[str, str] = {
    "consumer": "parties.consumer.member",
    "provider": "parties.provider.member",
    "service": "service",
    "purposes": "purposes",
    "fields": "fields and checks",
    "legal_gateway": "legal_basis.gateway",
    "starts_on": "starts",
    "ends_on": "ends, or the day before a later version",
    "status": "status here (no clause)",
    "consumer_signed": "signature of the consumer",
    "provider_signed": "signature of the provider",
    "roles": "conditions.roles",
    "minimum_acr": "conditions.minimum_acr",
    "case_reference_required": "conditions.case_reference_required",
    "clients": "conditions.clients",
    "subject_kinds": "conditions.subject_kinds",
    "own_area_only": "conditions.own_area_only",
    "objection_lists": "conditions.objection_lists",
    "hours_days": "conditions.hours.days",
    "hours_from": "conditions.hours.from",
    "hours_until": "conditions.hours.until",
    "volume_per_day": "volume_per_day",
    "queries_per_subject": "conditions.queries_per_subject.most",
    "queries_days": "conditions.queries_per_subject.days",
    "minimum_match": "conditions.minimum_match",
}

LOOKED: Mapping[str, Looked] = {
    "caller-is-a-consumer": Looked(facts=("caller.client_id", "caller.is_consumer")),
    "key-is-registered": Looked(facts=("caller.key_registered",)),
    "officer-is-named": Looked(facts=("caller.officer_id",)),
    "officer-is-of-the-member": Looked(facts=("caller.officer_member", "caller.member"), needs_officer=True),
    "service-is-active": Looked(facts=("request.service", "request.service_active")),
    "purpose-is-known": Looked(facts=("request.purpose",)),
    "fields-are-named": Looked(facts=("request.fields",)),
    "fields-are-known": Looked(facts=("request.fields", "request.service_fields")),
    "agreement-exists": Looked(facts=("caller.member", "request.service")),
    "agreement-is-of-the-consumer": Looked(facts=("caller.member",), clauses=("consumer",)),
    "agreement-is-of-the-provider": Looked(facts=("request.provider",), clauses=("provider",)),
    "agreement-is-about-the-service": Looked(facts=("request.service",), clauses=("service",)),
    "agreement-is-signed-by-the-consumer": Looked(clauses=("consumer_signed",)),
    "agreement-is-signed-by-the-provider": Looked(clauses=("provider_signed",)),
    "agreement-is-not-suspended": Looked(clauses=("status",)),
    "agreement-is-in-force": Looked(clauses=("status",)),
    "agreement-has-started": Looked(facts=("now",), clauses=("starts_on",)),
    "agreement-has-not-ended": Looked(facts=("now",), clauses=("ends_on",)),
    "agreement-has-a-legal-gateway": Looked(clauses=("legal_gateway",)),
    "client-is-covered": Looked(facts=("caller.client_id",), clauses=("clients",)),
    "purpose-is-covered": Looked(facts=("request.purpose",), clauses=("purposes",)),
    "fields-are-covered": Looked(facts=("request.fields",), clauses=("fields",)),
    "officer-has-a-role": Looked(facts=("caller.roles",), clauses=("roles",), needs_officer=True),
    "officer-signed-in-strongly": Looked(facts=("caller.acr",), clauses=("minimum_acr",), needs_officer=True),
    "case-reference-is-given": Looked(facts=("request.case_reference",), clauses=("case_reference_required",)),
    "subject-may-be-named-so": Looked(facts=("request.subject_kind",), clauses=("subject_kinds",)),
    "hours-are-kept": Looked(facts=("now",), clauses=("hours_days", "hours_from", "hours_until")),
    "volume-is-kept": Looked(facts=("request.exchanges_today",), clauses=("volume_per_day",)),
    "query-budget-is-kept": Looked(facts=("request.earlier_queries",), clauses=("queries_per_subject", "queries_days")),
    "subject-is-known": Looked(facts=("subject.known",)),
    "subject-is-not-withheld": Looked(facts=("subject.withheld",)),
    "subject-has-not-objected": Looked(facts=("subject.objections",), clauses=("objection_lists",)),
    "subject-lives-in-the-area": Looked(facts=("subject.in_consumer_area",), clauses=("own_area_only",)),
    "subject-is-surely-matched": Looked(
        facts=("request.subject_kind", "subject.match_level"), clauses=("minimum_match",)
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule and how it went; `facts` and `clauses` are what it looked at, by name, in words."""

    rule: str
    code: str
    title: str
    """What a refusal says; of a rule that held, it did not come to that."""
    state: State
    facts: Mapping[str, str]
    clauses: Mapping[str, str]
    text: str | None = None
    """The rule itself, where nothing else says what it looks at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """A decision and every rule in it.

    Without `about_person`, rules about the person are left out; without `naming`, so is who the officer is and which
    case it was for.
    """

    asked: str
    agreement: str | None
    decided: Told
    rules: tuple[Rule, ...]
    about_person: bool
    naming: bool

    def to_document(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return {
            "asked": self.asked,
            "agreement": self.agreement,
            "decided": str(self.decided),
            "rules": [
                {
                    "rule": one.rule,
                    "code": one.code,
                    "state": one.state,
                    "title": one.title,
                    "facts": dict(one.facts),
                    "clauses": dict(one.clauses),
                }
                for one in self.rules
            ],
        }


def explain(
    engine: PolicyEngine, inputs: DecisionInputs, *, about_person: bool = False, naming: bool = False
) -> Explanation:
    """Decide on these facts and say why; `about_person` and `naming` are for whoever may read personal data."""
    decision = engine.decide(inputs)
    failed = {} if isinstance(decision, Permit) else {reason.rule: reason for reason in decision.reasons}
    rules = [
        _rule(engine, inputs, rule, failed=rule in failed, naming=naming)
        for rule, reason in engine.registers.reasons.items()
        if about_person or not reason.about_subject
    ]
    if POLICY_ERROR.rule in failed:
        told = (POLICY_ERROR.rule, POLICY_ERROR.code, POLICY_ERROR.title)
        rules.append(Rule(rule=told[0], code=told[1], title=told[2], state="fails", facts={}, clauses={}))
    return Explanation(
        asked=_asked(engine, inputs, naming=naming),
        agreement=None if inputs.agreement is None else _name(inputs.agreement),
        decided=told_of(decision),
        rules=tuple(rules),
        about_person=about_person,
        naming=naming,
    )


def lines_of(explanation: Explanation) -> Iterator[str]:
    """Give the explanation as lines for people: what failed first, with everything it looked at."""
    yield explanation.asked
    yield f"Agreement: {explanation.agreement or 'none between these members about this service'}"
    yield f"Decided: {explanation.decided}"
    order: tuple[State, ...] = ("fails", "holds", "not asked")
    for state in order:
        for one in explanation.rules:
            if one.state == state:
                yield ""
                yield f"{state:9}  {one.rule}"
                yield from _reasons(one, explanation.agreement)
    if not explanation.about_person:
        yield ""
        yield "Rules about the person are not shown. Where one of them alone failed, no_record was told."
    if not explanation.naming:
        yield "Who the officer is, and which case it was for, are not shown."


def _reasons(one: Rule, agreement: str | None) -> Iterator[str]:
    if one.state == "fails":
        yield f"           {one.code}: {one.title}"
    if one.state == "not asked":
        return
    for name, value in one.facts.items():
        yield f"           {name}: {value}"
    for clause, value in one.clauses.items():
        yield f"           {agreement}, {clause}: {value}"
    if one.text is not None:
        yield from (f"           {line}" for line in one.text.splitlines())


def _rule(engine: PolicyEngine, inputs: DecisionInputs, rule: str, *, failed: bool, naming: bool) -> Rule:
    reason, looked = engine.registers.reasons[rule], LOOKED.get(rule)
    state: State = "fails" if failed else "holds"
    agreement = inputs.agreement
    if looked is None:
        return Rule(
            rule=rule, code=reason.code, title=reason.title, state=state, facts={}, clauses={}, text=engine.rules[rule]
        )
    if (looked.clauses and agreement is None) or (looked.needs_officer and inputs.caller.officer_id is None):
        state = "not asked"
    clauses = {} if agreement is None else {CLAUSES[name]: _text(getattr(agreement, name)) for name in looked.clauses}
    told = {name: _text(_fact(inputs, name)) for name in looked.facts}
    if not naming:
        told |= {name: text for name, text in _unnamed(inputs).items() if name in told}
    facts = {name.replace("_", " ").replace(".", "'s "): text for name, text in told.items()}
    return Rule(rule=rule, code=reason.code, title=reason.title, state=state, facts=facts, clauses=clauses)


def _unnamed(inputs: DecisionInputs) -> dict[str, str]:
    """Return what is said of facts that are personal data of an officer, or lead to a person's case."""
    caller, agreement = inputs.caller, inputs.agreement
    covered = agreement is not None and bool(set(caller.roles) & set(agreement.roles))
    return {
        "caller.officer_id": "none" if caller.officer_id is None else "an officer",
        "caller.roles": "a role the agreement names" if covered else "no role the agreement names",
        "request.case_reference": "given" if inputs.request.case_reference else "none",
    }


def _fact(inputs: DecisionInputs, name: str) -> object:
    value: object = inputs
    for part in name.split("."):
        value = getattr(value, part)
    return value


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(str, value))}]"
    if isinstance(value, datetime):
        return rfc3339(value)
    return "none" if value is None else value.isoformat() if isinstance(value, date) else str(value)


def _asked(engine: PolicyEngine, inputs: DecisionInputs, *, naming: bool) -> str:
    caller, request = inputs.caller, inputs.request
    moment = inputs.now.astimezone(UTC)
    who = "nobody in particular"
    if caller.officer_id is not None:
        roles = _text(caller.roles) if naming else f"in {_unnamed(inputs)['caller.roles']}"
        who = f"an officer of {caller.officer_member or 'no member'} ({roles}, {caller.acr or 'AAL0'})"
    named = "by its own name for them" if request.subject_kind == "sub" else f"by {request.subject_kind}"
    purpose = engine.registers.purposes.get(request.purpose, "not on the list of purposes")
    return (
        f"On {moment.day} {moment:%B %Y} at {moment:%H:%M:%S} UTC, {caller.client_id} of {caller.member} asked for "
        f"{who}: {request.service} of {request.provider or 'nobody'}, fields {_text(request.fields)}, for the purpose "
        f"{request.purpose} ({purpose}), {'with' if request.case_reference else 'without'} a case reference, the "
        f"person given {named}."
    )


def _name(agreement: AgreementFacts) -> str:
    return f"{agreement.id}.{agreement.version}"
