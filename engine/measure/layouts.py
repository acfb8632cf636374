"""Which layout serves most samples a second: one process with all cores, several with a few each, or a model in two.

All processes of a layout work at once, each held on its own cores. Layouts take turns, round after round, so that a
machine that drifts touches all of them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine.insight import Layout, LayoutRate
from engine.measure.jobs import InferenceJob, PartName
from engine.measure.paired import Side
from engine.measure.processes import ProcessReport

Together = Callable[[Sequence[InferenceJob]], list[ProcessReport]]
"""Runs jobs at once; see :func:`engine.measure.processes.launch_together`."""

ROUNDS = 3


@dataclass(frozen=True)
class Halves:
    """A model in two artifacts; the second takes what the first puts out."""

    front: Path
    back: Path


def layouts_for(cores: int, *, can_be_cut: bool) -> list[Layout]:
    """Return every way to use all of so many cores evenly."""
    copies = [
        Layout(kind="copies", processes=count, threads=cores // count)
        for count in range(1, cores + 1)
        if cores % count == 0
    ]
    pipeline = [Layout(kind="pipeline", processes=2, threads=cores // 2)] if can_be_cut and cores % 2 == 0 else []
    return copies + pipeline


def time_layouts(
    side: Side,
    halves: Halves | None,
    *,
    cores: tuple[int, ...],
    seconds: float,
    samples: Path,
    scratch: Path,
    batch_size: int,
    together: Together,
    report: Callable[[float, str], None],
) -> tuple[LayoutRate, ...]:
    """Return samples a second of each layout: the median over rounds, and the slowest and the fastest round.

    Args:
        side: what is served.
        halves: the same in two parts, where it can be cut.
        cores: those to be used; every layout uses all of them.
        seconds: how long each round of each layout lasts.
        samples: raw samples, as :func:`engine.measure.jobs.write_samples` writes them.
        scratch: a folder for the processes' answers.
        batch_size: of every query.
        together: runs jobs at once.
        report: called with the share done and a short text.
    """
    layouts = layouts_for(len(cores), can_be_cut=halves is not None)
    seen: dict[Layout, list[float]] = {layout: [] for layout in layouts}
    for number in range(ROUNDS):
        for place, layout in enumerate(layouts if number % 2 == 0 else reversed(layouts)):
            report((number + place / len(layouts)) / ROUNDS, layout.title)
            jobs = [
                InferenceJob(
                    mode="stream",
                    artifact=artifact,
                    backend=side.backend.model_copy(
                        update={"params": {**side.backend.params, "threads": layout.threads}}
                    ),
                    samples=samples,
                    output=scratch / f"layout-{process}.npz",
                    batch_size=batch_size,
                    cores=cores[process * layout.threads : (process + 1) * layout.threads],
                    min_seconds=seconds,
                    part=part,
                )
                for process, (artifact, part) in enumerate(_processes(side, halves, layout))
            ]
            seen[layout].append(_rate(layout, together(jobs)))
    return tuple(
        LayoutRate(layout=layout, rate_per_s=float(np.median(rates)), lowest=min(rates), highest=max(rates))
        for layout, rates in seen.items()
    )


def _processes(side: Side, halves: Halves | None, layout: Layout) -> list[tuple[Path, PartName]]:
    """Return artifact and part of each process."""
    if layout.kind == "pipeline" and halves is not None:
        return [(halves.front, "front"), (halves.back, "back")]
    return [(side.artifact, "whole")] * layout.processes


def _rate(layout: Layout, reports: Sequence[ProcessReport]) -> float:
    """Return samples a second of all processes; of a pipeline, what comes out of its end."""
    ends = reports[-1:] if layout.kind == "pipeline" else reports
    return sum(float(report.arrays["samples"]) / float(report.arrays["seconds"]) for report in ends)
