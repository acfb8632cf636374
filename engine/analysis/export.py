"""Tables to take away: one rectangular table, one row a run, whatever became of it, as CSV or Parquet."""

import csv
import io
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np

from engine.analysis.exported import (
    CONTEXT_COLUMNS,
    ENVIRONMENT_COLUMNS,
    Cell,
    ExportedRun,
    OfRecord,
    Row,
    cells_of,
    frontier_ids,
    metric_columns,
    numbers_of_axes,
)
from engine.backends import BACKENDS
from engine.insight import LayerEffect
from engine.metrics import METRICS
from engine.results import RawData, RunRecord
from engine.techniques import TECHNIQUES

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001 - full-width signs count too
"""First characters that make a spreadsheet run a cell (OWASP, "CSV Injection")."""
CHUNK_ROWS = 2000
RUN_COLUMNS = (
    "run", "status", "study", "on_frontier", "fingerprint", "task", "model", "dataset", "techniques", "backend",
    "effort", "batch_size", "seed", "created_at", "started_at", "finished_at", "attempt", "error_stage", "error_kind",
    "error", "warnings",
)  # fmt: skip
WHOLE = frozenset({"run", "batch_size", "seed", "attempt", "samples", "threads", "cores", "memory_bytes"})
"""Columns of whole numbers that every row has, or none."""


def csv_text(records: Iterable[RunRecord]) -> str:
    """Return the whole table as text; see :func:`csv_lines`."""
    return "".join(csv_lines(records))


def csv_lines(records: Iterable[RunRecord]) -> Iterator[str]:
    """Yield the header and the lines of the runs in the order given; see :func:`csv_chunks`."""
    runs = [OfRecord(record) for record in records]
    contexts = {run.context_key: run.context for run in runs if run.context_key and run.context}
    yield from csv_chunks(runs, frontier_ids(numbers_of_axes(runs), contexts))


def csv_chunks(runs: Iterable[ExportedRun], on_frontier: Collection[int]) -> list[str]:
    """Return the header and one line a run, in pieces.

    Units are the suffixes of the column names (``_ms``, ``_s``, ``_bytes``, ``_per_s``); shares, ratios and counts have
    none. Times are ISO 8601 in UTC. Text that a spreadsheet would run as a formula gets an apostrophe in front. Runs
    are read once and not kept, only their text is; a column that a later run brings is added behind the others.

    Args:
        runs: in the order in which they are written.
        on_frontier: ids of those that no run of their context beats, on the cost of its scenario and its own metric.
    """
    columns = dict.fromkeys(_known_columns())
    pieces: list[tuple[int, str]] = []
    left = iter(runs)
    while part := list(islice(left, CHUNK_ROWS)):
        rows = [cells_of(run, on_frontier=run.id in on_frontier) for run in part]
        for row in rows:
            columns |= dict.fromkeys(row)
            _make_writable(row)
        pieces.append((len(columns), _lines(map(row.get, columns) for row in rows)))
    header = _lines([list(columns)])
    return [header, *(text if width == len(columns) else _widened(text, len(columns)) for width, text in pieces)]


def parquet_bytes(runs: Iterable[ExportedRun], on_frontier: Collection[int]) -> bytes:
    """Return the same table as Parquet: numbers as numbers, parameters and all else as text."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [cells_of(run, on_frontier=run.id in on_frontier) for run in runs]
    columns = dict.fromkeys(_known_columns())
    for row in rows:
        columns |= dict.fromkeys(row)
    arrays = {name: _column(name, [row.get(name) for row in rows]) for name in columns}
    buffer = io.BytesIO()
    pq.write_table(pa.table(arrays), buffer, compression="zstd")
    return buffer.getvalue()


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


def _known_columns() -> list[str]:
    """Return the fixed columns, every known parameter and every metric of the registry."""
    metrics = [column for info in METRICS for column in metric_columns(info.name)]
    context = ["context", *CONTEXT_COLUMNS, "frontier_metric"]
    return [*RUN_COLUMNS, *_parameter_columns(), *metrics, *context, *ENVIRONMENT_COLUMNS]


def _parameter_columns() -> list[str]:
    techniques = [f"{entry.name}.{field}" for entry in TECHNIQUES for field in entry.config_type.model_fields]
    backends = [f"{entry.name}.{field}" for entry in BACKENDS for field in entry.options_type.model_fields]
    return techniques + backends


def _lines(rows: Iterable[Iterable[object]]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\r\n").writerows(rows)
    return buffer.getvalue()


def _widened(text: str, width: int) -> str:
    """Return lines with empty cells for the columns that later runs brought."""
    read = csv.reader(io.StringIO(text, newline=""))
    return _lines([*row, *[""] * (width - len(row))] for row in read)


def _make_writable(row: Row) -> None:
    """Replace in place what the writer would write otherwise; it leaves ``None`` empty and floats whole."""
    for name, cell in row.items():
        kind = type(cell)
        if kind is not int and (kind is not float or not math.isfinite(cell)):  # type: ignore[arg-type]
            row[name] = _written(cell)


def _written(cell: Cell) -> Cell:
    """Return a cell as the writer takes it; it writes a float with all its digits."""
    if cell is None:
        return ""
    if isinstance(cell, str):
        return neutralise(cell)
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float) and not math.isfinite(cell):
        return ""
    return cell


def _column(name: str, cells: list[Cell]) -> Any:
    import pyarrow as pa

    present = [cell for cell in cells if cell is not None]
    if name in WHOLE:
        return pa.array(cells, pa.int64())
    if all(isinstance(cell, bool) for cell in present):
        return pa.array(cells, pa.bool_())
    if all(isinstance(cell, int | float) and not isinstance(cell, bool) for cell in present):
        return pa.array(cells, pa.float64())
    texts = [None if cell is None else str(cell).lower() if isinstance(cell, bool) else str(cell) for cell in cells]
    return pa.array(texts, pa.string())
