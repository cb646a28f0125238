"""The door at which the description is read, by anybody and from any site."""

import json
from collections.abc import Callable
from functools import cache

from flask import Blueprint, Response

from gateway.openapi.document import OPENAPI_PATH
from gateway.openapi.elements import Json

KEPT_SECONDS = 300


def blueprint(describe: Callable[[], Json]) -> Blueprint:
    """Serve what `describe` returns; it is asked once, with the first reader."""
    routes = Blueprint("openapi", __name__)
    document = cache(lambda: json.dumps(describe()))

    @routes.get(OPENAPI_PATH)
    def openapi() -> Response:
        response = Response(document(), content_type="application/json")
        response.headers["Cache-Control"] = f"public, max-age={KEPT_SECONDS}"
        # Tools that show it run in browsers, at sites of their own.
        response.headers["Access-Control-Allow-Origin"] = "*"
        response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
        return response

    return routes
