"""What members' systems need to know before they can ask: addresses and public keys, public by nature."""

from collections.abc import Callable

from flask import Blueprint, Response, abort, jsonify

from gateway.db import Database
from gateway.directory.members import ClientKind, find_member, list_clients
from gateway.sdk.metadata import METADATA_PATH

KEPT_SECONDS = 300


def sharing_resource(issuer: str) -> str:
    """Return the resource identifier (RFC 8707) for which tokens for asking are issued."""
    return f"{issuer}/sharing/v1"


def blueprint(
    *,
    database: Database,
    issuer: str,
    mtls: str | None,
    gateway_jwks: Callable[[], tuple[dict[str, str], ...]],
    log_vkey: str,
) -> Blueprint:
    """Serve the metadata, the gateway's own keys and those of each member's systems.

    `mtls` is the base address for clients that show certificates, where it is another one.
    """
    routes = Blueprint("sharing_metadata", __name__)
    resource = sharing_resource(issuer)
    # RFC 8705 §5: where a client with a certificate calls instead.
    aliases = (
        {"exchanges_endpoint": f"{sharing_resource(mtls)}/exchanges", "token_endpoint": f"{mtls}/token"} if mtls else {}
    )

    @routes.get(METADATA_PATH)
    def metadata() -> Response:
        return _kept(
            jsonify(
                issuer=issuer,
                resource=resource,
                exchanges_endpoint=f"{resource}/exchanges",
                token_endpoint=f"{issuer}/token",
                jwks_uri=f"{resource}/jwks.json",
                member_jwks_uri=f"{resource}/members/{{member}}/jwks.json",
                log_prefix=f"{issuer}/log",
                log_vkey=log_vkey,
                openapi_uri=f"{issuer}/openapi.json",
                **({"mtls_endpoint_aliases": aliases} if aliases else {}),
            )
        )

    @routes.get("/sharing/v1/jwks.json")
    def jwks() -> Response:
        return _kept(jsonify(keys=list(gateway_jwks())))

    @routes.get("/sharing/v1/members/<code>/jwks.json")
    def member_jwks(code: str) -> Response:
        with database.read() as session:
            if find_member(session, code) is None:
                abort(404)
            keys = [
                dict(key)
                for client in list_clients(session)
                if client.member_code == code and client.active and ClientKind.PROVIDER in client.kinds
                for key in client.keys
            ]
        return _kept(jsonify(keys=keys))

    return routes


def _kept(response: Response) -> Response:
    response.headers["Cache-Control"] = f"public, max-age={KEPT_SECONDS}"
    return response
