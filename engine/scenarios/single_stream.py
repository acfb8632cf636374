"""Single-stream: the next query starts when the last one has ended."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.measure.paired import Timed
from engine.measure.timing import Samples, measure
from engine.scenarios.base import Arrays, Bench, Reading, Scenario, ScenarioOptions


class SingleStreamOptions(ScenarioOptions):
    """There is nothing to choose."""


class SingleStream(Scenario[SingleStreamOptions]):
    """One query after the other, as a person at a prompt asks them."""

    name = "single-stream"
    title = "Single stream"
    summary = "One query after the other, as one person asks them; the number is the latency."
    options_type = SingleStreamOptions

    def label(self, options: SingleStreamOptions) -> str:
        """Return the name alone."""
        return self.name

    def time(self, bench: Bench, options: SingleStreamOptions) -> Arrays:
        """Time query after query."""
        queries = bench.queries(0)
        samples = measure(queries, bench.plan, bench.clock, bench.between, bench.turns)
        return {**as_arrays(samples), "queries": np.asarray(len(queries))}

    def read(self, timed: Timed, batch_size: int, options: SingleStreamOptions) -> Reading:
        """Return the times as they are."""
        seconds = timed.seconds()
        pace = [samples / batch_size for samples in seconds]
        (queries,) = {int(report.arrays["queries"]) for report in timed.reports}
        return Reading(seconds, timed.seconds("whole_ns"), pace, pace, queries)


def as_arrays(samples: Samples) -> dict[str, NDArray[Any]]:
    """Return the times of one loop as the arrays of a process's answer."""
    return {
        "warmup_ns": np.asarray(samples.warmup_ns, dtype=np.int64),
        "run_ns": np.asarray(samples.run_ns, dtype=np.int64),
        "whole_ns": np.asarray(samples.whole_ns, dtype=np.int64),
    }
