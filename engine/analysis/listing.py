"""Rows of many runs: under the plot, and in the list of everything that was asked for."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Protocol

from engine.analysis.answer import describe_change
from engine.analysis.fields import NOISY, is_noisy
from engine.analysis.frontier import DEFAULT_X, DEFAULT_Y, FrontierInfo, MeasuredRun, Point, plain_name, stack_name
from engine.analysis.measures import column_title, metric_info, scaled
from engine.analysis.table import Cell
from engine.analysis.wording import Say, in_english
from engine.results import Status

STANDING_WORDS = {"frontier": "on it", "tied": "tied", "dominated": "beaten"}
ALWAYS = ("latency_p50_ms", "speedup", "size_bytes")
"""Metrics that stand in every table of a plot, beside its axes."""
LISTED = (DEFAULT_X, "speedup", DEFAULT_Y)
"""Metrics in the list of runs."""


class ListedRun(MeasuredRun, Protocol):
    """A run of any status, as the store's summaries have it."""

    @property
    def status(self) -> Status: ...
    @property
    def created_at(self) -> datetime: ...
    @property
    def finished_at(self) -> datetime | None: ...


def frontier_rows(
    info: FrontierInfo, limit: int | None = None, only: Collection[int] = (), say: Say = in_english
) -> list[dict[str, Cell]]:
    """Return one row a point, best first on the frontier; a column that says the same of every run is left out.

    Args:
        info: the plot.
        limit: how many rows at most.
        only: ids of runs, where not all are wanted.
        say: puts the cells' words, not the columns' names, into the reader's language.
    """
    order = {"frontier": 0, "tied": 1, "dominated": 2}
    sign = -1.0 if info.x.direction == "maximize" else 1.0
    points = sorted(info.points, key=lambda point: (order[point.standing], sign * (point.x.value or 0.0)))
    points = [point for point in points if not only or point.run.id in only][:limit]
    names = dict.fromkeys((info.x.name, info.y.name, *ALWAYS))
    rows = [_frontier_row(point, list(names), say) for point in points]
    axes = [column_title(axis) for axis in (info.x, info.y)]
    return without_constants(rows, keep={"Run", "Frontier", "Variant", *axes})


def run_rows(runs: Sequence[ListedRun], say: Say = in_english) -> list[dict[str, Cell]]:
    """Return one row a run of any status, in the order given, words in the reader's language."""
    return [
        {
            "Run": run.id,
            "Status": say(run.status.value),
            "Model": run.model,
            "Techniques": stack_name(run, say),
            "Backend": plain_name(run.backend),
            **_numbers(run, LISTED),
            "Study": run.study,
            "Ended": run.finished_at,
        }
        for run in runs
    ]


def without_constants(rows: list[dict[str, Cell]], keep: Collection[str]) -> list[dict[str, Cell]]:
    """Return the rows without the columns in which they are all alike; a single row is left as it is."""
    if len(rows) < 2:
        return rows
    first = rows[0]
    varying = {name for row in rows for name in row if name not in first or row[name] != first[name]}
    varying |= {name for name in first if any(name not in row for row in rows)} | set(keep)
    return [{name: cell for name, cell in row.items() if name in varying} for row in rows]


def _frontier_row(point: Point, names: Sequence[str], say: Say) -> dict[str, Cell]:
    run = point.run
    row: dict[str, Cell] = {
        "Run": run.id,
        "Frontier": say(STANDING_WORDS[point.standing]),
        "Model": run.model,
        "Variant": say("baseline") if point.is_baseline else stack_name(run, say),
        "Backend": plain_name(run.backend),
        **_numbers(run, names),
        "Against baseline": describe_change(run, say),
        "Noise": say(NOISY) if is_noisy(run) else "",
        "Study": run.study,
    }
    if run.techniques:
        row["Settings"] = run.techniques
    return row


def _numbers(run: MeasuredRun, names: Sequence[str]) -> dict[str, Cell]:
    cells: dict[str, Cell] = {}
    for name in names:
        metric, info = run.metrics.get(name), metric_info(name)
        cells[column_title(info)] = scaled(info, None if metric is None else metric.value)
    return cells
