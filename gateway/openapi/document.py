"""The whole description, put together from the parts, as one OpenAPI 3.1 document."""

from importlib.metadata import version

from gateway.errors import GatewayError
from gateway.oidc.authorization.checks import SCOPES
from gateway.oidc.endpoints import Endpoints
from gateway.openapi.components import HEADERS, SCHEMAS, security_schemes
from gateway.openapi.documents import document_doors
from gateway.openapi.elements import JSON, Json, answer, operation, or_page, problems
from gateway.openapi.exchanges import exchange_doors
from gateway.openapi.log import health_doors, log_doors
from gateway.openapi.pages import auditor_doors, page_doors
from gateway.openapi.registration import registration_doors, registration_schemas
from gateway.openapi.schemas import schemas_of_bodies
from gateway.openapi.sign_in import sign_in_doors
from gateway.openapi.webhooks import webhooks
from gateway.policy.registers import Registers

OPENAPI_PATH = "/openapi.json"
TAGS = {
    "Exchanges": "Asking for a record. Signed both ways.",
    "Documents": "Addresses and public keys, open to everybody.",
    "Log": "C2SP tlog-tiles, open to everybody.",
    "Signing in": "OpenID Connect Core 1.0 and FAPI 2.0: the requests.",
    "Tokens": "OAuth 2.0: tokens, claims, introspection, revocation.",
    "Registering": "Dynamic client registration.",
    "Oversight": "For auditors.",
    "Operating": "For operators' programs.",
    "Pages for people": "HTML, for browsers.",
    "To members": "What the gateway sends.",
}
DESCRIPTION = (
    "One gateway between departments and councils: who signed in, who may learn what about whom, and a log that "
    "outsiders can verify. This document says which doors there are, what they take and what they answer. How requests "
    "and answers are signed, in which order a request is checked, and how to believe an answer is said by "
    "`docs/wire-protocol.md`, whose sections are named here.\n\n"
    "Every answer carries `X-Request-Id`. A method that a path does not have is answered with 405 and `Allow`."
)


def describe(*, endpoints: Endpoints, session_cookie: str, registers: Registers) -> Json:
    """Return the description of a gateway at this issuer, under the policy whose `registers` these are."""
    own = operation("description", "This document", tag="Documents", answers={200: answer("OpenAPI 3.1", {JSON: {}})})
    paths: Json = {
        **exchange_doors(registers),
        **document_doors(),
        OPENAPI_PATH: {"get": own},
        **log_doors(),
        **sign_in_doors(endpoints),
        **registration_doors(),
        **auditor_doors(),
        **health_doors(),
        **page_doors(),
    }
    fault = or_page(problems(GatewayError))[500]
    for described in (method for path in paths.values() for method in path.values()):
        described["responses"].setdefault("500", fault)
    servers = [{"url": endpoints.issuer}]
    if endpoints.mtls is not None:
        servers.append({"url": endpoints.mtls, "description": "For clients with certificates (RFC 8705 §5)"})
    return {
        "openapi": "3.1.1",
        "jsonSchemaDialect": "https://spec.openapis.org/oas/3.1/dialect/base",
        "info": {
            "title": "Gateway",
            "version": version("gateway"),
            "description": DESCRIPTION,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": servers,
        "tags": [{"name": name, "description": text} for name, text in TAGS.items()],
        "paths": paths,
        "webhooks": webhooks(),
        "components": {
            "schemas": {**SCHEMAS, **schemas_of_bodies(), **registration_schemas()},
            "headers": dict(HEADERS),
            "securitySchemes": security_schemes(
                endpoints.issuer, scopes=dict.fromkeys(SCOPES, ""), session_cookie=session_cookie
            ),
        },
    }
