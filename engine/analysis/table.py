"""Rows of tables: what stands under the plot, in the list of runs and at the head of one run."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from engine.analysis import tokens
from engine.analysis.answer import (
    describe_change,
    format_ms_interval,
    format_points,
    format_ratio_interval,
    format_share_interval,
)
from engine.analysis.frontier import FrontierInfo, MeasuredRun, Point, plain_name, stack_name
from engine.insight import LayerEffect, OperatorShare
from engine.metrics import METRICS
from engine.results import Footprint, LatencySummary, Metric, RunResult, Status, flat_metrics
from engine.spec import Frozen
from engine.units import (
    MISSING,
    format_bytes,
    format_count,
    format_joules,
    format_ms,
    format_ratio,
    format_seconds,
    format_share,
)

Cell = str | int | float | bool | datetime | None
NEEDED_SAMPLES = {"p50": 11, "p90": 64, "p95": 130, "p99": 662}
"""Samples that carry a percentile at 99 % confidence with one to spare (MLPerf LoadGen's early stopping)."""
STANDING_WORDS = {"frontier": "on it", "tied": "tied", "dominated": "beaten"}


class ListedRun(MeasuredRun, Protocol):
    """A run of any status, as the store's summaries have it."""

    @property
    def status(self) -> Status: ...
    @property
    def created_at(self) -> datetime: ...
    @property
    def finished_at(self) -> datetime | None: ...


class HeadlineNumber(Frozen):
    """One number at the head of a run's page."""

    title: str
    value: str
    note: str
    help: str = ""


def frontier_rows(info: FrontierInfo) -> list[dict[str, Cell]]:
    """Return one row a point, best first on the frontier, for the table under the plot."""
    order = {"frontier": 0, "tied": 1, "dominated": 2}
    points = sorted(info.points, key=lambda point: (order[point.standing], point.metric("latency_p50_ms").value or 0.0))
    rows = [_frontier_row(point, info) for point in points]
    several = len({point.run.model for point in points}) > 1
    return rows if several else [{name: cell for name, cell in row.items() if name != "Model"} for row in rows]


def run_rows(runs: Sequence[ListedRun]) -> list[dict[str, Cell]]:
    """Return one row a run of any status, the newest first."""
    return [
        {
            "Run": run.id,
            "Status": run.status.value,
            "Model": run.model,
            "Techniques": stack_name(run),
            "Backend": plain_name(run.backend),
            "Latency p50, ms": _value(run, "latency_p50_ms"),
            "Speed-up": _value(run, "speedup"),
            "Accuracy, %": _percent(_value(run, "accuracy")),
            "Study": run.study,
            "Ended": run.finished_at,
        }
        for run in sorted(runs, key=lambda run: -run.id)
    ]


def headline(result: RunResult) -> list[HeadlineNumber]:
    """Return the four numbers that say what a run is worth, each with its interval."""
    flat = flat_metrics(result)
    change = result.accuracy_change
    verdict = "tied" if not change.is_different else "better" if change.value > 0 else "worse"
    median, baseline_ms = (
        _percentile(of, "p50", NEEDED_SAMPLES["p50"]) for of in (result.latency, result.baseline.latency)
    )
    if result.latency.p50_ms is not None:
        median = format_ms_interval(flat["latency_p50_ms"])
    return [
        _number("Speed-up", format_ratio_interval(flat["speedup"]), f"baseline {baseline_ms}"),
        _number(*_latency_words(result, median)),
        _number("Accuracy", format_share_interval(flat["accuracy"]), f"{format_points(change.value)}, {verdict}")
        if "accuracy" in flat
        else HeadlineNumber(title="Accuracy", value=MISSING, note=""),
        HeadlineNumber(
            title="Size on disk",
            value=format_bytes(result.footprint.size_bytes),
            note=f"baseline {format_bytes(result.baseline.footprint.size_bytes)}",
        ),
    ]


def percentile_rows(result: RunResult) -> list[tuple[str, str, str]]:
    """Return percentile, this run, baseline; where the sample cannot carry one, how many samples it needs."""
    rows = []
    for name, needed in NEEDED_SAMPLES.items():
        mine, base = (_percentile(summary, name, needed) for summary in (result.latency, result.baseline.latency))
        rows.append((name, mine, base))
    for name in ("mean", "std", "min", "max"):
        mine, base = (
            format_ms(getattr(summary, f"{name}_ms")) for summary in (result.latency, result.baseline.latency)
        )
        rows.append((name, mine, base))
    return rows


def scenario_rows(result: RunResult) -> list[tuple[str, str, str]]:
    """Return title, this run, baseline of what only this scenario says; empty for a single stream.

    The batch size that a side is judged by is marked.
    """
    rows: list[tuple[str, str, str]] = []
    if result.offline is not None:
        offline = result.offline
        for size in sorted(offline.rates.keys() | offline.baseline_rates.keys()):
            mine = _rate(offline.rates.get(size), best=size == offline.batch_size)
            base = _rate(offline.baseline_rates.get(size), best=size == offline.baseline_batch_size)
            rows.append((f"Batches of {size}", mine, base))
        best = max((entry.rate_per_s for entry in offline.layouts), default=0.0)
        for entry in offline.layouts:
            title = entry.layout.title
            rows.append((title[0].upper() + title[1:], _rate(entry.rate_per_s, best=entry.rate_per_s == best), MISSING))
    if result.server is not None:
        server = result.server
        title = "Highest rate" if server.searched else "Asked rate"
        rows.append((title, _rate(server.rate_per_s), _rate(server.baseline_rate_per_s)))
        within = f"{server.percentile:.0f} % within {format_ms(server.bound_ms)}"
        mine, base = ("kept" if met else "not kept" for met in (server.met, server.baseline_met))
        rows.append((within, mine, base))
    for name, metric in result.generation.items():
        theirs = result.baseline.generation.get(name)
        title = METRICS.get(name).title if name in METRICS else name
        rows.append((title, _text(name, metric), MISSING if theirs is None else _text(name, theirs)))
    return rows


def quality_rows(result: RunResult) -> list[tuple[str, str, str]]:
    """Return title, this run, baseline for every quality metric, each with its interval."""
    rows = []
    for name, metric in result.metrics.items():
        title = METRICS.get(name).title if name in METRICS else name
        base = result.baseline.metrics.get(name)
        rows.append((title, _text(name, metric), MISSING if base is None else _text(name, base)))
    return rows


def change_sentence(result: RunResult) -> str:
    """Return what became of the answers, sample by sample."""
    change = result.accuracy_change
    verdict = "The change counts" if change.is_different else "The two are tied"
    return (
        f"Against the baseline {change.flips} samples changed sides: {change.gained} are right now, {change.lost} are "
        f"wrong now; {format_share(change.agreement)} of the predictions agree (McNemar p = {change.p_value:.3g}). "
        f"{verdict}."
    )


def footprint_rows(result: RunResult) -> list[tuple[str, str, str]]:
    """Return title, this run, baseline for what the variant occupies."""
    mine, base = _footprint(result.footprint), _footprint(result.baseline.footprint)
    return [(title, mine[title], base[title]) for title in mine]


def step_rows(result: RunResult) -> list[dict[str, Cell]]:
    """Return one row a step of the stack: what the model was after it."""
    return [
        {
            "Step": step.name,
            "Accuracy on validation, %": _percent(step.accuracy),
            "Size, MB": step.size_bytes / 1e6,
            "Parameters": format_count(step.parameters),
            "Non-zero": format_share(step.nonzero_parameters / step.parameters) if step.parameters else MISSING,
            "FLOPs a sample": format_count(step.flops),
            "Note": step.note,
        }
        for step in result.steps
    ]


def operator_rows(shares: Sequence[OperatorShare]) -> list[dict[str, Cell]]:
    """Return one row a kind of operator, the most expensive first."""
    return [
        {
            "Operator": share.kind,
            "Calls a query": share.calls,
            "Time a query, ms": share.ms,
            "Share, %": share.share * 100,
        }
        for share in shares
    ]


def layer_rows(layers: Sequence[LayerEffect]) -> list[dict[str, Cell]]:
    """Return one row a layer, in the order of execution."""
    return [
        {
            "Layer": layer.name,
            "Operators": layer.kinds,
            "Time a query, ms": layer.ms,
            "Share, %": layer.share * 100,
            "Size, MB": layer.size_bytes / 1e6,
            "Error": layer.error,
            "Sensitivity": layer.sensitivity,
        }
        for layer in layers
    ]


def environment_rows(result: RunResult) -> list[tuple[str, str]]:
    """Return where it was measured."""
    place, context = result.environment, result.context
    rows = [
        ("Processor", f"{place.cpu_model}, {place.cores} cores"),
        ("Instructions", " ".join(place.isa_flags) or MISSING),
        ("Threads", str(context.threads)),
        ("Memory", format_bytes(place.memory_limit_bytes or place.memory_bytes)),
        ("Platform", f"{place.platform}, Python {place.python}"),
        ("Provider", place.provider or MISSING),
        ("Governor", place.governor or MISSING),
        ("Load before", MISSING if place.load_average is None else f"{place.load_average:.2f}"),
        ("Machine", place.machine),
        ("Source revision", place.source_revision),
    ]
    return rows + [(name, version) for name, version in sorted(place.versions.items())]


def context_rows(result: RunResult) -> list[tuple[str, str]]:
    """Return what was measured: the keys that must be equal before two runs may share a plot."""
    return [
        (name.replace("_", " ").capitalize(), str(value))
        for name, value in result.context.model_dump(mode="json").items()
    ]


def _frontier_row(point: Point, info: FrontierInfo) -> dict[str, Cell]:
    run = point.run
    row: dict[str, Cell] = {
        "Run": run.id,
        "Frontier": STANDING_WORDS[point.standing],
        "Model": run.model,
        "Variant": "baseline" if point.is_baseline else stack_name(run),
        "Backend": plain_name(run.backend),
        "Latency p50, ms": point.metric("latency_p50_ms").value,
        "Speed-up": point.metric("speedup").value,
        "Accuracy, %": _percent(point.metric("accuracy").value),
        "Against baseline": describe_change(run),
        "Size, MB": _mega(point.metric("size_bytes").value),
    }
    for axis in (info.x, info.y):
        if axis.name not in ("latency_p50_ms", "accuracy", "speedup", "size_bytes"):
            row[axis.title] = point.metric(axis.name).value
    if run.techniques:
        row["Parameters"] = run.techniques
    return row


def _number(title: str, value: str, note: str) -> HeadlineNumber:
    """Put the interval, which the value carries in brackets, before the note."""
    text, _, interval = value.partition(" [")
    return HeadlineNumber(title=title, value=text, note=f"[{interval} · {note}" if interval else note)


def _latency_words(result: RunResult, median: str) -> tuple[str, str, str]:
    """Return title, value and note of the latency; a whole answer of a language model gets its badge."""
    if not result.generation:
        return "Latency p50", median, f"{result.latency.n:,} queries"
    badge = tokens.badge(result.latency.p50_ms)
    return "Whole response p50", median, f"{result.latency.n:,} responses{', ' if badge else ''}{badge}"


def _text(name: str, metric: Metric) -> str:
    """Return any number in the form its unit asks for, with its interval where it has one."""
    info = METRICS.get(name) if name in METRICS else None
    if info is None or info.is_share or (not info.unit and info.direction is None):
        return format_share_interval(metric)
    form = {"ms": format_ms, "bytes": format_bytes, "x": format_ratio, "1/s": _rate}.get(info.unit, _plain)
    interval = f" [{form(metric.ci95[0])}, {form(metric.ci95[1])}]" if metric.ci95 else ""
    return form(metric.value) + interval


def _percentile(summary: LatencySummary, name: str, needed: int) -> str:
    value = getattr(summary, f"{name}_ms")
    return f"{MISSING} (needs {needed})" if value is None else format_ms(value)


def _footprint(footprint: Footprint) -> dict[str, str]:
    return {
        "Size on disk": format_bytes(footprint.size_bytes),
        "Peak memory": format_bytes(footprint.peak_memory_bytes),
        "Parameters": format_count(footprint.parameters),
        "Non-zero parameters": format_count(footprint.nonzero_parameters),
        "Load": format_seconds(footprint.load_s),
        "First call": format_seconds(footprint.first_call_s),
        "CPU time a query": format_seconds(footprint.cpu_s_per_query),
        "Energy a query": _energy(footprint),
    }


def _energy(footprint: Footprint) -> str:
    if footprint.energy_j_per_query is None:
        return f"{MISSING} (no counter readable)"
    source = f" ({footprint.energy_source})" if footprint.energy_source else ""
    return format_joules(footprint.energy_j_per_query) + source


def _plain(value: float | None) -> str:
    return MISSING if value is None else f"{value:.1f}"


def _rate(per_s: float | None, *, best: bool = False) -> str:
    if per_s is None:
        return MISSING
    return f"{per_s:,.{0 if per_s >= 100 else 1}f}/s{', best' if best else ''}"


def _value(run: MeasuredRun, name: str) -> float | None:
    metric = run.metrics.get(name)
    return None if metric is None else metric.value


def _percent(share: float | None) -> float | None:
    return None if share is None else share * 100


def _mega(count: float | None) -> float | None:
    return None if count is None else count / 1e6
