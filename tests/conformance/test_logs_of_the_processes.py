"""What the gateway's processes write about themselves, at their most talkative: nothing of anybody.

The world that tests share is at its most talkative always, so the logs are of the tests before this one too.
"""

import secrets
import uuid

from gateway.demo.people import PEOPLE
from tests.kit.world import ADA_MATCH, NOBODY_MATCH, World


def test_no_person_token_code_key_or_record_is_ever_written_down(world: World) -> None:
    verifier = secrets.token_urlsafe(48)
    officer = world.officer()
    code = world.code(officer, verifier=verifier)
    tokens = world.redeem(code, verifier=verifier).json()
    token, key = tokens["access_token"], str(uuid.uuid4())
    sent: list[str] = []

    def ask(behaviour: str = "good", *, expected: int, **changes: object) -> None:
        request = world.signed(world.body(world.asking(behaviour), **changes), token=token, key=key)
        sent.append(request.headers["Signature"])
        response = world.send(request)
        assert response.status == expected, response.body
        sent.append(response.headers["Signature"])

    ask(expected=200)
    key = str(uuid.uuid4())
    ask(expected=200, subject={"sub": world.citizen_sub()})
    for behaviour in ("error", "schema-violation", "not-json", "unsigned"):
        key = str(uuid.uuid4())
        ask(behaviour, expected=502)
    key = str(uuid.uuid4())
    ask(expected=403, subject={"match": NOBODY_MATCH})
    key = str(uuid.uuid4())
    ask(expected=422, subject={"match": {**ADA_MATCH, "nino": "QQ 12 34 56 C"}})
    key = str(uuid.uuid4())
    assert world.send(world.signed(world.body(world.asking()), token="not-" + token, key=key)).status == 401
    world.assert_log_verifies()

    written = (world.layout.world_dir / "logs" / "gateway.log").read_text(encoding="utf-8")
    assert '"route": "/sharing/v1/exchanges"' in written, "the log is not talkative enough to prove anything"
    assert "/token" in written
    forbidden = [
        *(word for person in PEOPLE for word in (person.nino, person.family_name)),
        *(NOBODY_MATCH["family_name"], NOBODY_MATCH["nino"], "QQ 12 34 56 C", ADA_MATCH["birthdate"]),
        *(officer.email, officer.password, officer.code_secret),
        *(code, verifier, token, *token.split("."), tokens["id_token"], tokens["id_token"].split(".")[1]),
        *(key, world.citizen_sub("dwp"), world.citizen_sub(), "FSM/2026/00017"),
        *("targeted", "54210", "broke the database"),
        *sent,
    ]
    assert world.settings.log_level == "DEBUG", "the log is not at its most talkative"
    found = [word for word in forbidden if word in written]
    assert not found
