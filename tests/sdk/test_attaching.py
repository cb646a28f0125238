"""The provider kit keeps the documents that a function returns, and gives each to the gateway alone."""

import hashlib
import io
import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.sdk.provider import Attachment, Provider
from gateway.wire.contracts import EXCHANGE_TAG, PROVIDER_TAG
from gateway.wire.encoding import b64url_encode, parse_json
from gateway.wire.message_signatures import HttpRequest, HttpResponse, sign_request, verify_response
from gateway.wire.signer import PrivateKeySigner
from tests.kit.clock import FrozenClock
from tests.kit.statements import EXCHANGE, ISSUER
from tests.sdk.standing_in import CONSUMER, HANDLE, StandIn

ORIGIN = "https://api.dwp.example"
SERVICE = "dwp/awards/v1"
PDF = "application/pdf"
LETTER = b"%PDF-1.7 a letter " * 10_000
DIGEST = b64url_encode(hashlib.sha256(LETTER).digest())
SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "properties": {"letter": {"x-attachment": [PDF], "description": "."}},
}
QUESTION = {
    "exchange": EXCHANGE,
    "service": SERVICE,
    "purpose": "awards",
    "agreement": "DSA-900",
    "consumer": CONSUMER,
    "subject": {"sub": "the-departments-own-name"},
    "handle": HANDLE,
    "fields": ["letter"],
    "audience": CONSUMER,
}


class Department:
    """A department behind the kit, whose letter a test chooses."""

    def __init__(self, gateway: StandIn, clock: FrozenClock, folder: Path) -> None:
        self.gateway, self.clock, self.folder = gateway, clock, folder
        self.letter: Any = Attachment(content=LETTER, media_type=PDF)
        self._nonces = iter(range(1000))
        self.provider = self.process(folder)

    def process(self, folder: Path | None) -> Provider:
        """One process of this department's."""
        return Provider(
            member="dwp",
            key=self.gateway.provider,
            gateway=ISSUER,
            origin=ORIGIN,
            services={SERVICE: lambda _question: {"letter": self.letter}},
            schemas={SERVICE: SCHEMA},
            attachments=folder,
            clock=self.clock,
            documents=self.gateway.documents(),
        )

    def signed(self, method: str, path: str, body: bytes = b"", **changes: Any) -> HttpRequest:
        """A request of the gateway's; `changes` replace what it is signed with."""
        how: dict[str, Any] = {
            "signer": self.gateway.signer,
            "client_id": ISSUER,
            "nonce": f"nonce-number-{next(self._nonces)}",
            "created": self.clock.now(),
            "tag": PROVIDER_TAG,
            **changes,
        }
        return sign_request(HttpRequest(method=method, target_uri=f"{ORIGIN}{path}", body=body), **how)

    def send(self, request: HttpRequest, provider: Provider | None = None) -> HttpResponse:
        """Send a request through the WSGI door, as a server does."""
        started: list[Any] = []
        path = request.target_uri.removeprefix(ORIGIN)
        environ = {
            "REQUEST_METHOD": request.method,
            "RAW_URI": path,
            "PATH_INFO": path,
            "CONTENT_LENGTH": str(len(request.body)),
            "wsgi.input": io.BytesIO(request.body),
            **{f"HTTP_{name.upper().replace('-', '_')}": value for name, value in request.headers.items()},
        }
        answer = (provider or self.provider).wsgi(environ, lambda *given: started.extend(given))
        body = b"".join(answer)
        close: Callable[[], None] | None = getattr(answer, "close", None)
        if close is not None:
            close()
        return HttpResponse(status=int(started[0].split()[0]), headers=dict(started[1]), body=body)

    def ask(self, **changes: Any) -> Any:
        """Ask; the value that the record has for the letter."""
        response = self.send(self.signed("POST", "/awards", json.dumps({**QUESTION, **changes}).encode()))
        assert response.status == 200, response.body
        [disclosure] = json.loads(response.body)["record"].split("~")[1:-1]
        return parse_json(_decoded(disclosure))[2]

    def fetch(self, digest: str = DIGEST, **changes: Any) -> HttpResponse:
        """Fetch a document of the exchange."""
        return self.send(self.signed("GET", f"/awards/attachments/{EXCHANGE}/{digest}", **changes))


def _decoded(disclosure: str) -> bytes:
    import base64  # noqa: PLC0415 - only here

    return base64.urlsafe_b64decode(disclosure + "=" * (-len(disclosure) % 4))


@pytest.fixture
def department(clock: FrozenClock, tmp_path: Path) -> Department:
    return Department(StandIn(clock=clock), clock, tmp_path / "documents")


def opened(tmp_path: Path) -> Callable[[], Any]:
    return lambda: io.BytesIO(LETTER)


def of_a_file(tmp_path: Path) -> Path:
    path = tmp_path / "letter.pdf"
    path.write_bytes(LETTER)
    return path


@pytest.mark.parametrize("content", [lambda _folder: LETTER, of_a_file, opened])
def test_a_document_is_named_in_the_record_and_given_to_the_gateway(
    department: Department, tmp_path: Path, content: Callable[[Path], Any]
) -> None:
    department.letter = Attachment(content=content(tmp_path), media_type=PDF)
    assert department.ask() == {"digest": DIGEST, "size": len(LETTER), "type": PDF}
    (kept,) = department.folder.iterdir()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert stat.S_IMODE(department.folder.stat().st_mode) == 0o700
    request = department.signed("GET", f"/awards/attachments/{EXCHANGE}/{DIGEST}")
    response = department.send(request)
    assert (response.status, response.headers["Content-Type"], response.body) == (200, PDF, LETTER)
    keys = [department.gateway.provider.public_jwk()]
    verify_response(response, request=request, keys=keys, tag=PROVIDER_TAG, now=department.clock.now())
    # Nothing of it stays.
    assert list(department.folder.iterdir()) == []
    assert department.fetch().status == 404


def test_another_process_of_the_department_gives_it_as_well(department: Department) -> None:
    department.ask()
    other = department.process(department.folder)
    request = department.signed("GET", f"/awards/attachments/{EXCHANGE}/{DIGEST}")
    assert department.send(request, other).body == LETTER


def test_two_fields_may_hold_the_same_document(department: Department) -> None:
    department.ask()
    department.ask()
    assert [department.fetch().status for _ in range(3)] == [200, 200, 404]


def test_what_was_not_fetched_in_time_is_gone(department: Department) -> None:
    department.ask()
    department.clock.advance(seconds=121)
    assert department.fetch().status == 404
    assert list(department.folder.iterdir()) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": "https://gateway.another.example"},
        {"tag": EXCHANGE_TAG},
        {"signer": PrivateKeySigner.generate("ES256")},
    ],
)
def test_nobody_else_gets_a_document(department: Department, changes: dict[str, Any]) -> None:
    department.ask()
    response = department.fetch(**changes)
    assert response.status == 401
    assert b"PDF" not in response.body
    assert department.fetch().status == 200


def test_a_request_for_a_document_is_answered_once(department: Department) -> None:
    department.ask()
    department.ask()
    request = department.signed("GET", f"/awards/attachments/{EXCHANGE}/{DIGEST}")
    assert department.send(request).status == 200
    assert department.send(request).status == 401


@pytest.mark.parametrize(
    "path",
    [
        f"/awards/attachments/{EXCHANGE}/{'A' * 43}",
        f"/awards/attachments/../../etc/{'A' * 43}",
        f"/awards/attachments/{EXCHANGE}/..%2F..%2Fpasswd",
        f"/awards/attachments/*/{'*' * 43}",
        "/awards",
    ],
)
def test_there_is_no_way_to_other_files(department: Department, path: str) -> None:
    department.ask()
    response = department.send(department.signed("GET", path))
    assert (response.status, json.loads(response.body)["code"]) == (404, "attachment_not_found")


def test_an_exchange_that_would_lead_elsewhere_is_not_kept_for(department: Department, tmp_path: Path) -> None:
    question = json.dumps({**QUESTION, "exchange": "../../elsewhere"}).encode()
    response = department.send(department.signed("POST", "/awards", question))
    assert (response.status, json.loads(response.body)["code"]) == (500, "provider_failed")
    assert {path.name for path in tmp_path.rglob("*")} <= {"documents"}


def test_a_document_of_another_type_than_the_service_allows_is_not_sent(department: Department) -> None:
    department.letter = Attachment(content=LETTER, media_type="text/html")
    response = department.send(department.signed("POST", "/awards", json.dumps(QUESTION).encode()))
    assert (response.status, json.loads(response.body)["code"]) == (422, "record_unusable")


def test_a_provider_without_a_folder_says_so_in_its_log(
    department: Department, caplog: pytest.LogCaptureFixture
) -> None:
    provider = department.process(None)
    response = department.send(department.signed("POST", "/awards", json.dumps(QUESTION).encode()), provider)
    assert (response.status, json.loads(response.body)["code"]) == (500, "provider_failed")
    assert "NoFolderForAttachments" in caplog.text


def test_a_document_that_cannot_be_read_to_its_end_leaves_nothing(department: Department) -> None:
    class Broken(io.BytesIO):
        def read(self, _size: int | None = -1) -> bytes:
            raise OSError("the archive is gone")

    department.letter = Attachment(content=Broken, media_type=PDF)
    response = department.send(department.signed("POST", "/awards", json.dumps(QUESTION).encode()))
    assert response.status == 500
    assert list(department.folder.iterdir()) == []
