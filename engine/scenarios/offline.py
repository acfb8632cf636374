"""Offline: all samples are there at once, and the batch size is free; the number is the throughput."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from engine.measure.paired import Timed
from engine.measure.timing import measure
from engine.results import OfflineResult
from engine.scenarios.base import Arrays, Bench, Reading, Scenario, ScenarioOptions

MIN_PASSES = 2
BATCHES_OF_THE_LARGEST = 4


class OfflineOptions(ScenarioOptions):
    """Options of the offline scenario."""

    largest_batch: int = Field(
        default=32,
        ge=1,
        le=1024,
        title="Largest batch",
        description="Batches of 1, 2, 4, ... up to this many samples are tried",
    )


class Offline(Scenario[OfflineOptions]):
    """Batches of several sizes; each side is judged by the size that suits it best, as MLPerf lets it choose."""

    name = "offline"
    title = "Offline"
    summary = "All samples are there at once, in batches of the best size; the number is the throughput."
    options_type = OfflineOptions
    tries_layouts = True
    headline = "throughput_per_s"

    def label(self, options: OfflineOptions) -> str:
        """Name the largest batch: a larger one can only be faster."""
        return f"offline, batches to {options.largest_batch}"

    def time(self, bench: Bench, options: OfflineOptions) -> Arrays:
        """Time whole passes with each batch size; the floors of the plan are shared among the sizes."""
        sizes = batch_sizes(options.largest_batch)
        times: dict[str, list[NDArray[np.int64]]] = {"warmup_ns": [], "run_ns": [], "whole_ns": [], "batch": []}
        for size in sizes:
            queries = bench.queries(size)
            if not queries:  # fewer samples than that: no such batch was measured, so none is reported
                break
            plan = replace(
                bench.plan,
                min_iterations=MIN_PASSES * len(queries),
                min_seconds=bench.plan.min_seconds / len(sizes),
                warmup_seconds=bench.plan.warmup_seconds / len(sizes),
            )
            samples = measure(queries, plan, bench.clock, bench.between, bench.turns, stretch=False)
            for name in ("warmup_ns", "run_ns", "whole_ns"):
                times[name].append(np.asarray(getattr(samples, name), dtype=np.int64))
            times["batch"].append(np.full(len(samples.run_ns), size))
        return {name: np.concatenate(parts) for name, parts in times.items()}

    def read(self, timed: Timed, batch_size: int, options: OfflineOptions) -> Reading:
        """Return the times of the batch size with the highest throughput."""
        best = best_size(timed)
        chosen = [report.arrays["batch"] == best for report in timed.reports]
        seconds = [all_s[mask] for all_s, mask in zip(timed.seconds(), chosen, strict=True)]
        whole = [all_s[mask] for all_s, mask in zip(timed.seconds("whole_ns"), chosen, strict=True)]
        pace = [samples / best for samples in seconds]
        return Reading(seconds, whole, pace, [np.asarray([samples.mean()]) for samples in pace])

    def samples_needed(self, batch_size: int, options: OfflineOptions, samples: int) -> int:
        """Return enough for a few of the largest batches, and no more: a pass of single queries takes them all."""
        return max(samples, BATCHES_OF_THE_LARGEST * options.largest_batch)

    def offline(self, candidate: Timed, baseline: Timed) -> OfflineResult:
        """Return the throughput by batch size of both sides."""
        return OfflineResult(
            batch_size=best_size(candidate),
            baseline_batch_size=best_size(baseline),
            rates=rates(candidate),
            baseline_rates=rates(baseline),
        )


def batch_sizes(largest: int) -> list[int]:
    """Return 1, 2, 4, ... up to ``largest``, which is always one of them."""
    sizes = [1 << power for power in range(largest.bit_length()) if 1 << power < largest]
    return [*sizes, largest]


def rates(timed: Timed) -> dict[int, float]:
    """Return samples a second by batch size, the median over processes."""
    sizes: NDArray[Any] = np.unique(np.concatenate([report.arrays["batch"] for report in timed.reports]))
    return {
        int(size): float(np.median([_rate(report.arrays, int(size)) for report in timed.reports])) for size in sizes
    }


def best_size(timed: Timed) -> int:
    """Return the batch size with the highest throughput; of equals, the smallest."""
    found = rates(timed)
    return max(found, key=lambda size: (found[size], -size))


def _rate(arrays: Arrays, size: int) -> float:
    times = arrays["run_ns"].astype(np.float64)[arrays["batch"] == size]
    return size * len(times) / (float(times.sum()) / 1e9)
