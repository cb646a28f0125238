"""What the gateway sends to members: a question to a provider, and the notice that a session ended."""

from gateway.openapi.components import COMPACT_JWS
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
from gateway.openapi.sharing import SIGNED, example
from gateway.wire.contracts import NO_RECORD

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
        "fields": {"type": "array", "items": TEXT, "description": "All of them are needed, and no others"},
        "audience": {"type": "string", "description": "The record's `aud`"},
    },
}


def webhooks() -> Json:
    """Describe what a provider's endpoint and a client's `backchannel_logout_uri` receive and answer."""
    record: Json = {"type": "object", "required": ["record"], "properties": {"record": ref("schemas", "Record")}}
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
        "The answer is signed with a key of the provider's client: section 9 of the wire protocol. Anything but the "
        "two answers described here is a failure of the exchange; redirects are not followed.",
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
    return {"question": {"post": question}, "sessionEnded": {"post": ended}}
