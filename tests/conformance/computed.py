"""Services and agreements with checks, and where a value could be found that should be nowhere."""

import base64
import json
import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import inspect, text

from gateway.clock import SystemClock
from gateway.demo.layout import SERVICE
from gateway.sdk.answers import Answer, Refusal
from gateway.sdk.consumer import Consumer
from gateway.sharing.catalogue.services import find_service, record_service
from tests.kit.computing_department import LIMIT
from tests.kit.world import ADA_MATCH, ENOUGH_SECONDS, Asking, World

BAND = 31_415_926
"""A threshold that is nowhere else, like `LIMIT`."""
FROM_AWARD = {"from": ["award_amount"], "description": "A sample check."}
ABOVE_LIMIT = {
    **FROM_AWARD,
    "name": "above_limit",
    "computed_by": "gateway",
    "expression": "award_amount > thresholds.limit",
    "gives": "boolean",
}
AWARD_BAND = {
    **FROM_AWARD,
    "name": "award_band",
    "computed_by": "provider",
    "expression": "award_amount > thresholds.limit ? 'high' : award_amount > thresholds.band ? 'middle' : 'low'",
    "gives": ["high", "middle", "low"],
}
COMPUTED_THERE = {**ABOVE_LIMIT, "computed_by": "provider"}


def computing(world: World, path: str, *checks: Mapping[str, Any], **changes: Any) -> Asking:
    """A service of a test's own with thresholds, answered at this path, and an agreement with these checks."""
    service_id = f"dwp/t-{secrets.token_hex(6)}/v1"
    answer_seconds = changes.pop("answer_seconds", ENOUGH_SECONDS)
    with world.gateway.database.write() as session:
        shipped = find_service(session, SERVICE)
        assert shipped is not None
        properties = {
            **shipped.schema["properties"],
            "award_amount": {"type": ["integer", "null"], "description": "The award."},
            "note": {"type": "string", "description": "A note."},
        }
        service = replace(
            shipped,
            id=service_id,
            endpoint=f"{world.hostile}/{path}",
            answer_seconds=answer_seconds,
            schema={**shipped.schema, "properties": properties},
            thresholds={"limit": LIMIT, "band": BAND},
        )
        record_service(session, service, at=SystemClock().now())
    terms: dict[str, Any] = {"fields": ["eligible", "tier"], "exclusions": [], **changes}
    if checks:
        terms["checks"] = [dict(check) for check in checks]
    return world.agreed(service_id, **terms)


def ask(
    world: World, asking: Asking, *fields: str, consumer: Consumer | None = None, **changes: Any
) -> Answer | Refusal:
    """Ask with the kit."""
    return (consumer or world.consumer()).ask(
        service=asking.service,
        purpose=asking.purpose,
        subject={"match": ADA_MATCH},
        fields=fields,
        case_reference="FSM/2026/00017",
        access_token=world.officer_token(),
        **changes,
    )


def everything_said(body: bytes) -> str:
    """An answer with all that is base64url in it opened, however deep."""
    found = [body.decode()]
    for whole in found:
        for piece in re.findall(r"[A-Za-z0-9_-]{8,}", whole):
            try:
                opened = base64.urlsafe_b64decode(piece + "=" * (-len(piece) % 4)).decode()
            except ValueError:
                continue
            if opened.isprintable():
                found.append(opened)
    return "\n".join(found)


def everything_stored(world: World) -> Iterator[str]:
    """Every row of every table, as text: bytes as they are."""
    with world.gateway.database.read() as session:
        for table in inspect(session.connection()).get_table_names():
            for row in session.execute(text(f'SELECT * FROM "{table}"')):  # noqa: S608 - names of our own tables
                yield f"{table}: {' '.join(_as_text(value) for value in row)}"


def everything_logged(world: World) -> str:
    """What the processes wrote."""
    folders = (world.layout.state_dir.parent / "logs", world.layout.world_dir / "logs")
    files = [path for folder in folders for path in sorted(folder.glob("*.log"))]
    assert {path.stem for path in files} >= {"gateway", "hostile"}
    return "\n".join(path.read_text(encoding="utf-8", errors="replace") for path in files)


def _as_text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return value if isinstance(value, str) else json.dumps(value, default=str)
