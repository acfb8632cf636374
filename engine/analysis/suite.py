"""One variant over several models: suites are summed up by the geometric mean of their speed-ups."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import geometric_mean

from engine.analysis.answer import format_points
from engine.analysis.fields import NO_TECHNIQUE
from engine.analysis.frontier import MeasuredRun, is_baseline, variant_name
from engine.analysis.table import Cell
from engine.analysis.wording import Say, in_english
from engine.results import Context, Metric

FEWEST_MODELS = 2
SAME_CONDITIONS = ("scenario", "batch_size", "device", "machine", "threads")


@dataclass(frozen=True)
class AcrossModels:
    """What one variant buys over the models on which it was measured."""

    variant: str
    speedup: float
    """Geometric mean of the speed-ups, the latest run of each model (Fleming & Wallace 1986)."""
    worst_change: float | None
    """The largest loss of accuracy, ``None`` where one of the runs was not compared."""
    models: tuple[str, ...]


def same_conditions(contexts: Iterable[Context], chosen: Context) -> list[Context]:
    """Return the contexts that differ from the chosen one only in what was answered, not in how it was timed."""
    return [
        context
        for context in contexts
        if all(getattr(context, name) == getattr(chosen, name) for name in SAME_CONDITIONS)
    ]


def across_models(runs: Iterable[MeasuredRun]) -> list[AcrossModels]:
    """Return every variant measured on at least two models, the fastest first.

    Args:
        runs: finished runs of one machine, of any number of contexts; see :func:`same_conditions`.
    """
    latest: dict[str, dict[str, MeasuredRun]] = {}
    for run in sorted(runs, key=lambda run: run.id):
        if not is_baseline(run) and _speedup(run) > 0:
            latest.setdefault(variant_name(run), {})[run.model] = run
    found = [_across(variant, list(of.values())) for variant, of in latest.items() if len(of) >= FEWEST_MODELS]
    return sorted(found, key=lambda row: -row.speedup)


def suite_rows(found: Sequence[AcrossModels], say: Say = in_english) -> list[dict[str, Cell]]:
    """Return one row a variant for the table of the suite."""
    return [
        {
            "Variant": row.variant.replace(NO_TECHNIQUE, say(NO_TECHNIQUE)),
            "Speed-up": row.speedup,
            "Worst change": format_points(row.worst_change, say),
            "Models": len(row.models),
            "Measured on": ", ".join(row.models),
        }
        for row in found
    ]


def _across(variant: str, runs: Sequence[MeasuredRun]) -> AcrossModels:
    changes = [run.metrics.get("accuracy_change", Metric(value=None)).value for run in runs]
    known = [change for change in changes if change is not None]
    return AcrossModels(
        variant=variant,
        speedup=geometric_mean(_speedup(run) for run in runs),
        worst_change=min(known) if len(known) == len(runs) else None,
        models=tuple(sorted(run.model for run in runs)),
    )


def _speedup(run: MeasuredRun) -> float:
    """Return the speed-up, 0 where there is no finite one."""
    value = run.metrics.get("speedup", Metric(value=None)).value
    return value if value is not None and math.isfinite(value) else 0.0
