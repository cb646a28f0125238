"""The catalogue: services whose answers can be minimised and checked."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.db import Database
from gateway.directory.members import Member, record_member
from gateway.sharing.catalogue.errors import ServiceInvalid, ServiceNotFound
from gateway.sharing.catalogue.service_files import load_service, load_services
from gateway.sharing.catalogue.services import (
    Service,
    check_service,
    find_service,
    list_services,
    record_service,
    set_endpoint,
)
from tests.kit.agreements import members_in
from tests.kit.clock import MIDDAY
from tests.kit.policies import POLICIES

FSM = "dwp/free-school-meals/v1"


@pytest.fixture
def service() -> Service:
    [shipped] = [service for service in load_services(POLICIES) if service.id == FSM]
    return shipped


@pytest.mark.parametrize(
    ("values", "problems"),
    [
        ({"eligible": True, "tier": "targeted"}, ()),
        ({"eligible": False, "tier": None}, ()),
        ({"eligible": True}, ()),
        ({}, ()),
        ({"eligible": "yes", "tier": "QQ 12 34 56 C"}, ("eligible: breaks type", "tier: breaks enum")),
        ({"award_amount": -1}, ("award_amount: breaks minimum",)),
        ({"award_amount": 12.5}, ("award_amount: breaks type",)),
        ({"shoe_size": 7}, ("the record: breaks additionalProperties",)),
    ],
)
def test_an_answer_is_judged_by_the_schema_and_never_quoted(
    service: Service, values: Mapping[str, Any], problems: tuple[str, ...]
) -> None:
    assert service.problems_in(values) == problems


@pytest.mark.parametrize(
    ("attributes", "problems"),
    [
        ({"family_name": "Testcase", "birthdate": "1990-01-01", "nino": "QQ123456C"}, ()),
        ({"family_name": "Testcase", "birthdate": "1990-01-01"}, ("nino is needed.",)),
        ({"family_name": "", "birthdate": "1990-01-01", "nino": "QQ123456C"}, ("family_name is needed.",)),
        (
            {"family_name": "Testcase", "birthdate": "1990-01-01", "nino": "QQ123456C", "postcode": "ZZ1 1AA"},
            ("postcode is not used here.",),
        ),
    ],
)
def test_a_person_is_described_by_what_the_service_needs_and_no_more(
    service: Service, attributes: Mapping[str, str], problems: tuple[str, ...]
) -> None:
    assert service.problems_in_match(attributes) == problems


def test_a_service_without_matching_looks_for_nobody(service: Service) -> None:
    by_sub_only = replace(service, match_attributes=(), match_required=())
    assert by_sub_only.problems_in_match({"nino": "QQ123456C"})


def with_schema(service: Service, **changes: Any) -> Service:
    return replace(service, schema={**service.schema, **changes})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"additionalProperties": True}, "additionalProperties"),
        ({"type": "array"}, "must be an object"),
        ({"properties": {}}, "no fields"),
        ({"required": ["eligible"]}, "no field may be required"),
        ({"properties": {"eligible": {"type": "boolean"}}}, "eligible has no description"),
        ({"properties": {"eligible": True}}, "eligible has no description"),
        ({"properties": {"eligible": {"type": "bool", "description": "x"}}}, "not JSON Schema"),
        ({"properties": {"sub": {"type": "string", "description": "x"}}}, "sub cannot be the name"),
        ({"properties": {"a": {"$ref": "https://elsewhere.example/s", "description": "x"}}}, "without references"),
        ({"$defs": {"a": {"anyOf": [{"$dynamicRef": "#a"}]}}}, "without references"),
    ],
)
def test_a_schema_that_leaves_anything_open_is_refused(service: Service, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ServiceInvalid, match=said):
        check_service(with_schema(service, **changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "hmrc/free-school-meals/v1"},
        {"match_required": ("postcode",)},
        {"match_required": ()},
        {"answer_seconds": 0.0},
        {"answer_seconds": float("nan")},
        {"answer_seconds": 61.0},
        {"max_answer_bytes": 0},
        {"endpoint": "ftp://dwp.example/"},
        {"endpoint": "https://user:secret@dwp.example/"},
        {"endpoint": "dwp.example"},
    ],
)
def test_a_service_that_could_not_be_asked_safely_is_refused(service: Service, changes: dict[str, Any]) -> None:
    with pytest.raises(ServiceInvalid):
        check_service(replace(service, **changes))


def test_what_is_recorded_is_what_was_described(database: Database, tmp_path: Path, service: Service) -> None:
    with database.write() as session:
        members_in(tmp_path, database).record(session)
    with database.read() as session:
        found = find_service(session, FSM)
        assert find_service(session, "dwp/other/v1") is None
        assert list_services(session) == (found,)
    assert found is not None
    # PostgreSQL keeps a document's members in an order of its own.
    assert replace(found, schema=service.schema) == service
    assert found.schema == service.schema


def test_the_endpoint_is_kept_when_the_description_is_recorded_again(
    database: Database, tmp_path: Path, service: Service
) -> None:
    with database.write() as session:
        members_in(tmp_path, database).record(session)
        set_endpoint(session, FSM, "https://provider.dwp.example/records")
        record_service(session, replace(service, title="Another title"), at=MIDDAY)
        found = find_service(session, FSM)
    assert found is not None
    assert (found.title, found.endpoint) == ("Another title", "https://provider.dwp.example/records")
    with pytest.raises(ServiceInvalid), database.write() as session:
        set_endpoint(session, FSM, "file:///etc/passwd")
    with pytest.raises(ServiceNotFound), database.write() as session:
        set_endpoint(session, "dwp/other/v1", "https://provider.dwp.example/records")


def test_a_service_of_nobody_is_refused_by_name(database: Database, service: Service) -> None:
    with pytest.raises(ServiceInvalid, match="the member dwp is not registered"), database.write() as session:
        record_service(session, service, at=MIDDAY)
    with database.write() as session:
        record_member(session, Member(code="dwp", name="Department", kind="department"), at=MIDDAY)
    with pytest.raises(ServiceInvalid, match="the client dwp-benefits is not registered"), database.write() as session:
        record_service(session, service, at=MIDDAY)
    with database.read() as session:
        assert list_services(session) == ()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("kind: check", "kind: chat", "kind: "),
        ("active: true", "active: 1", "active: Must be true or false"),
        ("answer_seconds: 2.0", "answer_seconds: soon", "answer_seconds: "),
        ("title:", "subtitle: x\ntitle:", "subtitle: Unknown field"),
        ("id: dwp/free-school-meals/v1", "id: DWP", "id: Not a service id"),
    ],
)
def test_a_file_with_a_mistake_is_refused_with_its_place(tmp_path: Path, old: str, new: str, said: str) -> None:
    text = (POLICIES / "services" / "dwp-free-school-meals-v1.yaml").read_text()
    assert old in text
    (tmp_path / "spoilt.yaml").write_text(text.replace(old, new))
    with pytest.raises(ServiceInvalid) as refused:
        load_service(tmp_path / "spoilt.yaml")
    assert refused.value.public.startswith("spoilt.yaml: ")
    assert said in refused.value.public
