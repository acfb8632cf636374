"""One pipeline run on a person's own tiny model and file, with inference inside the test's process."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine import inference
from engine.measure.environment import machine_id
from engine.measure.jobs import InferenceJob
from engine.measure.processes import ProcessReport
from engine.pipeline import Pipeline
from engine.resolve import resolve
from engine.results import RawData, RunResult, WorkerEvent
from engine.spec import Choice, ExperimentSpec
from tests import tiny


class FakeLauncher:
    """Scores as the real process does, but inside this one; answers a timing job with made-up times.

    The candidate takes 1 ms, the baseline 3 ms, each with some noise.
    """

    def __init__(self, **changes: Any) -> None:
        self.jobs: list[InferenceJob] = []
        self.changes = changes

    def __call__(self, jobs: Sequence[InferenceJob]) -> list[ProcessReport]:
        return [self.one(job) for job in jobs]

    def one(self, job: InferenceJob) -> ProcessReport:
        self.jobs.append(job)
        if job.mode in ("score", "profile"):
            return ProcessReport({**inference.run(job)}, None, 0.0, 0.0)
        base = 3e6 if job.output.name.startswith("baseline") else 1.2e6
        noise = np.random.default_rng(len(self.jobs)).normal(1, 0.01, self.changes.get("n", 120))
        run_ns = (base * noise).astype(np.int64)
        arrays = {
            "run_ns": run_ns,
            "whole_ns": run_ns + 100_000,
            "warmup_ns": run_ns[:7],
            "queries": np.asarray(len(run_ns)),
            "load_s": np.asarray(0.2),
            "first_call_s": np.asarray(0.01),
            "cpu_s_per_query": np.asarray(base / 1e9),
            "energy_j_per_query": np.asarray(self.changes.get("energy", np.nan)),
            "energy_source": np.asarray("RAPL package-0" if "energy" in self.changes else ""),
            "yardstick_ns": np.asarray([100, 125, 900] if job.output.name.startswith("baseline") else [100, 100]),
            "migrations_per_s": np.asarray(float(len(self.jobs) == 2) * 3),
        }
        loads = self.changes.get("foreign", [0.0])
        foreign = loads[min(len(self.jobs), len(loads)) - 1]
        return ProcessReport(arrays, 50_000_000 + len(self.jobs), foreign, 0.0)


class Run:
    """One pipeline run and all that was heard of it."""

    def __init__(self, spec: ExperimentSpec, scratch: Path, launcher: FakeLauncher | None = None) -> None:
        self.events: list[WorkerEvent] = []
        self.launcher = launcher or FakeLauncher()
        scratch.mkdir()
        self.pipeline = Pipeline(spec, scratch, self.events.append, launch=self.launcher)

    def go(self) -> tuple[RunResult, RawData]:
        return self.pipeline.run()

    @property
    def finished(self) -> dict[str, bool]:
        """Return whether the cache had it, by stage in the order of their ends."""
        return {event.finished.name: event.finished.cached for event in self.events if event.finished}


@contextmanager
def furnished(folder: Path, *, head: bool = False) -> Iterator[Path]:
    """Put a model and a file into ``folder``, and caches, state and locks of its own for as long as it lasts."""
    tiny.encoder_folder(folder / "model", head=head)
    tiny.reviews_csv(folder / "own.csv", count=120)
    (folder / "locks").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SUBSECOND_CACHE", str(folder / "cache"))
        patch.setenv("SUBSECOND_STATE", str(folder / "state"))
        patch.setattr(tempfile, "tempdir", str(folder / "locks"))
        machine_id.cache_clear()
        yield folder
    machine_id.cache_clear()


def make_spec(home: Path, *techniques: Choice, backend: str = "onnxruntime", **changes: Any) -> ExperimentSpec:
    return resolve(
        model=str(home / "model"),
        dataset=tiny.reviews_reference(home / "own.csv"),
        techniques=techniques,
        backend=Choice(name=backend, params={"threads": 1}),
        **changes,
    )
