"""Write the worked example of docs/wire-protocol.md: docs/examples/, and what quotes it.

That is the blocks of the document, and the bodies that the OpenAPI document shows.

    .venv/bin/python -m scripts.make_wire_example           write all of it
    .venv/bin/python -m scripts.make_wire_example --check   change nothing; exit status 1 when anything differs

Every byte is made by `gateway.wire` with the example keys and the fixed time of `wire_example_actors`, so the same
bytes come out each time.
"""

import argparse
import hashlib
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import urlencode
from uuid import UUID

from gateway.clock import rfc3339
from gateway.sharing.catalogue.service_files import load_service
from gateway.sharing.exchange.checks import plan_for
from gateway.sharing.exchange.provider_call import Question
from gateway.wire import merkle, sd_jwt
from gateway.wire.canonical import canonical_json, digest_b64
from gateway.wire.contracts import EXCHANGE_TAG, PROVIDER_TAG, RECORD_TYP
from gateway.wire.encoding import b64_encode, b64url_encode
from gateway.wire.http_messages import HttpRequest, HttpResponse
from gateway.wire.jws import issue_jwt, unverified_claims
from gateway.wire.leaves import Leaf, commitment
from gateway.wire.message_signatures import sign_request, sign_response
from gateway.wire.notes import Checkpoint, sign_note, verifier_key_of
from gateway.wire.proofs import PublicKeys, build_proof, encode_public_keys
from gateway.wire.receipts import FailedRule, Receipt, issue_receipt
from gateway.wire.tiles import Tile, encode_entry_bundle, entries_path, prove_inclusion
from scripts.wire_example_actors import (
    ASKED_FIELDS,
    CALLBACK,
    CLIENT,
    CONSUMER,
    DEPARTMENT,
    GATEWAY,
    ISSUER,
    LOG,
    NOW,
    OFFICER,
    ORIGIN,
    PORTAL,
    PROVIDER,
    RESOURCE,
    SENT_FIELDS,
    SUB,
    TOKENS,
    base_file,
    compact,
    example_id,
    pretty,
    pseudo_random,
    request_file,
    response_file,
)

REPOSITORY = Path(__file__).resolve().parents[1]
DOCUMENT = REPOSITORY / "docs" / "wire-protocol.md"
EXAMPLES = REPOSITORY / "docs" / "examples"
BODIES = REPOSITORY / "gateway" / "openapi" / "examples"
MARKED = re.compile(r"(<!-- examples/(\S+) -->\n\n```\w*\n)(.*?)(```\n)", re.DOTALL)


def tokens() -> dict[str, bytes]:
    """The sign-in: the address the browser is sent to, the token request, the access token."""
    verifier = b64url_encode(pseudo_random("code verifier"))
    address = f"{ISSUER}/authorize?" + urlencode(
        {
            "response_type": "code",
            "client_id": CLIENT,
            "redirect_uri": CALLBACK,
            "scope": "openid profile",
            "state": b64url_encode(pseudo_random("state", 16)),
            "nonce": b64url_encode(pseudo_random("nonce", 16)),
            "code_challenge": b64url_encode(hashlib.sha256(verifier.encode()).digest()),
            "code_challenge_method": "S256",
            "resource": RESOURCE,
        }
    )
    assertion = issue_jwt(
        {
            "iss": CLIENT,
            "sub": CLIENT,
            "aud": ISSUER,
            "jti": str(example_id("assertion")),
            "iat": int(NOW.timestamp()),
            "exp": int((NOW + timedelta(minutes=1)).timestamp()),
        },
        typ="JWT",
        signer=PORTAL,
    )
    form = {
        "grant_type": "authorization_code",
        "code": b64url_encode(pseudo_random("code")),
        "redirect_uri": CALLBACK,
        "code_verifier": verifier,
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": assertion,
    }
    request = HttpRequest(
        method="POST",
        target_uri=f"{ISSUER}/token",
        headers={"Content-Type": "application/x-www-form-urlencoded"},
        body=urlencode(form).encode(),
    )
    claims = {
        "sub": OFFICER,
        "auth_time": int(NOW.timestamp()) - 8,
        "acr": "AAL2",
        "member": CONSUMER,
        "roles": ["benefits-officer"],
        "iss": ISSUER,
        "aud": RESOURCE,
        "client_id": CLIENT,
        "jti": b64url_encode(pseudo_random("token id", 24)),
        "iat": int(NOW.timestamp()),
        "exp": int((NOW + timedelta(minutes=5)).timestamp()),
        "scope": "openid profile",
    }
    access_token = issue_jwt(claims, typ="at+jwt", signer=TOKENS)
    return {
        "authorize.txt": f"{address}\n".encode(),
        "token-request.http": request_file(request),
        "access-token.jwt": f"{access_token}\n".encode(),
        "access-token.json": pretty(claims),
    }


def asking(label: str, fields: Sequence[str], access_token: str) -> HttpRequest:
    """A signed request for a record."""
    body = {
        "service": "dwp/free-school-meals/v1",
        "purpose": "free-school-meals",
        "subject": {"sub": SUB},
        "fields": list(fields),
        "case_reference": "FSM/2026/00017",
        "salt": b64url_encode(pseudo_random(f"salt {label}", 16)),
    }
    headers = {
        "Content-Type": "application/json",
        "Accept": "application/json, application/problem+json",
        "Authorization": f"Bearer {access_token}",
        "Idempotency-Key": str(example_id(f"key {label}")),
    }
    unsigned = HttpRequest(method="POST", target_uri=f"{RESOURCE}/exchanges", headers=headers, body=compact(body))
    nonce = b64url_encode(pseudo_random(f"nonce {label}", 18))
    return sign_request(unsigned, signer=PORTAL, client_id=CLIENT, nonce=nonce, created=NOW, tag=EXCHANGE_TAG)


def asking_the_department(exchange: UUID, handle: str) -> tuple[HttpRequest, HttpResponse, sd_jwt.VerifiedRecord]:
    """The gateway's question, the department's answer, and the record in it as the gateway verified it."""
    service = load_service(REPOSITORY / "policies" / "services" / "dwp-free-school-meals-v1.yaml")
    question = Question(
        exchange=exchange,
        service=replace(service, endpoint="https://api.dwp.example/free-school-meals"),
        purpose="free-school-meals",
        agreement="DSA-003",
        consumer=CONSUMER,
        subject={"sub": b64url_encode(pseudo_random("the citizen at the department"))},
        handle=handle,
        plan=plan_for(ASKED_FIELDS, ()),
        agreement_version=1,
    )
    headers = {"Content-Type": "application/json", "Accept": "application/json, application/problem+json"}
    unsigned = HttpRequest(
        method="POST", target_uri=str(question.service.endpoint), headers=headers, body=question.body()
    )
    nonce = b64url_encode(pseudo_random("nonce question", 16))
    request = sign_request(unsigned, signer=GATEWAY, client_id=ISSUER, nonce=nonce, created=NOW, tag=PROVIDER_TAG)
    claims = {
        "iss": PROVIDER,
        "aud": CONSUMER,
        "sub": handle,
        "jti": str(exchange),
        "iat": int(NOW.timestamp()),
        "exp": int((NOW + timedelta(minutes=5)).timestamp()),
    }
    salts = iter([pseudo_random(f"disclosure {name}", 16) for name in SENT_FIELDS])
    with patch("gateway.wire.sd_jwt.secrets.token_bytes", lambda _length: next(salts)):
        record = sd_jwt.issue_sd_jwt(claims, SENT_FIELDS, signer=DEPARTMENT, typ=RECORD_TYP)
    answer = sign_response(
        HttpResponse(status=200, headers={"Content-Type": "application/json"}, body=compact({"record": record})),
        request=request,
        signer=DEPARTMENT,
        created=NOW,
        tag=PROVIDER_TAG,
    )
    verified = sd_jwt.verify_sd_jwt(
        record,
        keys=[DEPARTMENT.public_jwk()],
        typ=RECORD_TYP,
        algorithms=("ES256",),
        issuer=PROVIDER,
        audience=CONSUMER,
        now=NOW,
    )
    return request, answer, verified


def entry(label: str, event: str, outcome: str, *, members: tuple[str, ...], reference: str | None) -> bytes:
    """The log's entry of an event."""
    leaf = Leaf(
        event_id=str(example_id(f"event {label}")),
        event=event,
        at=rfc3339(NOW),
        members=members,
        outcome=outcome,
        reference=reference,
        commitment=commitment(pseudo_random(f"commitment {label}", 16), {"example": label}),
    )
    return leaf.encode()


def receipt_of(exchange: UUID, request: HttpRequest, leaf: bytes, **facts: Any) -> str:
    """The gateway's receipt for one outcome."""
    receipt = Receipt(
        exchange=str(exchange),
        issued_at=rfc3339(NOW),
        issuer=ISSUER,
        consumer=CONSUMER,
        provider=PROVIDER,
        client=CLIENT,
        service="dwp/free-school-meals/v1",
        agreement="DSA-003",
        agreement_version=1,
        policy_digest=f"sha-256:{digest_b64(pseudo_random('policies'))}",
        purpose="free-school-meals",
        legal_gateway="education-act-2005-s110",
        subject={"sub": SUB},
        request_digest=digest_b64(request.body),
        log_entry=b64_encode(merkle.leaf_hash(leaf)),
        **facts,
    )
    return issue_receipt(receipt, signer=GATEWAY)


def answering(request: HttpRequest, status: int, body: Mapping[str, object]) -> HttpResponse:
    """The gateway's signed answer."""
    kind = "application/json" if status == 200 else "application/problem+json"  # noqa: PLR2004 - HTTP's own number
    response = HttpResponse(status=status, headers={"Content-Type": kind}, body=compact(body))
    return sign_response(response, request=request, signer=GATEWAY, created=NOW, tag=EXCHANGE_TAG)


def exchanges(access_token: str) -> tuple[dict[str, bytes], list[tuple[UUID, bytes, str]]]:
    """A disclosure and a refusal: their messages, and for each its id, its log entry and its receipt."""
    disclosed, refused = example_id("exchange disclosed"), example_id("exchange refused")
    handle, unused_handle = (b64url_encode(pseudo_random(f"handle {name}", 24)) for name in ("used", "unused"))
    parties = (CONSUMER, PROVIDER)

    request = asking("covered", ASKED_FIELDS, access_token)
    question, provider_answer, record = asking_the_department(disclosed, handle)
    leaf = entry("disclosed", "sharing.record.disclosed", "disclosed", members=parties, reference=str(disclosed))
    receipt = receipt_of(
        disclosed,
        request,
        leaf,
        decision="permit",
        outcome="disclosed",
        rules=(),
        handle=handle,
        provider_jwt_digest=digest_b64(record.issuer_jwt.encode()),
        fields_disclosed=tuple(ASKED_FIELDS),
        fields_withheld=("award_amount",),
    )
    kept = sd_jwt.keep_only(record, ASKED_FIELDS)
    answer = answering(request, 200, {"exchange": str(disclosed), "record": kept, "receipt": receipt})

    uncovered = asking("uncovered", ["eligible", "award_amount"], access_token)
    rule = FailedRule(
        code="field_not_covered",
        title="A field was asked for that the agreement does not cover",
        rule="fields-are-covered",
    )
    refused_leaf = entry("refused", "sharing.record.refused", "refused", members=parties, reference=str(refused))
    refused_receipt = receipt_of(
        refused,
        uncovered,
        refused_leaf,
        decision="deny",
        outcome="refused",
        rules=(rule,),
        handle=unused_handle,
        provider_jwt_digest=None,
        fields_disclosed=(),
        fields_withheld=(),
    )
    problem = {
        "type": "urn:gateway:problem:refused",
        "title": "The request was refused",
        "status": 403,
        "code": "refused",
        "rules": [{"code": rule.code, "title": rule.title, "rule": rule.rule}],
        "exchange": str(refused),
        "receipt": refused_receipt,
    }
    refusal = answering(uncovered, 403, problem)
    files = {
        "request.http": request_file(request),
        "request.signature-base.txt": base_file(request),
        "question.http": request_file(question),
        "provider-answer.http": response_file(provider_answer, "OK"),
        "provider-claims.json": pretty(unverified_claims(record.issuer_jwt)),
        "answer.http": response_file(answer, "OK"),
        "answer.signature-base.txt": base_file(answer, request),
        "receipt.json": canonical_json(unverified_claims(receipt)) + b"\n",
        "refused-request.http": request_file(uncovered),
        "refusal.http": response_file(refusal, "FORBIDDEN"),
    }
    return files, [(disclosed, leaf, receipt), (refused, refused_leaf, refused_receipt)]


def published_log(outcomes: Sequence[tuple[UUID, bytes, str]]) -> dict[str, bytes]:
    """A log of three entries as it is served, and the proof of each exchange."""
    signed_in = entry("signed in", "identity.officer.signed_in", "done", members=(CONSUMER,), reference=None)
    entries = [signed_in, *(leaf for _, leaf, _ in outcomes)]
    hashed = [merkle.leaf_hash(item) for item in entries]
    tile = Tile(level=0, index=0, width=len(entries))
    checkpoint = Checkpoint(origin=ORIGIN, size=len(entries), root=merkle.root_of(hashed))
    note = sign_note(checkpoint.encode(), LOG, ORIGIN)
    files = {
        "log/checkpoint": note,
        f"log/{tile.path}": b"".join(hashed),
        f"log/{entries_path(0, len(entries))}": encode_entry_bundle(entries),
        "leaf.json": entries[1] + b"\n",
    }
    for name, (index, (exchange, leaf, receipt)) in zip(
        ("proof", "refused-proof"), enumerate(outcomes, 1), strict=True
    ):
        files[f"{name}.json"] = build_proof(
            exchange=str(exchange),
            leaf=leaf,
            leaf_index=index,
            inclusion_proof=prove_inclusion(index, len(entries), lambda _tile: b"".join(hashed)),
            checkpoint=note,
            receipt=receipt,
        )
    return files


def public_documents() -> dict[str, bytes]:
    """What the gateway says about itself, and everybody's public keys."""
    vkey = verifier_key_of(LOG, ORIGIN).encode()
    metadata = {
        "exchanges_endpoint": f"{RESOURCE}/exchanges",
        "issuer": ISSUER,
        "jwks_uri": f"{RESOURCE}/jwks.json",
        "log_prefix": f"{ISSUER}/log",
        "log_vkey": vkey,
        "member_jwks_uri": f"{RESOURCE}/members/{{member}}/jwks.json",
        "openapi_uri": f"{ISSUER}/openapi.json",
        "resource": RESOURCE,
        "token_endpoint": f"{ISSUER}/token",
    }
    public_keys = PublicKeys(issuer=ISSUER, log_vkey=vkey, keys=(GATEWAY.public_jwk(),))
    return {
        "gateway-configuration.json": pretty(metadata),
        "public-keys.json": encode_public_keys(public_keys),
        **{
            f"{name}-jwks.json": pretty({"keys": [signer.public_jwk()]})
            for name, signer in (("gateway", GATEWAY), ("token", TOKENS), ("dwp", DEPARTMENT), ("portal", PORTAL))
        },
    }


def example() -> dict[str, bytes]:
    """Every file of the example, by its path below docs/examples."""
    signed_in = tokens()
    messages, outcomes = exchanges(signed_in["access-token.jwt"].decode().strip())
    return {**public_documents(), **signed_in, **messages, **published_log(outcomes)}


def bodies(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The bodies of the messages, and the gateway's metadata, as the OpenAPI document shows them."""
    messages = ("request", "answer", "refusal", "question", "provider-answer")
    shown = {f"{name}.json": pretty(json.loads(files[f"{name}.http"].partition(b"\n\n")[2])) for name in messages}
    return {**shown, "gateway-configuration.json": files["gateway-configuration.json"]}


def quoting(files: Mapping[str, bytes]) -> Callable[[str], str]:
    """Return what puts the files into a document, after each `<!-- examples/NAME -->`."""

    def quoted(found: re.Match[str]) -> str:
        return f"{found[1]}{files[found[2]].decode()}{found[4]}"

    return lambda text: MARKED.sub(quoted, text)


def main() -> int:
    """Write the example, or say what is not as the code writes it; the exit status."""
    parser = argparse.ArgumentParser(description="Write the worked example of docs/wire-protocol.md.")
    parser.add_argument("--check", action="store_true", help="change nothing; exit status 1 when something differs")
    check = parser.parse_args().check
    made = example()
    files = {EXAMPLES / name: content for name, content in made.items()}
    files |= {BODIES / name: content for name, content in bodies(made).items()}
    document = DOCUMENT.read_text(encoding="utf-8")
    files[DOCUMENT] = quoting(made)(document).encode()
    differing = [path for path, content in files.items() if not path.exists() or path.read_bytes() != content]
    for path in differing:
        print(path.relative_to(REPOSITORY), "differs" if check else "written")
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(files[path])
    return 1 if check and differing else 0


if __name__ == "__main__":
    sys.exit(main())
