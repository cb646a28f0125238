"""A department that computes checks and encrypts its answers with the real kit, and can then change what it says.

The path says how: `/computed-<behaviour>` for answers in the clear, `/sealed-<behaviour>/<thumbprint>` for answers that
are encrypted to the key with that thumbprint and to no other.
"""

import json
import time
from collections.abc import Callable, Iterable
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

from gateway.clock import SystemClock
from gateway.sdk.metadata import GatewayDocuments
from gateway.sdk.nonces import SeenNonces
from gateway.sdk.provider import AgreedCheck, AskedQuestion, NoRecord, Provider, RecordUnusable, StartResponse
from gateway.sdk.wsgi import request_of, send
from gateway.wire.contracts import PROVIDER_TAG, RECORD_TYP
from gateway.wire.message_signatures import HttpResponse, sign_response
from gateway.wire.sd_jwt import issue_sd_jwt, without_disclosures
from gateway.wire.sealed_disclosures import DecryptionKey, as_json, seal_disclosures
from gateway.wire.signer import PrivateKeySigner

PREFIXES = ("computed-", "sealed-")
AWARD = 90_357_681
"""A value that is nowhere else, and is never to be disclosed in these tests."""
NOTE = "a sample note, 7f2c41d09b"
"""A value that is nowhere else, and may be disclosed."""
FIELDS = {"eligible": True, "tier": "targeted", "award_amount": AWARD, "note": NOTE}
LIMIT = 86_753_091
"""A threshold that is nowhere else."""
CHECKS = {
    "above_limit": AgreedCheck(
        from_=("award_amount",), expression="award_amount > thresholds.limit", thresholds={"limit": LIMIT}
    )
}
UNREADABLE = "Unreadable"
CLAIMS = ("iss", "aud", "sub", "jti", "iat", "exp")


def note_of(exchange: str) -> str:
    """The value of one exchange, which can be worked out by whoever knows how."""
    return sha256(f"the note of {exchange}".encode()).hexdigest()


class ComputingDepartment:
    """The WSGI application."""

    def __init__(self, *, signer: PrivateKeySigner, gateway: str, origin: str, notes: Path) -> None:
        self._signer = signer
        self._gateway = gateway
        self._origin = origin
        self._notes = notes
        self._documents = GatewayDocuments(gateway)
        self._nonces = SeenNonces()
        self.noted: list[str] = []

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        behaviour, *keys = environ["PATH_INFO"].strip("/").split("/")
        name = behaviour.partition("-")[2].replace("-", "_")
        body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        environ["wsgi.input"] = BytesIO(body)
        question = json.loads(body)
        with (self._notes / f"asked-{question['exchange']}").open("a", encoding="utf-8") as questions:
            questions.write(body.decode() + "\n")
        provider = Provider(
            member="dwp",
            key=self._signer,
            gateway=self._gateway,
            origin=self._origin,
            services={question["service"]: getattr(self, f"found_{name}", self.found)},
            encrypted={question["service"]: {question["agreement"]: keys}} if keys else None,
            checks={question["service"]: {question["agreement"]: CHECKS}} if keys else None,
            nonces=self._nonces,
            documents=self._documents,
        )
        request = request_of(environ, self._origin)
        assert request is not None
        answer = provider.answer(request)
        change: Callable[[dict[str, Any], dict[str, Any]], Any] | None = getattr(self, f"changed_{name}", None)
        if change is not None and answer.status == 200:
            changed = json.dumps(change(json.loads(answer.body), question)).encode()
            answer = HttpResponse(status=200, headers=answer.headers, body=changed)
        signed = sign_response(
            answer, request=request, signer=self._signer, created=SystemClock().now(), tag=PROVIDER_TAG
        )
        return send(start_response, signed)

    # --- What it knows

    def found(self, question: AskedQuestion) -> dict[str, Any] | NoRecord:
        if question.subject.get("match", {}).get("family_name") == "Nobody":
            return NoRecord()
        return FIELDS

    def found_in_particular(self, question: AskedQuestion) -> dict[str, Any]:
        """A value of this one exchange, which this process remembers."""
        self.noted.append(note_of(question.exchange))
        return {**FIELDS, "note": self.noted[-1]}

    def found_gated(self, question: AskedQuestion) -> dict[str, Any]:
        """What is known, once the test opens the gate (or 20 s have passed)."""
        gate = self._notes / f"open-{question.service.replace('/', '-')}"
        deadline = time.monotonic() + 20
        while not gate.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        return FIELDS

    def found_withheld(self, _question: AskedQuestion) -> NoRecord:
        return NoRecord(reason="withheld")

    def found_without_award(self, _question: AskedQuestion) -> dict[str, Any]:
        return {**FIELDS, "award_amount": None}

    def found_unusable(self, question: AskedQuestion) -> dict[str, Any]:
        """Of one person nothing can be read; of another all is well."""
        if question.subject.get("match", {}).get("family_name") == UNREADABLE:
            raise RecordUnusable("tier: cannot be read", match_level="strong")
        return FIELDS

    # --- What it says otherwise than it should

    def changed_lying(self, _body: dict[str, Any], question: dict[str, Any]) -> dict[str, Any]:
        """Another result than one of those agreed."""
        results = {check["name"]: str(AWARD) for check in question["checks"]}
        return self._signed(question, {**{name: FIELDS[name] for name in question["fields"]}, **results})

    def changed_without_source(self, _body: dict[str, Any], question: dict[str, Any]) -> dict[str, Any]:
        """Not what the gateway needs to compute."""
        return self._signed(question, {"eligible": True})

    def changed_wrong_source(self, _body: dict[str, Any], question: dict[str, Any]) -> dict[str, Any]:
        """Something of another type than the service says."""
        return self._signed(question, {"eligible": True, "award_amount": str(AWARD)})

    def changed_in_the_clear(self, _body: dict[str, Any], question: dict[str, Any]) -> dict[str, Any]:
        """What should be encrypted, as it is."""
        return self._signed(question, {name: FIELDS[name] for name in question["fields"]})

    def changed_partly_clear(self, _body: dict[str, Any], question: dict[str, Any]) -> dict[str, Any]:
        """Everything encrypted well, and one value in the clear beside it."""
        record = self._signed(question, {name: FIELDS[name] for name in question["fields"]})["record"]
        bare, by_field = without_disclosures(record)
        sealed = as_json(seal_disclosures(by_field, to=question["encrypt_to"]))
        return {"record": f"{bare}{by_field['note']}~", "encrypted": sealed}

    def changed_more_than_asked(self, _body: dict[str, Any], question: dict[str, Any]) -> dict[str, Any]:
        """Everything it knows, encrypted well."""
        return self._sealed(question, to=question["encrypt_to"])

    def changed_less_than_asked(self, body: dict[str, Any], _question: dict[str, Any]) -> dict[str, Any]:
        return {**body, "encrypted": body["encrypted"][1:]}

    def changed_to_another_key(self, _body: dict[str, Any], question: dict[str, Any]) -> dict[str, Any]:
        return self._sealed(question, to=DecryptionKey.generate().public_jwk())

    def changed_not_signed_for(self, body: dict[str, Any], question: dict[str, Any]) -> dict[str, Any]:
        """Encrypted well, and no part of what it signed."""
        other = self._sealed(question, to=question["encrypt_to"])
        return {**body, "encrypted": other["encrypted"]}

    def changed_twice(self, body: dict[str, Any], _question: dict[str, Any]) -> dict[str, Any]:
        return {**body, "encrypted": [*body["encrypted"], body["encrypted"][0]]}

    def changed_swapped_labels(self, body: dict[str, Any], _question: dict[str, Any]) -> dict[str, Any]:
        """Each value under the other's name: nobody can see that but the recipient."""
        first, second = body["encrypted"][:2]
        return {**body, "encrypted": [{**first, "field": second["field"]}, {**second, "field": first["field"]}]}

    def changed_swapped_contents(self, body: dict[str, Any], _question: dict[str, Any]) -> dict[str, Any]:
        first, second = body["encrypted"][:2]
        return {**body, "encrypted": [{**first, "jwe": second["jwe"]}, {**second, "jwe": first["jwe"]}]}

    def _signed(self, question: dict[str, Any], fields: dict[str, Any]) -> dict[str, Any]:
        now = int(SystemClock().now().timestamp())
        values = ("dwp", question["audience"], question["handle"], question["exchange"], now, now + 300)
        claims: dict[str, Any] = dict(zip(CLAIMS, values, strict=True))
        return {"record": issue_sd_jwt(claims, fields, signer=self._signer, typ=RECORD_TYP)}

    def _sealed(self, question: dict[str, Any], *, to: dict[str, Any]) -> dict[str, Any]:
        bare, by_field = without_disclosures(self._signed(question, FIELDS)["record"])
        return {"record": bare, "encrypted": as_json(seal_disclosures(by_field, to=to))}
