"""Layouts: every way to use all cores, timed in turns by processes that work at once."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from engine.backends import BACKENDS
from engine.errors import MeasurementError
from engine.insight import Layout
from engine.measure.jobs import InferenceJob, write_samples
from engine.measure.layouts import ROUNDS, Halves, layouts_for, time_layouts
from engine.measure.paired import Side
from engine.measure.processes import ProcessReport, launch_together
from engine.models.base import Artifact
from engine.spec import Choice
from tests import tiny
from tests.tiny import Kind

ONNX = BACKENDS.get("onnxruntime")
CHOICE = Choice(name="onnxruntime", params=ONNX.options_type().model_dump())


def copies(processes: int, threads: int) -> Layout:
    return Layout(kind="copies", processes=processes, threads=threads)


@pytest.mark.parametrize(
    ("cores", "expected"),
    [
        (1, [copies(1, 1)]),
        (2, [copies(1, 2), copies(2, 1)]),
        (6, [copies(1, 6), copies(2, 3), copies(3, 2), copies(6, 1)]),
    ],
)
def test_every_layout_uses_all_cores_evenly(cores: int, expected: list[Layout]) -> None:
    assert layouts_for(cores, can_be_cut=False) == expected


def test_a_model_that_can_be_cut_may_be_a_pipeline() -> None:
    assert layouts_for(4, can_be_cut=True)[-1] == Layout(kind="pipeline", processes=2, threads=2)
    assert layouts_for(1, can_be_cut=True) == [copies(1, 1)]


def test_layouts_have_names_to_read() -> None:
    titles = [layout.title for layout in layouts_for(2, can_be_cut=True)]
    assert titles == [
        "1 process with 2 threads",
        "2 processes with 1 thread each",
        "a pipeline of 2 processes with 1 thread each",
    ]


class Together:
    """Answers that each process served 10 samples in so many seconds, more in each round."""

    def __init__(self) -> None:
        self.seen: list[Sequence[InferenceJob]] = []

    def __call__(self, jobs: Sequence[InferenceJob]) -> list[ProcessReport]:
        self.seen.append(jobs)
        seconds = {"whole": 1.0, "front": 0.1, "back": 4.0}
        return [
            ProcessReport(
                {"samples": np.asarray(10 * len(self.seen)), "seconds": np.asarray(seconds[job.part])}, None, None, None
            )
            for job in jobs
        ]


def timed(together: Together, tmp_path: Path, halves: Halves | None = None) -> dict[str, tuple[float, float, float]]:
    rates = time_layouts(
        Side("variant", tmp_path / "whole", CHOICE),
        halves,
        cores=(4, 7),
        seconds=1.5,
        samples=tmp_path / "samples.npz",
        scratch=tmp_path,
        batch_size=3,
        together=together,
        report=lambda share, text: None,
    )
    return {rate.layout.title: (rate.lowest, rate.rate_per_s, rate.highest) for rate in rates}


def test_processes_share_the_cores_and_their_rates_add_up(tmp_path: Path) -> None:
    together = Together()
    rates = timed(together, tmp_path)
    assert [len(jobs) for jobs in together.seen] == [1, 2, 2, 1, 1, 2], "they take turns at going first"
    assert rates == {"1 process with 2 threads": (10, 40, 50), "2 processes with 1 thread each": (40, 60, 120)}
    for jobs in together.seen:
        assert [core for job in jobs for core in job.cores or ()] == [4, 7]
        assert all(job.backend.params["threads"] == len(job.cores or ()) for job in jobs)
        assert len({job.output for job in jobs}) == len(jobs)


def test_of_a_pipeline_the_end_counts(tmp_path: Path) -> None:
    together = Together()
    rates = timed(together, tmp_path, Halves(tmp_path / "front", tmp_path / "back"))
    pipelines = [jobs for jobs in together.seen if jobs[0].part == "front"]
    assert len(pipelines) == ROUNDS
    assert all([job.artifact.name for job in jobs] == ["front", "back"] for jobs in pipelines)
    places = [place + 1 for place, jobs in enumerate(together.seen) if jobs in pipelines]
    assert rates["a pipeline of 2 processes with 1 thread each"][1] == np.median([10 * place / 4 for place in places])


@pytest.fixture
def job(tmp_path: Path) -> InferenceJob:
    folder = tmp_path / "artifact"
    folder.mkdir()
    ONNX.export(tiny.untrained(Kind("encoder"), tmp_path), ONNX.options_type(), folder)
    write_samples(tmp_path / "samples.npz", tiny.text_dataset().test.samples)
    return InferenceJob(
        mode="stream",
        artifact=folder,
        backend=CHOICE,
        samples=tmp_path / "samples.npz",
        output=tmp_path / "answer-0.npz",
        batch_size=2,
        cores=None,
        min_seconds=0.05,
    )


def test_real_processes_answer_side_by_side(job: InferenceJob, tmp_path: Path) -> None:
    reports = launch_together([job, job.model_copy(update={"output": tmp_path / "answer-1.npz"})])
    assert len(reports) == 2
    for report in reports:
        assert report.arrays["samples"] > 0
        assert report.arrays["seconds"] >= 0.05


def test_a_real_pipeline_serves_all_that_goes_in(job: InferenceJob, tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    folder.mkdir()
    parts = ONNX.cut(Artifact.read(job.artifact), folder)
    assert parts is not None
    jobs = [
        job.model_copy(update={"artifact": part.folder, "part": name, "output": tmp_path / f"{name}.npz"})
        for part, name in zip(parts, ("front", "back"), strict=True)
    ]
    front, back = launch_together(jobs)
    assert front.arrays["samples"] > 0
    assert back.arrays["samples"] <= front.arrays["samples"]
    assert front.arrays["samples"] - back.arrays["samples"] in (0, 40), "the back warms up on the first 20 batches"


def test_a_process_that_fails_is_a_sentence(job: InferenceJob, tmp_path: Path) -> None:
    (job.artifact / "model.onnx").write_bytes(b"nothing of the kind")
    with pytest.raises(MeasurementError, match="ONNX Runtime refused the graph"):
        launch_together([job, job.model_copy(update={"output": tmp_path / "answer-1.npz"})])
