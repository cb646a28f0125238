"""Services with a document beside the record, and what a consumer does to get it."""

import secrets
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from sqlalchemy import select

from gateway.clock import SystemClock
from gateway.demo.layout import PORTAL_CLIENT, SERVICE
from gateway.sdk.answers import Answer
from gateway.sharing.catalogue.services import find_service, record_service
from gateway.sharing.exchange.models import ExchangeRow
from gateway.wire.contracts import EXCHANGE_TAG
from gateway.wire.message_signatures import HttpRequest, HttpResponse, sign_request
from tests.kit.attaching_department import FIELD, PDF, PREFIX
from tests.kit.world import ADA_MATCH, ENOUGH_SECONDS, Asking, World

SMALL = 100_000
"""More than one chunk of the spool."""
MOST = 10 * 1024 * 1024


def attached(
    world: World,
    behaviour: str = "good",
    *,
    size: int = SMALL,
    most: int = MOST,
    answer_seconds: float = ENOUGH_SECONDS,
    **changes: Any,
) -> Asking:
    """A service with a letter of this size beside its record, and an agreement about it; `changes` as of `agreed`."""
    service_id = f"dwp/t-{secrets.token_hex(6)}/v1"
    with world.gateway.database.write() as session:
        shipped = find_service(session, SERVICE)
        assert shipped is not None
        letter = {"x-attachment": [PDF], "description": "The letter of award."}
        schema = {**shipped.schema, "properties": {"eligible": shipped.schema["properties"]["eligible"], FIELD: letter}}
        service = replace(
            shipped,
            id=service_id,
            endpoint=f"{world.hostile}/{PREFIX}-{behaviour}/{size}",
            answer_seconds=answer_seconds,
            schema=schema,
            max_attachment_bytes=most,
        )
        record_service(session, service, at=SystemClock().now())
    return world.agreed(service_id, **{"fields": ["eligible", FIELD], "exclusions": [], **changes})


def ask(world: World, asking: Asking) -> Answer:
    """Ask with the kit; the verified answer."""
    answer = world.consumer().ask(
        service=asking.service,
        purpose=asking.purpose,
        subject={"match": ADA_MATCH},
        fields=["eligible", FIELD],
        case_reference="FSM/2026/00017",
        access_token=world.officer_token(),
    )
    assert isinstance(answer, Answer)
    return answer


def request_for(
    world: World,
    address: str,
    *,
    key: str | None = None,
    token: str | None = None,
    signer: Any = None,
    client_id: str = PORTAL_CLIENT,
    **changes: Any,
) -> HttpRequest:
    """A signed request for a document; each argument replaces something of a good one."""
    request = HttpRequest(
        method="GET",
        target_uri=urljoin(world.exchanges, address),
        headers={
            "Authorization": f"Bearer {token or world.officer_token()}",
            "Idempotency-Key": key or str(uuid.uuid4()),
            "Accept": "*/*",
        },
    )
    return sign_request(
        request,
        signer=signer or world.signer(PORTAL_CLIENT),
        client_id=client_id,
        **{
            "nonce": secrets.token_urlsafe(18),
            "created": SystemClock().now(),
            "tag": EXCHANGE_TAG,
            **changes,
        },
    )


def fetch(world: World, address: str, **changes: Any) -> HttpResponse:
    """Fetch by hand; the whole answer."""
    return world.send(request_for(world, address, **changes))


def spooled(world: World, exchange: str) -> list[Path]:
    """The files that the spool holds for this exchange."""
    folder = world.settings.spool_dir
    return sorted(folder.glob(f"{exchange}-*")) if folder.is_dir() else []


@contextmanager
def while_spooling(world: World, asking: Asking, request: HttpRequest) -> Iterator[tuple[str, "Future[HttpResponse]"]]:
    """Send the request, and go on once the spool has begun with its document: the exchange, and the answer to come."""
    with ThreadPoolExecutor(1) as sender:
        answer = sender.submit(world.send, request)
        yield _exchange_spooled(world, asking), answer


def _exchange_spooled(world: World, asking: Asking) -> str:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with world.gateway.database.read() as session:
            found = session.scalar(select(ExchangeRow.id).where(ExchangeRow.service == asking.service))
        if found is not None and spooled(world, str(found)):
            return str(found)
        time.sleep(0.02)
    raise AssertionError("nothing was spooled")
