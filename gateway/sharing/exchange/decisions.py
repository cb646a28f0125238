"""From rows and requests to the plain facts that policy decides on: gathered anew for every decision."""

from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy.orm import Session

from gateway.directory.members import ClientKind, Jwk, find_client
from gateway.identity.accounts import find_account
from gateway.identity.caller import Caller
from gateway.policy.decision import CallerFacts, DecisionInputs, Deny, Permit, RequestFacts, SubjectFacts
from gateway.policy.engine import PolicyEngine
from gateway.sharing.agreements.agreements import Agreement, facts
from gateway.sharing.catalogue.services import Service
from gateway.sharing.exchange.people.objections import objections_of
from gateway.sharing.exchange.people.restrictions import is_restricted
from gateway.sharing.exchange.schemas import RecordRequest, SubjectBySub


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A decision, and the record from which it can be made again."""

    decision: Permit | Deny
    inputs: DecisionInputs


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """What happened before a request, as it was counted when its exchange was opened."""

    exchanges_today: int = 0
    earlier_queries: int = 0


def judge(
    session: Session,
    policy: PolicyEngine,
    *,
    caller: Caller,
    request: RecordRequest,
    signed_with: Jwk | None,
    agreement: Agreement | None,
    service: Service | None,
    subject: SubjectFacts,
    before: Before,
    now: datetime,
) -> Judged:
    """Decide in this transaction, on what is true in it.

    `subject` is what is known of the person so far; on which lists they stand is read here. `signed_with` is the key
    of the caller's that signed the request.
    """
    terms = facts(agreement) if agreement else None
    inputs = DecisionInputs(
        caller=_caller_facts(session, caller, signed_with=signed_with),
        agreement=terms,
        request=RequestFacts(
            service=request.service,
            provider=service.provider if service else "",
            purpose=request.purpose,
            fields=request.fields,
            case_reference=request.case_reference,
            service_active=service is not None and service.active,
            service_fields=_names_known(service, agreement),
            subject_kind="sub" if isinstance(request.subject, SubjectBySub) else "match",
            exchanges_today=before.exchanges_today,
            earlier_queries=before.earlier_queries,
        ),
        subject=_on_lists(session, subject, service=request.service, lists=terms.objection_lists if terms else ()),
        now=now,
    )
    return Judged(decision=policy.decide(inputs), inputs=inputs)


def _on_lists(session: Session, subject: SubjectFacts, *, service: str, lists: tuple[str, ...]) -> SubjectFacts:
    """Add on which lists the person stands now; what was known to stand against them remains."""
    return replace(
        subject,
        withheld=subject.withheld or is_restricted(session, subjects=subject.references, service=service),
        objections=tuple(
            sorted({*subject.objections, *objections_of(session, subjects=subject.references, lists=lists)})
        ),
    )


def _names_known(service: Service | None, agreement: Agreement | None) -> tuple[str, ...]:
    """Return what can be asked for by name: the service's fields, and the agreement's checks."""
    checks = agreement.terms.checks if agreement is not None else ()
    return (*(service.fields if service is not None else ()), *(check.name for check in checks))


def may_ask(decision: Permit | Deny) -> bool:
    """Tell whether the provider may be asked something: only rules about the person, if any, stand against it."""
    return isinstance(decision, Permit) or all(reason.about_subject for reason in decision.reasons)


def _caller_facts(session: Session, caller: Caller, *, signed_with: Jwk | None) -> CallerFacts:
    # Read again each time: client, member or officer may have been suspended, or a role taken away, since the token.
    client = find_client(session, caller.client.client_id)
    officer = caller.officer
    account = find_account(session, officer.account_id) if officer else None
    held = set(account.roles) if account else set()
    return CallerFacts(
        client_id=caller.client.client_id,
        member=caller.member_code,
        is_consumer=client is not None and ClientKind.CONSUMER in client.kinds,
        # A client that is not active has a reason of its own.
        key_registered=client is None or signed_with in client.keys,
        officer_id=str(officer.account_id) if officer else None,
        officer_member=officer.member_code if officer else None,
        roles=tuple(role for role in officer.roles if role in held) if officer else (),
        acr=officer.acr if officer else None,
    )
