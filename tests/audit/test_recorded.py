"""Questions about what was recorded."""

from gateway.audit.recorded import find_events, oldest_unpublished
from tests.kit.log import TestLog


def test_events_are_found_newest_first_page_by_page(log: TestLog) -> None:
    entries = log.record(7)
    with log.database.read() as session:
        first = find_events(session, limit=4)
        second = find_events(session, limit=4, after=first[-1].event_id)
        assert find_events(session, after=second[-1].event_id) == ()
    newest_first = [entry.event_id for entry in reversed(entries)]
    assert [event.event_id for event in (*first, *second)] == newest_first


def test_events_are_found_by_reference_and_name(log: TestLog) -> None:
    log.record(2)
    [wanted] = log.record(reference="exchange-1", members=("dwp",))
    log.record(reference="exchange-1", name="oversight.proof.downloaded", outcome="done", details={})
    with log.database.read() as session:
        assert len(find_events(session, reference="exchange-1")) == 2
        [found] = find_events(session, reference="exchange-1", names=["sharing.record.disclosed"])
        assert find_events(session, names=[]) == ()
        assert find_events(session, reference="exchange-2") == ()
    assert (found.event_id, found.leaf_hash, found.leaf_index) == (wanted.event_id, wanted.leaf_hash, None)
    assert (found.at, found.members, found.outcome) == (log.clock.now(), ("dwp",), "disclosed")


def test_the_index_of_an_entry_is_known_once_it_is_numbered(log: TestLog) -> None:
    log.record(5)
    log.record(reference="exchange-1")
    with log.database.read() as session:
        assert [event.leaf_index for event in find_events(session, reference="exchange-1")] == [None]
    log.publish()
    with log.database.read() as session:
        assert [event.leaf_index for event in find_events(session, reference="exchange-1")] == [5]


def test_the_wait_for_publication_is_measured_from_the_oldest_event(log: TestLog) -> None:
    log.publish()
    with log.database.read() as session:
        assert oldest_unpublished(session) is None
    happened = log.clock.now()
    log.record(2)
    log.clock.advance(seconds=30)
    log.record(1)
    with log.database.read() as session:
        assert oldest_unpublished(session) == happened
    # Numbered is not published.
    log.sequencer()._number()
    log.record(1)
    with log.database.read() as session:
        assert oldest_unpublished(session) == happened
    log.publish()
    with log.database.read() as session:
        assert oldest_unpublished(session) is None
