"""A request that is signed well and still cannot be read: said clearly, entered in the log, and without effect."""

import http.client
import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import pytest

from gateway.clock import SystemClock
from gateway.demo.layout import PORTAL_CLIENT
from gateway.wire.contracts import EXCHANGE_TAG
from gateway.wire.message_signatures import HttpRequest, HttpResponse, sign_request
from tests.conformance.expectations import assert_turned_away, problem_of, watching
from tests.kit.world import ADA_MATCH, World

LIMIT = 64 * 1024


def changed(**changes: Any) -> Mapping[str, Any]:
    """Changes to the body of a good question; a member changed to None is left out."""
    return changes


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        (changed(priority="high"), "priority"),
        (changed(salt=None), "salt"),
        (changed(salt="c2hvcnQ"), "salt"),
        (changed(subject=None), "subject"),
        (changed(subject={}), "subject"),
        (changed(subject={"sub": "a", "match": ADA_MATCH}), "subject"),
        (changed(subject={"nino": "QQ123456C"}), "subject"),
        (changed(subject={"match": {**ADA_MATCH, "shoe_size": "9"}}), "subject"),
        (changed(subject={"match": {**ADA_MATCH, "nino": "qq 12 34 56 c"}}), "subject"),
        (changed(subject={"match": {**ADA_MATCH, "birthdate": "01/01/1988"}}), "subject"),
        (changed(subject={"match": {**ADA_MATCH, "family_name": "Test\u202ecase"}}), "subject"),
        (changed(subject={"match": {"family_name": "Testcase", "birthdate": "1988-01-01"}}), "subject"),
        (changed(subject={"sub": "with a space"}), "subject"),
        (changed(subject={"sub": "a" * 256}), "subject"),
        (changed(fields=[]), "fields"),
        (changed(fields=None), "fields"),
        (changed(fields="eligible"), "fields"),
        (changed(fields=["eligible", "eligible"]), "fields"),
        (changed(fields=["../../etc/passwd"]), "fields"),
        (changed(fields=[f"f{n}" for n in range(101)]), "fields"),
        (changed(service="DWP/Free School Meals"), "service"),
        (changed(service=7), "service"),
        (changed(purpose=None), "purpose"),
        (changed(case_reference="line\nbreak"), "case_reference"),
        (changed(case_reference="x" * 101), "case_reference"),
        (changed(case_reference="\ud800"), "case_reference"),
        (changed(subject={"match": {**ADA_MATCH, "family_name": "\udfff"}}), "subject"),
    ],
)
def test_a_body_that_is_no_question(world: World, changes: Mapping[str, Any], place: str) -> None:
    body = {**world.body(world.asking()), **changes}
    kept = {name: value for name, value in body.items() if value is not None}
    problem = assert_turned_away(world, world.signed(kept), status=422, code="invalid_request")
    assert place in problem["errors"]
    # What was sent is not said again: an error message may be kept where the request may not.
    assert "Testcase" not in json.dumps(problem)
    assert "QQ123456C" not in json.dumps(problem)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"eligible"',
        b"null",
        b'{"service": NaN}',
        b'{"service": "a", "service": "b"}',
        b'{"subject": {"sub": "a", "sub": "b"}}',
        b'{"service": "\xff"}',
        b'{"a":' * 5000 + b"1" + b"}" * 5000,
    ],
    ids=[
        "nothing",
        "half",
        "a list",
        "a string",
        "null",
        "not a number",
        "a member twice",
        "an inner member twice",
        "not UTF-8",
        "nested deeply",
    ],
)
def test_a_body_that_is_no_json_object(world: World, body: bytes) -> None:
    assert_turned_away(world, world.signed(body), status=400, code="malformed_request")


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""])
def test_a_body_of_another_type(world: World, media_type: str) -> None:
    request = world.signed(world.body(world.asking()), headers={"Content-Type": media_type})
    assert_turned_away(world, request, status=415, code="wrong_media_type")


@pytest.mark.parametrize(
    "key", ["", "1", "not-a-uuid", "{0191d5a2-1111-4111-8111-111111111111}", "0191d5a2111141118111111111111111"]
)
def test_an_idempotency_key_that_is_no_uuid(world: World, key: str) -> None:
    request = world.signed(world.body(world.asking()), headers={"Idempotency-Key": key})
    assert_turned_away(world, request, status=400, code="idempotency_key_invalid")


def test_no_idempotency_key(world: World) -> None:
    good = world.signed(world.body(world.asking()))
    bare = {
        name: value
        for name, value in good.headers.items()
        if not name.lower().startswith(("signature", "content-digest", "idempotency"))
    }
    request = sign_request(
        HttpRequest(method="POST", target_uri=world.exchanges, headers=bare, body=good.body),
        signer=world.signer(PORTAL_CLIENT),
        client_id=PORTAL_CLIENT,
        nonce="a-nonce-of-its-own",
        created=SystemClock().now(),
        tag=EXCHANGE_TAG,
    )
    assert_turned_away(world, request, status=400, code="idempotency_key_invalid")


def test_a_body_as_large_as_may_be_is_read(world: World) -> None:
    content = json.dumps(world.body(world.asking())).encode()
    assert world.send(world.signed(content + b" " * (LIMIT - len(content)))).status == 200


def test_a_body_one_byte_over_is_not_read(world: World) -> None:
    content = json.dumps(world.body(world.asking())).encode()
    request = world.signed(content + b" " * (LIMIT + 1 - len(content)))
    assert_turned_away(world, request, status=413, code="request_too_large", binding="target")


def test_a_body_in_chunks_is_not_read_further_than_the_limit(world: World) -> None:
    content = json.dumps(world.body(world.asking())).encode()
    request = world.signed(content + b" " * (LIMIT + 1 - len(content)))
    with watching(world) as watched:
        response = send_in_chunks(request)
    assert response.status == 413
    assert problem_of(world, request, response, binding="target")["code"] == "request_too_large"
    assert [event.name for event in watched.events] == ["sharing.request.rejected"]
    assert watched.changed == set()


def test_a_body_in_chunks_within_the_limit_is_a_question_like_any_other(world: World) -> None:
    assert send_in_chunks(world.signed(world.body(world.asking()))).status == 200


def test_another_method_is_not_known_here(world: World) -> None:
    with watching(world) as watched:
        response = world.send(HttpRequest(method="PUT", target_uri=world.exchanges))
    assert response.status == 405
    assert "POST" in response.headers["Allow"]
    assert watched.events == []
    world.assert_log_verifies()


def send_in_chunks(request: HttpRequest) -> HttpResponse:
    """Send the body without saying beforehand how long it is."""

    def pieces() -> Iterator[bytes]:
        for start in range(0, len(request.body), 4096):
            yield request.body[start : start + 4096]

    parts = urlsplit(request.target_uri)
    connection = http.client.HTTPConnection(parts.netloc, timeout=30)
    try:
        headers = {**request.headers, "Transfer-Encoding": "chunked"}
        connection.request("POST", parts.path, body=pieces(), headers=headers, encode_chunked=True)
        answer = connection.getresponse()
        return HttpResponse(status=answer.status, headers=dict(answer.getheaders()), body=answer.read())
    finally:
        connection.close()
