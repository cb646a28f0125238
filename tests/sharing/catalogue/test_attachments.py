"""A field that is a document: what a service may say of it, and what a record may hold for it."""

from dataclasses import replace
from typing import Any

import pytest

from gateway.sharing.catalogue.errors import ServiceInvalid
from gateway.sharing.catalogue.service_files import load_services
from gateway.sharing.catalogue.services import MOST_ATTACHED, Service, check_service
from tests.kit.policies import POLICIES

LETTER = {"x-attachment": ["application/pdf", "image/png"], "description": "The letter of award."}
VALUE = {"digest": "q" * 42 + "w", "size": 0, "type": "image/png"}


def service_with(letter: Any = LETTER, *, most: int = 1000) -> Service:
    shipped = next(one for one in load_services(POLICIES) if one.id == "dwp/free-school-meals/v1")
    properties = {**shipped.schema["properties"], "letter": letter}
    return replace(shipped, schema={**shipped.schema, "properties": properties}, max_attachment_bytes=most)


def test_a_service_may_have_documents_of_named_types() -> None:
    service = service_with()
    check_service(service)
    assert service.attachment_fields == {"letter": ("application/pdf", "image/png")}


@pytest.mark.parametrize(
    "letter",
    [
        {**LETTER, "x-attachment": []},
        {**LETTER, "x-attachment": "application/pdf"},
        {**LETTER, "x-attachment": ["pdf"]},
        {**LETTER, "x-attachment": ["Application/PDF"]},
        {**LETTER, "x-attachment": ["text/html; charset=utf-8"]},
        {**LETTER, "x-attachment": ["application/pdf\r\nX: y"]},
        {**LETTER, "x-attachment": True},
        {**LETTER, "x-attachment": [1]},
        {**LETTER, "type": "string"},
        {**LETTER, "properties": {"digest": True}},
        {"x-attachment": ["application/pdf"]},
    ],
)
def test_what_cannot_be_a_document_is_refused(letter: Any) -> None:
    with pytest.raises(ServiceInvalid, match="letter"):
        check_service(service_with(letter))


@pytest.mark.parametrize("most", [0, -1, MOST_ATTACHED + 1])
def test_a_service_with_documents_says_how_large_they_may_be(most: int) -> None:
    with pytest.raises(ServiceInvalid, match="max_attachment_bytes"):
        check_service(service_with(most=most))


@pytest.mark.parametrize(
    ("value", "problems"),
    [
        (VALUE, ()),
        ({**VALUE, "size": -1}, ("letter.size: breaks minimum",)),
        ({**VALUE, "size": "10"}, ("letter.size: breaks type",)),
        ({**VALUE, "type": "text/html"}, ("letter.type: breaks enum",)),
        ({**VALUE, "digest": "../../etc/passwd" + "q" * 26 + "w"}, ("letter.digest: breaks pattern",)),
        ({**VALUE, "digest": "q" * 44}, ("letter.digest: breaks maxLength", "letter.digest: breaks pattern")),
        ({**VALUE, "digest": "q" * 42 + "w\n"}, ("letter.digest: breaks maxLength",)),
        ({**VALUE, "href": "https://elsewhere.example"}, ("letter: breaks additionalProperties",)),
        ({"digest": VALUE["digest"], "size": 1}, ("letter: breaks required",)),
        ("JVBERi0x", ("letter: breaks type",)),
    ],
)
def test_a_record_names_a_document_and_holds_none(value: Any, problems: tuple[str, ...]) -> None:
    assert service_with().problems_in({"letter": value}) == problems


def test_a_digest_has_one_spelling() -> None:
    """Its last character has two bits that no byte uses: with one of them set it is another spelling of the same."""
    assert service_with().problems_in({"letter": {**VALUE, "digest": "q" * 43}}) == ("letter.digest: breaks pattern",)
