"""What every door of this room does with Flask: read a request, write an answer."""

import json

from flask import Flask, Request, Response, request
from werkzeug.datastructures import MultiDict

from gateway.clock import Clock
from gateway.identity.caller import Presented
from gateway.oidc.errors import ParametersMalformed
from gateway.oidc.oauth_errors import OAuthAnswer
from gateway.oidc.parameters import Parameters, parse_parameters
from gateway.oidc.possession import DPoPNonces

FORM = "application/x-www-form-urlencoded"


def parameters_of(values: MultiDict[str, str]) -> Parameters:
    """Return the parameters as sent; raises `ParametersMalformed`."""
    return parse_parameters(values.items(multi=True))


def form_of_request() -> Parameters:
    """Return the body's parameters; raises `ParametersMalformed` for a body of another kind."""
    if request.mimetype != FORM:
        raise ParametersMalformed("The body must be a form (application/x-www-form-urlencoded)")
    return parameters_of(request.form)


def presented(of: Request, *, at: str) -> Presented:
    """Return what a request shows to be let in at the endpoint `at`: its configured address, without a query."""
    return Presented(
        method=of.method,
        endpoint=at,
        authorization=tuple(of.headers.getlist("Authorization")),
        dpop=tuple(of.headers.getlist("DPoP")),
        certificate=of.environ.get("gateway.client_certificate"),
    )


def json_response(answer: OAuthAnswer) -> Response:
    """Return an OAuth answer as JSON."""
    response = Response(json.dumps(answer.members), answer.status, content_type="application/json")
    response.headers.update(answer.headers)
    return response


def source() -> str:
    """Return the visitor's network address."""
    return request.remote_addr or "unknown"


def install_dpop_nonces(app: Flask, nonces: DPoPNonces | None, clock: Clock) -> None:
    """Give the answer to every DPoP proof the nonce for the next one (RFC 9449 §8.1, §8.2); None: none is needed."""
    if nonces is None:
        return

    @app.after_request
    def with_nonce(response: Response) -> Response:
        if "DPoP" in request.headers:
            response.headers["DPoP-Nonce"] = nonces.current(clock.now())
        return response
