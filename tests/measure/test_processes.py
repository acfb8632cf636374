"""Fresh inference processes: real ones, on a tiny model."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from engine.backends import BACKENDS
from engine.errors import MeasurementError
from engine.measure import processes
from engine.measure.jobs import InferenceJob, write_samples
from engine.measure.processes import launch
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
    report = launch(job)
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
    report = launch(job.model_copy(update={"mode": "score", "batch_size": 5}))
    expected = predict(tiny.untrained(Kind("vision", "mlp"), tmp_path), tiny.image_dataset().test)
    np.testing.assert_allclose(report.arrays["logits"], expected, atol=1e-4)


def test_a_process_that_dies_is_a_sentence_with_its_exit_code(
    job: InferenceJob, capfd: pytest.CaptureFixture[str]
) -> None:
    (job.artifact / "artifact.json").unlink()
    with pytest.raises(MeasurementError, match=r"ended without an answer \(exit code 1\)"):
        launch(job)
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
        launch(job.model_copy(update={"backend": backend}))
    (environment,) = FakePopen.environments
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        assert environment[variable] == (expected or str(psutil.cpu_count()))
    assert "OMP_WAIT_POLICY" not in environment, "a spinning pool would steal time from the other side"
