"""`gateway clients` and `gateway members` as an operator or developer meets them."""

import json
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from gateway import cli
from gateway.app import Gateway
from gateway.audit.recorded import find_events
from gateway.cli import main
from gateway.wire.encoding import parse_json_object
from gateway.wire.jws import issue_jwt
from gateway.wire.sealed_disclosures import DecryptionKey
from gateway.wire.signer import PrivateKeySigner
from tests.oidc.clients.publishing import publishing

ISSUER = "https://gateway.example"
CALLBACK = "https://library.example/callback"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """Somebody at a terminal of the gateway."""

    environment: dict[str, str]
    folder: Path

    def run(self, *arguments: str, typed: str | None = None) -> tuple[int, str]:
        result = CliRunner().invoke(main, arguments, env=self.environment, input=typed)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, result.output

    def told(self, *arguments: str, typed: str | None = None) -> str:
        status, told = self.run(*arguments, typed=typed)
        assert status == 0, told
        return told

    def refused(self, *arguments: str, typed: str | None = None) -> str:
        status, told = self.run(*arguments, typed=typed)
        assert status == 1, told
        assert "Traceback" not in told
        return told

    def add(self, client_id: str, *more: str) -> str:
        return self.told(
            *("clients", "add", "--member", "E06000008", "--client-id", client_id, "--name", "Specimen library"),
            *("--redirect-uri", CALLBACK, "--account-kind", "citizen", *more),
        )

    def shown(self, client_id: str) -> dict[str, Any]:
        return parse_json_object(self.told("clients", "show", client_id))

    def events(self, name: str) -> list[dict[str, Any]]:
        gateway: Gateway = cli._gateway()
        with gateway.database.read() as session:
            found = find_events(session, names=(name,), limit=100)
            return [gateway.audit.details_of(session, event.event_id) for event in found]


@pytest.fixture(scope="module")
def made(
    _databases: Callable[[], AbstractContextManager[str]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Operator]:
    folder = tmp_path_factory.mktemp("operator")
    cli._settings.cache_clear()
    cli._gateway.cache_clear()
    with _databases() as url:
        environment = {
            "GATEWAY_ISSUER": ISSUER,
            "GATEWAY_STATE_DIR": str(folder / "state"),
            "GATEWAY_DATABASE_URL": url,
            "GATEWAY_LOG_LEVEL": "ERROR",
        }
        operator = Operator(environment=environment, folder=folder)
        operator.told("init")
        operator.told("members", "add", "E06000008", "--name", "Blackburn with Darwen", "--kind", "council")
        yield operator
        cli._gateway().database.close()
    cli._settings.cache_clear()
    cli._gateway.cache_clear()


@pytest.fixture
def operator(made: Operator, tmp_path: Path) -> Operator:
    return Operator(environment=made.environment, folder=tmp_path)


def test_a_first_client_is_one_command_and_its_key_is_nobody_elses(operator: Operator) -> None:
    path = operator.folder / "library.pem"
    told = operator.add("library", "--new-key", str(path))
    assert "client_id: library" in told
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    key = PrivateKeySigner.from_pem(path.read_bytes())
    shown = operator.shown("library")
    assert shown["jwks"] == {"keys": [key.public_jwk()]}
    assert (shown["member"], shown["active"], shown["scope"]) == ("E06000008", True, "openid")
    assert "ok" in operator.told("clients", "check", "library")
    assert "library" in operator.told("clients", "list")
    assert operator.events("directory.client.registered")[0]["by"] == "command line"
    assert "PRIVATE" not in told + operator.told("clients", "show", "library")


def test_a_mistake_is_one_line_and_leaves_neither_client_nor_key(operator: Operator) -> None:
    path = operator.folder / "new.pem"
    add = ("clients", "add", "--member", "E06000008", "--client-id", "mistaken", "--name", "Mistaken")
    told = operator.refused(
        *add, "--redirect-uri", "http://a.example/", "--account-kind", "citizen", "--new-key", str(path)
    )
    assert "has to begin with https://" in told
    assert not path.exists()
    assert "there is neither a client nor a file" in operator.refused("clients", "check", "mistaken")
    path.write_text("mine")
    told = operator.refused(*add, "--redirect-uri", CALLBACK, "--account-kind", "citizen", "--new-key", str(path))
    assert "never overwritten" in told
    assert path.read_text() == "mine"
    for wrong in (("--member", "nobody"), ("--client-id", "a b"), ("--client-id", "a/b")):
        assert operator.refused(*add, "--redirect-uri", CALLBACK, "--account-kind", "citizen", "--secret", *wrong)


def test_a_client_id_is_given_once(operator: Operator) -> None:
    operator.add("twice", "--secret")
    add = ("clients", "add", "--member", "E06000008", "--client-id", "twice", "--name", "Other")
    assert "already" in operator.refused(*add, "--redirect-uri", CALLBACK, "--account-kind", "citizen", "--secret")
    assert operator.shown("twice")["client_name"] == "Specimen library"


def test_a_secret_is_an_exception_shown_once_and_rotated_with_an_overlap(operator: Operator) -> None:
    told = operator.add("secretive", "--secret")
    found = re.search(r"secret: +(\S{43,})", told)
    assert found
    shown = operator.told("clients", "show", "secretive")
    assert found[1] not in shown
    assert operator.shown("secretive")["token_endpoint_auth_method"] == "client_secret_basic"
    secrets = cli._gateway().provider.client_authentication.secrets
    rotated = re.search(r"secret: +(\S{43,})", operator.told("clients", "rotate", "secretive", "--secret"))
    assert rotated
    now = cli._gateway().clock.now()
    with cli._gateway().database.read() as session:
        assert secrets.matches(session, "secretive", found[1], now=now)
        assert secrets.matches(session, "secretive", rotated[1], now=now)
        assert not secrets.matches(session, "twice", rotated[1], now=now)
    assert operator.events("directory.client.secret_rotated")[0]["client"] == "secretive"
    at_once = operator.told("clients", "rotate", "secretive", "--secret", "--overlap-hours", "0")
    last = re.search(r"secret: +(\S{43,})", at_once)
    assert last
    with cli._gateway().database.read() as session:
        assert not secrets.matches(session, "secretive", found[1], now=now)
        assert secrets.matches(session, "secretive", last[1], now=now)


def test_a_key_for_encryption_is_made_kept_apart_and_removed(operator: Operator) -> None:
    operator.add("sealing", "--new-key", str(operator.folder / "sealing.pem"))
    private = operator.folder / "sealing-enc.pem"
    told = operator.told("clients", "rotate", "sealing", "--new-encryption-key", str(private))
    key = DecryptionKey.from_pem(private.read_bytes())
    assert key.thumbprint in told
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    uses = {key["kid"]: key["use"] for key in operator.shown("sealing")["jwks"]["keys"]}
    assert uses[key.thumbprint] == "enc"
    assert sorted(uses.values()) == ["enc", "sig"]
    assert key.thumbprint in operator.events("directory.client.registered")[0]["key_ids"]
    signing = next(kid for kid, use in uses.items() if use == "sig")
    assert "only key" in operator.refused("clients", "rotate", "sealing", "--remove-key", signing)
    operator.told("clients", "rotate", "sealing", "--remove-key", key.thumbprint)
    assert [key["kid"] for key in operator.shown("sealing")["jwks"]["keys"]] == [signing]


def test_keys_are_rotated_one_step_at_a_time(operator: Operator) -> None:
    operator.add("rotating", "--new-key", str(operator.folder / "one.pem"))
    [first] = [key["kid"] for key in operator.shown("rotating")["jwks"]["keys"]]
    assert "only key" in operator.refused("clients", "rotate", "rotating", "--remove-key", first)
    public = operator.folder / "two.json"
    second = PrivateKeySigner.generate("Ed25519")
    public.write_text(json.dumps(second.public_jwk()))
    operator.told("clients", "rotate", "rotating", "--add-key", str(public))
    assert "already" in operator.refused("clients", "rotate", "rotating", "--add-key", str(public))
    assert [key["kid"] for key in operator.shown("rotating")["jwks"]["keys"]] == [first, second.key_id]
    operator.told("clients", "rotate", "rotating", "--remove-key", first)
    assert [key["kid"] for key in operator.shown("rotating")["jwks"]["keys"]] == [second.key_id]
    private = operator.folder / "private.pem"
    private.write_bytes(PrivateKeySigner.generate("ES256").private_pem())
    assert "private key" in operator.refused("clients", "rotate", "rotating", "--add-key", str(private))
    assert operator.run("clients", "rotate", "rotating")[0] == 2


def test_a_change_says_what_changes_and_keeps_the_rest(operator: Operator) -> None:
    operator.add("changing", "--new-key", str(operator.folder / "key.pem"), "--scope", "openid email")
    before = operator.shown("changing")
    operator.told("clients", "change", "changing", "--redirect-uri", "https://library.example/moved")
    after = operator.shown("changing")
    assert after == {**before, "redirect_uris": ["https://library.example/moved"]}
    assert "redirect_uris" in operator.refused("clients", "change", "changing", "--redirect-uri", "nonsense")
    assert operator.shown("changing") == after
    assert "no client" in operator.refused("clients", "change", "nobody", "--name", "x")


def test_a_disabled_client_is_disabled_with_its_reason_until_it_is_enabled(operator: Operator) -> None:
    operator.add("stopped", "--secret")
    operator.told("clients", "disable", "stopped", "--reason", "key lost")
    assert operator.shown("stopped")["active"] is False
    assert "disabled" in operator.refused("clients", "check", "stopped")
    assert "already" in operator.refused("clients", "disable", "stopped")
    [event] = operator.events("directory.client.disabled")
    assert (event["client"], event["reason"], event["by"]) == ("stopped", "key lost", "command line")
    operator.told("clients", "change", "stopped", "--name", "Renamed", "--secret")
    assert operator.shown("stopped")["active"] is False, "a change does not let it work again"
    operator.told("clients", "enable", "stopped")
    assert operator.shown("stopped")["active"] is True
    assert operator.events("directory.client.enabled")[0]["client"] == "stopped"


def test_a_file_is_tried_before_it_is_registered(operator: Operator) -> None:
    path = operator.folder / "metadata.json"
    wrong = {"client_name": "Library", "redirect_uri": [CALLBACK], "redirect_uris": ["https://a.example/*"]}
    path.write_text(json.dumps(wrong))
    told = operator.refused("clients", "check", str(path), "--member", "E06000008")
    for line in ("did you mean redirect_uris", "wildcard", "jwks or jwks_uri is missing", "account_kinds is missing"):
        assert line in told
    good = {
        "client_name": "Library",
        "redirect_uris": [CALLBACK],
        "account_kinds": ["citizen"],
        "jwks": {"keys": [PrivateKeySigner.generate("ES256").public_jwk()]},
    }
    path.write_text(json.dumps(good))
    assert "ok" in operator.told("clients", "check", str(path), "--member", "E06000008")
    operator.told("clients", "add", str(path), "--member", "E06000008", "--client-id", "from-a-file")
    assert operator.shown("from-a-file")["jwks"] == good["jwks"]
    path.write_text("[]")
    assert "JSON object" in operator.refused("clients", "check", str(path), "--member", "E06000008")


def test_a_file_is_tried_for_a_member_or_for_a_token_as_it_would_be_registered(operator: Operator) -> None:
    path = operator.folder / "metadata.json"
    metadata = {"client_name": "Library", "redirect_uris": [CALLBACK], "jwks_uri": "https://127.0.0.1:9/jwks"}
    path.write_text(json.dumps(metadata))
    check = ("clients", "check", str(path))
    assert operator.run(*check)[0] == 2, "whose system it will be is never guessed"
    assert "no active member NOPE: `gateway members list`" in operator.refused(*check, "--member", "NOPE")
    told = operator.refused(*check, "--member", "E06000008")
    assert "account_kinds is missing" in told
    assert "relying parties alone" not in told, "it is a relying party where nothing is said, as with add"
    assert "jwks_uri: " in told, "its keys are fetched whatever else is wrong"
    told = operator.refused(*check, "--member", "E06000008", "--account-kind", "citizen")
    assert "rules of registration hold" in told
    made = operator.told("clients", "token", "--member", "E06000008", "--account-kind", "citizen")
    token = re.search(r"token: +(\S{43,})", made)
    assert token
    for _ in range(2):  # it is not used up
        assert "rules of registration hold" in operator.refused(*check, "--token", "-", typed=token[1] + "\n")
    path.write_text(json.dumps({**metadata, "scope": "openid profile", "kinds": ["consumer"]}))
    told = operator.refused(*check, "--token", "-", typed=token[1])
    assert "scope: profile is not allowed" in told
    assert "kinds: consumer is not allowed" in told
    assert "unknown, used up or over" in operator.refused(*check, "--token", "-", typed="guess")
    operator.add("tried", "--secret")
    assert operator.run("clients", "check", "tried", "--member", "E06000008")[0] == 2


def test_what_is_allowed_and_may_surprise_is_noted(operator: Operator) -> None:
    key = operator.folder / "key.json"
    rsa = PrivateKeySigner.generate("RS256").public_jwk()
    key.write_text(json.dumps({name: value for name, value in rsa.items() if name != "alg"}))
    refreshing = ("--grant-type", "authorization_code", "--grant-type", "refresh_token")
    operator.add("surprised", "--keys", str(key), *refreshing)
    told = operator.told("clients", "check", "surprised")
    assert "note  grant_types asks for refresh tokens and scope does not" in told
    assert f"the RSA key {rsa['kid']} has no alg, so it is for PS256" in told
    key.write_text(json.dumps(rsa))
    operator.add("at-ease", "--keys", str(key), *refreshing, "--scope", "openid offline_access")
    assert "note" not in operator.told("clients", "check", "at-ease")


def test_fapi_is_held_to_at_registration(operator: Operator) -> None:
    told = operator.refused(
        *("clients", "add", "--member", "E06000008", "--name", "Weak", "--redirect-uri", CALLBACK, "--fapi2"),
        *("--account-kind", "citizen", "--new-key", str(operator.folder / "weak.pem"), "--id-token-alg", "RS256"),
    )
    assert "id_token_signed_response_alg must be one of PS256, ES256" in told
    assert not (operator.folder / "weak.pem").exists()


@pytest.mark.parametrize(
    ("changes", "typ", "told"),
    [
        ({}, "JWT", "holds"),
        ({"aud": "https://elsewhere.example"}, "JWT", f"has to be {ISSUER}"),
        ({"iss": "somebody"}, "JWT", "iss and sub both have to be asserting"),
        ({"jti": None}, "JWT", "jti is missing"),
        ({"aud": "https://elsewhere.example", "exp": 1}, "JWT", "exp is required and has not passed"),
        ({"iss": "somebody", "jti": None}, "JWT", "jti is missing"),
        ({"exp": 1}, "JWT", "exp is required and has not passed"),
        ({}, "at+jwt", "typ is at+jwt"),
    ],
)
def test_an_assertion_is_verified_and_the_failing_rule_named(
    operator: Operator, changes: dict[str, Any], typ: str, told: str
) -> None:
    path = operator.folder / "asserting.json"
    signer = PrivateKeySigner.generate("ES256")
    path.write_text(json.dumps(signer.public_jwk()))
    client_id = f"asserting-{operator.folder.name}"
    operator.add(client_id, "--keys", str(path))
    now = int(cli._gateway().clock.now().timestamp())
    claims = {"iss": client_id, "sub": client_id, "aud": ISSUER, "jti": "one", "iat": now, "exp": now + 60} | changes
    given = {name: value for name, value in claims.items() if value is not None}
    assertion = issue_jwt(given, typ=typ, signer=signer)
    check = ("clients", "check", client_id, "--assertion", "-")
    answer = operator.told if told == "holds" else operator.refused
    for _ in range(2):  # it is not used up
        assert told in answer(*check, typed=assertion + "\n")


def test_an_assertion_of_a_key_that_is_not_registered_is_told_which_are(operator: Operator) -> None:
    operator.add("keyed", "--new-key", str(operator.folder / "key.pem"))
    [kid] = [key["kid"] for key in operator.shown("keyed")["jwks"]["keys"]]
    assertion = issue_jwt({"sub": "keyed"}, typ="JWT", signer=PrivateKeySigner.generate("ES256", key_id="strange"))
    told = operator.refused("clients", "check", "keyed", "--assertion", "-", typed=assertion)
    assert f"registered keys: {kid}" in told
    assert "kid strange" in told


def test_what_is_no_assertion_of_this_client_is_told_as_that(operator: Operator) -> None:
    keys = operator.folder / "key.json"
    signer = PrivateKeySigner.generate("ES256")
    keys.write_text(json.dumps(signer.public_jwk()))
    operator.add("first-of-two", "--keys", str(keys))
    operator.add("second-of-two", "--keys", str(keys))
    now = int(cli._gateway().clock.now().timestamp())
    claims = {"iss": "first-of-two", "sub": "first-of-two", "aud": ISSUER, "jti": "one", "iat": now, "exp": now + 60}
    assertion = issue_jwt(claims, typ="JWT", signer=signer)
    told = operator.refused("clients", "check", "second-of-two", "--assertion", "-", typed=assertion)
    assert "is one of first-of-two (claim sub), and proves nothing about second-of-two" in told
    for nonsense in ("not.a.jwt", "nonsense"):
        told = operator.refused("clients", "check", "second-of-two", "--assertion", "-", typed=nonsense)
        assert "client_assertion is no JWT" in told


def test_keys_at_an_address_are_fetched_by_check_under_the_same_guard(operator: Operator) -> None:
    with publishing() as publisher:
        publisher.publish({"keys": [PrivateKeySigner.generate("ES256").public_jwk()]})
        address = publisher.url().replace("http://", "https://")
        operator.add("publishing", "--jwks-uri", address)
        told = operator.refused("clients", "check", "publishing")
        assert "not allowed" in told
        assert publisher.visits == []


def test_a_token_for_registration_is_shown_once_and_recorded_without_it(operator: Operator) -> None:
    told = operator.told("clients", "token", "--member", "E06000008", "--account-kind", "citizen", "--uses", "3")
    token = re.search(r"token: +(\S{43,})", told)
    assert token
    assert f"{ISSUER}/register" in told
    event = operator.events("directory.registration_token.issued")[0]
    assert (event["member"], event["count"], event["scope"]) == ("E06000008", 3, "openid")
    assert token[1] not in json.dumps(event)
    assert "no active member" in operator.refused("clients", "token", "--member", "nobody")
    assert "--scope" in operator.refused("clients", "token", "--member", "E06000008", "--scope", "openid everything")
    assert operator.run("clients", "token", "--member", "E06000008", "--uses", "1000")[0] == 2


def test_members_come_and_go_by_command(operator: Operator) -> None:
    key = operator.folder / "key.json"
    signer = PrivateKeySigner.generate("ES256")
    key.write_text(json.dumps(signer.public_jwk()))
    operator.told("members", "add", "hmrc", "--name", "Revenue", "--kind", "department", "--key", str(key))
    shown = parse_json_object(operator.told("members", "show", "hmrc"))
    assert (shown["kind"], shown["keys"]) == ("department", [signer.public_jwk()])
    assert "hmrc" in operator.told("members", "list")
    for wrong in (("hmrc", "Again"), ("HMRC", "Again"), ("a b", "Name"), ("x", "Name"), ("new", "\u202e")):
        assert operator.refused("members", "add", wrong[0], "--name", wrong[1], "--kind", "agency")
    key.write_text(json.dumps({**signer.public_jwk(), "d": "AAAA"}))
    assert "private" in operator.refused(
        "members", "add", "leaky", "--name", "Leaky", "--kind", "agency", "--key", str(key)
    )
    operator.told("members", "disable", "hmrc")
    assert "already" in operator.refused("members", "disable", "hmrc")
    assert parse_json_object(operator.told("members", "show", "hmrc"))["active"] is False
    operator.told("members", "enable", "hmrc")
    assert "no member" in operator.refused("members", "show", "nobody")
