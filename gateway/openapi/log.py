"""The doors of the log, and those by which operators' programs look after a gateway."""

from gateway.audit.errors import NoSuchLogFile
from gateway.errors import Unavailable
from gateway.openapi.elements import JSON, Json, answer, operation, or_page, parameter, problems

CHECKS: Json = {"type": "object", "additionalProperties": {"enum": ["ok", "failing"]}}


def log_doors() -> Json:
    """Describe the log: C2SP tlog-tiles, for everybody."""
    name = parameter(
        "path",
        "path",
        {"type": "string", "pattern": r"^(entries|[0-9]{1,2})/(x[0-9]{3}/){0,5}[0-9]{3}(\.p/[0-9]{1,3})?$"},
        "`<L>/<N>[.p/<W>]` or `entries/<N>[.p/<W>]`, as tlog-tiles spells them. Its slashes stand as they are.",
    )
    none_such = or_page(problems(NoSuchLogFile))
    return {
        "/log/checkpoint": {
            "get": operation(
                "checkpoint",
                "The log's signed state",
                tag="Log",
                answers={
                    200: answer(
                        "A C2SP checkpoint: origin, size, root hash, signatures",
                        {"text/plain; charset=utf-8": {"type": "string"}},
                        headers=("Cache-Control",),
                    ),
                    **none_such,
                },
            )
        },
        "/log/tile/{path}": {
            "get": operation(
                "tile",
                "Up to 256 hashes of a level, or up to 256 entries",
                tag="Log",
                parameters=(name,),
                answers={
                    200: answer(
                        "A tile, or a bundle of entries (compressed where gzip is accepted). It never changes.",
                        {"application/octet-stream": {"type": "string", "format": "binary"}},
                        headers=("Cache-Control",),
                    ),
                    **none_such,
                    **or_page(problems(Unavailable)),
                },
            )
        },
    }


def health_doors() -> Json:
    """Describe `/healthz` and `/readyz`."""
    lives: Json = {"type": "object", "required": ["status"], "properties": {"status": {"const": "ok"}}}
    ready: Json = {
        "type": "object",
        "required": ["status", "checks"],
        "properties": {"status": {"enum": ["ok", "failing", "stopping"]}, "checks": CHECKS},
    }
    return {
        "/healthz": {
            "get": operation(
                "alive", "Whether this process lives", tag="Operating", answers={200: answer("It does", {JSON: lives})}
            )
        },
        "/readyz": {
            "get": operation(
                "ready",
                "Whether this process can do its job now",
                tag="Operating",
                answers={200: answer("It can", {JSON: ready}), 503: answer("It cannot, and what fails", {JSON: ready})},
            )
        },
    }
