"""The doors of sharing: asking for a record, and the documents that members read beforehand.

The codes of refusals are those of the policy in force, the codes of problems those of the error classes.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gateway.audit.merge_delay import DatabaseOlderThanLog, LogBehind
from gateway.db import CommitUnconfirmed, DatabaseUnavailable
from gateway.errors import GatewayError, Unavailable
from gateway.oidc.errors import TokenRefused
from gateway.oidc.possession import NonceNeeded, ProofRefused
from gateway.openapi.components import ADDRESS, SHARING_TOKEN
from gateway.openapi.elements import (
    JSON,
    PROBLEM,
    Json,
    answer,
    body_of,
    operation,
    parameter,
    plain_problem,
    problem,
    problems,
    ref,
)
from gateway.policy.engine import POLICY_ERROR
from gateway.policy.registers import Registers
from gateway.sharing.exchange.errors import (
    AnswerExpired,
    BodyTooLarge,
    BodyUnreadable,
    ExchangeAbandoned,
    IdempotencyKeyInvalid,
    IdempotencyKeyReused,
    NonceReplayed,
    RequestInvalid,
    RequestSignatureInvalid,
    StillRunning,
    WrongMediaType,
)
from gateway.sharing.exchange.outcomes import UPSTREAM_STATUS
from gateway.sharing.exchange.provider_call import FAILURES
from gateway.wire.contracts import NO_RECORD

EXAMPLES = Path(__file__).parent / "examples"
SIGNED = ("Content-Digest", "Signature-Input", "Signature")
ENDED: Json = {
    "type": "object",
    "required": ["exchange", "receipt"],
    "properties": {"exchange": {"type": "string", "format": "uuid"}, "receipt": ref("schemas", "Receipt")},
}
UNAVAILABLE: tuple[type[GatewayError], ...] = (
    Unavailable,
    DatabaseUnavailable,
    CommitUnconfirmed,
    LogBehind,
    DatabaseOlderThanLog,
)


def example(name: str) -> Any:
    """Return one body of the worked example."""
    return json.loads((EXAMPLES / f"{name}.json").read_bytes())


def exchange_doors(registers: Registers) -> Json:
    """Describe `/sharing/v1/exchanges`."""
    return {
        "/sharing/v1/exchanges": {
            "post": operation(
                "ask",
                "Ask for a record",
                tag="Exchanges",
                text="Which fields of which service, about whom, for what purpose: answered under an agreement in "
                "force, with the fields that it permits. Every answer is signed, whatever its status; sections 3 to 8 "
                "of the wire protocol say what the signatures cover, and in which order a request is checked.\n\n"
                "A lost answer is asked for again with the same `Idempotency-Key` and the same body, signed anew.",
                parameters=_HEADERS,
                body=body_of(JSON, ref("schemas", "RecordRequest"), example=example("request")),
                security=SHARING_TOKEN,
                answers=_answers(registers),
            )
        }
    }


def document_doors() -> Json:
    """Describe what is public: addresses, and keys that verify."""
    code = parameter("code", "path", {"type": "string", "maxLength": 64}, "A member's code")
    return {
        "/.well-known/gateway-configuration": {
            "get": operation(
                "gatewayConfiguration",
                "Where to ask, and which keys verify what",
                tag="Documents",
                answers={
                    200: answer(
                        "Kept for 300 seconds at most",
                        {JSON: _CONFIGURATION},
                        headers=("Cache-Control",),
                        examples={JSON: example("gateway-configuration")},
                    )
                },
            )
        },
        "/sharing/v1/jwks.json": {
            "get": operation(
                "gatewayKeys",
                "Keys of the gateway's messages and receipts",
                tag="Documents",
                answers={200: _KEYS},
            )
        },
        "/sharing/v1/members/{code}/jwks.json": {
            "get": operation(
                "memberKeys",
                "Keys with which a member's providers sign records",
                tag="Documents",
                parameters=(code,),
                answers={
                    200: _KEYS,
                    404: plain_problem("There is no such member"),
                    **problems(*UNAVAILABLE[:2], headers=("Retry-After",)),
                },
            )
        },
    }


def _answers(registers: Registers) -> dict[int, Json]:
    upstream = [code for code in FAILURES if code != "provider_timeout"]
    turned_away = problems(
        IdempotencyKeyInvalid,
        BodyUnreadable,
        RequestSignatureInvalid,
        NonceReplayed,
        BodyTooLarge,
        WrongMediaType,
        RequestInvalid,
        IdempotencyKeyReused,
        StillRunning,
        *UNAVAILABLE,
        GatewayError,
        headers=SIGNED,
    )
    return turned_away | {
        200: answer(
            "Disclosed: the provider's record with the permitted fields, and the receipt",
            {JSON: _DISCLOSED},
            headers=SIGNED,
            examples={JSON: example("answer")},
        ),
        401: problem(
            "Who is asking was not proved. `invalid_request_signature` has a `cause`.",
            sorted(
                {
                    error.code
                    for error in (TokenRefused, ProofRefused, NonceNeeded, RequestSignatureInvalid, NonceReplayed)
                }
            ),
            also={"type": "object", "properties": {"cause": {"type": "string"}}},
            headers=(*SIGNED, "WWW-Authenticate", "DPoP-Nonce"),
        ),
        403: _refused(registers),
        409: problem(
            "The first attempt under this `Idempotency-Key` is running, or its answer is no longer kept",
            [error.code for error in (StillRunning, AnswerExpired, ExchangeAbandoned)],
            also={"type": "object", "properties": ENDED["properties"]},
            headers=(*SIGNED, "Retry-After"),
        ),
        422: problem(
            "`invalid_request`: `errors` names each place and rule, and no value. "
            "`idempotency_key_reused`: the key came before with another body.",
            [RequestInvalid.code, IdempotencyKeyReused.code],
            also={"type": "object", "properties": {"errors": {"type": "object"}}},
            headers=SIGNED,
        ),
        UPSTREAM_STATUS: problem("The provider failed; nothing was disclosed", upstream, also=ENDED, headers=SIGNED),
        504: problem(
            "The provider did not answer in time; nothing was disclosed",
            ["provider_timeout"],
            also=ENDED,
            headers=SIGNED,
        ),
    }


def _refused(registers: Registers) -> Json:
    codes = [reason.code for reason in registers.reasons.values() if not reason.about_subject]
    rule = {
        "allOf": [
            ref("schemas", "FailedRule"),
            {"type": "object", "properties": {"code": {"enum": [*codes, POLICY_ERROR.code, NO_RECORD]}}},
        ]
    }
    rules = {
        "type": "object",
        "required": ["rules"],
        "properties": {"rules": {"type": "array", "minItems": 1, "items": rule}},
    }
    described = problem(
        "Refused: every rule that failed. Reasons that lie in the person are told apart by nothing: `no_record`.",
        ["refused", NO_RECORD],
        also={"allOf": [ENDED, rules]},
        headers=SIGNED,
    )
    described["content"][PROBLEM]["example"] = example("refusal")
    return described


_HEADERS: Sequence[Json] = (
    parameter(
        "Idempotency-Key",
        "header",
        {"type": "string", "format": "uuid"},
        "New for each question, the same for each attempt at it",
    ),
    parameter("Content-Digest", "header", {"type": "string"}, "RFC 9530: `sha-256` or `sha-512` of the body"),
    parameter(
        "Signature-Input",
        "header",
        {"type": "string"},
        'RFC 9421: `gw=("@method" "@target-uri" "content-digest" "authorization" "idempotency-key");created=…;nonce=…;'
        'keyid="<client>#<kid>";tag="gateway-exchange"`',
    ),
    parameter(
        "DPoP", "header", {"type": "string"}, "The proof of a token that is bound to a key (RFC 9449)", required=False
    ),
)
_CONFIGURATION: Json = {
    "type": "object",
    "required": [
        *("issuer", "resource", "exchanges_endpoint", "token_endpoint", "jwks_uri", "member_jwks_uri"),
        *("log_prefix", "log_vkey"),
    ],
    "properties": {
        "issuer": ADDRESS,
        "resource": {**ADDRESS, "description": "For what tokens are asked (RFC 8707)"},
        "exchanges_endpoint": ADDRESS,
        "token_endpoint": ADDRESS,
        "jwks_uri": ADDRESS,
        "member_jwks_uri": {"type": "string", "description": "With `{member}` where the code goes (RFC 6570)"},
        "log_prefix": ADDRESS,
        "log_vkey": {"type": "string", "description": "The log's verifier key (C2SP signed-note)"},
        "openapi_uri": {**ADDRESS, "description": "This document"},
        "mtls_endpoint_aliases": {
            "type": "object",
            "description": "Where clients that show a certificate call instead (RFC 8705 §5)",
            "properties": {"exchanges_endpoint": ADDRESS, "token_endpoint": ADDRESS},
        },
    },
}
_DISCLOSED: Json = {
    "type": "object",
    "required": ["exchange", "record", "receipt"],
    "properties": {
        "exchange": {"type": "string", "format": "uuid"},
        "record": ref("schemas", "Record"),
        "receipt": ref("schemas", "Receipt"),
    },
}
_KEYS = answer("Kept for 300 seconds at most", {JSON: ref("schemas", "JwkSet")}, headers=("Cache-Control",))
