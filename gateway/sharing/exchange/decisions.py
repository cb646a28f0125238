"""From rows and requests to the plain facts that policy decides on: gathered anew for every decision."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from gateway.directory.members import ClientKind, Jwk, find_client
from gateway.identity.accounts import find_account
from gateway.identity.caller import Caller
from gateway.policy.decision import CallerFacts, DecisionInputs, Deny, Permit, RequestFacts, SubjectFacts
from gateway.policy.engine import PolicyEngine
from gateway.sharing.agreements.agreements import Agreement, facts
from gateway.sharing.catalogue.services import Service
from gateway.sharing.exchange.restrictions import is_restricted
from gateway.sharing.exchange.schemas import RecordRequest, SubjectBySub


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A decision, and the record from which it can be made again."""

    decision: Permit | Deny
    inputs: DecisionInputs


def judge(
    session: Session,
    policy: PolicyEngine,
    *,
    caller: Caller,
    request: RecordRequest,
    signed_with: Jwk | None,
    agreement: Agreement | None,
    service: Service | None,
    subject: str,
    known: bool,
    withheld: bool,
    now: datetime,
) -> Judged:
    """Decide in this transaction, on what is true in it. `subject` is our own reference of the person.

    `signed_with` is the key of the caller's that signed the request.
    """
    inputs = DecisionInputs(
        caller=_caller_facts(session, caller, signed_with=signed_with),
        agreement=facts(agreement) if agreement else None,
        request=RequestFacts(
            service=request.service,
            provider=service.provider if service else "",
            purpose=request.purpose,
            fields=request.fields,
            case_reference=request.case_reference,
            service_active=service is not None and service.active,
            service_fields=service.fields if service else (),
            subject_kind="sub" if isinstance(request.subject, SubjectBySub) else "match",
        ),
        subject=SubjectFacts(
            known=known,
            withheld=withheld or is_restricted(session, subjects=(subject,), service=request.service),
        ),
        now=now,
    )
    return Judged(decision=policy.decide(inputs), inputs=inputs)


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
