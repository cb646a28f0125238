"""What an agreement's document must agree with, besides itself. Every check is one rule and names what breaks it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from gateway.directory.members import ClientKind, find_client, find_member
from gateway.policy.registers import Registers
from gateway.sharing.agreements.errors import AgreementInvalid
from gateway.sharing.agreements.terms import Terms
from gateway.sharing.catalogue.services import RESERVED_NAMES, Service
from gateway.wire.errors import InvalidExpression
from gateway.wire.expressions import ValueKind, check_expression, uses

# As names are asked for, and short enough for every store.
_CHECK_NAME = re.compile(r"(?=.{1,64}\Z)[a-z][a-z0-9]*(?:_[a-z0-9]+)*\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """The lists and the catalogue to which a document refers; services by id."""

    registers: Registers
    services: Mapping[str, Service]


def check_terms(terms: Terms, surroundings: Surroundings) -> None:
    """Refuse terms that contradict themselves, the lists or the catalogue; raises `AgreementInvalid`."""
    for check in TERMS_CHECKS:
        check(terms, surroundings)


def check_parties_differ(terms: Terms, _surroundings: Surroundings) -> None:
    """One member cannot make an agreement with itself: its two signatures would be one."""
    if terms.parties.consumer.member == terms.parties.provider.member:
        raise _invalid(terms, "consumer and provider are the same member")


def check_service(terms: Terms, surroundings: Surroundings) -> None:
    """The provider who signs is the provider who answers."""
    service = surroundings.services.get(terms.service)
    if service is None:
        raise _invalid(terms, f"there is no service {terms.service}")
    if service.provider != terms.parties.provider.member:
        raise _invalid(terms, f"the service belongs to {service.provider}, not to the provider who signs")


def check_fields(terms: Terms, surroundings: Surroundings) -> None:
    """Only fields that the service has can be agreed."""
    unknown = [name for name in terms.fields if name not in surroundings.services[terms.service].fields]
    if unknown:
        raise _invalid(terms, f"the service has no field {unknown[0]}")


def check_attachments(terms: Terms, surroundings: Surroundings) -> None:
    """What is fetched by itself is encrypted on the way and in the spool, but not by the provider to the consumer."""
    attachments = surroundings.services[terms.service].attachment_fields
    covered = [name for name in terms.fields if name in attachments]
    if terms.end_to_end is not None and covered:
        raise _invalid(terms, f"{covered[0]} is an attachment, and attachments are not encrypted end to end")
    computed = [name for check in terms.checks for name in check.from_ if name in attachments]
    if computed:
        raise _invalid(terms, f"nothing can be computed from {computed[0]}, which is an attachment")


def check_check_names(terms: Terms, surroundings: Surroundings) -> None:
    """A name that is asked for means one thing: a check is called as no field is, and as no other check."""
    names = [check.name for check in terms.checks]
    twice = [name for name in names if names.count(name) > 1 or name in surroundings.services[terms.service].fields]
    if twice:
        raise _invalid(terms, f"the check {twice[0]} has the name of a field, or of another check")
    # RFC 9901 §4.1, RFC 7519 §4.1: a result travels as a field does, and cannot be called as a claim is.
    wrong = [name for name in names if not _CHECK_NAME.match(name) or name in RESERVED_NAMES]
    if wrong:
        raise _invalid(terms, f"{wrong[0]} cannot be the name of a check")


def check_expressions(terms: Terms, surroundings: Surroundings) -> None:
    """A check is computed from the fields that it names, from all of them, and can give nothing but what is agreed."""
    service = surroundings.services[terms.service]
    for check in terms.checks:
        unknown = [name for name in check.from_ if name not in service.fields]
        if unknown:
            raise _invalid(terms, f"the check {check.name} is from {unknown[0]}, which the service does not have")
        kinds = {name: _kind_of(service.schema["properties"][name]) for name in check.from_}
        try:
            check_expression(check.expression, fields=kinds, thresholds=service.thresholds, gives=check.gives)
        except InvalidExpression as error:
            raise _invalid(terms, f"the check {check.name}: {error.public}") from error
        # What is not needed is not fetched either.
        idle = [
            name
            for name in check.from_
            if not uses(check.expression, name, among=check.from_, thresholds=service.thresholds)
        ]
        if idle:
            raise _invalid(terms, f"the check {check.name} does not use {idle[0]}")


def check_end_to_end(terms: Terms, _surroundings: Surroundings) -> None:
    """Where the gateway can read nothing, it computes nothing."""
    here = [check.name for check in terms.checks if check.computed_by == "gateway"]
    if terms.end_to_end is not None and here:
        raise _invalid(terms, f"the gateway cannot compute {here[0]} from what it cannot read")


def check_exclusions(terms: Terms, _surroundings: Surroundings) -> None:
    """What is excluded cannot be agreed as well."""
    both = [exclusion.item for exclusion in terms.exclusions if exclusion.item in terms.askable]
    if both:
        raise _invalid(terms, f"{both[0]} is among what may be asked for and among the exclusions")


def check_purposes(terms: Terms, surroundings: Surroundings) -> None:
    """Purposes come from the list, so that they mean the same everywhere."""
    unknown = [purpose for purpose in terms.purposes if purpose not in surroundings.registers.purposes]
    if unknown:
        raise _invalid(terms, f"{unknown[0]} is not in purposes.yaml")


def check_legal_gateway(terms: Terms, surroundings: Surroundings) -> None:
    """Sharing rests on a power that is on the list."""
    if terms.legal_basis.gateway not in surroundings.registers.legal_gateways:
        raise _invalid(terms, f"{terms.legal_basis.gateway} is not in legal-gateways.yaml")


def check_dates(terms: Terms, _surroundings: Surroundings) -> None:
    """It starts before it ends, and is reviewed in between."""
    if terms.starts > terms.ends:
        raise _invalid(terms, "it ends before it starts")
    if not terms.starts <= terms.review <= terms.ends:
        raise _invalid(terms, "the review is not between start and end")


TERMS_CHECKS = (
    check_parties_differ,
    check_service,
    check_fields,
    check_check_names,
    check_attachments,
    check_expressions,
    check_end_to_end,
    check_exclusions,
    check_purposes,
    check_legal_gateway,
    check_dates,
)


def check_directory(session: Session, terms: Terms) -> None:
    """Refuse terms that name members or clients who do not take part; raises `AgreementInvalid`."""
    for party in (terms.parties.consumer, terms.parties.provider):
        if find_member(session, party.member) is None:
            raise _invalid(terms, f"{party.member} is not an active member")
    for client_id in terms.conditions.clients:
        client = find_client(session, client_id)
        # A client of another member would let that member ask under this agreement.
        if client is None or client.member_code != terms.parties.consumer.member:
            raise _invalid(terms, f"{client_id} is not an active client of the consumer")
        if ClientKind.CONSUMER not in client.kinds:
            raise _invalid(terms, f"{client_id} is not registered to ask for records")


_KINDS: Mapping[str, ValueKind] = {"boolean": "boolean", "integer": "integer", "string": "text"}


def _kind_of(described: Mapping[str, Any]) -> ValueKind:
    kind = described.get("type")
    return _KINDS.get(kind, "any") if isinstance(kind, str) else "any"


def _invalid(terms: Terms, problem: str) -> AgreementInvalid:
    return AgreementInvalid(f"{terms.name}: {problem}")
