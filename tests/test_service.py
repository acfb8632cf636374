"""The loop: what it takes, what it writes and when, and what it does when something breaks."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from engine.errors import ReadOnlyError, StoreError, WorkerDiedError
from engine.executors.base import Bell, Ending, Job
from engine.executors.local import LocalExecutor
from engine.results import Failure, RunRecord, StageRecord, Status
from engine.service import Pace, Service
from engine.store.store import Store
from tests.fakes import MACHINE, FakeClock, FakeExecutor, FakeHandle, make_machine, make_result, make_spec

FAILURE = Failure(stage="export", kind="ExportError", message="It could not be exported.")


@pytest.fixture
def executor() -> FakeExecutor:
    return FakeExecutor()


@pytest.fixture
def service(store: Store, executor: FakeExecutor, clock: FakeClock) -> Service:
    return Service(store, executor, clock, machine_id=MACHINE)


@pytest.fixture
def queries(store: Store, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The transactions that the store was asked for."""
    asked: list[str] = []
    for kind in ("read", "write"):
        real = getattr(store._database, kind)

        def noted(kind: str = kind, real: Callable[[], object] = real) -> object:
            asked.append(kind)
            return real()

        monkeypatch.setattr(store._database, kind, noted)
    return asked


@pytest.fixture
def full_disk(store: Store, monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Makes every write fail, or work again."""
    real = store._database.write

    def refuse() -> object:
        raise StoreError("experiments.db could not be written (disk is full); free some space on its disk.")

    return lambda is_full: monkeypatch.setattr(store._database, "write", refuse if is_full else real)


def begin(store: Store, service: Service, executor: FakeExecutor, seed: int = 0) -> tuple[int, FakeHandle]:
    """Queue one run and let the service start its worker."""
    (run_id,) = store.enqueue([make_spec(seed)])
    service.step()
    assert executor.last.job.run_id == run_id
    return run_id, executor.last


class TestTaking:
    def test_a_queued_run_is_executed_and_stored(self, store: Store, service: Service, executor: FakeExecutor) -> None:
        run_id, worker = begin(store, service, executor)
        assert store.run(run_id).status is Status.RUNNING
        assert worker.job.spec == make_spec()
        worker.end()
        service.step()
        assert store.run(run_id).result == make_result()
        assert store.raw(run_id).arrays.keys() == {"latency_s", "predictions"}
        assert service.is_idle

    def test_no_more_runs_than_slots_are_taken(self, store: Store, clock: FakeClock) -> None:
        executor = FakeExecutor(slots=2)
        service = Service(store, executor, clock, machine_id=MACHINE)
        store.enqueue([make_spec(seed) for seed in range(3)])
        service.step()
        assert len(executor.handles) == 2
        executor.handles[0].end()
        service.step()
        assert len(executor.handles) == 3
        assert not service.is_idle

    def test_only_the_given_runs_are_taken(self, store: Store, executor: FakeExecutor, clock: FakeClock) -> None:
        first, second = store.enqueue([make_spec(0), make_spec(1)])
        service = Service(store, executor, clock, machine_id=MACHINE, only=[second])
        service.step()
        executor.last.end()
        service.step()
        assert store.statuses([first, second]) == {first: Status.QUEUED, second: Status.DONE}
        assert service.is_idle

    def test_a_bad_run_does_not_stop_the_next(self, store: Store, service: Service, executor: FakeExecutor) -> None:
        bad, good = store.enqueue([make_spec(0), make_spec(1)])
        service.step()
        executor.last.end(Ending(failure=FAILURE))
        service.step()
        executor.last.end()
        service.step()
        assert store.run(bad).error == FAILURE
        assert store.run(good).status is Status.DONE

    def test_what_is_queued_later_is_seen(
        self, store: Store, service: Service, executor: FakeExecutor, clock: FakeClock
    ) -> None:
        service.step()
        assert service.is_idle
        store.enqueue([make_spec()])
        clock.advance(0.5)
        service.step()
        assert len(executor.handles) == 1


class TestFollowing:
    def test_stages_are_written_at_once_and_progress_twice_a_second(
        self, store: Store, service: Service, executor: FakeExecutor, clock: FakeClock
    ) -> None:
        run_id, worker = begin(store, service, executor)

        def shown(stage: str, progress: float) -> tuple[str | None, float | None]:
            worker.emit(stage, progress)
            service.step()
            run = store.run(run_id)
            return run.stage, run.progress

        assert shown("train", 0.0) == ("train", 0.0)
        assert shown("train", 0.1) == ("train", 0.0)
        clock.advance(0.5)
        assert shown("train", 0.2) == ("train", 0.2)
        assert shown("export", 0.0) == ("export", 0.0)

    def test_the_last_progress_is_not_held_back_for_ever(
        self, store: Store, service: Service, executor: FakeExecutor, clock: FakeClock
    ) -> None:
        run_id, worker = begin(store, service, executor)
        for progress in (0.0, 0.1, 0.2):
            worker.emit("train", progress)
            service.step()
        clock.advance(0.5)
        service.step()
        assert store.run(run_id).progress == 0.2

    def test_stages_that_ended_are_kept_of_a_failed_run(
        self, store: Store, service: Service, executor: FakeExecutor
    ) -> None:
        run_id, worker = begin(store, service, executor)
        loaded = StageRecord(name="load", seconds=1.0)
        worker.emit("load", finished=loaded)
        worker.emit("export")
        worker.end(Ending(failure=FAILURE))
        service.step()
        assert store.run(run_id).stages == (loaded,)

    def test_a_cancelled_run_is_stopped_within_a_second(
        self, store: Store, service: Service, executor: FakeExecutor, clock: FakeClock
    ) -> None:
        run_id, worker = begin(store, service, executor)
        store.request_cancel(run_id)
        clock.advance(1)
        service.step()
        assert worker.is_cancelled
        service.step()
        assert store.run(run_id).status is Status.CANCELLED

    def test_a_result_that_comes_before_the_stop_is_kept(
        self, store: Store, service: Service, executor: FakeExecutor, clock: FakeClock
    ) -> None:
        run_id, worker = begin(store, service, executor)
        store.request_cancel(run_id)
        worker.end()
        clock.advance(1)
        service.step()
        assert store.run(run_id).status is Status.DONE

    def test_a_run_taken_over_by_another_service_is_given_up(
        self, store: Store, service: Service, executor: FakeExecutor
    ) -> None:
        run_id, worker = begin(store, service, executor)
        store.release(run_id, service.id)
        store.claim("other")
        worker.emit("time")
        service.step()
        assert worker.is_cancelled
        service.step()
        assert store.run(run_id).status is Status.RUNNING

    def test_one_query_a_second_while_a_worker_times(
        self, store: Store, service: Service, executor: FakeExecutor, clock: FakeClock, queries: list[str]
    ) -> None:
        begin(store, service, executor)
        service.step()
        queries.clear()
        for _ in range(12):
            clock.advance(0.25)
            service.step()
        assert queries == ["read"] * 3


class TestDeath:
    def test_a_run_whose_worker_died_is_tried_once_more_then_failed(
        self, store: Store, service: Service, executor: FakeExecutor
    ) -> None:
        run_id, worker = begin(store, service, executor)
        worker.die()
        service.step()
        assert (executor.last.job.run_id, executor.last.job.attempt) == (run_id, 2)
        executor.last.die()
        service.step()
        failed = store.run(run_id)
        assert failed.status is Status.FAILED
        assert failed.error is not None
        assert failed.error.kind == "WorkerDiedError"

    def test_a_worker_that_cannot_start_counts_as_dead(
        self, store: Store, service: Service, executor: FakeExecutor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(job: Job, bell: Bell) -> FakeHandle:
            raise WorkerDiedError("The worker could not be started (no space).")

        monkeypatch.setattr(executor, "submit", refuse)
        (run_id,) = store.enqueue([make_spec()])
        for _ in range(3):
            service.step()
        failed = store.run(run_id)
        assert failed.error is not None
        assert (failed.attempt, failed.error.stage, failed.error.kind) == (2, "start", "WorkerDiedError")

    def test_runs_of_a_killed_service_of_this_machine_are_taken_back_at_the_start(
        self, store: Store, service: Service, executor: FakeExecutor
    ) -> None:
        ended = subprocess.Popen([sys.executable, "-c", ""])
        ended.wait()
        killed = f"{service.id.partition('-')[0]}-killed"
        store.beat(killed, MACHINE, ended.pid)
        (run_id,) = store.enqueue([make_spec()])
        store.claim(killed)
        service.step()
        assert (executor.last.job.run_id, executor.last.job.attempt) == (run_id, 2)
        assert [known.id for known in store.services()] == [service.id]

    @pytest.mark.parametrize(("machine", "namespace"), [("elsewhere", None), (MACHINE, "1")])
    def test_a_process_id_of_another_place_means_nothing(
        self, store: Store, service: Service, executor: FakeExecutor, machine: str, namespace: str | None
    ) -> None:
        other = f"{namespace or service.id.partition('-')[0]}-other"
        store.beat(other, machine, 2**22 + 1)
        store.enqueue([make_spec()])
        store.claim(other)
        service.step()
        assert executor.handles == []

    def test_a_living_service_of_this_machine_keeps_its_runs(
        self, store: Store, service: Service, executor: FakeExecutor
    ) -> None:
        other = f"{service.id.partition('-')[0]}-other"
        store.beat(other, MACHINE, os.getppid())
        store.enqueue([make_spec()])
        store.claim(other)
        service.step()
        assert executor.handles == []

    def test_runs_of_a_service_that_falls_silent_are_taken_back_later(
        self, store: Store, service: Service, executor: FakeExecutor, clock: FakeClock
    ) -> None:
        store.beat("other", "elsewhere", 1)
        store.enqueue([make_spec()])
        store.claim("other")
        service.step()
        for _ in range(60):
            clock.advance(1)
            service.step()
        assert len(executor.handles) == 1
        assert [known.id for known in store.services(alive_within_s=30)] == [service.id]


class TestBrokenStore:
    def test_a_result_that_cannot_be_stored_is_kept_until_it_can(
        self,
        store: Store,
        service: Service,
        executor: FakeExecutor,
        clock: FakeClock,
        full_disk: Callable[[bool], None],
    ) -> None:
        run_id, worker = begin(store, service, executor)
        full_disk(True)
        worker.emit("time")
        worker.end()
        for _ in range(20):
            service.step()
            clock.advance(1)
        assert store.run(run_id).status is Status.RUNNING
        full_disk(False)
        clock.advance(30)
        service.step()
        assert store.run(run_id).result == make_result()

    def test_a_service_on_a_full_disk_does_not_spin(
        self, store: Store, service: Service, executor: FakeExecutor, full_disk: Callable[[bool], None]
    ) -> None:
        _, worker = begin(store, service, executor)
        full_disk(True)
        worker.emit("time")
        worker.end()
        service.step()
        assert service._patience_s() >= 0.5

    def test_a_database_that_cannot_be_written_stops_the_start(
        self, store: Store, service: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(store._database, "is_read_only", True)
        with pytest.raises(ReadOnlyError):
            service.run(until_idle=True)


class TestRun:
    def test_it_runs_until_the_queue_is_empty_and_signs_off(self, store: Store) -> None:
        ids = store.enqueue([make_spec(seed) for seed in range(5)])
        description = make_machine()
        service = Service(store, FakeExecutor(ends_at_once=True), machine_id=MACHINE, description=description)
        service.run(until_idle=True)
        assert set(store.statuses(ids).values()) == {Status.DONE}
        assert store.services() == []
        assert store.machines() == [description]

    def test_it_runs_until_the_given_runs_have_ended(self, store: Store) -> None:
        ids = store.enqueue([make_spec(seed) for seed in range(5)])
        service = Service(store, FakeExecutor(ends_at_once=True), machine_id=MACHINE)
        service.run(until_final=ids[:2])
        statuses = store.statuses(ids)
        assert [statuses[run_id] for run_id in ids[:2]] == [Status.DONE] * 2
        assert statuses[ids[4]] is not Status.DONE

    def test_a_stop_puts_runs_back_without_counting_the_attempt(
        self, store: Store, service: Service, executor: FakeExecutor
    ) -> None:
        run_id, worker = begin(store, service, executor)
        service.stop()
        service.run()
        assert worker.is_cancelled
        run = store.run(run_id)
        assert (run.status, run.attempt) == (Status.QUEUED, 0)
        assert store.services() == []

    def test_a_stop_wakes_a_sleeping_service(self, store: Store) -> None:
        service = Service(
            store, FakeExecutor(), machine_id=MACHINE, pace=Pace(beat_s=999, stale_after_s=999, look_s=999)
        )
        thread = threading.Thread(target=service.run)
        thread.start()
        service.stop()
        thread.join(timeout=60)
        assert not thread.is_alive()

    def test_a_result_that_comes_during_the_stop_is_stored(
        self, store: Store, service: Service, executor: FakeExecutor
    ) -> None:
        run_id, worker = begin(store, service, executor)
        worker.end()
        service.close()
        assert store.run(run_id).status is Status.DONE


class TestPausing:
    def test_a_paused_service_takes_no_run_until_it_goes_on(
        self, store: Store, service: Service, executor: FakeExecutor, clock: FakeClock
    ) -> None:
        store.pause()
        store.enqueue([make_spec()])
        for _ in range(3):
            clock.advance(1)
            service.step()
        assert executor.handles == []
        assert service.is_idle
        store.resume()
        clock.advance(1)
        service.step()
        assert len(executor.handles) == 1

    def test_what_runs_goes_on_to_its_end(
        self, store: Store, service: Service, executor: FakeExecutor, clock: FakeClock
    ) -> None:
        run_id, worker = begin(store, service, executor)
        store.enqueue([make_spec(1)])
        store.pause()
        clock.advance(1)
        service.step()
        assert not worker.is_cancelled
        worker.end()
        service.step()
        assert store.run(run_id).status is Status.DONE
        assert len(executor.handles) == 1

    def test_one_that_was_started_for_certain_runs_executes_them(
        self, store: Store, executor: FakeExecutor, clock: FakeClock
    ) -> None:
        store.pause()
        wanted, other = store.enqueue([make_spec(0), make_spec(1)])
        service = Service(store, executor, clock, machine_id=MACHINE, only=[wanted])
        service.step()
        executor.last.end()
        service.step()
        assert store.statuses([wanted, other]) == {wanted: Status.DONE, other: Status.QUEUED}


class TestTidying:
    @pytest.fixture
    def tidied(self) -> list[float]:
        """When it was tidied."""
        return []

    @pytest.fixture
    def service(self, store: Store, executor: FakeExecutor, clock: FakeClock, tidied: list[float]) -> Service:
        return Service(store, executor, clock, machine_id=MACHINE, tidy=lambda: tidied.append(clock()))

    def test_an_idle_service_tidies_at_its_start_and_not_again_for_nothing(
        self, service: Service, clock: FakeClock, tidied: list[float]
    ) -> None:
        service.step()
        clock.advance(10_000)
        service.step()
        assert tidied == [0.0]

    def test_it_never_tidies_while_a_worker_is_alive(
        self, store: Store, service: Service, executor: FakeExecutor, clock: FakeClock, tidied: list[float]
    ) -> None:
        _, worker = begin(store, service, executor)
        clock.advance(10_000)
        service.step()
        assert tidied == []
        worker.end()
        service.step()
        assert tidied == [10_000.0]

    def test_the_next_run_comes_first(
        self, store: Store, service: Service, executor: FakeExecutor, tidied: list[float]
    ) -> None:
        _, worker = begin(store, service, executor)
        store.enqueue([make_spec(9)])
        worker.end()
        service.step()
        assert len(executor.handles) == 2
        assert tidied == []

    def test_it_tidies_after_runs_and_not_more_than_once_in_ten_minutes(
        self, store: Store, service: Service, executor: FakeExecutor, clock: FakeClock, tidied: list[float]
    ) -> None:
        service.step()
        clock.advance(1)
        _, worker = begin(store, service, executor)
        worker.end()
        service.step()
        assert tidied == [0.0]
        clock.advance(600)
        service.step()
        assert tidied == [0.0, 601.0]

    def test_a_sleeping_service_wakes_for_it(
        self, store: Store, executor: FakeExecutor, clock: FakeClock, tidied: list[float]
    ) -> None:
        pace = Pace(beat_s=9e9, stale_after_s=9e9, look_s=9e9, tidy_s=600)
        service = Service(store, executor, clock, machine_id=MACHINE, pace=pace, tidy=lambda: tidied.append(clock()))
        service.step()
        service._is_untidy = True
        assert service._patience_s() == 600

    def test_what_cannot_be_removed_stops_nothing(
        self, store: Store, executor: FakeExecutor, clock: FakeClock, caplog: pytest.LogCaptureFixture
    ) -> None:
        def refuse() -> None:
            raise PermissionError("not yours")

        service = Service(store, executor, clock, machine_id=MACHINE, tidy=refuse)
        service.step()
        assert "old files could not be removed: not yours" in caplog.messages
        clock.advance(1)
        begin(store, service, executor)


_TWO_SERVICES = """
import sys
from engine.service import Service
from engine.store.store import Store
from tests.fakes import MACHINE, FakeExecutor
store = Store(sys.argv[1])
executor = FakeExecutor(ends_at_once=True)
Service(store, executor, machine_id=MACHINE).run(until_idle=True)
print(*(handle.job.run_id for handle in executor.handles))
store.close()
"""


def test_two_services_in_two_processes_take_every_run_once(store: Store, database_path: Path) -> None:
    ids = store.enqueue([make_spec(seed) for seed in range(100)])
    command = [sys.executable, "-c", _TWO_SERVICES, str(database_path)]
    root = Path(__file__).parents[1]
    both = [subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    parts = [[int(word) for word in process.communicate()[0].split()] for process in both]
    assert sorted(parts[0] + parts[1]) == ids
    assert set(store.statuses(ids).values()) == {Status.DONE}


def test_a_real_worker_is_followed_to_its_end(database_path: Path) -> None:
    store = Store(database_path)
    command = (sys.executable, "-m", "tests.contracts.fake_worker")
    executor = LocalExecutor(store.runs_folder, command=command)
    done, failed, dead = store.enqueue([make_spec(model=name) for name in ("succeed", "fail", "crash")])
    Service(store, executor, machine_id=MACHINE).run(until_idle=True)
    runs: dict[int, RunRecord] = {run.id: run for run in store.runs()}
    assert runs[done].result == make_result()
    assert (runs[failed].status, runs[failed].attempt) == (Status.FAILED, 1)
    assert (runs[dead].status, runs[dead].attempt) == (Status.FAILED, 2)
    assert store.run_folder(dead).log_tail().count("Segmentation fault") == 2
    assert not [child for child in psutil.Process().children() if "fake_worker" in " ".join(child.cmdline())]
    store.close()
