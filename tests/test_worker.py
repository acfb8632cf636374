"""The worker as the executor starts it: a process of its own, with real inference processes below it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pytest

from engine import worker
from engine.errors import TrainingError
from engine.resolve import resolve
from engine.results import WorkerEvent, WorkerOutcome
from engine.spec import Choice, ExperimentSpec
from tests import tiny

PATIENCE_S = 120


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A person's own model and file, and caches of their own."""
    folder = tmp_path_factory.mktemp("home")
    tiny.encoder_folder(folder / "model")
    tiny.reviews_csv(folder / "own.csv")
    (folder / "tmp").mkdir()
    return folder


@dataclass
class Started:
    """A worker process and its files."""

    process: "subprocess.Popen[str]"
    result: Path

    def events(self) -> Iterator[WorkerEvent]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            yield WorkerEvent.model_validate_json(line)

    def wait_for(self, stage: str) -> None:
        for event in self.events():
            if event.stage == stage:
                return
        pytest.fail(f"the worker never came to '{stage}'")

    @property
    def outcome(self) -> WorkerOutcome:
        return WorkerOutcome.model_validate_json(self.result.read_bytes())


@contextmanager
def start(home: Path, folder: Path, spec: str) -> Iterator[Started]:
    """Start a worker in a group of its own, as the executor does; leave nothing of it."""
    (folder / "spec.json").write_text(spec)
    environment = os.environ | {
        "SUBSECOND_CACHE": str(home / "cache"),
        "SUBSECOND_STATE": str(home / "state"),
        "TMPDIR": str(home / "tmp"),
        "PYTHONPATH": str(Path(worker.__file__).parents[1]),
    }
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "engine.worker", str(folder / "spec.json"), str(folder / "result.json")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            cwd=folder,
            env=environment,
            start_new_session=True,
        )
    with process:
        try:
            yield Started(process, folder / "result.json")
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def make_spec(home: Path, *techniques: Choice) -> ExperimentSpec:
    return resolve(
        model=str(home / "model"),
        dataset=tiny.reviews_reference(home / "own.csv"),
        techniques=techniques,
        backend=Choice(name="onnxruntime", params={"threads": 1}),
    )


def inference_of(process: "subprocess.Popen[str]") -> list[psutil.Process]:
    """Return the inference process below a worker, as soon as there is one."""
    leader, deadline = psutil.Process(process.pid), time.monotonic() + PATIENCE_S
    while not (children := leader.children(recursive=True)):
        assert time.monotonic() < deadline
    return children


@pytest.mark.e2e
def test_a_person_s_own_model_goes_the_whole_way(home: Path, tmp_path: Path) -> None:
    with start(home, tmp_path, make_spec(home, Choice(name="int8-dynamic")).canonical_json()) as started:
        events = list(started.events())
        assert started.process.wait(PATIENCE_S) == worker.EXIT_DONE
    outcome = started.outcome
    assert outcome.error is None
    assert outcome.result is not None
    assert outcome.result.latency.processes == 3
    assert outcome.result.latency.n >= 300
    assert outcome.result.footprint.peak_memory_bytes is not None
    finished = [event.finished.name for event in events if event.finished]
    assert finished[0] == "load data"
    assert finished[-1] == "evaluate"
    with np.load(tmp_path / "raw.npz", allow_pickle=False) as raw:
        assert len(raw["labels"]) == outcome.result.context.samples
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"spec.json", "result.json", "raw.npz", "log"}, "scratch files stayed"
    assert str(home) not in outcome.model_dump_json()


@pytest.mark.parametrize("spec", ["{", "{}", '{"version": 2}'])
def test_a_spec_that_cannot_be_read_is_an_error_in_the_result(home: Path, tmp_path: Path, spec: str) -> None:
    with start(home, tmp_path, spec) as started:
        assert list(started.events()) == []
        assert started.process.wait(PATIENCE_S) == worker.EXIT_FAILED
    error = started.outcome.error
    assert error is not None
    assert (error.stage, error.kind) == ("start", "ValidationError")
    assert "Traceback" in (tmp_path / "log").read_text()


def test_a_run_that_fails_names_stage_and_kind(home: Path, tmp_path: Path) -> None:
    spec = make_spec(home).model_copy(update={"dataset": tiny.reviews_reference(home / "gone.csv")})
    with start(home, tmp_path, spec.canonical_json()) as started:
        assert [event.stage for event in started.events()] == ["load data"]
        assert started.process.wait(PATIENCE_S) == worker.EXIT_FAILED
    outcome = started.outcome
    assert outcome.result is None
    assert outcome.error is not None
    assert (outcome.error.stage, outcome.error.kind) == ("load data", "DataError")
    assert outcome.error.message.startswith("There is no file 'gone.csv'")
    assert not (tmp_path / "raw.npz").exists()
    assert [path for path in tmp_path.iterdir() if path.name.startswith(".work-")] == []


def stop_while_timing(home: Path, folder: Path, stop: str) -> None:
    """Stop a worker in the middle of a timing and see that nothing of it lives on."""
    with start(home, folder, make_spec(home).canonical_json()) as started:
        started.wait_for("time")
        assert started.process.stdin is not None
        children = inference_of(started.process)
        if stop == "closed":
            started.process.stdin.close()
        else:
            started.process.send_signal(signal.SIGTERM)
        started.process.wait(PATIENCE_S)
        _, alive = psutil.wait_procs(children, timeout=PATIENCE_S)
        assert alive == []
    assert not started.result.exists()
    assert not (folder / "raw.npz").exists()


@pytest.mark.parametrize("stop", ["closed", "terminated"])
def test_a_worker_whose_engine_is_gone_ends_with_all_its_processes(home: Path, tmp_path: Path, stop: str) -> None:
    stop_while_timing(home, tmp_path, stop)


DYING = """
import os, subprocess, sys
from engine import worker
child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"], stdout=subprocess.DEVNULL)
print(child.pid, flush=True)
sys.stdin.read()
worker._end_group()
"""


@pytest.mark.parametrize(("leads", "code"), [(True, -signal.SIGKILL), (False, worker.EXIT_FAILED)])
def test_a_dying_worker_takes_its_own_group_along_and_no_other(leads: bool, code: int) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", DYING],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=leads,
        env=os.environ | {"PYTHONPATH": str(Path(worker.__file__).parents[1])},
    ) as process:
        assert process.stdout is not None
        child = psutil.Process(int(process.stdout.readline()))
        process.communicate()
    assert process.returncode == code
    if leads:
        assert psutil.wait_procs([child], timeout=PATIENCE_S)[1] == []
    else:
        assert child.is_running()
        child.kill()


@pytest.mark.parametrize(
    ("error", "kind", "sentence"),
    [
        (TrainingError("Training diverged."), "TrainingError", "Training diverged."),
        (MemoryError(), "MemoryError", "Memory ran out. Close other programs or choose a smaller model."),
        (KeyError("x"), "KeyError", "The stage 'time' stopped unexpectedly: 'x'. The log has the whole story"),
    ],
)
def test_every_error_becomes_a_sentence(error: Exception, kind: str, sentence: str) -> None:
    failure = worker._failure(error, "time")
    assert (failure.stage, failure.kind) == ("time", kind)
    assert failure.message.startswith(sentence)


def test_a_result_appears_whole(tmp_path: Path) -> None:
    worker._write_atomically(tmp_path / "result.json", b'{"a": 1}')
    assert json.loads((tmp_path / "result.json").read_text()) == {"a": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]
