"""The doors of the exchange: asking for a record, and fetching the documents beside it.

The codes of refusals are those of the policy in force, the codes of problems those of the error classes.
"""

from collections.abc import Sequence

from gateway.audit.merge_delay import DatabaseOlderThanLog, LogBehind
from gateway.db import CommitUnconfirmed, DatabaseUnavailable
from gateway.errors import GatewayError, Unavailable
from gateway.oidc.errors import TokenRefused
from gateway.oidc.possession import NonceNeeded, ProofRefused
from gateway.openapi.components import SHARING_TOKEN
from gateway.openapi.documents import example
from gateway.openapi.elements import (
    JSON,
    PROBLEM,
    Json,
    answer,
    body_of,
    operation,
    or_no_such_address,
    parameter,
    problem,
    problems,
    ref,
)
from gateway.policy.engine import POLICY_ERROR
from gateway.policy.registers import Registers
from gateway.sharing.exchange.errors import (
    AnswerExpired,
    AnswerWithdrawn,
    AttachmentAlreadyFetched,
    AttachmentExpired,
    AttachmentLost,
    AttachmentNotFound,
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
from gateway.sharing.exchange.limits.quotas import QuotaExceeded
from gateway.sharing.exchange.outcomes import FAILURE_STATUS, UPSTREAM_STATUS
from gateway.sharing.exchange.provider_call import FAILURES
from gateway.web.problems import STATUS
from gateway.wire.contracts import NO_RECORD

UNPROVED = (TokenRefused, ProofRefused, NonceNeeded, RequestSignatureInvalid, NonceReplayed)
OURS = (Unavailable, DatabaseUnavailable, CommitUnconfirmed, LogBehind, DatabaseOlderThanLog)
SIGNED = ("Content-Digest", "Signature-Input", "Signature", "RateLimit-Policy", "RateLimit")
ENDED: Json = {
    "type": "object",
    "required": ["exchange", "receipt"],
    "properties": {"exchange": {"type": "string", "format": "uuid"}, "receipt": ref("schemas", "Receipt")},
}
PERHAPS_ENDED: Json = {"type": "object", "properties": ENDED["properties"]}
UNTIL_WHEN = ("Retry-After",)


def exchange_doors(registers: Registers) -> Json:
    """Describe `/sharing/v1/exchanges` and what is under it."""
    number = parameter(
        "number", "path", {"type": "integer", "minimum": 1, "maximum": 999}, "Which of the answer's attachments"
    )
    exchange = parameter("exchange", "path", {"type": "string", "format": "uuid"}, "The answer's `exchange`")
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
                parameters=_PROVING,
                body=body_of(JSON, ref("schemas", "RecordRequest"), example=example("request")),
                security=SHARING_TOKEN,
                answers=_answers_to_questions(registers),
            )
        },
        "/sharing/v1/exchanges/{exchange}/attachments/{number}": {
            "get": operation(
                "fetchAttachment",
                "Fetch a document beside a record",
                tag="Exchanges",
                text="Given once, decided anew, to the client and the officer that were given the record. The first "
                "`Idempotency-Key` has it; after a cut connection the same one may come again. The answer's "
                "`attachments` say digest, size and type of each.",
                parameters=(exchange, number, *_PROVING),
                security=SHARING_TOKEN,
                answers=or_no_such_address(
                    {
                        **_turned_away(
                            IdempotencyKeyInvalid, BodyTooLarge, AttachmentNotFound, *_GONE, AnswerWithdrawn
                        ),
                        200: answer(
                            "The document, of the type that the record states",
                            {"*/*": {"type": "string", "format": "binary"}},
                            headers=SIGNED,
                        ),
                        403: _refused(registers),
                    }
                ),
            )
        },
    }


def _answers_to_questions(registers: Registers) -> dict[int, Json]:
    turned_away = _turned_away(
        IdempotencyKeyInvalid,
        BodyUnreadable,
        BodyTooLarge,
        WrongMediaType,
        RequestInvalid,
        IdempotencyKeyReused,
        StillRunning,
        AnswerExpired,
        AnswerWithdrawn,
        ExchangeAbandoned,
    )
    failures: dict[int, list[str]] = {}
    for code in FAILURES:
        failures.setdefault(FAILURE_STATUS.get(code, UPSTREAM_STATUS), []).append(code)
    for status, codes in failures.items():
        text = "\n".join(f"- `{code}`: {FAILURES[code]}; nothing was disclosed" for code in codes)
        turned_away[status] = (
            _either(turned_away[status], text, codes) if status in turned_away else _failed(text, codes)
        )
    return turned_away | {
        200: answer(
            "Disclosed: the provider's record with the permitted fields, and the receipt",
            {JSON: _DISCLOSED},
            headers=SIGNED,
            examples={JSON: example("answer")},
        ),
        403: _refused(registers),
    }


def _turned_away(*errors: type[GatewayError]) -> dict[int, Json]:
    """Describe what a request meets before it is answered, the same at both doors but for `errors`."""
    described = problems(*errors, *UNPROVED, QuotaExceeded, *OURS, GatewayError, headers=SIGNED)
    for status in (STATUS[QuotaExceeded.kind], STATUS[StillRunning.kind], STATUS[Unavailable.kind]):
        described[status]["headers"]["Retry-After"] = ref("headers", "Retry-After")
    proving = described[STATUS[RequestSignatureInvalid.kind]]["headers"]
    proving |= {name: ref("headers", name) for name in ("WWW-Authenticate", "DPoP-Nonce")}
    return described


def _either(described: Json, text: str, codes: Sequence[str]) -> Json:
    """Describe two things that have one status: a request that was turned away, and an exchange that failed."""
    schema = described["content"][PROBLEM]["schema"]
    failed = _failed(text, codes)["content"][PROBLEM]["schema"]
    return described | {
        "description": f"{described['description']}\n{text}",
        "content": {PROBLEM: {"schema": {"oneOf": [schema, failed]}}},
    }


def _failed(text: str, codes: Sequence[str]) -> Json:
    return problem(text, codes, also=ENDED, headers=SIGNED)


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


_GONE = (AttachmentExpired, AttachmentAlreadyFetched, AttachmentLost)
_PROVING: Sequence[Json] = (
    parameter(
        "Idempotency-Key",
        "header",
        {"type": "string", "format": "uuid"},
        "New for each question, the same for each attempt at it",
    ),
    parameter(
        "Content-Digest", "header", {"type": "string"}, "RFC 9530: `sha-256` or `sha-512` of the body, of no bytes too"
    ),
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
_LABEL: Json = {"type": "string", "pattern": r"^[A-Za-z0-9_-]{43}$", "description": "SHA-256, base64url"}
_DISCLOSED: Json = {
    "type": "object",
    "required": ["exchange", "record", "receipt"],
    "properties": {
        "exchange": {"type": "string", "format": "uuid"},
        "record": ref("schemas", "Record"),
        "receipt": ref("schemas", "Receipt"),
        "checks": {
            **ref("schemas", "Record"),
            "description": "Checks that the gateway computed, as an SD-JWT of its own (`gateway-check+sd-jwt`)",
        },
        "encrypted": {
            "description": "Where the agreement asks for it, each disclosure of the record as a JWE to the consumer",
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "digest", "jwe"],
                "properties": {"field": {"type": "string"}, "digest": _LABEL, "jwe": {"type": "string"}},
            },
        },
        "attachments": {
            "description": "Documents beside the record, to be fetched once each",
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "href", "digest", "size", "type"],
                "properties": {
                    "field": {"type": "string"},
                    "href": {
                        "type": "string",
                        "format": "uri-reference",
                        "description": "Relative to the address that was asked (RFC 3986 §5)",
                    },
                    "digest": _LABEL,
                    "size": {"type": "integer", "minimum": 0, "description": "Bytes"},
                    "type": {"type": "string", "description": "Media type"},
                },
            },
        },
    },
}
