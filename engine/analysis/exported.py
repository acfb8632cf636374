"""One run as cells of a wide table, from plain documents, so that a hundred thousand of them take seconds."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Protocol

import numpy as np

from engine.analysis.frontier import DEFAULT_X, default_x
from engine.analysis.pareto import frontier_mask
from engine.metrics import METRICS
from engine.results import RunRecord, flat_metrics

Cell = str | int | float | bool | None
Row = dict[str, Cell]
Numbers = tuple[float | None, float | None, float | None, int | None]
"""Value, lower and upper end of its 95 % interval, sample size."""
Moment = datetime | str | None
"""A time, or how it is written: ``"2026-03-01T12:30:15.250Z"``."""
CONTEXT_COLUMNS = ("split", "samples", "scenario", "input_shape", "device", "threads")
ENVIRONMENT_COLUMNS = (
    "machine", "cpu_model", "isa_flags", "cores", "affinity", "governor", "memory_bytes", "memory_limit_bytes",
    "platform", "python", "provider", "load_average", "source_revision",
)  # fmt: skip
PLACE_COLUMNS = ("context", *CONTEXT_COLUMNS, "frontier_metric", *ENVIRONMENT_COLUMNS)


class ExportedRun(Protocol):
    """A run of any status as plain documents; the store has it, and a record can be brought into this form."""

    @property
    def id(self) -> int: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def study(self) -> str | None: ...
    @property
    def status(self) -> str: ...
    @property
    def attempt(self) -> int: ...
    @property
    def created_at(self) -> Moment: ...
    @property
    def started_at(self) -> Moment: ...
    @property
    def finished_at(self) -> Moment: ...
    @property
    def spec(self) -> Mapping[str, Any]: ...
    @property
    def error(self) -> Mapping[str, Any] | None: ...
    @property
    def warnings(self) -> Sequence[str]: ...
    @property
    def context_key(self) -> str | None: ...
    @property
    def context(self) -> Mapping[str, Any] | None: ...
    @property
    def environment(self) -> Mapping[str, Any] | None: ...
    @property
    def extras(self) -> Mapping[str, Any]: ...
    @property
    def metrics(self) -> Mapping[str, Numbers]: ...


class Measured(Protocol):
    """What tells which runs are on a frontier; the store has it."""

    def contexts_by_key(self) -> Mapping[str, Mapping[str, Any]]: ...
    def values(self, names: Sequence[str]) -> Iterable[tuple[int, str, str, float | None]]: ...


class OfRecord:
    """A record in the form in which it is exported."""

    def __init__(self, record: RunRecord) -> None:
        result = record.result
        self.id, self.fingerprint, self.study = record.id, record.fingerprint, record.study
        self.status, self.attempt = record.status.value, record.attempt
        self.created_at, self.started_at, self.finished_at = record.created_at, record.started_at, record.finished_at
        self.spec: Mapping[str, Any] = record.spec.model_dump(mode="json")
        self.error: Mapping[str, Any] | None = None if record.error is None else record.error.model_dump()
        self.warnings = [] if result is None else [warning.code for warning in result.warnings]
        self.context_key = None if result is None else result.context.key
        self.context: Mapping[str, Any] | None = None if result is None else result.context.model_dump(mode="json")
        self.environment: Mapping[str, Any] | None = None if result is None else result.environment.model_dump()
        self.extras: Mapping[str, Any] = {}
        self.metrics: Mapping[str, Numbers] = {}
        if result is not None:
            self.extras = {
                "timing": None if result.timing is None else result.timing.model_dump(),
                "disturbance": None if result.disturbance is None else result.disturbance.model_dump(),
                "why": None if result.explanation is None else result.explanation.sentence,
                "flops": result.steps[-1].flops if result.steps else None,
                "stages": [stage.model_dump() for stage in result.stages],
            }
            self.metrics = {
                name: (metric.value, *(metric.ci95 or (None, None)), metric.n)
                for name, metric in flat_metrics(result).items()
            }


def cells_of(run: ExportedRun, *, on_frontier: bool) -> Row:
    """Return every cell of a run by the name of its column."""
    row = own_cells(run, on_frontier=on_frontier)
    if run.context is not None:
        row |= place_cells(run, run.context)
    return row | metric_cells(run.metrics)


def own_cells(run: ExportedRun, *, on_frontier: bool) -> Row:
    """Return the cells of a run that are neither its metrics nor where and under which conditions it was measured."""
    spec = run.spec
    row: Row = {
        "run": run.id,
        "status": run.status,
        "study": run.study,
        "on_frontier": on_frontier,
        "fingerprint": run.fingerprint,
        "task": spec["task"],
        "model": spec["model"],
        "dataset": spec["dataset"],
        "techniques": " + ".join(_label(choice) for choice in spec["techniques"]),
        "backend": spec["backend"]["name"],
        "effort": spec["effort"],
        "batch_size": spec["batch_size"],
        "seed": spec["seed"],
        "created_at": _iso(run.created_at),
        "started_at": _iso(run.started_at),
        "finished_at": _iso(run.finished_at),
        "attempt": run.attempt,
    }
    seen: dict[str, int] = {}
    for choice in (*spec["techniques"], spec["backend"]):
        name = choice["name"]
        seen[name] = seen.get(name, 0) + 1
        prefix = name if seen[name] == 1 else f"{name}#{seen[name]}"
        for parameter, value in choice["params"].items():
            row[f"{prefix}.{parameter}"] = value
    if run.error is not None:
        row |= {"error_stage": run.error["stage"], "error_kind": run.error["kind"], "error": run.error["message"]}
    if run.context is not None:
        row["warnings"] = "; ".join(run.warnings)
        _add_versions(row, run.environment or {})
        _add_extras(row, run.extras)
    return row


def metric_cells(metrics: Mapping[str, Numbers]) -> Row:
    """Return the cells of metrics."""
    row: Row = {}
    for name, (value, low, high, count) in metrics.items():
        column, low_column, high_column, count_column = metric_columns(name)
        row[column] = value
        if low is not None and high is not None:
            row[low_column], row[high_column] = low, high
        if count is not None:
            row[count_column] = count
    return row


def place_cells(run: ExportedRun, context: Mapping[str, Any]) -> Row:
    """Return where and under which conditions a run was measured, in the order of :data:`PLACE_COLUMNS`."""
    environment = run.environment or {}
    affinity = environment.get("affinity")
    return {
        "context": run.context_key,
        **{name: context[name] for name in CONTEXT_COLUMNS},
        "frontier_metric": context["metric"],
        **{name: environment.get(name) for name in ENVIRONMENT_COLUMNS},
        "isa_flags": " ".join(environment.get("isa_flags") or ()),
        "affinity": None if affinity is None else " ".join(map(str, affinity)),
    }


def numbers_of_axes(runs: Iterable[ExportedRun]) -> list[tuple[int, str, float | None, float | None]]:
    """Return id, context and both numbers by which each run's place is judged; see :func:`axes`."""
    found = []
    for run in runs:
        if run.context is not None and run.context_key is not None:
            x, y = axes(run.context)
            values = [run.metrics[name][0] if name in run.metrics else None for name in (x, y)]
            found.append((run.id, run.context_key, values[0], values[1]))
    return found


def axes(context: Mapping[str, Any]) -> tuple[str, str]:
    """Return the metrics of cost and of quality by which runs of a context are judged."""
    try:
        cost = default_x(str(context["scenario"]))
    except LookupError:
        cost = DEFAULT_X
    return cost, str(context["metric"])


def on_frontier(store: Measured) -> set[int]:
    """Return the runs that no other run of their context beats, reading no more of each than two numbers."""
    contexts = store.contexts_by_key()
    wanted = {key: axes(context) for key, context in contexts.items()}
    found: dict[int, dict[str, float | None]] = {}
    places: dict[int, str] = {}
    for run_id, key, name, value in store.values(sorted({name for pair in wanted.values() for name in pair})):
        places[run_id] = key
        found.setdefault(run_id, {})[name] = value
    numbers = [
        (run_id, key, found[run_id].get(wanted[key][0]), found[run_id].get(wanted[key][1]))
        for run_id, key in places.items()
    ]
    return frontier_ids(numbers, contexts)


def frontier_ids(
    numbers: Iterable[tuple[int, str, float | None, float | None]], contexts: Mapping[str, Mapping[str, Any]]
) -> set[int]:
    """Return the runs that no other run of their context beats.

    Args:
        numbers: id, context, cost and quality of each run.
        contexts: the contexts by their keys.
    """
    by_context: dict[str, list[tuple[int, float | None, float | None]]] = {}
    for run_id, key, x, y in numbers:
        by_context.setdefault(key, []).append((run_id, x, y))
    found: set[int] = set()
    for key, members in by_context.items():
        cost, quality = (METRICS.get(name) if name in METRICS else None for name in axes(contexts[key]))
        xs, ys = (np.array([row[place] for row in members], dtype=np.float64) for place in (1, 2))
        ways = ((cost and cost.direction) or "minimize", (quality and quality.direction) or "maximize")
        mask = frontier_mask(xs, ys, *ways)
        found |= {row[0] for row, is_on in zip(members, mask.tolist(), strict=True) if is_on}
    return found


def _add_extras(row: Row, extras: Mapping[str, Any]) -> None:
    for prefix in ("timing", "disturbance"):
        for name, value in (extras.get(prefix) or {}).items():
            row[f"{prefix}_{name}"] = value
    for name in ("why", "flops"):
        if extras.get(name) is not None:
            row[name] = extras[name]
    for stage in extras.get("stages") or ():
        row[f"stage_{stage['name']}_s"] = stage["seconds"]


@lru_cache(maxsize=4096)
def metric_columns(name: str) -> tuple[str, str, str, str]:
    """Return the columns of a metric: value, both ends of its interval, sample size."""
    return name, f"{name}_ci95_low", f"{name}_ci95_high", f"{name}_n"


def _add_versions(row: Row, environment: Mapping[str, Any]) -> None:
    for name, version in (environment.get("versions") or {}).items():
        row[f"version_{name}"] = version


def _label(choice: Mapping[str, Any]) -> str:
    params = choice["params"]
    if not params:
        return str(choice["name"])
    return f"{choice['name']}({', '.join(f'{key}={value}' for key, value in params.items())})"


def _iso(moment: Moment) -> str | None:
    if moment is None or isinstance(moment, str):
        return moment
    if moment.tzinfo not in (None, UTC):
        moment = moment.astimezone(UTC)
    return moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
