"""Paired timing: the order of the processes, and what becomes of their answers."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from engine.measure.jobs import InferenceJob
from engine.measure.paired import Side, Timed, time_pairs
from engine.measure.processes import ProcessReport
from engine.measure.timing import Plan
from engine.spec import Choice

PLAN = Plan(pairs=3, min_iterations=7, min_seconds=0.25, warmup_seconds=0.5)


class FakeLauncher:
    """Answers each job with its own number, so that it can be seen where it ends up."""

    def __init__(self) -> None:
        self.jobs: list[InferenceJob] = []
        self.groups: list[int] = []

    def __call__(self, jobs: Sequence[InferenceJob]) -> list[ProcessReport]:
        self.groups.append(len(jobs))
        return [self.one(job) for job in jobs]

    def one(self, job: InferenceJob) -> ProcessReport:
        self.jobs.append(job)
        return report(run_ns=len(self.jobs))


def report(peak: int | None = None, **arrays: float) -> ProcessReport:
    return ProcessReport({name: np.asarray([value]) for name, value in arrays.items()}, peak, 0.0, 0.0)


def timed(tmp_path: Path) -> tuple[FakeLauncher, tuple[Timed, Timed], list[tuple[float, str]]]:
    launcher, reports = FakeLauncher(), []
    result = time_pairs(
        Side("variant", tmp_path / "a", Choice(name="onnxruntime")),
        Side("baseline", tmp_path / "b", Choice(name="torch")),
        plan=PLAN,
        samples=tmp_path / "samples.npz",
        scratch=tmp_path,
        batch_size=4,
        cores=(0, 1),
        launch=launcher,
        report=lambda share, text: reports.append((share, text)),
    )
    return launcher, result, reports


def test_the_order_turns_round_with_every_pair(tmp_path: Path) -> None:
    launcher, _, _ = timed(tmp_path)
    assert "".join(job.artifact.name for job in launcher.jobs) == "abbaab"


def test_entries_at_one_index_took_turns(tmp_path: Path) -> None:
    _, (variant, baseline), _ = timed(tmp_path)
    assert [int(one.arrays["run_ns"][0]) for one in variant.reports] == [1, 4, 5]
    assert [int(one.arrays["run_ns"][0]) for one in baseline.reports] == [2, 3, 6]


def test_every_job_carries_the_plan_and_its_own_output(tmp_path: Path) -> None:
    launcher, _, _ = timed(tmp_path)
    assert {job.plan for job in launcher.jobs} == {PLAN}
    assert {(job.mode, job.batch_size, job.cores) for job in launcher.jobs} == {("time", 4, (0, 1))}
    assert {job.backend.name for job in launcher.jobs if job.artifact.name == "a"} == {"onnxruntime"}
    assert len({job.output for job in launcher.jobs}) == len(launcher.jobs) == 6


def test_progress_is_told_before_each_pair_and_never_while_it_is_timed(tmp_path: Path) -> None:
    _, _, reports = timed(tmp_path)
    assert reports == [(0, "pair 1 of 3"), (1 / 3, "pair 2 of 3"), (2 / 3, "pair 3 of 3")]


def test_both_sides_of_a_pair_are_launched_together_and_share_its_seed(tmp_path: Path) -> None:
    launcher, _, _ = timed(tmp_path)
    assert launcher.groups == [2, 2, 2]
    assert [job.seed for job in launcher.jobs] == [0, 0, 1, 1, 2, 2]


def test_samples_become_seconds() -> None:
    side = Timed([report(run_ns=2e9), report(run_ns=5e8)])
    assert [samples.tolist() for samples in side.seconds()] == [[2.0], [0.5]]


def test_single_numbers_become_their_median_and_memory_its_peak() -> None:
    side = Timed(
        [ProcessReport({"load_s": np.asarray(value)}, peak, 0, 0) for value, peak in ((1, 5), (9, 7), (2, None))]
    )
    assert side.median("load_s") == 2
    assert side.peak_memory_bytes == 7
    assert Timed([report()]).peak_memory_bytes is None


def test_a_slowdown_travels_to_its_side_s_jobs_alone(tmp_path: Path) -> None:
    launcher = FakeLauncher()
    time_pairs(
        Side("plain", tmp_path / "a", Choice(name="torch")),
        Side("slowed", tmp_path / "a", Choice(name="torch"), 0.1),
        plan=PLAN,
        samples=tmp_path / "samples.npz",
        scratch=tmp_path,
        batch_size=1,
        cores=None,
        launch=launcher,
        report=lambda share, text: None,
    )
    slowdowns = {job.output.name.partition("-")[0]: job.slowdown for job in launcher.jobs}
    assert slowdowns == {"plain": 0.0, "slowed": 0.1}
    assert len({job.output for job in launcher.jobs}) == 6


def test_a_run_is_never_slowed(tmp_path: Path) -> None:
    launcher, _, _ = timed(tmp_path)
    assert {job.slowdown for job in launcher.jobs} == {0.0}


def with_energy(joules: float, source: str) -> ProcessReport:
    return ProcessReport(
        {"energy_j_per_query": np.asarray(joules), "energy_source": np.asarray(source)}, None, 0.0, 0.0
    )


def test_energy_is_the_median_of_the_processes_that_could_read_it() -> None:
    side = Timed([with_energy(joules, "RAPL package-0") for joules in (0.5, 0.1, 0.2)])
    assert (side.energy_j_per_query, side.energy_source) == (0.2, "RAPL package-0")
    partly = Timed([with_energy(np.nan, ""), with_energy(0.3, "NVML gpu 0")])
    assert (partly.energy_j_per_query, partly.energy_source) == (0.3, "NVML gpu 0")


def test_where_no_counter_can_be_read_there_is_no_energy() -> None:
    for reports in ([with_energy(np.nan, "")] * 3, [report(run_ns=1)]):
        assert (Timed(reports).energy_j_per_query, Timed(reports).energy_source) == (None, None)
