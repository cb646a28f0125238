"""The shipped services and agreements, checked against the lists and each other, as decision tables start from them."""

from collections.abc import Mapping
from pathlib import Path

from gateway.policy.decision import AgreementFacts
from gateway.policy.documents import load_document
from gateway.policy.registers import load_registers
from gateway.policy.tables import AgreementBase
from gateway.sharing.agreements.agreement_files import load_agreements
from gateway.sharing.agreements.agreements import AgreementStatus, facts_of
from gateway.sharing.agreements.checks import Surroundings, check_terms
from gateway.sharing.agreements.schemas import read_agreement
from gateway.sharing.agreements.terms import Terms
from gateway.sharing.catalogue.service_files import load_services


def load_policy_bases(policies_dir: Path) -> Mapping[str, AgreementBase]:
    """Read and check every service and agreement of the folder; agreements by name (`DSA-003.1`).

    Raises `DocumentUnreadable`, `PolicyInvalid`, `ServiceInvalid` or `AgreementInvalid` naming what is wrong.
    """
    services = {service.id: service for service in load_services(policies_dir)}
    surroundings = Surroundings(registers=load_registers(policies_dir), services=services)
    bases: dict[str, AgreementBase] = {}
    for document in load_agreements(policies_dir):
        check_terms(document.terms, surroundings)
        terms = document.terms
        names = (*services[terms.service].fields, *(check.name for check in terms.checks))
        bases[terms.name] = AgreementBase(agreement=_as_in_force(terms), service_fields=names)
    return bases


def load_proposed_agreement(path: Path, policies_dir: Path) -> AgreementFacts:
    """Read and check a proposed version, in whatever file, as it would be in force; raises as `load_policy_bases`."""
    terms = read_agreement(load_document(path), source=path.name).terms
    services = {service.id: service for service in load_services(policies_dir)}
    check_terms(terms, Surroundings(registers=load_registers(policies_dir), services=services))
    return _as_in_force(terms)


def _as_in_force(terms: Terms) -> AgreementFacts:
    return facts_of(
        terms, status=AgreementStatus.ACTIVE, ends_on=terms.ends, consumer_signed=True, provider_signed=True
    )
