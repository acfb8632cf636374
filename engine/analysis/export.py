"""The CSV: one rectangular table, one row a run, whatever became of it, with every parameter and every number."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from engine.analysis.frontier import default_x
from engine.analysis.pareto import frontier_mask
from engine.backends import BACKENDS
from engine.insight import LayerEffect
from engine.metrics import METRICS
from engine.results import Environment, Metric, RawData, RunRecord, RunResult, flat_metrics
from engine.spec import Choice
from engine.techniques import TECHNIQUES

Cell = str | int | float | bool | None
Row = dict[str, Cell]

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001 - full-width signs count too
"""First characters that make a spreadsheet run a cell (OWASP, "CSV Injection")."""

RUN_COLUMNS = (
    "run", "status", "study", "on_frontier", "fingerprint", "task", "model", "dataset", "techniques", "backend",
    "effort", "batch_size", "seed", "created_at", "started_at", "finished_at", "attempt", "error_stage", "error_kind",
    "error", "warnings",
)  # fmt: skip
CONTEXT_COLUMNS = ("context", "split", "samples", "scenario", "input_shape", "device", "threads")
ENVIRONMENT_COLUMNS = (
    "machine", "cpu_model", "isa_flags", "cores", "affinity", "governor", "memory_bytes", "memory_limit_bytes",
    "platform", "python", "provider", "load_average", "source_revision",
)  # fmt: skip


def csv_text(records: Iterable[RunRecord]) -> str:
    """Return the whole table as text; see :func:`csv_lines`."""
    return "".join(csv_lines(records))


def csv_lines(records: Iterable[RunRecord]) -> Iterator[str]:
    """Yield the header and one line a run, in the order given.

    Units are the suffixes of the column names (``_ms``, ``_s``, ``_bytes``, ``_per_s``); shares, ratios and counts have
    none. Times are ISO 8601 in UTC. ``on_frontier`` is worked out for each context over all of its runs, on latency
    p50 and the context's own metric. Text that a spreadsheet would run as a formula gets an apostrophe in front.

    Records are read once and not kept; only their cells are.
    """
    rows = [_row(record) for record in records]
    _mark_frontier(rows)
    columns = _columns(rows)
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_written(row.get(column)) for column in columns])
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()
    if not rows:
        yield buffer.getvalue()


def layers_csv(layers: Sequence[LayerEffect]) -> str:
    """Return one line a layer: name, operators, time, share, size, error against the parent, sensitivity."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n")
    writer.writerow(LayerEffect.model_fields)
    writer.writerows([_written(cell) for cell in layer.model_dump().values()] for layer in layers)
    return buffer.getvalue()


def samples_csv(raw: RawData) -> str:
    """Return one line a scored sample: its position, true class, and what run and baseline answered."""
    names = [name for name in ("labels", "predictions", "baseline_predictions") if name in raw.arrays]
    columns: dict[str, np.ndarray[Any, Any]] = {name: raw.arrays[name] for name in names}
    count = max((len(column) for column in columns.values()), default=0)
    return _arrays_csv({"sample": np.arange(count), **columns})


def latency_csv(raw: RawData) -> str:
    """Return one line a timed query that was kept: side, process, seconds."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n")
    writer.writerow(("side", "process", "latency_s"))
    for side in ("candidate", "baseline"):
        seconds = raw.arrays.get(f"{side}_latency_s", np.zeros(0))
        process = raw.arrays.get(f"{side}_process", np.zeros(len(seconds), dtype=np.int64))
        writer.writerows(zip([side] * len(seconds), process.tolist(), seconds.tolist(), strict=True))
    return buffer.getvalue()


def _arrays_csv(columns: Mapping[str, "np.ndarray[Any, Any]"]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n")
    writer.writerow(columns)
    writer.writerows(zip(*(column.tolist() for column in columns.values()), strict=True))
    return buffer.getvalue()


def neutralise(text: str) -> str:
    """Return ``text`` so that no spreadsheet takes it for a formula; a number stays as it is."""
    if not text.startswith(FORMULA_STARTS):
        return text
    try:
        float(text)
    except ValueError:
        return "'" + text
    return text


def _columns(rows: list[Row]) -> list[str]:
    """Return the columns: the fixed ones, every known parameter, and whatever else some run has."""
    present = dict.fromkeys(column for row in rows for column in row)
    metrics = [
        column for info in METRICS for column in _metric_columns(info.name) if column in present or column == info.name
    ]
    context = [*CONTEXT_COLUMNS, "frontier_metric"]
    known = [*RUN_COLUMNS, *_parameter_columns(), *metrics, *context, *ENVIRONMENT_COLUMNS]
    return [*known, *sorted(present.keys() - set(known))]


def _metric_columns(name: str) -> tuple[str, str, str, str]:
    return name, f"{name}_ci95_low", f"{name}_ci95_high", f"{name}_n"


def _parameter_columns() -> list[str]:
    techniques = [f"{entry.name}.{field}" for entry in TECHNIQUES for field in entry.config_type.model_fields]
    backends = [f"{entry.name}.{field}" for entry in BACKENDS for field in entry.options_type.model_fields]
    return techniques + backends


def _row(record: RunRecord) -> Row:
    spec = record.spec
    row: Row = {
        "run": record.id,
        "status": record.status.value,
        "study": record.study,
        "on_frontier": False,
        "fingerprint": record.fingerprint,
        "task": spec.task.value,
        "model": spec.model,
        "dataset": spec.dataset,
        "techniques": " + ".join(choice.label() for choice in spec.techniques),
        "backend": spec.backend.name,
        "effort": spec.effort.value,
        "batch_size": spec.batch_size,
        "seed": spec.seed,
        "created_at": _iso(record.created_at),
        "started_at": _iso(record.started_at),
        "finished_at": _iso(record.finished_at),
        "attempt": record.attempt,
    }
    for position, choice in enumerate(spec.techniques):
        earlier = sum(other.name == choice.name for other in spec.techniques[:position])
        row |= _parameters(choice, f"{choice.name}#{earlier + 1}" if earlier else choice.name)
    row |= _parameters(spec.backend, spec.backend.name)
    if record.error is not None:
        row |= {"error_stage": record.error.stage, "error_kind": record.error.kind, "error": record.error.message}
    if record.result is not None:
        row |= _result_cells(record.result)
    return row


def _parameters(choice: Choice, prefix: str) -> Row:
    return {f"{prefix}.{name}": value for name, value in choice.params.items()}


def _result_cells(result: RunResult) -> Row:
    context = result.context
    row: Row = {
        "warnings": "; ".join(warning.code for warning in result.warnings),
        "context": context.key,
        **{name: getattr(context, name) for name in CONTEXT_COLUMNS[1:]},
        **_environment_cells(result.environment),
        "frontier_metric": context.metric,
    }
    for name, metric in flat_metrics(result).items():
        row |= _metric_cells(name, metric)
    for prefix, part in (("timing", result.timing), ("disturbance", result.disturbance)):
        if part is not None:
            row |= {f"{prefix}_{name}": value for name, value in part.model_dump().items()}
    if result.explanation is not None:
        row["why"] = result.explanation.sentence
    if result.steps:
        row["flops"] = result.steps[-1].flops
    for stage in result.stages:
        row[f"stage_{stage.name}_s"] = stage.seconds
    return row


def _metric_cells(name: str, metric: Metric) -> Row:
    value_column, low, high, count = _metric_columns(name)
    cells: Row = {value_column: metric.value}
    if metric.ci95 is not None:
        cells |= {low: metric.ci95[0], high: metric.ci95[1]}
    if metric.n is not None:
        cells[count] = metric.n
    return cells


def _environment_cells(environment: Environment) -> Row:
    cells: dict[str, Any] = {name: getattr(environment, name) for name in ENVIRONMENT_COLUMNS}
    cells["isa_flags"] = " ".join(environment.isa_flags)
    cells["affinity"] = None if environment.affinity is None else " ".join(map(str, environment.affinity))
    return cells | {f"version_{name}": version for name, version in environment.versions.items()}


def _mark_frontier(rows: list[Row]) -> None:
    by_context: dict[Cell, list[Row]] = {}
    for row in rows:
        if row.get("context") is not None:
            by_context.setdefault(row["context"], []).append(row)
    for members in by_context.values():
        metric = str(members[0]["frontier_metric"])
        way = METRICS.get(metric).direction if metric in METRICS else None
        cost = METRICS.get(default_x(str(members[0]["scenario"])))
        x, y = _numbers(members, cost.name), _numbers(members, metric)
        for row, on_it in zip(
            members, frontier_mask(x, y, cost.direction or "minimize", way or "maximize"), strict=True
        ):
            row["on_frontier"] = bool(on_it)


def _numbers(rows: list[Row], column: str) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    values = [row.get(column) for row in rows]
    return np.asarray([value if isinstance(value, int | float) else np.nan for value in values], dtype=np.float64)


def _iso(moment: datetime | None) -> str | None:
    if moment is None:
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return aware.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _written(cell: Cell) -> str:
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float):
        return repr(cell) if np.isfinite(cell) else ""
    return neutralise(cell) if isinstance(cell, str) else str(cell)
