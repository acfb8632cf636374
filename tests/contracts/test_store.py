"""What every store must do, whichever database is under it."""

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from engine.errors import ContradictionError, UnknownNameError
from engine.results import Failure, RawData, RunRecord, StageRecord, Status, WorkerEvent, flat_metrics
from engine.spec import Choice
from engine.store.schema import HEAD
from engine.store.store import Store
from tests.fakes import (
    MACHINE,
    FakeClock,
    make_context,
    make_environment,
    make_latency,
    make_machine,
    make_raw,
    make_result,
    make_spec,
)

FAILURE = Failure(stage="export", kind="ExportError", message="It could not be exported.", log_tail="Traceback")


@pytest.fixture(params=["sqlite"])
def url(request: pytest.FixtureRequest, database_path: Path) -> str:
    """The address of an empty database of each kind; a server's would be another parameter."""
    return f"{request.param}:///{database_path}"


@pytest.fixture
def store(url: str, clock: FakeClock) -> Iterator[Store]:
    opened = Store(url, now=clock.now)
    yield opened
    opened.close()


def start(store: Store, seed: int = 0, service: str = "a", study: str | None = None) -> RunRecord:
    """Queue one run and claim it."""
    (run_id,) = store.enqueue([make_spec(seed)], study)
    store.beat(service, MACHINE, 1)
    record = store.claim(service, only=[run_id])
    assert record is not None
    return record


class TestQueue:
    def test_a_queued_run_reads_back_as_it_was_asked(self, store: Store, clock: FakeClock) -> None:
        spec = make_spec(techniques=[Choice(name="prune-magnitude", params={"sparsity": 0.5}), "int8-dynamic"])
        (run_id,) = store.enqueue([spec], "grid")
        run = store.run(run_id)
        assert (run.spec, run.fingerprint, run.study) == (spec, spec.fingerprint, "grid")
        assert (run.status, run.attempt, run.created_at) == (Status.QUEUED, 0, clock.now())
        assert run.started_at is run.finished_at is run.result is run.error is run.stage is None

    def test_nothing_queued_gives_no_ids_and_no_run(self, store: Store) -> None:
        assert store.enqueue([]) == []
        assert store.claim("a") is None

    def test_runs_are_claimed_in_order_and_urgent_ones_first(self, store: Store) -> None:
        first, second = store.enqueue([make_spec(1), make_spec(2)])
        (urgent,) = store.enqueue([make_spec(3)], priority=1)
        claimed = [store.claim("a") for _ in range(4)]
        assert [run.id if run else None for run in claimed] == [urgent, first, second, None]

    def test_a_claim_marks_the_run_and_counts_the_attempt(self, store: Store, clock: FakeClock) -> None:
        store.enqueue([make_spec()])
        clock.advance(7)
        run = store.claim("a")
        assert run is not None
        assert (run.status, run.attempt, run.started_at) == (Status.RUNNING, 1, clock.now())
        assert run == store.run(run.id)

    def test_a_claim_may_be_restricted_to_ids(self, store: Store) -> None:
        _, second, _ = store.enqueue([make_spec(seed) for seed in range(3)])
        run = store.claim("a", only=[second])
        assert run is not None
        assert run.id == second
        assert store.claim("a", only=[second]) is None

    def test_four_threads_never_claim_a_run_twice(self, url: str, store: Store) -> None:
        ids = store.enqueue([make_spec(seed) for seed in range(400)])
        together = threading.Barrier(4)

        def claim_all(service: str) -> list[int]:
            own = Store(url)
            together.wait()
            claimed = []
            while (run := own.claim(service)) is not None:
                claimed.append(run.id)
            own.close()
            return claimed

        with ThreadPoolExecutor(4) as threads:
            claimed = [run_id for part in threads.map(claim_all, "abcd") for run_id in part]
        assert Counter(claimed) == Counter(ids)


class TestEvents:
    def test_the_stage_under_way_and_those_that_ended_are_seen(self, store: Store) -> None:
        run = start(store)
        loaded = StageRecord(name="load", seconds=1.5, cached=True, detail="from cache")
        assert store.record_event(run.id, "a", WorkerEvent(stage="load", finished=loaded))
        assert store.record_event(run.id, "a", WorkerEvent(stage="time", progress=0.25, message="pair 1 of 4"))
        seen = store.run(run.id)
        assert (seen.stage, seen.progress, seen.stage_message, seen.stages) == ("time", 0.25, "pair 1 of 4", (loaded,))

    def test_events_of_a_service_that_lost_the_run_are_ignored(self, store: Store) -> None:
        run = start(store)
        before = store.revision()
        assert not store.record_event(run.id, "b", WorkerEvent(stage="time"))
        assert store.run(run.id).stage is None
        assert store.revision() == before


class TestFinish:
    def test_a_result_reads_back_equal_with_its_arrays(self, store: Store, clock: FakeClock) -> None:
        run, result, raw = start(store), make_result(warnings=["noisy"]), make_raw()
        clock.advance(30)
        assert store.finish(run.id, "a", result, raw)
        done = store.run(run.id)
        assert (done.status, done.finished_at, done.result) == (Status.DONE, clock.now(), result)
        assert done.stages == result.stages
        kept = store.raw(run.id)
        assert kept.arrays.keys() == raw.arrays.keys()
        for name, array in raw.arrays.items():
            assert kept.arrays[name].dtype == array.dtype
            np.testing.assert_array_equal(kept.arrays[name], array)

    def test_no_arrays_read_back_as_none(self, store: Store) -> None:
        run = start(store)
        store.finish(run.id, "a", make_result(), None)
        assert store.raw(run.id).arrays == {}

    def test_a_number_that_is_none_or_infinite_survives(self, store: Store) -> None:
        run, result = start(store), make_result(latency=make_latency(p99_ms=None, max_ms=float("inf"), ci95_ms=None))
        store.finish(run.id, "a", result, None)
        assert store.run(run.id).result == result

    def test_an_array_of_objects_is_refused_and_nothing_is_stored(self, store: Store) -> None:
        run = start(store)
        with pytest.raises(ValueError, match="Object arrays"):
            store.finish(run.id, "a", make_result(), RawData(arrays={"x": np.array([{}], dtype=object)}))
        assert store.run(run.id).status is Status.RUNNING
        assert store.contexts() == []

    def test_another_service_cannot_finish_it(self, store: Store) -> None:
        run = start(store)
        assert not store.finish(run.id, "b", make_result(), make_raw())
        assert store.run(run.id).status is Status.RUNNING
        assert store.contexts() == []

    @pytest.mark.parametrize("end", ["done", "failed", "cancelled"])
    def test_a_finished_run_is_immutable(self, store: Store, end: str) -> None:
        run = start(store)
        if end == "done":
            store.finish(run.id, "a", make_result(), make_raw())
        elif end == "failed":
            store.fail(run.id, "a", FAILURE)
        else:
            store.mark_cancelled(run.id, "a")
        ended = store.run(run.id)
        assert ended.status == end
        assert not store.record_event(run.id, "a", WorkerEvent(stage="late"))
        assert not store.finish(run.id, "a", make_result(9.0), None)
        assert not store.fail(run.id, "a", FAILURE)
        assert not store.mark_cancelled(run.id, "a")
        assert not store.release(run.id, "a")
        with pytest.raises(ContradictionError, match=f"has ended already \\({end}\\)"):
            store.request_cancel(run.id)
        assert store.recover(0) == []
        assert store.run(run.id) == ended

    def test_a_failure_reads_back_equal(self, store: Store, clock: FakeClock) -> None:
        run = start(store)
        assert store.fail(run.id, "a", FAILURE)
        failed = store.run(run.id)
        assert (failed.status, failed.error, failed.finished_at) == (Status.FAILED, FAILURE, clock.now())


class TestCancelAndRetry:
    def test_a_queued_run_is_cancelled_at_once(self, store: Store, clock: FakeClock) -> None:
        (run_id,) = store.enqueue([make_spec()])
        assert store.request_cancel(run_id) is Status.CANCELLED
        assert store.run(run_id).finished_at == clock.now()
        assert store.claim("a") is None

    def test_a_running_run_is_asked_to_end(self, store: Store) -> None:
        run = start(store)
        assert not store.cancel_requested(run.id)
        assert store.request_cancel(run.id) is Status.RUNNING
        assert store.cancel_requested(run.id)
        assert store.mark_cancelled(run.id, "a")
        assert store.run(run.id).status is Status.CANCELLED

    def test_an_ended_run_is_queued_again_as_a_new_one(self, store: Store) -> None:
        run = start(store, study="grid")
        store.fail(run.id, "a", FAILURE)
        again = store.run(store.retry(run.id))
        assert again.id != run.id
        assert (again.spec, again.study, again.status, again.attempt) == (run.spec, "grid", Status.QUEUED, 0)

    def test_a_run_under_way_is_not_retried(self, store: Store) -> None:
        with pytest.raises(ContradictionError, match="still running"):
            store.retry(start(store).id)

    def test_an_unknown_run_is_named(self, store: Store) -> None:
        store.enqueue([make_spec()])
        for ask in (store.run, store.retry, store.request_cancel):
            with pytest.raises(UnknownNameError, match="There is no run '99'"):
                ask(99)


class TestReleaseAndRecover:
    def test_an_orderly_release_does_not_count_the_attempt(self, store: Store) -> None:
        run = start(store)
        store.record_event(run.id, "a", WorkerEvent(stage="x", finished=StageRecord(name="x", seconds=1)))
        assert store.release(run.id, "a")
        queued = store.run(run.id)
        assert (queued.status, queued.attempt, queued.stage, queued.started_at) == (Status.QUEUED, 0, None, None)
        assert queued.stages == ()

    def test_the_release_after_a_death_counts_it(self, store: Store) -> None:
        run = start(store)
        assert store.release(run.id, "a", count_attempt=True)
        assert store.run(run.id).attempt == 1

    def test_a_release_of_a_run_that_should_end_ends_it(self, store: Store, clock: FakeClock) -> None:
        run = start(store)
        store.request_cancel(run.id)
        store.release(run.id, "a")
        assert (store.run(run.id).status, store.run(run.id).finished_at) == (Status.CANCELLED, clock.now())

    def test_runs_of_a_live_service_are_left_alone(self, store: Store, clock: FakeClock) -> None:
        start(store)
        clock.advance(29)
        assert store.recover(30) == []

    def test_runs_of_a_silent_service_are_queued_once_then_failed(self, store: Store, clock: FakeClock) -> None:
        run = start(store)
        store.record_event(run.id, "a", WorkerEvent(stage="export"))
        clock.advance(31)
        assert store.recover(30) == [run.id]
        assert (store.run(run.id).status, store.run(run.id).attempt) == (Status.QUEUED, 1)
        store.claim("a")
        store.record_event(run.id, "a", WorkerEvent(stage="export"))
        assert store.recover(30) == [run.id]
        failed = store.run(run.id)
        assert failed.status is Status.FAILED
        assert failed.error is not None
        assert (failed.error.stage, failed.error.kind) == ("export", "WorkerDiedError")

    def test_runs_of_a_retired_service_are_taken_back_at_once(self, store: Store) -> None:
        run = start(store)
        store.retire("a")
        assert store.recover(30) == [run.id]

    def test_an_orphan_that_should_end_is_cancelled(self, store: Store) -> None:
        run = start(store)
        store.request_cancel(run.id)
        store.retire("a")
        store.recover(30)
        assert store.run(run.id).status is Status.CANCELLED


class TestPresence:
    def test_a_service_is_known_from_its_beat_until_it_retires(self, store: Store, clock: FakeClock) -> None:
        store.beat("a", MACHINE, 42)
        started = clock.now()
        clock.advance(5)
        store.beat("a", MACHINE, 42)
        (service,) = store.services()
        assert (service.pid, service.started_at, service.heartbeat_at) == (42, started, clock.now())
        store.retire("a")
        assert store.services() == []

    def test_silent_services_can_be_left_out(self, store: Store, clock: FakeClock) -> None:
        store.beat("old", MACHINE, 1)
        clock.advance(20)
        store.beat("new", MACHINE, 2)
        assert [service.id for service in store.services()] == ["old", "new"]
        assert [service.id for service in store.services(alive_within_s=15)] == ["new"]

    def test_a_machine_is_replaced_and_the_last_seen_comes_first(self, store: Store, clock: FakeClock) -> None:
        other, mine = make_machine("other", clock.now()), make_machine()
        store.describe_machine(mine)
        store.describe_machine(other)
        clock.advance(9)
        again = make_machine(seen_at=clock.now())
        store.describe_machine(again)
        assert store.machines() == [again, other]


class TestReading:
    def test_runs_are_filtered_newest_first(self, store: Store) -> None:
        done, queued = start(store, 0, study="grid"), store.enqueue([make_spec(1), make_spec(2)])
        store.finish(done.id, "a", make_result(), None)
        assert [run.id for run in store.runs()] == [*reversed(queued), done.id]
        assert [run.id for run in store.runs(limit=1)] == [queued[1]]
        assert [run.id for run in store.runs(status=[Status.DONE])] == [done.id]
        assert [run.id for run in store.runs(study="grid")] == [done.id]
        assert [run.id for run in store.runs(ids=queued[:1])] == queued[:1]
        assert store.runs(ids=[]) == []

    def test_each_run_has_its_own_stages(self, store: Store) -> None:
        records = [start(store, seed) for seed in range(2)]
        for run in records:
            stage = StageRecord(name=f"of {run.id}", seconds=1)
            store.record_event(run.id, "a", WorkerEvent(stage=stage.name, finished=stage))
        assert {run.id: [stage.name for stage in run.stages] for run in store.runs()} == {
            run.id: [f"of {run.id}"] for run in records
        }

    def test_a_summary_says_what_a_table_shows(self, store: Store) -> None:
        spec = make_spec(techniques=[Choice(name="prune-magnitude", params={"sparsity": 0.5}), "int8-dynamic"])
        (run_id,) = store.enqueue([spec], "grid")
        store.claim("a")
        result = make_result(warnings=["noisy", "collapse"])
        store.finish(run_id, "a", result, None)
        (summary,) = store.summaries()
        run = store.run(run_id)
        assert summary.techniques == "prune-magnitude(sparsity=0.5) + int8-dynamic"
        assert (summary.id, summary.status, summary.fingerprint) == (run_id, Status.DONE, spec.fingerprint)
        assert (summary.model, summary.backend, summary.effort) == ("fashion-mlp", "onnxruntime", "quick")
        assert (summary.created_at, summary.finished_at) == (run.created_at, run.finished_at)
        assert (summary.context_key, summary.machine) == (result.context.key, MACHINE)
        assert summary.warnings == ("noisy", "collapse")
        assert summary.metrics == flat_metrics(result)

    def test_summaries_are_filtered_oldest_first(self, store: Store) -> None:
        first, second, third = (start(store, seed) for seed in range(3))
        elsewhere = make_context(threads=8)
        store.finish(first.id, "a", make_result(), None)
        store.finish(second.id, "a", make_result(context=elsewhere), None)
        assert [row.id for row in store.summaries()] == [first.id, second.id, third.id]
        assert [row.id for row in store.summaries(status=[Status.DONE])] == [first.id, second.id]
        (row,) = store.summaries(context_key=elsewhere.key)
        assert row.id == second.id
        assert row.metrics["accuracy"].value == 0.86

    def test_contexts_are_counted_newest_first(self, store: Store) -> None:
        here, there = make_context(), make_context(threads=8)
        for seed, context in enumerate([there, here, here]):
            store.finish(start(store, seed).id, "a", make_result(context=context), None)
        assert store.contexts() == [(here, 2), (there, 1)]

    def test_it_is_known_when_the_last_run_of_each_context_ended(self, store: Store, clock: FakeClock) -> None:
        assert store.last_ended() == {}
        here, there = make_context(), make_context(threads=8)
        for seed, context in enumerate([there, here, here]):
            clock.advance(60)
            store.finish(start(store, seed).id, "a", make_result(context=context), None)
        store.fail(start(store, 3).id, "a", FAILURE)
        ended = [run.finished_at for run in store.runs(status=[Status.DONE])]
        assert store.last_ended() == {here.key: ended[0], there.key: ended[2]}

    def test_statuses_leave_unknown_runs_out(self, store: Store) -> None:
        run = start(store)
        assert store.statuses([run.id, 99]) == {run.id: Status.RUNNING}

    def test_find_prefers_the_newest_useful_run(self, store: Store) -> None:
        fingerprint = make_spec().fingerprint
        assert store.find(fingerprint) is None
        done = start(store)
        store.finish(done.id, "a", make_result(), None)
        failed = start(store)
        store.fail(failed.id, "a", FAILURE)
        found = store.find(fingerprint)
        assert found is not None
        assert found.id == done.id

    def test_find_asks_for_the_machine_only_of_finished_runs(self, store: Store) -> None:
        fingerprint = make_spec().fingerprint
        elsewhere = start(store)
        store.finish(elsewhere.id, "a", make_result(environment=make_environment("elsewhere")), None)
        assert store.find(fingerprint, MACHINE) is None
        (queued,) = store.enqueue([make_spec()])
        found = store.find(fingerprint, MACHINE)
        assert found is not None
        assert found.id == queued

    def test_the_revision_moves_with_everything_a_page_shows(self, store: Store) -> None:
        seen = [store.revision()]

        def moved() -> bool:
            seen.append(store.revision())
            return seen[-1] != seen[-2]

        (run_id,) = store.enqueue([make_spec()])
        assert moved()
        store.beat("a", MACHINE, 1)
        assert moved()
        store.claim("a")
        assert moved()
        store.record_event(run_id, "a", WorkerEvent(stage="time", progress=0.1))
        assert moved()
        store.request_cancel(run_id)
        assert moved()
        store.release(run_id, "a")
        assert moved()
        store.retry(run_id)
        assert moved()
        store.describe_machine(make_machine())
        assert moved()

    def test_the_revision_stands_still_while_nothing_happens(self, store: Store) -> None:
        store.beat("a", MACHINE, 1)
        before = store.revision()
        store.beat("a", MACHINE, 1)
        store.claim("a")
        store.summaries()
        store.recover(30)
        assert store.revision() == before

    def test_health_counts_runs(self, store: Store) -> None:
        start(store)
        health = store.health()
        assert (health["runs_running"], health["runs_done"]) == ("1", "0")
        assert health["schema"] == HEAD
