"""What every executor must do, with a worker that does what its spec says."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from engine.errors import WorkerDiedError
from engine.executors.base import Bell, Ending, Executor, Handle, Job
from engine.executors.local import RUN_VARIABLE, LocalExecutor, LocalHandle
from engine.results import WorkerEvent
from engine.spec import Choice
from engine.store.folders import RunFolder
from tests.fakes import make_raw, make_result, make_spec

COMMAND = (sys.executable, "-m", "tests.contracts.fake_worker")
PATIENCE_S = 60.0


@pytest.fixture(params=["local"])
def executor(request: pytest.FixtureRequest, tmp_path: Path) -> Executor:
    """Each kind of executor; a distributed one would be another parameter."""
    makers = {"local": lambda: LocalExecutor(tmp_path / "runs", slots=2, command=COMMAND, grace_s=1.0)}
    return makers[request.param]()


class Started:
    """A worker under test, and all that was heard of it."""

    def __init__(self, executor: Executor, behaviour: str, *, attempt: int = 1, **spec: object) -> None:
        self.bell = Bell()
        job = Job(run_id=7, attempt=attempt, spec=make_spec(model=behaviour, **spec))
        self.handle: Handle = executor.submit(job, self.bell)
        self.events: list[WorkerEvent] = []

    def wait_for(self, stage: str) -> None:
        while stage not in (event.stage for event in self.events):
            assert self.bell.wait(PATIENCE_S)
            self.events += self.handle.events()

    def wait(self) -> Ending:
        while (ending := self.handle.poll()) is None:
            assert self.bell.wait(PATIENCE_S)
        self.events += self.handle.events()
        return ending


def orphan_of(folder: Path) -> psutil.Process:
    """Return a process whose worker, of the run with this folder, was killed."""
    sleeper = f"{sys.executable} -S -c 'import time; time.sleep(300)' & echo $!; wait"
    environment = {**os.environ, RUN_VARIABLE: str(folder)}
    worker = subprocess.Popen(["sh", "-c", sleeper], env=environment, stdout=subprocess.PIPE, start_new_session=True)
    assert worker.stdout is not None
    with worker.stdout:
        child = psutil.Process(int(worker.stdout.readline()))
    worker.kill()
    worker.wait()
    return child


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "runs" / "7")


@pytest.fixture
def hanging(executor: Executor) -> Iterator[Started]:
    worker = Started(executor, "hang")
    worker.wait_for("time")
    yield worker
    worker.handle.cancel()
    worker.wait()


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_result_comes_with_its_events_and_arrays(executor: Executor, folder: RunFolder) -> None:
    worker = Started(executor, "succeed")
    ending = worker.wait()
    assert (ending.result, ending.failure, ending.died) == (make_result(), None, False)
    assert [(event.stage, event.progress) for event in worker.events] == [("load", None), ("time", 0.5)]
    assert worker.handle.events() == []
    assert ending.raw is not None
    for name, array in make_raw().arrays.items():
        np.testing.assert_array_equal(ending.raw.arrays[name], array)
    assert folder.log_tail() == "a library says hello\n"


def test_a_failure_comes_with_the_logs_tail(executor: Executor) -> None:
    ending = Started(executor, "fail").wait()
    assert (ending.result, ending.died) == (None, False)
    assert ending.failure is not None
    assert (ending.failure.stage, ending.failure.kind) == ("export", "ExportError")
    assert ending.failure.log_tail == "the evidence\n"


@pytest.mark.parametrize(
    ("behaviour", "stage", "words"),
    [
        ("crash", "export", "ended by SIGSEGV in stage 'export'"),
        ("kill_itself", "train", "most likely because memory ran out"),
        ("exit_without_a_word", "start", "exit code 3 and no result"),
        ("leave_half_a_result", "start", "result cannot be read"),
        ("leave_nothing_in_it", "start", "result without content"),
        ("leave_damaged_arrays", "start", "result cannot be read"),
    ],
)
def test_a_worker_that_dies_is_told_from_a_run_that_fails(
    executor: Executor, behaviour: str, stage: str, words: str
) -> None:
    ending = Started(executor, behaviour).wait()
    assert (ending.result, ending.died) == (None, True)
    assert ending.failure is not None
    assert (ending.failure.stage, ending.failure.kind) == (stage, "WorkerDiedError")
    assert words in ending.failure.message


def test_the_tail_of_a_dead_workers_log_is_kept(executor: Executor) -> None:
    ending = Started(executor, "crash").wait()
    assert ending.failure is not None
    assert "Segmentation fault" in ending.failure.log_tail


def test_a_living_worker_has_not_ended(hanging: Started) -> None:
    assert hanging.handle.poll() is None


def test_a_cancelled_worker_ends(hanging: Started) -> None:
    hanging.handle.cancel()
    hanging.handle.cancel()
    assert hanging.wait().died
    hanging.handle.cancel()


def test_a_worker_that_ignores_the_signal_is_killed_with_its_children(executor: Executor, folder: RunFolder) -> None:
    worker = Started(executor, "ignore_the_signal")
    worker.wait_for("time")
    worker.handle.cancel()
    assert worker.wait().died
    assert not is_alive(int((folder.path / "child.pid").read_text()))


def test_children_of_a_worker_that_ended_are_swept_up(executor: Executor, folder: RunFolder) -> None:
    assert Started(executor, "leave_a_child_behind").wait().result == make_result()
    assert not is_alive(int((folder.path / "child.pid").read_text()))


def test_two_workers_run_side_by_side(executor: Executor, hanging: Started) -> None:
    second = executor.submit(Job(run_id=8, attempt=1, spec=make_spec(model="succeed")), hanging.bell)
    while second.poll() is None:
        assert hanging.bell.wait(PATIENCE_S)
    assert hanging.handle.poll() is None


def test_an_earlier_attempt_leaves_no_result_behind(executor: Executor, folder: RunFolder) -> None:
    Started(executor, "succeed").wait()
    ending = Started(executor, "exit_without_a_word", attempt=2).wait()
    assert ending.died
    assert not folder.raw.exists()
    assert folder.log_tail() == "a library says hello\n--- attempt 2 ---\n"


class TestLocalExecutor:
    def test_the_environment_is_set_before_anything_loads(self, executor: Executor, folder: RunFolder) -> None:
        backend = Choice(name="torch", params={"threads": 3})
        worker = Started(executor, "show_its_place", backend=backend, seed=11)
        assert isinstance(worker.handle, LocalHandle)
        worker.wait()
        assert folder.log_tail().splitlines() == [
            "OMP_NUM_THREADS=3",
            "MKL_NUM_THREADS=3",
            "TOKENIZERS_PARALLELISM=false",
            "PYTHONHASHSEED=11",
            f"cwd={folder.path}",
            f"group={worker.handle.pid}",
        ]

    def test_the_end_of_the_engine_is_the_end_of_stdin(self, hanging: Started) -> None:
        """What the kernel does when the engine is killed: it closes the engine's end of the pipe."""
        assert isinstance(hanging.handle, LocalHandle)
        assert hanging.handle._process.stdin is not None
        hanging.handle._process.stdin.close()
        hanging.wait()
        assert hanging.events[-1].stage == "orphaned"

    @pytest.mark.parametrize("moment", ["when an engine starts", "before the next run"])
    def test_what_a_killed_worker_started_is_ended(self, tmp_path: Path, moment: str) -> None:
        """Its engine was killed with it, so nobody was left to sweep the group."""
        executor = None if moment == "when an engine starts" else LocalExecutor(tmp_path, command=COMMAND)
        left = orphan_of(tmp_path / "3")
        foreign = orphan_of(tmp_path / "elsewhere" / "3")
        try:
            if executor is None:
                LocalExecutor(tmp_path)
            else:
                Started(executor, "succeed").wait()
            left.wait(PATIENCE_S)
            assert foreign.is_running()
        finally:
            foreign.kill()

    def test_a_worker_that_cannot_start_is_said(self, tmp_path: Path) -> None:
        executor = LocalExecutor(tmp_path, command=["/no/such/program"])
        with pytest.raises(WorkerDiedError, match="could not be started"):
            executor.submit(Job(run_id=1, attempt=1, spec=make_spec()), Bell())

    def test_a_folder_that_cannot_be_made_is_said(self, tmp_path: Path) -> None:
        (tmp_path / "runs").touch()
        with pytest.raises(WorkerDiedError, match="check space and permissions"):
            LocalExecutor(tmp_path / "runs").submit(Job(run_id=1, attempt=1, spec=make_spec()), Bell())


class TestBell:
    def test_a_ring_before_the_wait_is_not_lost(self) -> None:
        bell = Bell()
        bell.ring()
        bell.ring()
        assert bell.wait(0)
        assert not bell.wait(0)
