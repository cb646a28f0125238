"""How doors are described here: an operation, its parameters, bodies and answers (OpenAPI 3.1.1 §4.8).

Everything is plain JSON. `operation` refuses nothing: whether the whole is valid, the specification's own schema says.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from gateway.errors import GatewayError
from gateway.web.problems import STATUS

Json = dict[str, Any]
JSON, PROBLEM, FORM, HTML = (
    "application/json",
    "application/problem+json",
    "application/x-www-form-urlencoded",
    "text/html; charset=utf-8",
)
NO_SECURITY: tuple[Json, ...] = ({},)


def ref(kind: str, name: str) -> Json:
    """Refer to a component."""
    return {"$ref": f"#/components/{kind}/{name}"}


def operation(
    name: str,
    summary: str,
    *,
    tag: str,
    answers: Mapping[int, Json],
    text: str = "",
    parameters: Sequence[Json] = (),
    body: Json | None = None,
    security: Sequence[Json] = NO_SECURITY,
) -> Json:
    """Describe what one method of one path does; `answers` are by status."""
    described: Json = {
        "operationId": name,
        "summary": summary,
        "tags": [tag],
        "security": list(security),
        "responses": {str(status): answers[status] for status in sorted(answers)},
    }
    if text:
        described["description"] = text
    if parameters:
        described["parameters"] = list(parameters)
    if body is not None:
        described["requestBody"] = body
    return described


def parameter(name: str, place: str, schema: Json, text: str, *, required: bool = True) -> Json:
    """Describe a parameter in the `path`, the `query`, a `header` or a `cookie`."""
    return {"name": name, "in": place, "required": required, "description": text, "schema": schema}


def body_of(media_type: str, schema: Json, *, example: object = None, text: str = "") -> Json:
    """Describe a body that is needed."""
    content: Json = {"schema": schema}
    if example is not None:
        content["example"] = example
    return {"required": True, "content": {media_type: content}} | ({"description": text} if text else {})


def answer(
    text: str,
    content: Mapping[str, Json] | None = None,
    *,
    headers: Sequence[str] = (),
    examples: Mapping[str, object] | None = None,
) -> Json:
    """Describe an answer: its schemas by media type, its header fields by their names among the components."""
    described: Json = {"description": text}
    if headers:
        described["headers"] = {name: ref("headers", name) for name in headers}
    if content:
        described["content"] = {kind: {"schema": schema} for kind, schema in content.items()}
        for kind, example in (examples or {}).items():
            described["content"][kind]["example"] = example
    return described


def page(text: str, *, headers: Sequence[str] = ()) -> Json:
    """Describe a page for people."""
    return answer(text, {HTML: {"type": "string"}}, headers=headers)


def redirect(text: str) -> Json:
    """Describe an answer that sends a browser on."""
    return answer(text, {HTML: {"type": "string"}}, headers=("Location",))


def problem(text: str, codes: Sequence[str], *, also: Json | None = None, headers: Sequence[str] = ()) -> Json:
    """Describe a problem document (RFC 9457) whose `code` is one of these; `also` is what else it has."""
    schema: Json = {
        "allOf": [
            ref("schemas", "Problem"),
            {"type": "object", "required": ["code"], "properties": {"code": {"enum": list(codes)}}},
        ]
    }
    if also is not None:
        schema["allOf"].append(also)
    return answer(text, {PROBLEM: schema}, headers=headers)


def problems(*errors: type[GatewayError], headers: Sequence[str] = ()) -> dict[int, Json]:
    """Describe the problem documents of these errors, by the status that each kind has."""
    by_status: dict[int, list[type[GatewayError]]] = defaultdict(list)
    for error in errors:
        by_status[STATUS[error.kind]].append(error)
    return {
        status: problem(
            "\n".join(f"- `{error.code}`: {error.title}" for error in sorted(found, key=lambda one: one.code)),
            sorted({error.code for error in found}),
            headers=headers,
        )
        for status, found in by_status.items()
    }


def or_no_such_address(answers: Mapping[int, Json]) -> dict[int, Json]:
    """Describe the same answers where a path parameter of another form than described names no address at all (404)."""
    found = dict(answers)
    described = dict(found[404])
    described["content"] = {**described["content"], PROBLEM: {"schema": ref("schemas", "Problem")}}
    return found | {404: described}


def or_page(answers: Mapping[int, Json]) -> dict[int, Json]:
    """Describe the same answers as given where either a program or a person may ask: a page for a browser."""
    return {
        status: described | {"content": {**described["content"], HTML: {"schema": {"type": "string"}}}}
        for status, described in answers.items()
    }


def plain_problem(text: str) -> Json:
    """Describe a problem that HTTP itself has a name for: its `type` is `about:blank`, and it has no code."""
    return answer(text, {PROBLEM: ref("schemas", "Problem")})
