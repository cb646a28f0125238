"""`gateway-client` teaches, says plainly what is missing, and keeps secrets and people off the screen and the disk."""

import json
import socket
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from gateway.clock import Clock
from gateway.sdk.cli import main
from gateway.sdk.commands import ask, officers, serve_table, token
from gateway.sdk.commands.client_settings import DEFAULT_FILE, ClientSettings
from gateway.sdk.consumer import Consumer
from gateway.sdk.signing_in import NotSignedIn, sign_in
from gateway.sdk.table_mapping import MappingInvalid
from gateway.sdk.tokens import TokenEndpoint
from gateway.wire.message_signatures import HttpRequest, HttpResponse
from gateway.wire.sealed_disclosures import DecryptionKey
from gateway.wire.signer import PrivateKeySigner
from tests.kit.clock import FrozenClock
from tests.kit.processes import free_port
from tests.kit.statements import ISSUER
from tests.sdk.standing_in import CLIENT, StandIn

QUESTION = [
    "ask",
    "dwp/free-school-meals/v1",
    "--purpose",
    "free-school-meals",
    "--field",
    "eligible",
    "--field",
    "tier",
]


@pytest.fixture
def gateway(clock: FrozenClock) -> StandIn:
    return StandIn(clock=clock)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gateway: StandIn, clock: FrozenClock) -> Path:
    """A folder with a key and settings, and a consumer that asks the gateway that stands in."""

    def consumer(issuer: str, client: str, key: Path, **options: object) -> Consumer:
        return Consumer(
            issuer,
            client,
            key,
            clock=clock,
            documents=gateway.documents(),
            receipts=options["receipts"],  # type: ignore[arg-type]
            decryption=options["decryption"],  # type: ignore[arg-type]
            encrypted=options["encrypted"],  # type: ignore[arg-type]
        )

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ask, "Consumer", consumer)
    for name in ("GATEWAY_CLIENT_ISSUER", "GATEWAY_CLIENT_ID", "GATEWAY_CLIENT_KEY", "GATEWAY_CLIENT_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "portal.pem").write_bytes(PrivateKeySigner.generate("ES256").private_pem())
    (tmp_path / DEFAULT_FILE).write_text(f'issuer = "{ISSUER}"\nclient = "{CLIENT}"\nkey = "portal.pem"\n')
    (tmp_path / "person.json").write_text('{"sub": "pairwise-for-blackburn"}')
    return tmp_path


def test_an_answer_is_shown_with_what_was_proved(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*QUESTION, "--subject", "person.json", "--receipts", "kept"]) == 0
    told = capsys.readouterr().out
    assert "  eligible: true\n" in told
    assert told.count("ok  ") == 4
    [kept] = (folder / "kept").iterdir()
    assert f"kept in kept/{kept.name}" in told


def test_a_program_gets_one_object(folder: Path, gateway: StandIn, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*QUESTION, "--sub", "pairwise-for-blackburn", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["outcome"], answer["fields"]["tier"]) == ("disclosed", "targeted")
    gateway.respond = gateway.refusal
    assert main([*QUESTION, "--sub", "pairwise-for-blackburn", "--json"]) == 1
    refusal = json.loads(capsys.readouterr().out)
    assert (refusal["code"], refusal["rules"][0]["code"]) == ("refused", "field_not_covered")


def test_an_error_of_the_gateways_is_told_by_its_code(
    folder: Path, gateway: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway.respond = lambda request: gateway.problem(request, 422, "invalid_request")
    assert main([*QUESTION, "--subject", "person.json"]) == 3
    assert capsys.readouterr().err.startswith("invalid_request: ")


def test_an_answer_in_the_clear_is_not_shown_where_it_was_to_be_encrypted(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["keys", "new", "reading.pem", "--encryption"])
    capsys.readouterr()
    with (folder / DEFAULT_FILE).open("a") as settings:
        settings.write('decryption_key = "reading.pem"\nencrypted = "dwp/another/v1 dwp/free-school-meals/v1"\n')
    assert main([*QUESTION, "--subject", "person.json"]) == 3
    told = capsys.readouterr()
    assert told.err.startswith("answer_not_believable: ")
    assert "targeted" not in told.out
    assert main([*QUESTION, "--subject", "person.json", "--encrypted", "dwp/another/v1"]) == 0


@pytest.mark.parametrize("exchange", ["/{folder}/elsewhere/x", "../elsewhere/x", "x"])
def test_no_document_is_written_where_the_gateway_says(folder: Path, gateway: StandIn, exchange: str) -> None:
    (folder / "elsewhere").mkdir()
    name = exchange.format(folder=folder)
    gateway.respond = lambda request: gateway.disclosure(
        request, record=gateway.record(jti=name), receipt={"exchange": name}, content={"exchange": name}
    )
    before = sorted(folder.rglob("*"))
    assert main([*QUESTION, "--subject", "person.json", "--documents", "documents"]) == 3
    assert sorted(folder.rglob("*")) == before


def test_what_is_wrong_with_a_question_is_told_by_its_place(
    folder: Path, gateway: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    problems = {"subject": {"match": ["birth is not used here."]}, "fields": {"1": ["Not a valid\x1b string."]}}
    gateway.respond = lambda request: gateway.problem(request, 422, "invalid_request", errors=problems)
    assert main([*QUESTION, "--match", "birth=1988-13-45"]) == 3
    told = capsys.readouterr().err.splitlines()
    assert told[1:] == ["  subject.match: birth is not used here.", "  fields.1: Not a valid\\x1b string."]
    assert "1988" not in "".join(told)


def test_an_attribute_is_given_once(folder: Path, gateway: StandIn, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*QUESTION, "--match", "nino=QQ123456C", "--match", "nino=QQ654321A"]) == 2
    assert "QQ" not in capsys.readouterr().err
    assert gateway.requests == []


def test_a_lost_answer_is_asked_for_again_as_the_command_says(
    folder: Path, gateway: StandIn, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("gateway.sdk.sending.time.sleep", lambda _seconds: None)

    def lost(_request: HttpRequest) -> HttpResponse:
        return HttpResponse(status=502, headers={}, body=b"a proxy's page")

    gateway.respond = lost
    assert main([*QUESTION, "--subject", "person.json"]) == 3
    _why, again, unreachable = capsys.readouterr().err.splitlines()
    assert unreachable.startswith("gateway_unreachable: ")
    gateway.respond = None
    assert main([*QUESTION, "--subject", "person.json", *again.split()]) == 0
    first, last = gateway.requests[0], gateway.requests[-1]
    assert first.body == last.body
    assert first.headers["Idempotency-Key"] == last.headers["Idempotency-Key"]
    # One without the other would be another question under the same key.
    assert main([*QUESTION, "--subject", "person.json", again.split()[0]]) == 2


def test_whoever_forgets_to_sign_in_is_told_so(
    folder: Path, gateway: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway.respond = lambda request: gateway.problem(request, 400, "unauthorized_client")
    assert main([*QUESTION, "--subject", "person.json"]) == 3
    assert "--sign-in" in capsys.readouterr().err


def test_a_value_that_was_signed_writes_no_lines_of_its_own(
    folder: Path, gateway: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    deceiving = {"eligible": True, "tier": "x\nok  the court believes this\x1b[2J\u202e"}
    gateway.respond = lambda request: gateway.disclosure(request, record=gateway.record(fields=deceiving))
    assert main([*QUESTION, "--subject", "person.json"]) == 0
    told = capsys.readouterr().out
    assert not {"\x1b", "\u202e"} & set(told)
    assert told.count("\nok  ") == 4


def test_an_officers_token_comes_from_a_file_or_the_environment_and_never_from_an_option(
    folder: Path, gateway: StandIn, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "token").write_text("from-a-file\n")
    main([*QUESTION, "--subject", "person.json", "--token-file", "token"])
    monkeypatch.setenv("GATEWAY_CLIENT_TOKEN", "from-the-environment")
    main([*QUESTION, "--subject", "person.json"])
    shown = [request.headers["Authorization"] for request in gateway.requests]
    assert shown == ["Bearer from-a-file", "Bearer from-the-environment"]
    with pytest.raises(SystemExit):
        main([*QUESTION, "--subject", "person.json", "--token", "on-the-command-line"])
    assert "from-" not in capsys.readouterr().out


def test_an_option_comes_before_the_environment_and_that_before_the_file(
    folder: Path, gateway: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked_by(*options: str) -> str:
        main([*QUESTION, "--subject", "person.json", *options])
        return gateway.requests[-1].headers["Signature-Input"]

    assert f'keyid="{CLIENT}#' in asked_by()
    monkeypatch.setenv("GATEWAY_CLIENT_ID", "of-the-environment")
    assert 'keyid="of-the-environment#' in asked_by()
    assert 'keyid="of-the-option#' in asked_by("--client", "of-the-option")


WRONG = {
    "no issuer": ("issuer", "", "issuer is missing: give --issuer, GATEWAY_CLIENT_ISSUER, or issuer in"),
    "a misspelt setting": ("client", "clinet", "clinet is not known; known are issuer, client, encrypted, key"),
    "no TOML": ('client = "', "client = ", "is not TOML"),
    "no key there": ("portal.pem", "absent.pem", "absent.pem: No such file"),
    "encrypted, and no key to read it": ('client = "', 'encrypted = "a/b/v1"\nclient = "', "give decryption_key too"),
    "half a certificate": ("key =", 'certificate = "a.pem"\nkey =', "belong together"),
}


@pytest.mark.parametrize(("old", "new", "told"), WRONG.values(), ids=WRONG)
def test_what_is_missing_is_named_with_what_to_give(
    folder: Path, old: str, new: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (folder / DEFAULT_FILE).read_text()
    (folder / DEFAULT_FILE).write_text(text.replace(old, new, 1) if new else text[text.index("\n") :])
    assert main([*QUESTION, "--subject", "person.json"]) == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("person", ["[]", "Ada Testcase", '"sub"'])
def test_a_person_who_is_not_described_is_not_asked_about(
    folder: Path, gateway: StandIn, person: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "person.json").write_text(person)
    assert main([*QUESTION, "--subject", "person.json"]) == 2
    assert "Ada" not in capsys.readouterr().err
    assert gateway.requests == []


def test_a_key_is_its_owners_alone_and_never_overwritten(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "new", "new.pem"]) == 0
    [public] = json.loads(capsys.readouterr().out)["keys"]
    signer = PrivateKeySigner.from_pem((folder / "new.pem").read_bytes())
    assert public == signer.public_jwk()
    assert "d" not in public
    assert stat.S_IMODE((folder / "new.pem").stat().st_mode) == 0o600
    assert main(["keys", "new", "new.pem"]) == 2
    assert PrivateKeySigner.from_pem((folder / "new.pem").read_bytes()).key_id == signer.key_id


def test_a_key_for_encryption_reads_what_is_meant_for_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "new", "reading.pem", "--encryption"]) == 0
    [public] = json.loads(capsys.readouterr().out)["keys"]
    key = DecryptionKey.from_pem((folder / "reading.pem").read_bytes())
    assert (public["use"], public["kid"]) == ("enc", key.thumbprint)


@pytest.mark.parametrize("verb", [[], ["ask"], ["token"], ["serve-table"], ["verify"], ["keys"], ["keys", "new"]])
def test_every_command_explains_itself(verb: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*verb, "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert "Exit status" in text or "To begin" in text or "JWK set" in text or verb == ["keys"]


# --- Signing in


def test_a_token_is_its_owners_alone_and_written_over_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(token, "officers_token", lambda _settings, *, redirect_uri: f"for {redirect_uri}")
    command = ["token", "--sign-in", "http://localhost:8003/", "-o"]
    assert main([*command, "officer.token"]) == 0
    assert (folder / "officer.token").read_text() == "for http://localhost:8003/\n"
    assert stat.S_IMODE((folder / "officer.token").stat().st_mode) == 0o600
    key = (folder / "portal.pem").read_bytes()
    assert main([*command, "portal.pem"]) == 2
    assert (folder / "portal.pem").read_bytes() == key
    assert "for http" not in "".join(capsys.readouterr())


def test_a_port_that_is_taken_is_named(gateway: StandIn, clock: FrozenClock) -> None:
    endpoint = TokenEndpoint(documents=gateway.documents(), client_id=CLIENT, signer=PrivateKeySigner.generate("ES256"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(NotSignedIn, match=f"Port {port} "):
            sign_in(endpoint, redirect_uri=f"http://localhost:{port}/", show=print, clock=clock)


def test_a_table_is_not_said_to_be_served_where_it_cannot_be(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(MappingInvalid, match=address):
            serve_table.require_free(address)
    serve_table.require_free(address)


def test_the_address_to_sign_in_at_is_the_gateways_own_and_steers_no_terminal(
    folder: Path, gateway: StandIn, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def shown(endpoint: TokenEndpoint, *, show: Callable[[str], None], clock: Clock, **_options: object) -> str:
        show(endpoint.documents.authorization_endpoint(clock.now()))
        return "an-officers-token"

    monkeypatch.setattr(officers, "sign_in", shown)
    monkeypatch.setattr(ClientSettings, "documents", lambda _settings: gateway.documents())
    sign_in_too = [*QUESTION, "--subject", "person.json", "--sign-in", "http://localhost:8003/callback"]
    gateway.stated["authorization_endpoint"] = f"{ISSUER}/authorize\x1b[2J\nSign in at https://another.example/"
    assert main(sign_in_too) == 0
    told = capsys.readouterr().err
    assert "\x1b" not in told
    assert "\nSign in at" not in told
    gateway.stated["authorization_endpoint"] = "https://another.example/authorize"
    assert main(sign_in_too) == 3
    assert "another.example" not in capsys.readouterr().err


def come_back(address: str, **changes: str) -> requests.Response:
    """What the browser does when the gateway is done, or somebody else's page."""
    sent = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
    answer = {"code": "a-code", "state": sent["state"], "iss": ISSUER, **changes}
    return requests.get(sent["redirect_uri"], params={k: v for k, v in answer.items() if v}, timeout=10)


def signed_in(gateway: StandIn, clock: FrozenClock, *answers: dict[str, str]) -> str:
    """Sign in, with these answers brought by browsers one after the other."""
    browsers: list[threading.Thread] = []

    def show(address: str) -> None:
        def browse() -> None:
            for changes in answers:
                come_back(address, **changes)

        browsers.append(threading.Thread(target=browse))
        browsers[0].start()

    endpoint = TokenEndpoint(documents=gateway.documents(), client_id=CLIENT, signer=PrivateKeySigner.generate("ES256"))
    try:
        return sign_in(
            endpoint, redirect_uri=f"http://localhost:{free_port()}/callback", show=show, clock=clock, seconds=5
        )
    finally:
        browsers[0].join(timeout=10)


def test_whoever_signs_in_gives_their_token(gateway: StandIn, clock: FrozenClock) -> None:
    assert signed_in(gateway, clock, {}) == "token-1"


def test_an_answer_that_was_not_asked_for_is_not_taken(gateway: StandIn, clock: FrozenClock) -> None:
    """A page of somebody else's sends a code of its own to the listener: the state is not known to it."""
    assert signed_in(gateway, clock, {"state": "guessed", "code": "an-attackers"}, {}) == "token-1"


@pytest.mark.parametrize(
    "changes", [{"iss": "https://another.example"}, {"iss": ""}, {"code": "", "error": "access_denied"}]
)
def test_an_answer_of_another_server_or_without_a_code_signs_nobody_in(
    gateway: StandIn, clock: FrozenClock, changes: dict[str, str]
) -> None:
    with pytest.raises(NotSignedIn):
        signed_in(gateway, clock, changes)
    assert gateway.tokens_issued == 0


@pytest.mark.parametrize(
    "address", ["https://localhost:8003/callback", "http://portal.example:8003/", "http://localhost/"]
)
def test_the_listener_is_on_loopback_alone(gateway: StandIn, clock: FrozenClock, address: str) -> None:
    endpoint = TokenEndpoint(documents=gateway.documents(), client_id=CLIENT, signer=PrivateKeySigner.generate("ES256"))
    with pytest.raises(NotSignedIn):
        sign_in(endpoint, redirect_uri=address, show=print, clock=clock)
