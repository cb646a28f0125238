"""The public documents that members read before they ask: addresses, and keys that verify. And the worked example."""

import json
from pathlib import Path
from typing import Any

from gateway.db import DatabaseUnavailable
from gateway.errors import Unavailable
from gateway.openapi.components import ADDRESS
from gateway.openapi.elements import JSON, Json, answer, operation, or_page, parameter, plain_problem, problems, ref

EXAMPLES = Path(__file__).parent / "examples"


def example(name: str) -> Any:
    """Return one body of the worked example."""
    return json.loads((EXAMPLES / f"{name}.json").read_bytes())


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
                    **or_page({404: plain_problem("There is no such member")}),
                    **or_page(problems(Unavailable, DatabaseUnavailable)),
                },
            )
        },
    }


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
_KEYS = answer("Kept for 300 seconds at most", {JSON: ref("schemas", "JwkSet")}, headers=("Cache-Control",))
