"""An agreement's document has one form; whatever else it holds is refused with its place."""

from typing import Any

import pytest

from gateway.policy.documents import load_document
from gateway.sharing.agreements.errors import AgreementInvalid
from gateway.sharing.agreements.schemas import read_agreement
from tests.kit.agreements import shipped_document
from tests.kit.policies import POLICIES

DELETED = object()


def spoilt(path: str, value: object) -> Any:
    """The shipped document with one place changed, added or (`DELETED`) taken away."""
    document = load_document(POLICIES / "agreements" / "DSA-003.1.yaml")
    place = document
    *parents, last = path.split(".")
    for name in parents:
        place = place[int(name)] if name.isdigit() else place[name]
    if value is DELETED:
        del place[last]
    else:
        place[last] = value
    return document


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("surprise", 1),
        ("conditions.surprise", 1),
        ("parties.witness", {"member": "x"}),
        ("fields", DELETED),
        ("legal_basis.article_9", DELETED),
        ("conditions", DELETED),
        ("reference", "dsa-003"),
        ("reference", "DSA/../x"),
        ("version", 0),
        ("version", "1"),
        ("version", True),
        ("fields", "eligible"),
        ("fields", ["eligible", "eligible"]),
        ("fields", ["eligible", 7]),
        ("conditions.case_reference_required", "true"),
        ("conditions.case_reference_required", 1),
        ("conditions.minimum_acr", "AAL0"),
        ("conditions.subject_kinds", ["passport"]),
        ("legal_basis.article_9", ""),
        ("parties.provider.data_protection_role", "owner"),
        ("method", "bulk"),
        ("volume_per_day", -1),
        ("contacts", []),
        ("contacts.0.email", "not an address"),
        ("starts", "1 February 2026"),
        ("starts", "2026-02-30"),
        ("exclusions.0.reason", ""),
    ],
)
def test_what_does_not_have_the_form_is_refused_with_its_place(path: str, value: object) -> None:
    with pytest.raises(AgreementInvalid) as refused:
        read_agreement(spoilt(path, value), source="DSA-003.1.yaml")
    assert refused.value.public.startswith("DSA-003.1.yaml: ")
    assert path.split(".", maxsplit=1)[0] in refused.value.public


@pytest.mark.parametrize("document", [None, [], "text", 7])
def test_what_is_not_a_map_is_refused(document: object) -> None:
    with pytest.raises(AgreementInvalid):
        read_agreement(document, source="x.yaml")


def test_every_problem_is_named_at_once() -> None:
    document = spoilt("version", 0) | {"fields": 7}
    with pytest.raises(AgreementInvalid, match=r"version: .*") as refused:
        read_agreement(document, source="x.yaml")
    assert "fields: " in refused.value.public


def test_comments_and_layout_are_not_signed_and_every_value_is() -> None:
    shipped = shipped_document()
    reordered = dict(reversed(load_document(POLICIES / "agreements" / "DSA-003.1.yaml").items()))
    assert read_agreement(reordered, source="x").digest == shipped.digest
    for name, value in (("title", "Another"), ("fields", ["eligible"]), ("ends", "2036-02-01"), ("volume_per_day", 51)):
        assert shipped_document(**{name: value}).digest != shipped.digest, name


def test_the_demonstrations_contacts_are_roles_at_addresses_that_do_not_exist() -> None:
    for contact in shipped_document().terms.contacts:
        assert contact.email.endswith(".example")
