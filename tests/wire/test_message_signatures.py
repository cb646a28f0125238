import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import http_message_signatures
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc.jwk import import_key

from gateway.errors import GatewayError
from gateway.wire.encoding import b64_encode
from gateway.wire.errors import DigestMismatch, InvalidMessageSignature, StaleMessageSignature, UnusableKey
from gateway.wire.keys import Jwk
from gateway.wire.message_signatures import (
    HeaderFields,
    HttpRequest,
    HttpResponse,
    VerifiedRequest,
    VerifiedResponse,
    content_digest,
    sign_request,
    sign_response,
    sign_response_head,
    stated_digest,
    verify_request,
    verify_response,
    verify_response_head,
)
from gateway.wire.signature_base import parse_signature_fields, signature_base
from gateway.wire.signer import PrivateKeySigner, Signer
from tests.kit.statements import NOW

CLIENT = PrivateKeySigner.generate("ES256")
GATEWAY = PrivateKeySigner.generate("ES256")
TAG = "gateway-exchange"
NONCE = "n-0123456789abcdef"
REQUEST = HttpRequest(
    method="POST",
    target_uri="https://gateway.example/sharing/v1/exchanges?a=%41&b=%2F",
    headers={
        "Authorization": "DPoP token",
        "Idempotency-Key": "0193a5c0-7c00-7000-8000-000000000001",
        "DPoP": "proof",
        "Content-Type": "application/json",
        "User-Agent": "anything",
    },
    body=b'{"service":"dwp/free-school-meals/v1"}',
)


def signed(request: HttpRequest = REQUEST, *, signer: Signer = CLIENT, **changes: Any) -> HttpRequest:
    arguments: dict[str, Any] = {"client_id": "portal", "nonce": NONCE, "created": NOW, "tag": TAG, **changes}
    return sign_request(request, signer=signer, **arguments)


def registered(client_id: str, kid: str) -> Jwk | None:
    return {("portal", CLIENT.key_id): CLIENT.public_jwk()}.get((client_id, kid))


def verified(request: HttpRequest, **changes: Any) -> VerifiedRequest:
    arguments: dict[str, Any] = {"keys_of": registered, "tag": TAG, "now": NOW, **changes}
    return verify_request(request, **arguments)


def refused(request: HttpRequest, error: type[GatewayError] = InvalidMessageSignature, **changes: Any) -> None:
    with pytest.raises(error):
        verified(request, **changes)


def with_parameters(change: Callable[[str], str]) -> HttpRequest:
    """A truly signed request whose Signature-Input was written differently before signing."""
    request = signed()
    changed = request.with_headers({"Signature-Input": change(request.headers["signature-input"])})
    fields = parse_signature_fields(changed.headers)
    base = signature_base(fields.covered, fields.serialized, changed)
    return changed.with_headers({"Signature": f"gw=:{b64_encode(CLIENT.sign(base))}:"})


# --- Requests --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["ES256", "Ed25519"])
def test_a_signed_request_tells_who_signed_what_and_when(algorithm: str) -> None:
    signer = PrivateKeySigner.generate(algorithm)
    result = verified(signed(signer=signer), keys_of=lambda *_: signer.public_jwk())
    assert (result.client_id, result.key_id, result.nonce, result.created) == ("portal", signer.key_id, NONCE, NOW)
    assert result.covered == ("@method", "@target-uri", "content-digest", "authorization", "idempotency-key", "dpop")


def test_an_independent_implementation_verifies_our_requests_and_we_verify_its() -> None:
    class Resolver(http_message_signatures.HTTPSignatureKeyResolver):
        def resolve_public_key(self, key_id: str) -> Any:
            assert key_id == f"portal#{CLIENT.key_id}"
            return import_key(dict(CLIENT.public_jwk())).public_key

        def resolve_private_key(self, key_id: str) -> Any:
            assert key_id == f"portal#{CLIENT.key_id}"
            return CLIENT._private_key

    algorithm = http_message_signatures.algorithms.ECDSA_P256_SHA256

    class Verifier(http_message_signatures.HTTPMessageVerifier):
        def validate_created_and_expires(self, sig_input: Any, max_age: Any = None) -> None:
            """The tests' time stands still."""

    ours = signed()
    message = SimpleNamespace(method="POST", url=ours.target_uri, headers=dict(ours.headers))
    (result,) = Verifier(signature_algorithm=algorithm, key_resolver=Resolver()).verify(
        message, expect_tag=TAG, body=ours.body, require_components=["@method", "@target-uri", "authorization"]
    )
    assert result.nonce == NONCE

    theirs = SimpleNamespace(method="POST", url=REQUEST.target_uri, headers=dict(REQUEST.headers))
    http_message_signatures.HTTPMessageSigner(signature_algorithm=algorithm, key_resolver=Resolver()).sign(
        theirs,
        key_id=f"portal#{CLIENT.key_id}",
        created=NOW,
        nonce=NONCE,
        label="gw",
        tag=TAG,
        covered_component_ids=("@authority", "@method", "@target-uri", "authorization", "idempotency-key", "dpop"),
        body=REQUEST.body,
    )
    assert verified(replace(REQUEST, headers=theirs.headers)).nonce == NONCE


@pytest.mark.parametrize(
    "change",
    [
        {"method": "PUT"},
        {"target_uri": REQUEST.target_uri + "&c=1"},
        {"target_uri": REQUEST.target_uri.replace("%41", "A")},
        {"target_uri": REQUEST.target_uri.replace("%2F", "/")},
        {"target_uri": REQUEST.target_uri.replace("https", "http")},
        {"target_uri": REQUEST.target_uri.replace("gateway.example", "gateway2.example")},
        {"target_uri": REQUEST.target_uri + "\n"},
        {"body": b""},
        {"body": REQUEST.body + b" "},
    ],
)
def test_a_change_of_method_target_or_body_is_refused(change: dict[str, Any]) -> None:
    refused(replace(signed(), **change))


@pytest.mark.parametrize("name", ["Authorization", "Idempotency-Key", "DPoP", "Content-Digest"])
def test_a_covered_field_cannot_be_changed_repeated_or_dropped(name: str) -> None:
    request = signed()
    refused(request.with_headers({name: request.headers[name] + "x"}))
    refused(replace(request, headers=HeaderFields([*request.headers.items(), (name, request.headers[name])])))
    refused(replace(request, headers={key: value for key, value in request.headers.items() if key != name}))


def test_a_body_and_digest_changed_together_are_refused() -> None:
    body = b'{"service":"another"}'
    refused(replace(signed(), body=body).with_headers({"Content-Digest": content_digest(body)}))


@pytest.mark.parametrize("name", ["Authorization", "Idempotency-Key", "DPoP"])
def test_a_sensitive_field_added_after_signing_is_refused(name: str) -> None:
    without = {key: value for key, value in REQUEST.headers.items() if key != name}
    refused(signed(replace(REQUEST, headers=without)).with_headers({name: "injected"}))


@pytest.mark.parametrize(
    "component", ['"@method" ', '"@target-uri" ', '"content-digest" ', '"authorization" ', '"dpop"']
)
def test_a_signature_that_leaves_out_a_component_is_refused(component: str) -> None:
    refused(with_parameters(lambda text: text.replace(component, "")))


@pytest.mark.parametrize("parameter", ["created", "nonce", "keyid", "tag"])
def test_a_missing_parameter_is_refused(parameter: str) -> None:
    def without(text: str) -> str:
        components, *parameters = text.split(";")
        return ";".join([components, *(item for item in parameters if not item.startswith(parameter))])

    refused(with_parameters(without))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (";nonce=", ";unknown=1;nonce="),
        (';tag="gateway-exchange"', ";tag=gateway-exchange"),
        (";created=", ";created=?1;x="),
        (f';nonce="{NONCE}"', ';nonce="short"'),
        (f';nonce="{NONCE}"', f';nonce="{"n" * 129}"'),
        (";tag=", ';alg="ed25519";tag='),
        (";tag=", ";expires=1;tag="),
        ('"dpop"', '"dpop";sf'),
        ('"dpop"', '"dpop";req'),
        ('"dpop"', '"dpop" "dpop"'),
        ('"dpop"', '"dpop" "DPoP"'),
        ('"dpop"', '"dpop" "@status"'),
        ('"dpop"', '"dpop" "@query-param";name="a"'),
        ('"dpop"', '"dpop" "@signature-params"'),
        ('"dpop"', '"dpop" "absent"'),
        ('"dpop"', '"dpop" token'),
    ],
)
def test_a_parameter_or_component_outside_the_profile_is_refused(old: str, new: str) -> None:
    with pytest.raises(InvalidMessageSignature):
        verified(with_parameters(lambda text: text.replace(old, new)))


@pytest.mark.parametrize("parameters", [";sf", ";bs", ";tr", ';key="a"', ";req=?0", ";req=1", ";req;sf"])
def test_a_component_is_read_in_one_way_or_not_at_all(parameters: str) -> None:
    with pytest.raises(InvalidMessageSignature):
        parse_signature_fields({"signature-input": f'gw=("content-type"{parameters})', "signature": "gw=:AAAA:"})


@pytest.mark.parametrize("keyid", ["", "#", "portal#portal#", "portal"])
def test_a_keyid_that_names_client_and_key_in_no_or_two_ways_is_refused(keyid: str) -> None:
    request = with_parameters(lambda text: text.replace('keyid="portal#', f'keyid="{keyid}'))
    refused(request, keys_of=lambda *_: CLIENT.public_jwk())


def test_an_alg_that_agrees_with_the_key_is_accepted() -> None:
    assert verified(with_parameters(lambda text: text.replace(";tag=", ';alg="ecdsa-p256-sha256";tag='))).nonce == NONCE


def test_a_signature_for_another_use_is_refused() -> None:
    refused(signed(tag="another-use"))


@pytest.mark.parametrize(("age", "accepted"), [(-6, False), (-5, True), (0, True), (60, True), (61, False)])
def test_created_is_accepted_for_sixty_seconds_and_five_ahead(age: int, accepted: bool) -> None:  # noqa: FBT001
    request = signed(created=NOW - timedelta(seconds=age))
    if accepted:
        assert verified(request).nonce == NONCE
    else:
        refused(request, StaleMessageSignature)


def test_a_created_beyond_all_calendars_is_refused() -> None:
    for created in ("999999999999999", "-999999999999999"):
        refused(
            with_parameters(lambda text, at=created: text.replace(str(int(NOW.timestamp())), at)),  # type: ignore[misc]
            StaleMessageSignature,
        )


def test_a_key_of_another_client_or_an_unknown_key_is_refused() -> None:
    refused(signed(client_id="other"))
    refused(signed(signer=GATEWAY))
    refused(signed(), keys_of=lambda *_: None)
    refused(signed(), keys_of=lambda *_: GATEWAY.public_jwk())
    refused(signed(), keys_of=lambda *_: PrivateKeySigner.generate("Ed25519").public_jwk())
    refused(signed(), keys_of=lambda *_: {"kty": "oct", "k": "AAAA"})


def test_rsa_keys_neither_sign_nor_verify_messages() -> None:
    rsa = PrivateKeySigner.generate("PS256")
    with pytest.raises(UnusableKey):
        signed(signer=rsa)
    refused(signed(), keys_of=lambda *_: rsa.public_jwk())


@pytest.mark.parametrize(
    "digest",
    [
        "",
        "sha-256=x",
        "sha-256=:AAAA:",
        "md5=:AAAA:",
        "sha-256",
        "sha-256=:é:",
        content_digest(b"another body"),
        f"{content_digest(REQUEST.body)}, {content_digest(b'another body')}",
        f"{content_digest(b'another body')}, {content_digest(REQUEST.body)}",
        f"{content_digest(REQUEST.body)}, sha-512=:AAAA:",
        f"{content_digest(REQUEST.body)}, sha-512=1",
    ],
)
def test_a_digest_that_is_false_absent_or_disagrees_with_itself_is_refused(digest: str) -> None:
    request = signed()
    refused(request.with_headers({"Content-Digest": digest}), DigestMismatch)


def test_a_further_digest_we_do_not_know_is_ignored() -> None:
    digested = REQUEST.with_headers({"Content-Digest": f"{content_digest(REQUEST.body)}, unknown=:AAAA:"})
    assert verified(signed(digested)).nonce == NONCE


def test_signing_refuses_a_false_digest_a_second_signature_and_unsignable_values() -> None:
    with pytest.raises(DigestMismatch):
        signed(REQUEST.with_headers({"Content-Digest": content_digest(b"else")}))
    with pytest.raises(InvalidMessageSignature):
        signed(signed())
    with pytest.raises(InvalidMessageSignature):
        signed(REQUEST.with_headers({"Authorization": "Bearer x\r\nDPoP: y"}))
    unusable: list[dict[str, Any]] = [{"nonce": "short"}, {"nonce": "n" * 129}, {"client_id": "a#b"}, {"client_id": ""}]
    for changes in unusable:
        with pytest.raises(InvalidMessageSignature):
            signed(**changes)


def test_further_components_can_be_covered() -> None:
    request = signed(components=["Content-Type", "@authority", "authorization"])
    assert verified(request).covered[-2:] == ("content-type", "@authority")
    refused(request.with_headers({"Content-Type": "text/plain"}))


@pytest.mark.parametrize("field", ["Signature-Input", "Signature"])
def test_two_signatures_under_our_label_are_refused(field: str) -> None:
    request = signed()
    refused(request.with_headers({field: f"{request.headers[field]}, {request.headers[field]}"}))


def test_a_signature_under_another_label_is_somebody_elses_and_ignored() -> None:
    request = signed()
    others = {
        "Signature-Input": f'proxy=("@method");created=1;keyid="p", {request.headers["signature-input"]}',
        "Signature": f"proxy=:AAAA:, {request.headers['signature']}",
    }
    assert verified(request.with_headers(others)).nonce == NONCE
    refused(request.with_headers({key: value.replace("gw=", "qw=") for key, value in others.items()}))


@pytest.mark.parametrize(
    ("signature_input", "signature"),
    [
        ("gw", "gw"),
        ("gw=1", "gw=1"),
        ("gw=()", "gw=(:AAAA:)"),
        ("gw=(", "gw=:AAAA:"),
        ("", ""),
        ("gw=()", "gw=AAAA"),
        ("gw=é", "gw=:AAAA:"),
    ],
)
def test_signature_fields_of_other_types_are_refused(signature_input: str, signature: str) -> None:
    refused(signed().with_headers({"Signature-Input": signature_input, "Signature": signature}))


@pytest.mark.parametrize("name", ["Signature-Input", "Signature"])
def test_an_unsigned_request_is_refused(name: str) -> None:
    refused(replace(signed(), headers={key: value for key, value in signed().headers.items() if key != name}))
    refused(REQUEST)


SIGNED = signed()


@settings(max_examples=200, deadline=None)
@given(
    name=st.sampled_from(["Signature-Input", "Content-Digest"]),
    at=st.integers(0, 400),
    to=st.characters(min_codepoint=32, max_codepoint=126),
)
def test_no_character_of_the_signature_fields_can_be_changed(name: str, at: int, to: str) -> None:
    before = SIGNED.headers[name]
    at %= len(before)
    after = before[:at] + to + before[at + 1 :]
    if after.strip() != before:
        refused(SIGNED.with_headers({name: after}))


# --- Responses -------------------------------------------------------------------------------------------------------

ANSWER = HttpResponse(status=200, headers={"Content-Type": "application/json"}, body=b'{"exchange":"1"}')


def answered(request: HttpRequest, response: HttpResponse = ANSWER, **changes: Any) -> HttpResponse:
    arguments: dict[str, Any] = {"request": request, "signer": GATEWAY, "created": NOW, "tag": TAG, **changes}
    return sign_response(response, **arguments)


def accepted(response: HttpResponse, request: HttpRequest, **changes: Any) -> VerifiedResponse:
    arguments: dict[str, Any] = {"request": request, "keys": [GATEWAY.public_jwk()], "tag": TAG, "now": NOW, **changes}
    return verify_response(response, **arguments)


def test_an_answer_is_bound_to_the_whole_signed_request() -> None:
    request = signed()
    result = accepted(answered(request), request)
    assert (result.key_id, result.created, result.binding) == (GATEWAY.key_id, NOW, "request")
    assert set(result.covered) == {
        "@status",
        "content-digest",
        "@method;req",
        "@target-uri;req",
        "content-digest;req",
        "authorization;req",
        "idempotency-key;req",
        "signature;req",
        "signature-input;req",
    }


def test_an_answer_to_another_request_is_refused() -> None:
    request = signed()
    response = answered(request)
    for other in (
        signed(nonce="another-nonce-1"),
        signed(),  # the same request signed again: ECDSA signatures differ
        replace(request, method="GET"),
        replace(request, target_uri="https://gateway.example/other"),
        request.with_headers({"Idempotency-Key": "other"}),
        request.with_headers({"Authorization": "DPoP other"}),
    ):
        with pytest.raises(InvalidMessageSignature):
            accepted(response, other)


@pytest.mark.parametrize("change", [{"status": 201}, {"status": 403}, {"body": b"{}"}])
def test_a_changed_answer_is_refused(change: dict[str, Any]) -> None:
    request = signed()
    with pytest.raises(InvalidMessageSignature):
        accepted(replace(answered(request), **change), request)


def test_an_answer_by_another_key_for_another_use_or_too_old_is_refused() -> None:
    request = signed()
    cases: list[dict[str, Any]] = [
        {"keys": [CLIENT.public_jwk()]},
        {"keys": []},
        {"keys": [{**CLIENT.public_jwk(), "kid": GATEWAY.key_id}]},
        {"keys": [GATEWAY.public_jwk(), GATEWAY.public_jwk()]},
        {"tag": "another-use"},
        {"now": NOW + timedelta(seconds=61)},
        {"now": NOW - timedelta(seconds=6)},
    ]
    for changes in cases:
        with pytest.raises(InvalidMessageSignature):
            accepted(answered(request), request, **changes)


def test_an_answer_to_a_request_whose_signature_failed_binds_its_target_and_body() -> None:
    request = signed().with_headers({"Signature": "gw=broken\u00e9"})
    refusal = replace(ANSWER, status=401)
    result = accepted(answered(request, refusal, binding="target"), request)
    assert result.binding == "target"
    with pytest.raises(InvalidMessageSignature):
        accepted(answered(request, refusal, binding="target"), replace(request, method="GET"))


def test_a_success_bound_only_to_the_target_is_refused() -> None:
    request = signed()
    with pytest.raises(InvalidMessageSignature):
        accepted(answered(request, binding="target"), request)


def test_a_refused_request_with_an_unsignable_digest_still_gets_a_signed_answer() -> None:
    request = REQUEST.with_headers({"Content-Digest": "sha-256=\u00e9"})
    result = accepted(answered(request, replace(ANSWER, status=400), binding="target"), request)
    assert "content-digest;req" not in result.covered


def test_an_independent_implementation_verifies_our_answers() -> None:
    class Resolver(http_message_signatures.HTTPSignatureKeyResolver):
        def resolve_public_key(self, key_id: str) -> Any:
            assert key_id == GATEWAY.key_id
            return import_key(dict(GATEWAY.public_jwk())).public_key

    class Verifier(http_message_signatures.HTTPMessageVerifier):
        def validate_created_and_expires(self, sig_input: Any, max_age: Any = None) -> None:
            """The tests' time stands still."""

    request = signed()
    response = answered(request)
    message = SimpleNamespace(
        status_code=200,
        headers=dict(response.headers),
        request=SimpleNamespace(method="POST", url=request.target_uri, headers=dict(request.headers)),
    )
    algorithm = http_message_signatures.algorithms.ECDSA_P256_SHA256
    (result,) = Verifier(signature_algorithm=algorithm, key_resolver=Resolver()).verify(
        message, expect_tag=TAG, body=ANSWER.body, require_components=["@status", '"signature";req']
    )
    assert result.label == "gw"


def head_of(request: HttpRequest, body: bytes) -> HttpResponse:
    """The signed head of an answer whose body follows."""
    head = HttpResponse(status=200, headers={"Content-Digest": content_digest(body)})
    return sign_response_head(head, request=request, signer=GATEWAY, created=NOW, tag=TAG)


def test_an_answer_whose_body_follows_is_known_by_its_head_and_the_body_by_its_digest() -> None:
    request = signed()
    head = head_of(request, b"later")
    keys = [GATEWAY.public_jwk()]
    assert verify_response_head(head, request=request, keys=keys, tag=TAG, now=NOW).binding == "request"
    assert stated_digest(head) == hashlib.sha256(b"later").digest()
    assert accepted(replace(head, body=b"later"), request).binding == "request"
    with pytest.raises(DigestMismatch):
        accepted(replace(head, body=b"another"), request)


def test_the_digest_of_a_body_that_follows_cannot_be_changed() -> None:
    request = signed()
    forged = head_of(request, b"later").with_headers({"Content-Digest": content_digest(b"another")})
    with pytest.raises(InvalidMessageSignature):
        verify_response_head(forged, request=request, keys=[GATEWAY.public_jwk()], tag=TAG, now=NOW)


@pytest.mark.parametrize("stated", [None, "sha-512=:AAAA:", "sha-256=:AAAA:", "md5=:AAAA:", "sha-256"])
def test_nothing_is_signed_for_a_body_that_nobody_has_stated_a_digest_of(stated: str | None) -> None:
    head = HttpResponse(status=200, headers={} if stated is None else {"Content-Digest": stated})
    with pytest.raises(DigestMismatch):
        sign_response_head(head, request=signed(), signer=GATEWAY, created=NOW, tag=TAG)


# --- Header fields ---------------------------------------------------------------------------------------------------


def test_header_fields_are_found_without_regard_to_case_and_repeated_lines_are_joined() -> None:
    fields = HeaderFields([("Accept", " a "), ("ACCEPT", "b"), ("X", "1")])
    assert fields["accept"] == "a, b"
    assert "aCCept" in fields
    assert list(fields) == ["Accept", "X"]


def test_messages_do_not_show_tokens_or_bodies_when_printed() -> None:
    assert "token" not in repr(REQUEST)
    assert "free-school-meals" not in repr(REQUEST)
