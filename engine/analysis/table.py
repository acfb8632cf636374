"""Rows of tables about one run."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial

from engine.analysis import tokens
from engine.analysis.answer import (
    format_ms_interval,
    format_points,
    format_ratio_interval,
    format_share_interval,
)
from engine.analysis.comparability import key_title
from engine.analysis.wording import Say, in_english, retold
from engine.insight import LayerEffect, OperatorShare
from engine.metrics import METRICS
from engine.results import Footprint, LatencySummary, Metric, RunResult, flat_metrics
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

Metrics = Mapping[str, Metric]
Write = Callable[[float | None], str]
Cell = str | int | float | bool | datetime | None
NEEDED_SAMPLES = {"p50": 11, "p90": 64, "p95": 130, "p99": 662}
"""Samples that carry a percentile at 99 % confidence with one to spare (MLPerf LoadGen's early stopping)."""
LAYOUTS = (
    "a pipeline of {n} processes with 1 thread each",
    "a pipeline of {n} processes with {threads} threads each",
    "1 process with 1 thread",
    "1 process with {threads} threads",
    "{n} processes with 1 thread each",
    "{n} processes with {threads} threads each",
)
"""What :attr:`engine.insight.Layout.title` is made of."""


class HeadlineNumber(Frozen):
    """One number at the head of a run's page."""

    title: str
    value: str
    note: str
    help: str = ""


def headline(result: RunResult, say: Say = in_english) -> list[HeadlineNumber]:
    """Return the four numbers that say what a run is worth, each with its interval."""
    flat = flat_metrics(result)
    change = result.accuracy_change
    verdict = say("tied") if not change.is_different else say("better") if change.value > 0 else say("worse")
    median, baseline_ms = (
        _percentile(of, "p50", NEEDED_SAMPLES["p50"], say) for of in (result.latency, result.baseline.latency)
    )
    if result.latency.p50_ms is not None:
        median = format_ms_interval(flat["latency_p50_ms"])
    baseline = say("baseline {value}")
    noted = say("{change}, {verdict}").format(change=format_points(change.value, say), verdict=verdict)
    return [
        _number(say("Speed-up"), format_ratio_interval(flat["speedup"]), baseline.format(value=baseline_ms)),
        _number(*_latency_words(result, median, say)),
        _number(say("Accuracy"), format_share_interval(flat["accuracy"]), noted)
        if "accuracy" in flat
        else HeadlineNumber(title=say("Accuracy"), value=MISSING, note=""),
        HeadlineNumber(
            title=say("Size on disk"),
            value=format_bytes(result.footprint.size_bytes),
            note=baseline.format(value=format_bytes(result.baseline.footprint.size_bytes)),
        ),
    ]


def percentile_rows(result: RunResult, say: Say = in_english) -> list[tuple[str, str, str]]:
    """Return percentile, this run, baseline; where the sample cannot carry one, how many samples it needs."""
    both = (result.latency, result.baseline.latency)
    rows = []
    for name, needed in NEEDED_SAMPLES.items():
        mine, base = (_percentile(summary, name, needed, say) for summary in both)
        rows.append((name, mine, base))
    for name, title in (("mean", say("mean")), ("std", say("std")), ("min", say("min")), ("max", say("max"))):
        mine, base = (format_ms(getattr(summary, f"{name}_ms")) for summary in both)
        rows.append((title, mine, base))
    return rows


def scenario_rows(result: RunResult, say: Say = in_english) -> list[tuple[str, str, str]]:
    """Return title, this run, baseline of what only this scenario says; empty for a single stream.

    The batch size that a side is judged by is marked.
    """
    rows: list[tuple[str, str, str]] = []
    if result.offline is not None:
        offline = result.offline
        for size in sorted(offline.rates.keys() | offline.baseline_rates.keys()):
            mine = _rate(offline.rates.get(size), say, best=size == offline.batch_size)
            base = _rate(offline.baseline_rates.get(size), say, best=size == offline.baseline_batch_size)
            rows.append((say("Batches of {n}").format(n=size), mine, base))
        best = max((entry.rate_per_s for entry in offline.layouts), default=0.0)
        for entry in offline.layouts:
            title = retold(entry.layout.title, LAYOUTS, say)
            mine = _rate(entry.rate_per_s, say, best=entry.rate_per_s == best)
            rows.append((title[0].upper() + title[1:], mine, MISSING))
    if result.server is not None:
        server = result.server
        title = say("Highest rate") if server.searched else say("Asked rate")
        rows.append((title, _rate(server.rate_per_s, say), _rate(server.baseline_rate_per_s, say)))
        within = say("{percentile} % within {time}")
        within = within.format(percentile=f"{server.percentile:.0f}", time=format_ms(server.bound_ms))
        mine, base = (say("kept") if met else say("not kept") for met in (server.met, server.baseline_met))
        rows.append((within, mine, base))
    return [*rows, *_metric_rows(result.generation, result.baseline.generation, say)]


def quality_rows(result: RunResult, say: Say = in_english) -> list[tuple[str, str, str]]:
    """Return title, this run, baseline for every quality metric, each with its interval."""
    return _metric_rows(result.metrics, result.baseline.metrics, say)


def change_sentence(result: RunResult, say: Say = in_english) -> str:
    """Return what became of the answers, sample by sample."""
    change = result.accuracy_change
    words = say(
        "Against the baseline {flips} samples changed sides: {gained} are right now, {lost} are wrong now; {agreement} "
        "of the predictions agree (McNemar p = {p}). {verdict}"
    )
    return words.format(
        flips=change.flips,
        gained=change.gained,
        lost=change.lost,
        agreement=format_share(change.agreement),
        p=f"{change.p_value:.3g}",
        verdict=say("The change counts.") if change.is_different else say("The two are tied."),
    )


def footprint_rows(result: RunResult, say: Say = in_english) -> list[tuple[str, str, str]]:
    """Return title, this run, baseline for what the variant occupies."""
    mine, base = _footprint(result.footprint, say), _footprint(result.baseline.footprint, say)
    return [(title, mine[title], base[title]) for title in mine]


def step_rows(result: RunResult, say: Say = in_english) -> list[dict[str, Cell]]:
    """Return one row a step of the stack: what the model was after it."""
    return [
        {
            "Step": say(step.name),
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


def environment_rows(result: RunResult, say: Say = in_english) -> list[tuple[str, str]]:
    """Return where it was measured."""
    place, context = result.environment, result.context
    rows = [
        (say("Processor"), say("{cpu}, {n} cores").format(cpu=place.cpu_model, n=place.cores)),
        (say("Instructions"), " ".join(place.isa_flags) or MISSING),
        (say("Threads"), str(context.threads)),
        (say("Memory"), format_bytes(place.memory_limit_bytes or place.memory_bytes)),
        (say("Platform"), f"{place.platform}, Python {place.python}"),
        (say("Provider"), place.provider or MISSING),
        (say("Governor"), place.governor or MISSING),
        (say("Load before"), MISSING if place.load_average is None else f"{place.load_average:.2f}"),
        (say("Machine"), place.machine),
        (say("Source revision"), place.source_revision),
    ]
    return rows + [(name, version) for name, version in sorted(place.versions.items())]


def context_rows(result: RunResult, say: Say = in_english) -> list[tuple[str, str]]:
    """Return what was measured: the keys that must be equal before two runs may share a plot."""
    values = result.context.model_dump(mode="json")
    return [(key_title(name, say), str(value)) for name, value in values.items()]


def _number(title: str, value: str, note: str) -> HeadlineNumber:
    """Put the interval, which the value carries in brackets, before the note."""
    text, _, interval = value.partition(" [")
    return HeadlineNumber(title=title, value=text, note=f"[{interval} · {note}" if interval else note)


def _latency_words(result: RunResult, median: str, say: Say) -> tuple[str, str, str]:
    """Return title, value and note of the latency; a whole answer of a language model gets its badge."""
    count = f"{result.latency.n:,}"
    if not result.generation:
        return say("Latency p50"), median, say("{n} queries").format(n=count)
    said, badge = say("{n} responses").format(n=count), tokens.badge(result.latency.p50_ms)
    return say("Whole response p50"), median, f"{said}, {say(badge)}" if badge else said


def _metric_rows(mine: Metrics, theirs: Metrics, say: Say) -> list[tuple[str, str, str]]:
    rows = []
    for name, metric in mine.items():
        title = say(METRICS.get(name).title) if name in METRICS else name
        base = theirs.get(name)
        rows.append((title, _text(name, metric, say), MISSING if base is None else _text(name, base, say)))
    return rows


def _text(name: str, metric: Metric, say: Say) -> str:
    """Return any number in the form its unit asks for, with its interval where it has one."""
    info = METRICS.get(name) if name in METRICS else None
    if info is None or info.is_share or (not info.unit and info.direction is None):
        return format_share_interval(metric)
    forms: dict[str, Write] = {
        "ms": format_ms,
        "bytes": format_bytes,
        "x": format_ratio,
        "1/s": partial(_rate, say=say),
    }
    form = forms.get(info.unit, _plain)
    interval = f" [{form(metric.ci95[0])}, {form(metric.ci95[1])}]" if metric.ci95 else ""
    return form(metric.value) + interval


def _percentile(summary: LatencySummary, name: str, needed: int, say: Say) -> str:
    value = getattr(summary, f"{name}_ms")
    return say("n/a (needs {n})").format(n=needed) if value is None else format_ms(value)


def _footprint(footprint: Footprint, say: Say) -> dict[str, str]:
    return {
        say("Size on disk"): format_bytes(footprint.size_bytes),
        say("Peak memory"): format_bytes(footprint.peak_memory_bytes),
        say("Parameters"): format_count(footprint.parameters),
        say("Non-zero parameters"): format_count(footprint.nonzero_parameters),
        say("Load"): format_seconds(footprint.load_s),
        say("First call"): format_seconds(footprint.first_call_s),
        say("CPU time a query"): format_seconds(footprint.cpu_s_per_query),
        say("Energy a query"): _energy(footprint, say),
    }


def _energy(footprint: Footprint, say: Say) -> str:
    if footprint.energy_j_per_query is None:
        return say("n/a (no counter readable)")
    source = f" ({footprint.energy_source})" if footprint.energy_source else ""
    return format_joules(footprint.energy_j_per_query) + source


def _plain(value: float | None) -> str:
    return MISSING if value is None else f"{value:.1f}"


def _rate(per_s: float | None, say: Say, *, best: bool = False) -> str:
    if per_s is None:
        return MISSING
    rate = f"{per_s:,.{0 if per_s >= 100 else 1}f}/s"
    return say("{rate}, best").format(rate=rate) if best else rate


def _percent(share: float | None) -> float | None:
    return None if share is None else share * 100
