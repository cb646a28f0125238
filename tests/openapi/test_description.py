"""The OpenAPI document is valid, says every door there is and no other, and what it says of bodies is what doors do."""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import pytest
from flask import Flask
from jsonschema import Draft202012Validator
from marshmallow import ValidationError
from openapi_spec_validator import OpenAPIV31SpecValidator

from gateway.app import assemble, create_app
from gateway.cli import initialise
from gateway.demo.layout import Layout
from gateway.sharing.exchange.schemas import RecordRequestSchema
from scripts.make_wire_example import DOCUMENT
from tests.kit.clock import FrozenClock
from tests.kit.world import ADA_MATCH, PROJECT

Json = dict[str, Any]
PARAMETER = re.compile(r"<(?:\w+(?:\([^)]*\))?:)?(\w+)>")
AUTOMATIC = {"HEAD", "OPTIONS"}
EXCHANGES = "/sharing/v1/exchanges"
GOOD = {
    "service": "dwp/free-school-meals/v1",
    "purpose": "free-school-meals",
    "subject": {"match": ADA_MATCH},
    "fields": ["eligible"],
    "salt": "APAetoyhL5TIinlIlbdiqg",
}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    layout = Layout(
        state_dir=tmp_path_factory.mktemp("described"),
        policies_dir=PROJECT / "policies",
        gateway_port=1,
        provider_port=2,
        portal_port=3,
    )
    settings = layout.settings()
    initialise(settings)
    gateway = assemble(settings, clock=FrozenClock(datetime(2026, 11, 23, tzinfo=UTC)))
    yield create_app(gateway)
    gateway.database.close()


@pytest.fixture(scope="module")
def document(app: Flask) -> Json:
    response = app.test_client().get("/openapi.json")
    assert response.status_code == 200
    assert response.content_type == "application/json"
    described: Json = response.get_json()
    return described


def validator(document: Json, schema: Json) -> Draft202012Validator:
    """A validator of one schema of the document, in which it may refer to the others."""
    return Draft202012Validator({**schema, "components": document["components"]})


def operations(document: Json) -> Iterator[tuple[str, str, Json]]:
    for part in ("paths", "webhooks"):
        for path, methods in document[part].items():
            for method, described in methods.items():
                yield method, path, described


def test_the_document_is_valid_openapi_3_1(document: Json) -> None:
    assert document["openapi"].startswith("3.1.")
    assert [error.message for error in OpenAPIV31SpecValidator(document).iter_errors()] == []


def test_every_door_is_described_and_every_description_is_a_door(app: Flask, document: Json) -> None:
    doors = {
        (method, PARAMETER.sub(r"{\1}", rule.rule))
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - AUTOMATIC
    }
    described = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert doors - described == set(), "describe them in gateway/openapi"
    assert described - doors == set(), "gateway/openapi describes doors that are not there"


def test_names_of_operations_are_unlike_and_tags_are_known(document: Json) -> None:
    named = [described["operationId"] for _, _, described in operations(document)]
    assert len(named) == len(set(named))
    tags = {tag["name"] for tag in document["tags"]}
    assert {tag for _, _, described in operations(document) for tag in described["tags"]} == tags


def test_examples_have_the_form_that_is_described(document: Json) -> None:
    checked = 0
    for _method, path, described in operations(document):
        for place in (described.get("requestBody", {}), *described["responses"].values()):
            for content in place.get("content", {}).values():
                if "example" in content:
                    errors = list(validator(document, content["schema"]).iter_errors(content["example"]))
                    assert errors == [], (path, [error.message for error in errors])
                    checked += 1
    assert checked >= 6


def test_the_question_is_described_as_the_door_judges_it(document: Json) -> None:
    form = validator(document, {"$ref": "#/components/schemas/RecordRequest"})
    bodies: list[Mapping[str, Any]] = [
        GOOD,
        GOOD | {"case_reference": "FSM/2026/00017"},
        GOOD | {"subject": {"sub": "abc"}},
        GOOD | {"priority": "high"},
        GOOD | {"salt": "c2hvcnQ"},
        GOOD | {"subject": {}},
        GOOD | {"subject": {"sub": "a", "match": ADA_MATCH}},
        GOOD | {"subject": {"match": {**ADA_MATCH, "shoe_size": "9"}}},
        GOOD | {"subject": {"match": {**ADA_MATCH, "nino": "qq 12 34 56 c"}}},
        GOOD | {"subject": {"match": {**ADA_MATCH, "family_name": "Test\u202ecase"}}},
        GOOD | {"subject": {"match": {"family_name": "Testcase"}}},
        GOOD | {"subject": {"sub": "with a space"}},
        GOOD | {"subject": {"sub": "a" * 256}},
        GOOD | {"fields": []},
        GOOD | {"fields": "eligible"},
        GOOD | {"fields": ["eligible", "eligible"]},
        GOOD | {"fields": ["../../etc/passwd"]},
        GOOD | {"fields": [f"f{n}" for n in range(101)]},
        GOOD | {"service": "DWP/Free School Meals"},
        GOOD | {"service": 7},
        GOOD | {"case_reference": "line\nbreak"},
        GOOD | {"case_reference": "x" * 101},
        *({name: value for name, value in GOOD.items() if name != left_out} for left_out in GOOD),
    ]
    for body in bodies:
        assert form.is_valid(body) == _judged_good(body), body


def _judged_good(body: Mapping[str, Any]) -> bool:
    try:
        RecordRequestSchema().load(body)
    except ValidationError:
        return False
    return True


def test_the_wire_protocol_and_the_document_list_the_same_problems(document: Json) -> None:
    described = {
        (int(status), code)
        for status, response in document["paths"][EXCHANGES]["post"]["responses"].items()
        for code in _codes(response["content"].get("application/problem+json", {}).get("schema", {}))
    }
    text = DOCUMENT.read_text(encoding="utf-8")
    table = text.partition("## 8 Errors")[2].partition("## 9")[0]
    told = {
        (int(status), code)
        for status, codes in re.findall(r"^\| (\d{3}) \| ([^|]+) \|", table, re.MULTILINE)
        for code in re.findall(r"`([a-z_]+)`", codes)
    }
    assert described == told


def _codes(schema: Json) -> set[str]:
    codes = set(schema.get("properties", {}).get("code", {}).get("enum", []))
    return codes.union(*(_codes(part) for name in ("allOf", "oneOf") for part in schema.get(name, [])))


def test_the_wire_protocol_and_the_document_list_the_same_rules(document: Json) -> None:
    refusal = json.dumps(document["paths"][EXCHANGES]["post"]["responses"]["403"]["content"])
    lists = [set(json.loads(found)) for found in re.findall(r'{"enum": (\[[^\]]+\])', refusal)]
    (described,) = [codes for codes in lists if "no_agreement" in codes]
    text = DOCUMENT.read_text(encoding="utf-8").partition("`gateway policy explain`")[2].partition("\n\n**")[0]
    assert described - {"no_record"} == set(re.findall(r"`([a-z_]+)`", text))


def test_whoever_arrives_finds_the_document(app: Flask, document: Json) -> None:
    client = app.test_client()
    address = client.get("/.well-known/gateway-configuration").get_json()["openapi_uri"]
    assert client.get(urlsplit(address).path).get_json() == document
    assert document["servers"][0]["url"] == address.removesuffix("/openapi.json")
    assert 'href="/openapi.json"' in client.get("/", headers={"Accept": "text/html"}).get_data(as_text=True)
