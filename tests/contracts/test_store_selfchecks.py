"""What every store must do with self-checks, whichever database is under it."""

from datetime import timedelta

from engine.store.store import Store
from tests.fakes import MACHINE, FakeClock, make_selfcheck


def test_without_one_there_is_none(store: Store) -> None:
    assert store.selfchecks() == []


def test_a_self_check_reads_back_equal(store: Store) -> None:
    failed = make_selfcheck(passed=False)
    store.save_selfcheck(failed)
    (kept,) = store.selfchecks()
    assert kept == failed
    assert not kept.passed


def test_the_last_of_each_machine_counts_and_the_newest_comes_first(store: Store, clock: FakeClock) -> None:
    start = clock.now()
    old, new = make_selfcheck(checked_at=start, passed=False), make_selfcheck(checked_at=start + timedelta(hours=2))
    other = make_selfcheck("m-other", start + timedelta(hours=1))
    for record in (new, other, old):  # stored out of order: the time of the check decides
        store.save_selfcheck(record)
    assert store.selfchecks() == [new, other]


def test_of_two_at_the_same_moment_the_one_stored_last_counts(store: Store) -> None:
    store.save_selfcheck(make_selfcheck(passed=False))
    store.save_selfcheck(make_selfcheck(passed=True))
    assert [record.passed for record in store.selfchecks()] == [True]


def test_a_self_check_moves_the_revision_and_reading_does_not(store: Store) -> None:
    before = store.revision()
    store.save_selfcheck(make_selfcheck(MACHINE))
    after = store.revision()
    assert after != before
    store.selfchecks()
    assert store.revision() == after
