"""Paired timing: candidate and baseline take turns in fresh processes, so that a drifting machine touches both."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.measure.jobs import InferenceJob
from engine.measure.processes import Launcher, ProcessReport
from engine.measure.timing import Plan
from engine.spec import SINGLE_STREAM, Choice


@dataclass(frozen=True)
class Side:
    """One of the two that are compared."""

    name: str
    artifact: Path
    backend: Choice
    slowdown: float = 0.0
    """Share by which it is made slower on purpose; only a self-check does that."""


@dataclass(frozen=True)
class Timed:
    """The reports of one side's processes, in the order of the pairs."""

    reports: Sequence[ProcessReport]
    name: str = ""

    def seconds(self, name: str = "run_ns") -> list[NDArray[np.float64]]:
        """Return the samples of each process in seconds."""
        return [report.arrays[name].astype(np.float64) / 1e9 for report in self.reports]

    def median(self, name: str) -> float:
        """Return the median over processes of a single number, for example ``load_s``."""
        return float(np.median([float(report.arrays[name]) for report in self.reports]))

    @property
    def energy_j_per_query(self) -> float | None:
        """Return the median joules a query over processes; ``None`` where no counter could be read."""
        joules = [float(report.arrays.get("energy_j_per_query", np.nan)) for report in self.reports]
        measured = [value for value in joules if np.isfinite(value)]
        return float(np.median(measured)) if measured else None

    @property
    def energy_source(self) -> str | None:
        """Return which counters were read."""
        sources = (str(report.arrays.get("energy_source", "")) for report in self.reports)
        return next((source for source in sources if source), None)

    @property
    def peak_memory_bytes(self) -> int | None:
        """Return the highest peak over processes."""
        peaks = [report.peak_memory_bytes for report in self.reports if report.peak_memory_bytes is not None]
        return max(peaks) if peaks else None


def time_pairs(
    candidate: Side,
    baseline: Side,
    *,
    plan: Plan,
    samples: Path,
    scratch: Path,
    batch_size: int,
    cores: tuple[int, ...] | None,
    launch: Launcher,
    report: Callable[[float, str], None],
    scenario: Choice = SINGLE_STREAM,
) -> tuple[Timed, Timed]:
    """Time both sides in ``plan.pairs`` pairs of fresh processes that take turns; A begins, then B, then A, ...

    Returns:
        The candidate's and the baseline's processes; the entries at one index took turns with one another.
    """
    seen: dict[str, list[ProcessReport]] = {candidate.name: [], baseline.name: []}
    for pair in range(plan.pairs):
        report(pair / plan.pairs, f"pair {pair + 1} of {plan.pairs}")
        order = (candidate, baseline) if pair % 2 == 0 else (baseline, candidate)
        jobs = [
            InferenceJob(
                mode="time",
                artifact=side.artifact,
                backend=side.backend,
                samples=samples,
                output=scratch / f"{side.name}-{pair}.npz",
                batch_size=batch_size,
                cores=cores,
                min_iterations=plan.min_iterations,
                min_seconds=plan.min_seconds,
                warmup_seconds=plan.warmup_seconds,
                pairs=plan.pairs,
                scenario=scenario,
                seed=pair,
                slowdown=side.slowdown,
            )
            for side in order
        ]
        for side, answer in zip(order, launch(jobs), strict=True):
            seen[side.name].append(answer)
    return Timed(seen[candidate.name], candidate.name), Timed(seen[baseline.name], baseline.name)
