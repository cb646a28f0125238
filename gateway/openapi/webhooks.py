"""What the gateway sends to members: a question to a provider, and the notice that a session ended."""

from gateway.openapi.components import COMPACT_JWS
from gateway.openapi.documents import example
from gateway.openapi.elements import (
    FORM,
    JSON,
    PROBLEM,
    Json,
    answer,
    body_of,
    operation,
    parameter,
    ref,
)
from gateway.wire.contracts import CHECK_NOT_COMPUTED, NO_RECORD, RECORD_UNUSABLE

SIGNED = ("Content-Digest", "Signature-Input", "Signature")
TEXT: Json = {"type": "string"}
QUESTION: Json = {
    "type": "object",
    "required": [
        *("exchange", "service", "purpose", "agreement", "consumer", "subject", "handle", "fields", "audience"),
    ],
    "properties": {
        "exchange": {"type": "string", "format": "uuid", "description": "The record's `jti`"},
        "service": TEXT,
        "purpose": TEXT,
        "agreement": {"type": "string", "description": "Its reference, without its version"},
        "consumer": {"type": "string", "description": "The member that asks"},
        "subject": {
            "description": "`sub`: the provider's own name for the person. `match`: as the consumer sent it.",
            "type": "object",
            "minProperties": 1,
            "maxProperties": 1,
            "properties": {"sub": TEXT, "match": ref("schemas", "Match")},
        },
        "handle": {"type": "string", "description": "The record's `sub`"},
        "checks": {
            "type": "array",
            "description": "What to compute and disclose beside the fields, as CEL over the service's fields",
            "items": {
                "type": "object",
                "required": ["name", "from", "expression", "gives"],
                "properties": {
                    "name": TEXT,
                    "from": {"type": "array", "items": TEXT},
                    "expression": TEXT,
                    "gives": {"oneOf": [{"const": "boolean"}, {"type": "array", "items": TEXT}]},
                },
            },
        },
        "thresholds": {"type": "object", "description": "The values that the expressions name"},
        "encrypt_to": {"allOf": [ref("schemas", "Jwk")], "description": "Each disclosure is a JWE to this key"},
        "fields": {"type": "array", "items": TEXT, "description": "All of them are needed, and no others"},
        "audience": {"type": "string", "description": "The record's `aud`"},
    },
}


def webhooks() -> Json:
    """Describe what a provider's endpoint and a client's `backchannel_logout_uri` receive and answer."""
    record: Json = {
        "type": "object",
        "required": ["record"],
        "properties": {
            "record": ref("schemas", "Record"),
            "about": {
                "type": "object",
                "description": "For the gateway alone: how surely the person was found, and where they live",
                "properties": {
                    "match_level": {"enum": ["exact", "strong", "fair", "weak"]},
                    "area": {"type": "string", "description": "A GSS code"},
                },
            },
            "encrypted": {
                "type": "array",
                "description": "With `encrypt_to`: the disclosures, which the record then lacks",
                "items": {
                    "type": "object",
                    "required": ["field", "digest", "jwe"],
                    "properties": {"field": TEXT, "digest": TEXT, "jwe": TEXT},
                },
            },
        },
    }
    uncomputed: Json = {
        "type": "object",
        "required": ["code"],
        "properties": {"code": {"enum": [CHECK_NOT_COMPUTED, RECORD_UNUSABLE]}, "about": record["properties"]["about"]},
    }
    nothing: Json = {
        "type": "object",
        "required": ["code"],
        "properties": {"code": {"const": NO_RECORD}, "reason": {"enum": ["unknown", "ambiguous", "withheld"]}},
    }
    question = operation(
        "question",
        "The gateway asks a provider",
        tag="To members",
        text="Sent to the service's endpoint, signed with a key of `/sharing/v1/jwks.json` (tag `gateway-provider`). "
        "The answer is signed with a key of the provider's client: section 9 of the wire protocol. Anything but "
        "the answers described here is a failure of the exchange; redirects are not followed.",
        parameters=[parameter(name, "header", TEXT, "As in every signed message") for name in SIGNED],
        body=body_of(JSON, QUESTION, example=example("question")),
        security=({"messageSignature": []},),
        answers={
            200: answer(
                "The record, with every field that was asked for",
                {JSON: record},
                headers=SIGNED,
                examples={JSON: example("provider-answer")},
            ),
            422: answer(
                "A check gives nothing for this person's values, or those are not what the service says",
                {PROBLEM: uncomputed},
                headers=SIGNED,
            ),
            404: answer(
                "There is nothing to say about this person; the reason goes to nobody",
                {PROBLEM: nothing},
                headers=SIGNED,
            ),
        },
    )
    ended = operation(
        "sessionEnded",
        "A session ended (OIDC Back-Channel Logout 1.0)",
        tag="To members",
        body=body_of(
            FORM, {"type": "object", "required": ["logout_token"], "properties": {"logout_token": COMPACT_JWS}}
        ),
        answers={
            200: answer("Understood"),
            204: answer("Understood"),
            400: answer("It would be refused again: it is not sent again"),
        },
    )
    document = operation(
        "attachmentAsked",
        "The gateway fetches a document that a record names",
        tag="To members",
        text="`GET <the service's endpoint>/attachments/<exchange>/<digest>`, signed as a question is. The answer is "
        "the document, signed, with its `Content-Digest`; more than the stated size is not read.",
        parameters=[parameter(name, "header", TEXT, "As in every signed message") for name in SIGNED],
        security=({"messageSignature": []},),
        answers={
            200: answer("The document", {"*/*": {"type": "string", "format": "binary"}}, headers=SIGNED),
            404: answer("There is no such document", {PROBLEM: ref("schemas", "Problem")}, headers=SIGNED),
        },
    )
    return {
        "question": {"post": question},
        "attachmentAsked": {"get": document},
        "sessionEnded": {"post": ended},
    }
