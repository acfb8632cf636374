"""Fresh inference processes: real ones, on a tiny model."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from math import ceil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest

from engine import inference
from engine.backends import BACKENDS
from engine.errors import MeasurementError
from engine.measure import processes
from engine.measure.disturbance import CoreTimes
from engine.measure.jobs import InferenceJob, save_arrays, write_samples
from engine.measure.processes import launch
from engine.measure.turns import ROUND_SECONDS, queries_of_a_turn
from engine.models.training import predict
from engine.spec import Choice
from tests import tiny
from tests.tiny import Kind


@pytest.fixture
def job(tmp_path: Path) -> InferenceJob:
    folder = tmp_path / "artifact"
    folder.mkdir()
    backend = BACKENDS.get("onnxruntime")
    backend.export(tiny.untrained(Kind("vision", "mlp"), tmp_path), backend.options_type(), folder)
    write_samples(tmp_path / "samples.npz", tiny.image_dataset().test.samples)
    return InferenceJob(
        mode="time",
        artifact=folder,
        backend=Choice(name="onnxruntime", params={"threads": 1, "device": "cpu", "graph_optimization": "all"}),
        samples=tmp_path / "samples.npz",
        output=tmp_path / "answer.npz",
        batch_size=1,
        cores=None,
        min_iterations=30,
    )


def test_a_timing_process_answers_with_times_and_is_seen_from_outside(job: InferenceJob) -> None:
    (report,) = launch([job])
    assert set(report.arrays) >= {"run_ns", "whole_ns", "warmup_ns", "load_s", "first_call_s", "cpu_s_per_query"}
    assert len(report.arrays["run_ns"]) == 48, "two whole passes over 24 samples"
    assert (report.arrays["whole_ns"] >= report.arrays["run_ns"]).all()
    assert (report.arrays["run_ns"] > 0).all()
    assert report.peak_memory_bytes is not None
    assert 10_000_000 < report.peak_memory_bytes < 2_000_000_000
    assert 0 <= report.foreign_share <= 1.5
    assert 0 <= report.steal_share <= 1
    assert not [child for child in psutil.Process().children() if "engine.inference" in " ".join(child.cmdline())]


def test_a_scoring_process_answers_as_the_model_does(job: InferenceJob, tmp_path: Path) -> None:
    (report,) = launch([job.model_copy(update={"mode": "score", "batch_size": 5})])
    expected = predict(tiny.untrained(Kind("vision", "mlp"), tmp_path), tiny.image_dataset().test)
    np.testing.assert_allclose(report.arrays["logits"], expected, atol=1e-4)


def test_a_process_that_dies_is_a_sentence_with_its_exit_code(
    job: InferenceJob, capfd: pytest.CaptureFixture[str]
) -> None:
    (job.artifact / "artifact.json").unlink()
    with pytest.raises(MeasurementError, match=r"ended without an answer \(exit code 1\)"):
        launch([job])
    assert "artifact.json" in capfd.readouterr().err, "its last words belong into the log"


def test_an_inference_process_ends_with_its_parent(job: InferenceJob, tmp_path: Path) -> None:
    job_file = tmp_path / "job.json"
    job_file.write_text(job.model_copy(update={"min_seconds": 600.0}).model_dump_json())
    process = subprocess.Popen([sys.executable, "-m", "engine.inference", str(job_file)], stdin=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(60) == 0
    assert not job.output.exists()


class FakePopen:
    """A process that answers at once and notes how it was started."""

    environments: list[dict[str, str]] = []  # noqa: RUF012 - emptied by the test

    def __init__(self, command: list[str], *, env: dict[str, str], **_: Any) -> None:
        self.environments.append(env)
        raise OSError("seen enough")


@pytest.mark.parametrize(("threads", "expected"), [(3, "3"), (0, None)])
def test_threads_are_set_before_anything_loads(
    job: InferenceJob, threads: int, expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    monkeypatch.setattr(processes.subprocess, "Popen", FakePopen)
    FakePopen.environments.clear()
    backend = Choice(name="onnxruntime", params={"threads": threads})
    with pytest.raises(OSError, match="seen enough"):
        launch([job.model_copy(update={"backend": backend})])
    (environment,) = FakePopen.environments
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        assert environment[variable] == (expected or str(psutil.cpu_count()))
    assert "OMP_WAIT_POLICY" not in environment, "a spinning pool would steal time from the other side"


class FakeChild:
    """A process that answers at once; it notes in which order its parent did what.

    Args:
        job: what it is asked.
        turns: what it says at the end of each turn, before it is done.
        order: a list to share with others.
    """

    def __init__(self, job: InferenceJob, turns: Sequence[str] = (), order: list[str] | None = None) -> None:
        self.job, self.order, self.pid = job, [] if order is None else order, os.getpid()
        self.turns = ["ready", *turns]
        self.stdout = SimpleNamespace(readline=self._answer, close=lambda: None)
        self.stdin = SimpleNamespace(write=self._hear, flush=lambda: None, close=lambda: self.order.append("dismissed"))

    @property
    def name(self) -> str:
        return self.job.output.stem

    def _hear(self, line: str) -> None:
        self.order.append(f"{self.name}: {line.strip()}")

    def _answer(self) -> str:
        if self.turns:
            return self.turns.pop(0) + "\n"
        save_arrays(self.job.output, {"run_ns": np.asarray([1, 2, 3])})
        return "done\n"

    def send_signal(self, number: signal.Signals) -> None:
        self.order.append(f"{self.name}: {number.name}")

    def wait(self) -> int:
        return 0


@pytest.fixture
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeChild:
    """A made-up child of a job on the cores 0 and 1, which may be pinned."""
    made = FakeChild(
        InferenceJob(
            mode="time",
            artifact=tmp_path,
            backend=Choice(name="onnxruntime", params={"threads": 2}),
            samples=tmp_path / "samples.npz",
            output=tmp_path / "answer.npz",
            batch_size=1,
            cores=(0, 1),
        )
    )
    monkeypatch.setattr(processes.subprocess, "Popen", lambda *_, **__: made)
    monkeypatch.setattr(os, "sched_setaffinity", lambda pid, cores: made.order.append(f"pinned {cores}"), raising=False)
    return made


def test_a_process_is_pinned_before_anything_else_and_its_parent_only_waits(child: FakeChild) -> None:
    (report,) = launch([child.job])
    assert child.order == ["pinned (0, 1)", "answer: go 0", "dismissed"], "a process alone is neither stopped nor woken"
    assert report.pinned
    assert report.arrays["run_ns"].tolist() == [1, 2, 3]
    assert report.peak_memory_bytes is not None


def test_two_processes_take_turns_one_at_work_and_the_other_stopped(
    child: FakeChild, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [child.job.model_copy(update={"output": child.job.output.with_name(f"{name}.npz")}) for name in "ab"]
    order: list[str] = []
    made = iter(
        [
            FakeChild(jobs[0], ["more 0.03", "more", "enough", "enough"], order),
            FakeChild(jobs[1], ["more 0.01", "more", "more", "enough"], order),
        ]
    )
    monkeypatch.setattr(processes.subprocess, "Popen", lambda *_, **__: next(made))
    assert len(launch(jobs)) == 2
    said = [line for line in order if "SIG" not in line and line != "dismissed"]
    assert said[:2] == ["a: go 0", "b: go 0"], "each loads alone"
    assert said[2:] == ["a: go 3", "b: go 3", "b: go 3", "a: go 3", "a: go 3", "b: go 3", "b: end 3", "a: end 3"]
    running: set[str] = set()
    for line in order[order.index("a: go 0") - 1 : order.index("dismissed") - 1]:
        name, _, what = line.partition(": ")
        if what == "SIGCONT":
            assert not running, "two were at work at once"
            running.add(name)
        elif what == "SIGSTOP":
            running.remove(name)


def test_a_turn_lasts_as_many_queries_on_each_side() -> None:
    assert queries_of_a_turn([0.03, 0.02]) == ceil(ROUND_SECONDS / 0.05)
    assert queries_of_a_turn([5.0, 5.0]) == 1
    assert queries_of_a_turn([0.0, 0.0]) == 1, "nothing is known of them"


def test_without_permission_to_pin_it_goes_on_and_says_so(child: FakeChild, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_setaffinity", refuse)
    assert launch([child.job])[0].pinned is False


@pytest.mark.parametrize(
    ("affinity", "held"), [("each", ["pinned (0, 1)"]), ("together", ["pinned (0, 1)"]), ("free", [])]
)
def test_a_process_is_held_on_its_cores_unless_it_was_asked_to_be_free(
    child: FakeChild, affinity: str, held: list[str]
) -> None:
    backend = child.job.backend.model_copy(update={"params": {**child.job.backend.params, "affinity": affinity}})
    (report,) = launch([child.job.model_copy(update={"backend": backend})])
    assert [done for done in child.order if done.startswith("pinned")] == held
    assert report.pinned, "it is where it was asked to be"


@pytest.mark.parametrize(("affinity", "cores"), [("each", (0,)), ("together", None), ("free", None)])
def test_threads_are_held_one_by_one_only_where_that_was_asked(
    job: InferenceJob, affinity: str, cores: tuple[int, ...] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, ...] | None] = []
    monkeypatch.setattr(inference, "pin_threads", seen.append)
    backend = Choice(name="onnxruntime", params={"threads": 1, "affinity": affinity})
    inference.run(job.model_copy(update={"cores": (0,), "backend": backend, "min_iterations": 1}))
    assert seen == [cores]


def test_without_cores_it_is_not_pinned(child: FakeChild) -> None:
    assert launch([child.job.model_copy(update={"cores": None})])[0].pinned is False
    assert "answer: go 0" in child.order


def refuse(*_: object, **__: object) -> None:
    raise PermissionError("not allowed")


def test_where_the_cores_cannot_be_read_a_load_is_unknown(child: FakeChild, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "cpu_times", refuse)
    (report,) = launch([child.job])
    assert (report.foreign_share, report.steal_share) == (None, None)
    assert report.peak_memory_bytes is not None, "one thing that cannot be read takes no other with it"


def test_where_the_child_cannot_be_seen_its_load_is_not_taken_for_another_s(
    child: FakeChild, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes.psutil, "Process", lambda pid: raises(psutil.AccessDenied(pid)))
    assert made_up(child, monkeypatch, busy_s=9.0, steal_s=1.0, own_cpu_s=None) == (None, pytest.approx(0.05))


def raises(error: Exception) -> None:
    raise error


def made_up(
    child: FakeChild, monkeypatch: pytest.MonkeyPatch, *, busy_s: float, steal_s: float, own_cpu_s: float | None
) -> tuple[float | None, float | None]:
    """Let ten seconds pass in which two cores did that much; return what was seen of others and of the hypervisor."""
    asked: list[tuple[int, ...] | None] = []
    seen = iter([CoreTimes(100.0, 7.0, 2), CoreTimes(100.0 + busy_s, 7.0 + steal_s, 2)])
    clock = iter([50.0, 60.0])

    def core_times(cores: tuple[int, ...] | None) -> CoreTimes:
        asked.append(cores)
        return next(seen)

    monkeypatch.setattr(processes, "core_times", core_times)
    monkeypatch.setattr(processes, "monotonic", lambda: next(clock))
    if own_cpu_s is not None:
        monkeypatch.setattr(processes, "_seen_from_outside", lambda pid: (1, own_cpu_s))
    (report,) = launch([child.job])
    assert asked == [(0, 1)] * 2, "only the timed cores count"
    return report.foreign_share, report.steal_share


@pytest.mark.parametrize(
    ("busy_s", "own_cpu_s", "foreign"),
    [
        (20.0, 10.0, 0.5),  # a program that used up one of the two cores
        (12.0, 10.0, 0.1),
        (10.0, 10.0, 0.0),
        (9.9, 10.0, 0.0),  # the counters tick in hundredths
    ],
)
def test_what_the_child_did_not_use_was_used_by_others(
    busy_s: float, own_cpu_s: float, foreign: float, child: FakeChild, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = made_up(child, monkeypatch, busy_s=busy_s, steal_s=0.0, own_cpu_s=own_cpu_s)
    assert seen == (pytest.approx(foreign), 0.0)


def test_what_the_hypervisor_took_is_told_apart(child: FakeChild, monkeypatch: pytest.MonkeyPatch) -> None:
    assert made_up(child, monkeypatch, busy_s=5.0, steal_s=2.0, own_cpu_s=5.0) == (0.0, pytest.approx(0.1))


def test_two_real_processes_take_turns(job: InferenceJob) -> None:
    jobs = [job.model_copy(update={"output": job.output.with_name(f"{name}.npz")}) for name in "ab"]
    first, second = launch(jobs)
    for report in (first, second):
        assert len(report.arrays["run_ns"]) >= 48
        assert len(report.arrays["run_ns"]) % 24 == 0, "whole passes, however the turns fell"
        assert len(report.arrays["warmup_ns"]) > 0, "what it ran to settle is kept apart"
        assert report.peak_memory_bytes is not None
    assert not [child for child in psutil.Process().children() if "engine.inference" in " ".join(child.cmdline())]
