"""Agreements as files: `policies/agreements/<reference>.<version>.yaml`."""

from pathlib import Path

from gateway.policy.documents import load_document
from gateway.sharing.agreements.errors import AgreementInvalid
from gateway.sharing.agreements.schemas import read_agreement
from gateway.sharing.agreements.terms import AgreementDocument


def load_agreement(path: Path) -> AgreementDocument:
    """Read one agreement's form; raises `DocumentUnreadable` or `AgreementInvalid` naming file and place."""
    document = read_agreement(load_document(path), source=path.name)
    if path.stem != document.terms.name:
        raise AgreementInvalid(f"{path.name}: the file must be called {document.terms.name}.yaml")
    return document


def load_agreements(policies_dir: Path) -> tuple[AgreementDocument, ...]:
    """Read every agreement of the folder, by reference and version."""
    documents = [load_agreement(path) for path in (policies_dir / "agreements").glob("*.yaml")]
    return tuple(sorted(documents, key=lambda document: (document.terms.reference, document.terms.version)))
