"""Tables to take away: one rectangular table, one row a run, whatever became of it, as CSV or Parquet."""

import csv
import gc
import io
import math
import re
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import islice
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
import orjson

from engine.analysis.exported import (
    PLACE_COLUMNS,
    Cell,
    ExportedRun,
    Numbers,
    OfRecord,
    Row,
    cells_of,
    frontier_ids,
    metric_cells,
    metric_columns,
    numbers_of_axes,
    own_cells,
    place_cells,
)
from engine.backends import BACKENDS
from engine.insight import LayerEffect
from engine.metrics import METRICS
from engine.results import RawData, RunRecord
from engine.techniques import TECHNIQUES

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001 - full-width signs count too
"""First characters that make a spreadsheet run a cell (OWASP, "CSV Injection")."""
NEEDS_QUOTES = re.compile(r'[",\r\n]')
LINE_END = "\r\n"
CHUNK_ROWS = 2000
RUN_COLUMNS = (
    "run", "status", "study", "on_frontier", "fingerprint", "task", "model", "dataset", "techniques", "backend",
    "effort", "batch_size", "seed", "created_at", "started_at", "finished_at", "attempt", "error_stage", "error_kind",
    "error", "warnings",
)  # fmt: skip
WHOLE = frozenset({"run", "batch_size", "seed", "attempt", "samples", "threads", "cores", "memory_bytes"})
"""Columns of whole numbers that every row has, or none."""


METRIC_COLUMNS, PLACE = "(metrics)", "(place)"
"""Stand for many columns side by side."""


class Written(str):
    """Cells as they stand in a line, with the commas between them."""

    __slots__ = ()


NOWHERE = Written("," * (len(PLACE_COLUMNS) - 1))


class CsvTable(NamedTuple):
    """A table as text that is too long to be copied without need."""

    pieces: list[str]
    """The header, then some lines each."""
    runs: int


def csv_text(records: Iterable[RunRecord]) -> str:
    """Return the whole table of records in the order given, as text; see :func:`csv_table`."""
    runs = [OfRecord(record) for record in records]
    contexts = {run.context_key: run.context for run in runs if run.context_key and run.context}
    return "".join(csv_table(runs, frontier_ids(numbers_of_axes(runs), contexts)).pieces)


def csv_table(runs: Iterable[ExportedRun], on_frontier: Collection[int]) -> CsvTable:
    """Return the header and one line a run (RFC 4180).

    Units are the suffixes of the column names (``_ms``, ``_s``, ``_bytes``, ``_per_s``); shares, ratios and counts have
    none. Times are ISO 8601 in UTC. Text that a spreadsheet would run as a formula gets an apostrophe in front. Runs
    are read once and not kept, only their text is; a column that a later run brings is added behind the others.

    Args:
        runs: in the order in which they are written.
        on_frontier: ids of those that no run of their context beats, on the cost of its scenario and its own metric.
    """
    columns = dict.fromkeys([*RUN_COLUMNS, *_parameter_columns(), METRIC_COLUMNS, PLACE])
    chunks: deque[tuple[int, list[str]]] = deque()
    left, written = iter(runs), _Writer()
    with _no_garbage():
        while part := list(islice(left, CHUNK_ROWS)):
            rows = [written.row(run, on_frontier=run.id in on_frontier) for run in part]
            for shape in dict.fromkeys(map(tuple, rows)):
                columns |= dict.fromkeys(shape)
            chunks.append((len(columns), _lines(rows, columns)))
    pieces, count = [_header(columns) + LINE_END], 0
    while chunks:  # each is let go as soon as it is written
        width, lines = chunks.popleft()
        end = "," * (len(columns) - width) + LINE_END
        pieces.append(end.join([*lines, ""]))
        count += len(lines)
    return CsvTable(pieces, count)


class _Shape(NamedTuple):
    """How runs that have the same metrics are written."""

    known: list[str]
    unknown: list[str]
    """Metrics of another release, which stand in columns of their own."""
    pattern: str

    @classmethod
    def of(cls, names: Collection[str]) -> "_Shape":
        pattern = ",".join("%s" if info.name in names else ",,," for info in METRICS)
        known = [info.name for info in METRICS if info.name in names]
        return cls(known, [name for name in names if name not in METRICS], pattern)

    def write(self, numbers: Mapping[str, Numbers]) -> Written:
        """Write what each metric is, four numbers, into its four columns."""
        if not self.known:
            return Written(self.pattern)
        text = orjson.dumps([numbers[name] for name in self.known])  # [[1.5,1.4,1.6,9],[0.8,null,null,null]]
        return Written(self.pattern % tuple(text[2:-2].replace(b"null", b"").decode().split("],[")))


class _Writer:
    """Brings a run into cells, those that stand side by side in every row as one piece that is written already."""

    def __init__(self) -> None:
        self._shapes: dict[tuple[str, ...], _Shape] = {}
        self._places: dict[tuple[str | None, int], tuple[Mapping[str, Any] | None, Written]] = {}

    def row(self, run: ExportedRun, *, on_frontier: bool) -> Row:
        cells, numbers = own_cells(run, on_frontier=on_frontier), run.metrics
        names = tuple(numbers)  # many runs have the same metrics
        shape = self._shapes.get(names)
        if shape is None:
            shape = self._shapes[names] = _Shape.of(names)
        cells[METRIC_COLUMNS] = shape.write(numbers)
        if shape.unknown:
            cells |= metric_cells({name: numbers[name] for name in shape.unknown})
        cells[PLACE] = NOWHERE if run.context is None else self._place(run, run.context)
        return cells

    def _place(self, run: ExportedRun, context: Mapping[str, Any]) -> Written:
        key = run.context_key, id(run.environment)
        known = self._places.get(key)
        if known is None or known[0] is not run.environment:
            text = Written(_line(place_cells(run, context).values()))
            known = self._places[key] = run.environment, text  # held, so that no other gets its id
        return known[1]


@contextmanager
def _no_garbage() -> Iterator[None]:
    """Keep the collector from going through rows that hold no cycle: an eighth of a large export."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


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
    rows = [LayerEffect.model_fields, *(layer.model_dump().values() for layer in layers)]
    return "".join(_line(row) + LINE_END for row in rows)


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
    return [*RUN_COLUMNS, *_parameter_columns(), *_metric_columns(), *PLACE_COLUMNS]


def _metric_columns() -> list[str]:
    return [column for info in METRICS for column in metric_columns(info.name)]


def _parameter_columns() -> list[str]:
    techniques = [f"{entry.name}.{field}" for entry in TECHNIQUES for field in entry.config_type.model_fields]
    backends = [f"{entry.name}.{field}" for entry in BACKENDS for field in entry.options_type.model_fields]
    return techniques + backends


def _lines(rows: Sequence[Row], columns: Collection[str]) -> list[str]:
    """Return each row's line without its end; columns that a row does not have cost it nothing."""
    forms: dict[tuple[str, ...], tuple[str, Callable[[Row], Sequence[Cell]]]] = {}
    # As in _text, without a call for each of ten million cells, and with a look at whole lines for what is no number.
    writer = {**_WRITE, float: repr}.get
    lines = []
    for row in rows:
        shape = tuple(row)  # many rows have the same cells
        if shape not in forms:
            pattern = ",".join("%s" if name in row else "" for name in columns)
            forms[shape] = pattern, itemgetter(*(name for name in columns if name in row))
        pattern, cells = forms[shape]
        line = pattern % tuple([writer(type(cell), _of_other)(cell) for cell in cells(row)])
        if ",nan" in line or ",inf" in line or ",-inf" in line:  # or a text that looks like one
            line = pattern % tuple([_text(cell) for cell in cells(row)])
        lines.append(line)
    return lines


def _header(columns: Iterable[str]) -> str:
    pieces = {METRIC_COLUMNS: _metric_columns(), PLACE: PLACE_COLUMNS}
    return _line(name for column in columns for name in pieces.get(column, (column,)))


def _line(cells: Iterable[object]) -> str:
    return ",".join(map(_text, cells))


def _text(cell: object) -> str:
    """Return a cell as it is written: nothing for what is missing or not finite, a float with all its digits."""
    return _WRITE.get(type(cell), _of_other)(cell)


def _of_float(number: float) -> str:
    return repr(number) if math.isfinite(number) else ""


@lru_cache(maxsize=4096)
def _of_text(text: str) -> str:
    safe = neutralise(text)
    return '"' + safe.replace('"', '""') + '"' if NEEDS_QUOTES.search(safe) else safe


def _of_other(value: object) -> str:
    return _of_text(str(value))


_WRITE: Mapping[type, Callable[[Any], str]] = {
    float: _of_float,
    int: repr,
    str: _of_text,
    Written: lambda cells: cells,
    bool: lambda truth: "true" if truth else "false",
    type(None): lambda _: "",
}


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
