"""The log is public: a stranger who causes entries must not learn from them, nor make it grow without bound."""

from datetime import timedelta

from gateway.audit.noise import ENTRIES_A_MINUTE
from gateway.audit.recorded import RecordedEvent, find_events
from gateway.wire.signer import PrivateKeySigner
from tests.kit.oidc_world import OidcWorld, Person, RelyingParty


def newer_events(world: OidcWorld, before: set[object]) -> list[RecordedEvent]:
    with world.gateway.database.read() as session:
        return [event for event in find_events(session, limit=500) if event.event_id not in before]


def seen(world: OidcWorld) -> set[object]:
    with world.gateway.database.read() as session:
        return {event.event_id for event in find_events(session, limit=500)}


def public_part_of_a_failure(world: OidcWorld, email: str) -> list[tuple[object, ...]]:
    before = seen(world)
    browser = world.browser()
    assert browser.submit(browser.get("/sign-in"), {"email": email, "password": "not the password"}).status_code == 400
    return [
        (event.name, event.outcome, event.members, event.reference)
        for event in newer_events(world, before)
        if event.name != "audit.noise.counted"
    ]


def test_a_failed_sign_in_looks_the_same_in_public_for_known_and_unknown_people(world: OidcWorld) -> None:
    officer: Person = world.officer()
    citizen: Person = world.citizen()
    nobody = public_part_of_a_failure(world, "nobody.testcase@people.example")
    assert nobody
    assert public_part_of_a_failure(world, officer.email) == nobody
    assert public_part_of_a_failure(world, citizen.email) == nobody


def test_a_member_is_not_named_in_public_for_what_a_stranger_sent(world: OidcWorld, rp: RelyingParty) -> None:
    before = seen(world)
    forged = rp.assertion(signer=PrivateKeySigner.generate("ES256", key_id=rp.signer.key_id))
    assert rp.ask(grant_type="client_credentials", assertion=forged).status_code == 401
    [entry] = [event for event in newer_events(world, before) if event.name == "oidc.client.rejected"]
    assert entry.members == ()


def test_strangers_cause_a_bounded_number_of_entries(world: OidcWorld, rp: RelyingParty) -> None:
    audit, minute = world.gateway.audit, world.clock.now() - timedelta(hours=1)
    with world.gateway.database.write() as session:
        room = [
            audit.count_noise(session, source=f"192.0.2.{number % 200}", code="oidc.client_unproved", at=minute)
            for number in range(ENTRIES_A_MINUTE + 50)
        ]
    assert room == [True] * ENTRIES_A_MINUTE + [False] * 50
    with world.gateway.database.write() as session:
        for _ in range(ENTRIES_A_MINUTE):
            for at in (world.clock.now(), world.clock.now() + timedelta(minutes=1)):
                audit.count_noise(session, source="192.0.2.1", code="oidc.client_unproved", at=at)
    try:
        # With the minute's room used up, a stranger is still refused and counted, and leaves no entry of their own.
        forged = rp.assertion(signer=PrivateKeySigner.generate("ES256", key_id=rp.signer.key_id))
        assert rp.ask(grant_type="client_credentials", assertion=forged).status_code == 401
        assert rejected(world, rp) == 0
        # The client's own failures, which its key signed, are entered one by one all the same.
        for_another = rp.assertion(aud="https://elsewhere.example")
        assert rp.ask(grant_type="client_credentials", assertion=for_another).status_code == 401
        assert rejected(world, rp) == 1
    finally:
        with world.gateway.database.write() as session:
            audit.flush_noise(session, now=world.clock.now() + timedelta(minutes=3))


def rejected(world: OidcWorld, rp: RelyingParty) -> int:
    return sum(event["client"] == rp.client.client_id for event in world.events("oidc.client.rejected"))
