"""A department that has nothing else to do: it answers at once, with as much text as the service says."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gateway.sdk.attaching import Attachment
from gateway.sdk.provider import AskedQuestion, Provider, WsgiApplication

SMALL = "dwp/bench-small/v1"
SIZES = {
    "dwp/bench-2-kb/v1": 2_000,
    "dwp/bench-10-kb/v1": 10_000,
    "dwp/bench-100-kb/v1": 100_000,
    "dwp/bench-2-mb/v1": 2_000_000,
    "dwp/bench-10-mb/v1": 10_000_000,
}
"""Services whose answer has so many bytes beside two small fields."""
LARGE = 256_000
"""What is larger is fetched by itself."""
MEDIA_TYPE = "application/octet-stream"


def make_app(member: str, key_file: str, gateway: str, origin: str, folder: str) -> WsgiApplication:
    """Return the WSGI application; gunicorn calls this."""
    provider = Provider(
        member=member,
        key=Path(key_file),
        gateway=gateway,
        origin=origin,
        services=dict.fromkeys((SMALL, *SIZES), _answer),
        attachments=Path(folder),
    )
    return provider.wsgi


def _answer(question: AskedQuestion) -> Mapping[str, Any]:
    fields: dict[str, Any] = {"eligible": True, "tier": "targeted"}
    size = SIZES.get(question.service)
    if size is not None:
        fields["text"] = "a" * size if size <= LARGE else Attachment(content=b"a" * size, media_type=MEDIA_TYPE)
    return fields
