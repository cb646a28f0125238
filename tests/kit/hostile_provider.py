"""A department that can misbehave: one path for each way. Everything it does well, it does with the real kit.

Served by gunicorn as a process of its own. The path chooses the behaviour, so a test registers a service at the path
it needs.
"""

import json
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from gateway.clock import SystemClock
from gateway.demo.department import answer_from
from gateway.demo.layout import SERVICE
from gateway.sdk.provider import AskedQuestion, NoRecord, StartResponse
from gateway.wire.contracts import PROVIDER_TAG, RECORD_TYP
from gateway.wire.message_signatures import HttpRequest, HttpResponse, sign_response
from gateway.wire.sd_jwt import issue_sd_jwt
from gateway.wire.signer import PrivateKeySigner
from tests.kit.attaching_department import PREFIX, AttachingDepartment
from tests.kit.computing_department import PREFIXES, ComputingDepartment

JSON = {"Content-Type": "application/json"}


class HostileProvider:
    """The WSGI application."""

    def __init__(self, *, database: str, key_file: str, gateway: str, origin: str, gates: str) -> None:
        self._database = Path(database)
        self._origin = origin
        self.signer = PrivateKeySigner.from_pem(Path(key_file).read_bytes())
        self._gates = Path(gates)
        self._gateway = gateway
        self._first: dict[str, HttpResponse] = {}
        self._attaching = AttachingDepartment(
            signer=self.signer, gateway=gateway, origin=origin, folder=self._gates / "documents"
        )
        self._computing = ComputingDepartment(signer=self.signer, gateway=gateway, origin=origin, notes=self._gates)

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        behaviour = environ["PATH_INFO"].strip("/").partition("/")[0]
        if behaviour == "healthz":
            start_response("200 OK", [("Content-Type", "application/json")])
            return [b"{}"]
        if behaviour.startswith(PREFIX):
            return self._attaching(environ, start_response)
        if behaviour.startswith(PREFIXES):
            return self._computing(environ, start_response)
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        question = json.loads(body)
        self._note(question)
        act: Callable[[dict[str, Any]], HttpResponse | Iterable[bytes]] = getattr(self, behaviour.replace("-", "_"))
        made = act(question)
        if not isinstance(made, HttpResponse):
            start_response("200 OK", [("Content-Type", "application/json")])
            return made
        request = HttpRequest(
            method="POST",
            target_uri=self._origin + (environ.get("RAW_URI") or environ["PATH_INFO"]),
            headers={
                name[5:].replace("_", "-"): str(value) for name, value in environ.items() if name.startswith("HTTP_")
            },
            body=body,
        )
        signer = PrivateKeySigner.generate("ES256") if behaviour == "signed-by-another" else self.signer
        if behaviour != "unsigned":
            made = sign_response(made, request=request, signer=signer, created=SystemClock().now(), tag=PROVIDER_TAG)
        if behaviour == "replayed":
            made = self._first.setdefault(question["service"], made)
        start_response(f"{made.status} Answer", list(made.headers.items()))
        return [made.body]

    def good(self, question: dict[str, Any]) -> HttpResponse:
        """Answer as the kit would."""
        found = self._found(question)
        if isinstance(found, NoRecord):
            problem = {"status": 404, "code": "no_record", "reason": found.reason}
            return HttpResponse(status=404, headers=JSON, body=json.dumps(problem).encode())
        return self._record(question, {name: found[name] for name in question["fields"]})

    def located(self, question: dict[str, Any]) -> HttpResponse:
        """Answer well, and say beside it of Ada that she is surely found here, of Ben another area, of Cleo a guess."""
        said = {
            "Testcase": {"match_level": "exact", "area": "E06000008"},
            "Sample": {"match_level": "exact", "area": "E07000117"},
            "Specimen": {"match_level": "weak", "area": "E06000008"},
        }
        return self._about(
            question, said.get(question["subject"].get("match", {}).get("family_name"), said["Testcase"])
        )

    def about_nonsense(self, question: dict[str, Any]) -> HttpResponse:
        """Answer well, and say something of the person that is neither a level nor an area."""
        return self._about(question, {"match_level": "probably", "area": "Blackburn"})

    def gated(self, question: dict[str, Any]) -> HttpResponse:
        """Answer well, but only once the test opens the gate of this exchange's case (or 20 s have passed)."""
        gate = self._gates / f"open-{question['service'].replace('/', '-')}"
        deadline = time.monotonic() + 20
        while not gate.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        return self.good(question)

    def replayed(self, question: dict[str, Any]) -> HttpResponse:
        """Answer well the first time, and ever after with that very answer."""
        return self.good(question)

    def unhurried(self, question: dict[str, Any]) -> HttpResponse:
        """Answer well, after a fifth of a second: of many exchanges at once, most are waiting for this answer."""
        time.sleep(0.2)
        return self.good(question)

    def slow(self, question: dict[str, Any]) -> HttpResponse:
        """Answer well, long after anybody waits."""
        time.sleep(6)
        return self.good(question)

    def dripping(self, _question: dict[str, Any]) -> Iterable[bytes]:
        """Send a byte now and then, for ever."""
        for _ in range(60):
            yield b" "
            time.sleep(0.25)

    def too_large(self, _question: dict[str, Any]) -> HttpResponse:
        """Answer with more than any answer may have."""
        return HttpResponse(status=200, headers=JSON, body=b'{"record": "' + b"a" * 200_000 + b'"}')

    def unsigned(self, question: dict[str, Any]) -> HttpResponse:
        """Answer well, without signing the answer."""
        return self.good(question)

    def signed_by_another(self, question: dict[str, Any]) -> HttpResponse:
        """Answer well, signed with a key that nobody registered."""
        return self.good(question)

    def record_by_another(self, question: dict[str, Any]) -> HttpResponse:
        """A record that another key signed, in an answer that is signed well."""
        return self._record(question, {"eligible": True, "tier": "targeted"}, signer=PrivateKeySigner.generate("ES256"))

    def wrong_audience(self, question: dict[str, Any]) -> HttpResponse:
        """A record for somebody else."""
        return self._record(question, {"eligible": True, "tier": "targeted"}, aud="E09000007")

    def wrong_exchange(self, question: dict[str, Any]) -> HttpResponse:
        """A record made for another exchange."""
        return self._record(
            question, {"eligible": True, "tier": "targeted"}, jti="01a206fc-0000-7000-8000-000000000000"
        )

    def wrong_handle(self, question: dict[str, Any]) -> HttpResponse:
        """A record about another person."""
        return self._record(question, {"eligible": True, "tier": "targeted"}, sub="somebody-else")

    def expired_record(self, question: dict[str, Any]) -> HttpResponse:
        """A record whose time is over."""
        then = int(SystemClock().now().timestamp()) - 3600
        return self._record(question, {"eligible": True, "tier": "targeted"}, iat=then, exp=then + 60)

    def extra_fields(self, question: dict[str, Any]) -> HttpResponse:
        """More than was asked for, award and an undeclared field with a hostile name included."""
        fields = {"eligible": True, "tier": "targeted", "award_amount": 54210, "diagnosis\u202e": "secret"}
        return self._record(question, fields)

    def missing_field(self, question: dict[str, Any]) -> HttpResponse:
        """Less than was asked for."""
        return self._record(question, {"eligible": True})

    def schema_violation(self, question: dict[str, Any]) -> HttpResponse:
        """A field that is not what the service says it is."""
        return self._record(question, {"eligible": "yes, 54210 a month", "tier": "targeted"})

    def not_json(self, _question: dict[str, Any]) -> HttpResponse:
        """No JSON."""
        return HttpResponse(status=200, headers=JSON, body=b"<html>eligible</html>")

    def error(self, _question: dict[str, Any]) -> HttpResponse:
        """A fault of the department's own."""
        return HttpResponse(status=500, headers=JSON, body=b'{"detail": "QQ123456C broke the database"}')

    def future_record(self, question: dict[str, Any]) -> HttpResponse:
        """A record that will be issued in an hour."""
        then = int(SystemClock().now().timestamp()) + 3600
        return self._record(question, {"eligible": True, "tier": "targeted"}, iat=then, exp=then + 60)

    def html(self, question: dict[str, Any]) -> HttpResponse:
        """A good answer that is said to be a page."""
        good = self.good(question)
        return HttpResponse(status=good.status, headers={"Content-Type": "text/html"}, body=good.body)

    def redirect(self, _question: dict[str, Any]) -> HttpResponse:
        """Send the gateway elsewhere."""
        return HttpResponse(status=307, headers={**JSON, "Location": f"{self._origin}/good"}, body=b"{}")

    def _about(self, question: dict[str, Any], said: Mapping[str, str]) -> HttpResponse:
        answer = self.good(question)
        body = json.loads(answer.body)
        if answer.status != 200:
            return answer
        return HttpResponse(status=200, headers=JSON, body=json.dumps({**body, "about": said}).encode())

    def _found(self, question: dict[str, Any]) -> Mapping[str, Any] | NoRecord:
        names = ("exchange", "service", "purpose", "agreement", "consumer", "subject", "handle", "audience")
        asked = AskedQuestion(fields=tuple(question["fields"]), **{name: question[name] for name in names})
        found = answer_from(self._database, SERVICE, asked)
        return found if isinstance(found, NoRecord) else found.fields

    def _record(
        self,
        question: dict[str, Any],
        fields: Mapping[str, Any],
        *,
        signer: PrivateKeySigner | None = None,
        **changed: Any,
    ) -> HttpResponse:
        now = int(SystemClock().now().timestamp())
        claims = {
            "iss": "dwp",
            "aud": question["audience"],
            "sub": question["handle"],
            "jti": question["exchange"],
            "iat": now,
            "exp": now + 300,
        }
        record = issue_sd_jwt({**claims, **changed}, fields, signer=signer or self.signer, typ=RECORD_TYP)
        return HttpResponse(status=200, headers=JSON, body=json.dumps({"record": record}).encode())

    def _note(self, question: dict[str, Any]) -> None:
        """Keep what was asked, so that a test can see what the department was told."""
        with (self._gates / f"asked-{question['exchange']}").open("a", encoding="utf-8") as questions:
            questions.write(json.dumps(question) + "\n")


def make_app(database: str, key_file: str, gateway: str, origin: str, gates: str) -> HostileProvider:
    """What gunicorn calls."""
    return HostileProvider(database=database, key_file=key_file, gateway=gateway, origin=origin, gates=gates)
