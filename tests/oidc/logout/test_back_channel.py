"""OIDC Back-Channel Logout 1.0, with a receiver that verifies every notice: whatever ends a session, clients hear."""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

import pytest
from click.testing import CliRunner
from sqlalchemy import text

from gateway.directory.oauth import OAuthSettings
from gateway.identity.commands import AccountsContext
from gateway.identity.registration import suspend
from gateway.identity.session_commands import sessions_group
from gateway.identity.sessions import list_sessions
from gateway.oidc.authorization.codes import lock_authorization
from gateway.oidc.client_sessions import record_client_session, services_of_sessions
from gateway.oidc.logout.back_channel import KIND
from gateway.outbox.deliveries import LEASE, Letter, State, claim_next, enqueue
from gateway.wire.jws import unverified_claims
from tests.kit.oidc_world import Browser, OidcWorld, RelyingParty, hidden_fields
from tests.oidc.logout.conftest import AFTER_LOGOUT, Back, is_signed_in, sid_of

Listening = Callable[..., RelyingParty]


def sign_out(browser: Browser) -> None:
    page = browser.get("/account")
    browser.post("/sign-out", hidden_fields(page.text))
    assert not is_signed_in(browser)


def test_each_client_of_the_session_is_told_once_by_its_own_names(
    provider: OidcWorld, back: Back, listening: Listening
) -> None:
    one, other, stranger = listening(), listening(), listening()
    browser = provider.signed_in(officer := provider.officer())
    tokens = {rp.client.client_id: rp.tokens(browser, officer) for rp in (one, other)}
    stranger.tokens(provider.signed_in(officer), officer)  # the same person, at another browser
    sign_out(browser)
    for rp in (one, other):
        [notice] = back.told(rp)
        id_token = unverified_claims(tokens[rp.client.client_id]["id_token"])
        assert (notice["sid"], notice["sub"]) == (id_token["sid"], id_token["sub"])
        assert back.receiver.headers[rp.client.client_id]["alg"] == "ES256"
    assert back.told(stranger) == []
    assert len(back.told(one)) == 1
    assert (
        back.receiver.notices[one.client.client_id][0]["sid"] != back.receiver.notices[other.client.client_id][0]["sid"]
    )


@pytest.mark.parametrize("algorithm", ["RS256", "PS256"])
def test_a_notice_is_signed_as_the_clients_id_tokens_are(
    provider: OidcWorld, back: Back, listening: Listening, algorithm: str
) -> None:
    rp = listening(id_token_signed_response_alg=algorithm)
    browser = provider.signed_in(officer := provider.officer())
    rp.tokens(browser, officer)
    sign_out(browser)
    assert len(back.told(rp)) == 1
    assert back.receiver.headers[rp.client.client_id]["alg"] == algorithm


def test_a_client_that_never_redeemed_its_code_is_not_told_and_its_code_is_worth_nothing(
    provider: OidcWorld, back: Back, listening: Listening
) -> None:
    rp = listening()
    browser = provider.signed_in(provider.officer())
    code, verifier = rp.code(browser, scope="openid offline_access")
    sign_out(browser)
    assert back.told(rp) == []
    assert rp.redeem(code, verifier).json()["error"] == "invalid_grant"


def test_signing_out_at_one_service_tells_the_others_and_itself(
    provider: OidcWorld, back: Back, listening: Listening
) -> None:
    one, other = listening(), listening()
    browser = provider.signed_in(officer := provider.officer())
    hint = one.tokens(browser, officer)["id_token"]
    other.tokens(browser, officer)
    browser.get(f"/logout?id_token_hint={hint}&post_logout_redirect_uri={AFTER_LOGOUT}")
    assert len(back.told(one)) == len(back.told(other)) == 1


def test_a_receiver_that_was_down_is_told_when_it_is_back(
    provider: OidcWorld, back: Back, listening: Listening
) -> None:
    rp = listening()
    browser = provider.signed_in(officer := provider.officer())
    rp.tokens(browser, officer)
    back.receiver.answers["rp-0"] = 503
    sign_out(browser)
    assert back.told(rp) == []
    [waiting] = back.deliveries(rp)
    assert (waiting.state, waiting.reason) == (State.WAITING, "the client answered 503")
    del back.receiver.answers["rp-0"]
    assert back.told(rp) == []  # not before its time
    provider.advance(seconds=10)
    assert len(back.told(rp)) == 1
    assert back.deliveries(rp)[0].state is State.DELIVERED


def test_a_notice_that_is_refused_is_a_dead_letter_that_operators_see(
    provider: OidcWorld, back: Back, listening: Listening
) -> None:
    rp = listening()
    browser = provider.signed_in(officer := provider.officer())
    rp.tokens(browser, officer)
    back.receiver.answers["rp-0"] = 400
    sign_out(browser)
    back.deliver()
    provider.advance(hours=2)
    back.deliver()
    assert back.receiver.tries["rp-0"] == 1
    [dead] = back.deliveries(rp)
    assert (dead.state, dead.reason) == (State.DEAD, "the client answered 400")
    assert set(dead.payload) == {"sid", "sub"}
    [event] = [
        event for event in provider.events("outbox.delivery.given_up") if event["recipient"] == rp.client.client_id
    ]
    assert event["delivery"] == str(dead.delivery_id)


def test_a_notice_whose_worker_was_killed_after_claiming_it_is_delivered(
    provider: OidcWorld, back: Back, listening: Listening
) -> None:
    rp = listening()
    browser = provider.signed_in(officer := provider.officer())
    rp.tokens(browser, officer)
    sign_out(browser)
    with provider.gateway.database.write() as session:
        assert claim_next(session, rp.client.client_id, now=provider.clock.now())
    assert back.told(rp) == []
    provider.advance(seconds=LEASE.total_seconds())
    assert len(back.told(rp)) == 1


def test_a_notice_repeated_after_a_lost_answer_is_not_a_replay(
    provider: OidcWorld, back: Back, listening: Listening
) -> None:
    rp = listening()
    browser = provider.signed_in(officer := provider.officer())
    rp.tokens(browser, officer)
    sign_out(browser)
    [delivery] = back.deliveries(rp)
    assert len(back.told(rp)) == 1
    # As if the worker had died before it wrote down that the receiver had taken it.
    with provider.gateway.database.write() as session:
        again = Letter(kind=KIND, recipient=delivery.recipient, payload=delivery.payload)
        enqueue(session, [again], at=provider.clock.now())
    assert len(back.told(rp)) == 2


def test_when_a_sessions_time_is_over_its_clients_are_told(
    provider: OidcWorld, back: Back, listening: Listening
) -> None:
    idle, day = listening(), listening()
    officer = provider.officer()
    idle_tokens = idle.tokens(provider.signed_in(officer), officer)
    browser = provider.signed_in(officer)
    day_tokens = day.tokens(browser, officer)
    for _ in range(2):
        provider.advance(minutes=20)
        assert is_signed_in(browser)
    end_overdue(provider)
    assert [notice["sid"] for notice in back.told(idle)] == [sid_of(idle_tokens)]
    assert back.told(day) == []
    for _ in range(36):
        provider.advance(minutes=20)
        browser.get("/account")
    end_overdue(provider)
    assert [notice["sid"] for notice in back.told(day)] == [sid_of(day_tokens)]
    ended = [
        event["reason"]
        for event in provider.events("identity.session.ended")
        if event["account"] == str(officer.account.account_id)
    ]
    assert ended == ["over", "over"]


def test_a_suspended_person_is_signed_out_everywhere_and_clients_are_told(
    provider: OidcWorld, back: Back, listening: Listening
) -> None:
    rp, offline = listening(), listening()
    officer = provider.officer()
    rp.tokens(provider.signed_in(officer), officer)
    kept = offline.tokens(provider.signed_in(officer), officer, scope="openid offline_access")
    gateway = provider.gateway
    with gateway.database.write() as session:
        suspend(
            session,
            officer.account,
            people=gateway.people,
            audit=gateway.audit,
            by="A Sample",
            reason="left",
            at=provider.clock.now(),
        )
    assert len(back.told(rp)) == len(back.told(offline)) == 1
    refused = offline.ask(grant_type="refresh_token", refresh_token=kept["refresh_token"])
    assert refused.json()["error"] == "invalid_grant"


def test_somebody_else_who_signs_in_at_the_same_browser_ends_the_first_ones_session(
    provider: OidcWorld, back: Back, listening: Listening
) -> None:
    rp = listening()
    browser = provider.signed_in(first := provider.officer())
    tokens = rp.tokens(browser, first)
    provider.advance(minutes=5)
    page = browser.get(provider.relying_party().request(prompt="login")[0])
    browser.sign_in(provider.officer(), provider.clock, page)
    assert [notice["sid"] for notice in back.told(rp)] == [sid_of(tokens)]


def test_the_same_person_who_signs_in_again_disturbs_nobody(
    provider: OidcWorld, back: Back, listening: Listening
) -> None:
    rp, other = listening(), listening()
    browser = provider.signed_in(officer := provider.officer())
    first = rp.tokens(browser, officer)
    provider.advance(minutes=5)
    page = browser.get(other.request(prompt="login")[0])
    assert "Password" in page.text
    browser.sign_in(officer, provider.clock, page)
    assert back.told(rp) == []
    again = rp.tokens(browser, officer)
    assert sid_of(again) == sid_of(first)


@pytest.mark.parametrize("command", ["end", "end-all"])
def test_an_operator_ends_sessions_and_clients_are_told(
    provider: OidcWorld, back: Back, listening: Listening, command: str
) -> None:
    rp = listening()
    browser = provider.signed_in(officer := provider.officer())
    rp.tokens(browser, officer)
    gateway = provider.gateway
    context = AccountsContext(
        database=gateway.database,
        people=gateway.people,
        audit=gateway.audit,
        clock=gateway.clock,
        issuer=provider.issuer,
    )
    group, run = sessions_group(lambda: context, services_of_sessions), CliRunner()
    who = [officer.email, "--kind", "officer"]
    waiting = provider.browser()
    waiting.submit(waiting.get("/sign-in"), {"email": officer.email, "password": officer.password})
    [listed] = json.loads(run.invoke(group, ["list", *who, "--json"], catch_exceptions=False).output)
    assert listed["services"] == [f"{rp.client.name} ({rp.client.client_id})"]
    session_id = listed["session"]
    assert session_id in run.invoke(group, ["list", *who]).output
    decided = ["--by", "A Sample", "--reason", "lost laptop"]
    ended = run.invoke(group, [command, *([session_id] if command == "end" else who), *decided])
    assert ended.exit_code == 0, ended.output
    # Whose code is still awaited is signed in nowhere: neither listed nor counted.
    assert ended.output.endswith("ended\n" if command == "end" else ": 1 session ended\n")
    assert json.loads(run.invoke(group, ["list", *who, "--json"]).output) == []
    assert not is_signed_in(browser)
    assert len(back.told(rp)) == 1
    [event] = [event for event in provider.events("identity.session.ended") if event["session"] == session_id]
    assert (event["by"], event["reason"]) == ("A Sample", "lost laptop")
    again = run.invoke(group, ["end", session_id, *decided])
    assert again.exit_code == 1
    assert "There is no such session" in again.output
    other_kind = run.invoke(group, ["list", officer.email, "--kind", "citizen"])
    assert other_kind.exit_code == 1
    assert "no such account of kind citizen; there is one with --kind officer" in other_kind.output


def test_a_client_that_wants_no_notices_any_more_is_left_alone_without_an_alarm(
    provider: OidcWorld, back: Back, listening: Listening
) -> None:
    rp = listening()
    browser = provider.signed_in(officer := provider.officer())
    rp.tokens(browser, officer)
    sign_out(browser)
    provider.change_client(replace(rp.client, oauth=OAuthSettings(id_token_signed_response_alg="ES256")))
    assert back.told(rp) == []
    assert back.deliveries(rp)[0].state is State.DISCARDED


def test_the_gateways_own_courier_calls_no_address_it_may_not(
    provider: OidcWorld, back: Back, listening: Listening
) -> None:
    """The one that `gateway work` runs: it delivers these notices, under the guard of every outgoing call."""
    rp = listening()
    browser = provider.signed_in(officer := provider.officer())
    rp.tokens(browser, officer)
    sign_out(browser)
    provider.gateway.courier().run_once()
    assert back.receiver.tries["rp-0"] == 0
    [waiting] = back.deliveries(rp)
    assert waiting.state is State.WAITING
    told = f"address_forbidden: plain http, and GATEWAY_OUTGOING_ALLOW_LOOPBACK does not name {back.receiver.allowed}"
    assert waiting.reason == told


def end_overdue(provider: OidcWorld) -> None:
    gateway = provider.gateway
    for _ in range(50):
        with gateway.database.write() as session:
            if not gateway.people.ends.end_overdue(session, now=gateway.clock.now()):
                return


@pytest.mark.postgresql
def test_a_client_whose_redemption_is_under_way_while_the_session_ends_is_told(
    provider: OidcWorld, back: Back, listening: Listening
) -> None:
    """The redemption came first, so its client got tokens: the end waits for it, and then knows of it."""
    rp = listening()
    browser = provider.signed_in(citizen := provider.citizen())
    code, _ = rp.code(browser)
    gateway = provider.gateway
    with gateway.database.read() as session:
        [listed] = list_sessions(session, citizen.account.account_id, now=provider.clock.now())
    ending = threading.Thread(target=_end, args=(provider, listed.session_id))
    with gateway.database.write() as session:
        # As a redemption does: it locks the code's row, then writes down who is to be told.
        row = lock_authorization(session, code)
        assert row is not None
        ending.start()
        wait_until_it_waits(provider)
        row.redeemed_at = provider.clock.now()
        record_client_session(
            session, row.session_id, client_id=rp.client.client_id, sid="a-sid", sub="a-sub", now=provider.clock.now()
        )
    ending.join()
    assert [notice["sid"] for notice in back.told(rp)] == ["a-sid"]


def _end(provider: OidcWorld, session_id: UUID) -> None:
    gateway = provider.gateway
    with gateway.database.write() as session:
        gateway.people.ends.end(session, session_id, reason="signed_out", at=provider.clock.now())


def wait_until_it_waits(provider: OidcWorld) -> None:
    """Until some transaction waits for a row's lock."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with provider.gateway.database.read() as session:
            if session.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")):
                return
        time.sleep(0.02)
    raise AssertionError("nobody waits")
