"""How runs look on the command line: as JSON documents and as tables."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from engine.analysis import tokens
from engine.analysis.frontier import FrontierInfo, variant_name
from engine.analysis.table import scenario_rows
from engine.asking import Reply
from engine.registry import Registry
from engine.results import Context, RunRecord, RunResult, SelfCheck, StageRecord, Status
from engine.store.store import RunSummary
from engine.units import MISSING, format_bytes, format_ms, format_ratio, format_seconds, format_share


def run_document(record: RunRecord) -> dict[str, Any]:
    """Return one run as the JSON document that ``run`` and ``show`` print."""
    result = record.result
    document: dict[str, Any] = {
        "id": record.id,
        "status": record.status.value,
        "fingerprint": record.fingerprint,
        "study": record.study,
        "attempt": record.attempt,
        "created_at": record.created_at,
        "started_at": record.started_at,
        "finished_at": record.finished_at,
        "spec": record.spec.model_dump(mode="json"),
    }
    values = result.model_dump(mode="json") if result else {}
    document |= {name: values.get(name) for name in RunResult.model_fields}
    document["warnings"] = values.get("warnings", [])
    document["stages"] = stage_seconds(result.stages if result else record.stages)
    document["error"] = record.error.model_dump(mode="json") if record.error else None
    return document


def stage_seconds(stages: Sequence[StageRecord]) -> dict[str, float]:
    """Return seconds by stage; a name that occurs twice is added up."""
    seconds: dict[str, float] = {}
    for stage in stages:
        seconds[stage.name] = seconds.get(stage.name, 0.0) + stage.seconds
    return seconds


def summary_document(row: RunSummary) -> dict[str, Any]:
    """Return one line of ``runs --json``."""
    names = ("id", "study", "task", "model", "dataset", "techniques", "backend", "effort", "fingerprint", "machine")
    document: dict[str, Any] = {name: getattr(row, name) for name in names}
    document |= {"status": row.status.value, "created_at": row.created_at, "finished_at": row.finished_at}
    document["warnings"] = list(row.warnings)
    document["metrics"] = {name: metric.value for name, metric in row.metrics.items()}
    return document


def frontier_document(context: Context, info: FrontierInfo) -> dict[str, Any]:
    """Return one context of ``frontier --json``: every point, and whether it is on the frontier."""
    points = [
        {
            "run": point.run.id,
            "model": point.run.model,
            "variant": variant_name(point.run),
            info.x.name: point.x.model_dump(mode="json"),
            info.y.name: point.y.model_dump(mode="json"),
            "speedup": point.metric("speedup").model_dump(mode="json"),
            "standing": point.standing.value,
        }
        for point in info.points
    ]
    return {"context": context.model_dump(mode="json"), "points": points, "left_out": info.left_out}


def as_json(document: Any) -> str:
    """Return one JSON document; times in ISO 8601."""
    return json.dumps(document, indent=2, default=lambda value: value.isoformat())


def runs_table(records: Sequence[RunSummary]) -> Table:
    """Return the list of runs."""
    table = _table("run", "status", "model", "variant", "p50", "speed-up", "accuracy", "size", "warnings")
    for record in records:
        numbers = {name: metric.value for name, metric in record.metrics.items()}
        table.add_row(
            str(record.id),
            record.status.value,
            record.model,
            variant_name(record),
            format_ms(numbers.get("latency_p50_ms")),
            format_ratio(numbers.get("speedup")),
            format_share(numbers.get("accuracy")),
            format_bytes(numbers.get("size_bytes")),
            ", ".join(record.warnings),
        )
    return table


def frontier_table(info: FrontierInfo) -> Table:
    """Return the points of one context, the frontier first."""
    table = _table("run", "model", "variant", info.x.title, "95 %", info.y.title, "95 %", "speed-up", "standing")
    for point in sorted(info.points, key=lambda point: (point.standing.value, point.x.value or 0)):
        table.add_row(
            str(point.run.id),
            point.run.model,
            variant_name(point.run),
            f"{point.x.value:.4g} {info.x.unit}",
            _interval(point.x.ci95, 1, ".3g"),
            f"{point.y.value:.4g}",
            _interval(point.y.ci95, 1, ".3f"),
            format_ratio(point.metric("speedup").value),
            point.standing.value,
        )
    return table


def run_lines(record: RunRecord) -> list[str]:
    """Return what matters of one run, a line each."""
    lines = [f"run {record.id}: {record.status.value}, {record.spec.model}, {record.spec.label()}"]
    if record.error:
        return [*lines, f"failed at '{record.error.stage}': {record.error.message}"]
    result = record.result
    if result is None:
        return [*lines, f"stage: {record.stage}"] if record.stage else lines
    accuracy, change = result.metrics["accuracy"], result.accuracy_change
    verdict = "different" if change.is_different else "tied"
    latency = result.latency
    shown = ("p50", "p90", "p95", "p99", "mean")
    tail = ", ".join(f"{name} {format_ms(getattr(latency, f'{name}_ms'))}" for name in shown)
    lines += [
        f"latency  {tail} (n={latency.n}, {latency.processes} processes)",
        f"speed-up {format_ratio(result.speedup.value)} {_interval(result.speedup.ci95, 1, '.3g')} against "
        f"{format_ms(result.baseline.latency.p50_ms)} of PyTorch eager in the same run",
        f"accuracy {format_share(accuracy.value)} {_interval(accuracy.ci95, 100, '.1f')}, change {change.value:+.2%}, "
        f"{change.flips} flips, McNemar p={change.p_value:.3g} ({verdict})",
        *_badge_lines(result),
        *(f"{title:<8} {mine}, baseline {base}" for title, mine, base in scenario_rows(result)),
        f"size     {format_bytes(result.footprint.size_bytes)}, peak memory "
        f"{format_bytes(result.footprint.peak_memory_bytes)}, load {format_seconds(result.footprint.load_s)}",
        *_insight_lines(result),
        *(f"warning  {warning.message}" for warning in result.warnings),
    ]
    stages = ", ".join(f"{stage.name} {format_seconds(stage.seconds)}" for stage in result.stages if not stage.cached)
    return [*lines, f"stages   {stages}"]


def _badge_lines(result: RunResult) -> Iterator[str]:
    """Yield what a language model's measured response may be called."""
    badge = tokens.badge(result.latency.p50_ms)
    if result.generation and badge:
        yield f"badge    {badge}: a whole response took {format_ms(result.latency.p50_ms)}"


def _insight_lines(result: RunResult) -> Iterator[str]:
    """Yield why it is faster, or is not, and what each step of the stack did."""
    if result.explanation is not None:
        yield f"why      {result.explanation.sentence}"
    for step in result.steps:
        work = "" if step.flops is None else f", {step.flops / 1e6:.3g} MFLOP"
        note = f" ({step.note})" if step.note else ""
        yield (
            f"step     {step.name}: {format_share(step.accuracy)} on validation, {format_bytes(step.size_bytes)}, "
            f"{step.nonzero_parameters:,} non-zero{work}{note}"
        )


def show_reply(reply: Reply, shown: str | None, console: Console) -> str:
    """Print what a side has said since the last line, with a heading where another one begins; return the side."""
    if reply.side != shown:
        console.print(f"-- {reply.side}", highlight=False)
    console.print(reply.error or reply.text, end="", highlight=False, markup=False, soft_wrap=True)
    if reply.ended and not reply.error:
        pace = "" if reply.tokens_per_s is None else f", {reply.tokens_per_s:.1f} tokens/s"
        console.print(f"\n   {reply.tokens} tokens in {format_seconds(reply.seconds)}{pace}", highlight=False)
    return reply.side


def selfcheck_document(record: SelfCheck) -> dict[str, Any]:
    """Return a self-check as the JSON document that ``selfcheck`` prints."""
    return {"passed": record.passed, **record.model_dump(mode="json")}


def selfcheck_table(record: SelfCheck) -> Table:
    """Return what was tried, what had to come out and what did."""
    table = _table("check", "has to come out", "came out", "")
    for check in record.checks:
        table.add_row(check.name, check.expected, check.seen, "passed" if check.passed else "FAILED")
    return table


def registry_rows(registry: Registry[Any]) -> list[dict[str, Any]]:
    """Return a registry's entries with their parameters, as ``list`` prints them."""
    rows = []
    for entry in registry:
        row = {"name": entry.name, "title": entry.title}
        row["summary"] = getattr(entry, "summary", None) or getattr(entry, "description", "")
        config = getattr(entry, "config_type", None) or getattr(entry, "options_type", None)
        if config is not None:
            row["parameters"] = _parameters(config.model_json_schema()["properties"])
        for name in ("task", "licence", "unit", "direction"):
            if getattr(entry, name, None):
                row[name] = str(getattr(entry, name))
        rows.append(row)
    return rows


def registry_table(rows: Sequence[dict[str, Any]]) -> Table:
    """Return the entries as a table, parameters below the summary."""
    table = _table("name", "what it is")
    for row in rows:
        parameters = row.get("parameters", {}).items()
        lines = [f"  {name}={facts['default']}: {facts['description']}" for name, facts in parameters]
        table.add_row(row["name"], "\n".join([row["summary"], *lines]))
    return table


def _parameters(properties: dict[str, Any]) -> dict[str, Any]:
    kept = ("default", "description", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "enum", "unit")
    return {name: {key: facts[key] for key in kept if key in facts} for name, facts in properties.items()}


def _interval(interval: tuple[float, float] | None, scale: float, form: str) -> str:
    if interval is None:
        return MISSING
    return f"[{interval[0] * scale:{form}}, {interval[1] * scale:{form}}]"


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


@contextmanager
def progress(console: Console, runs: int) -> Iterator[Callable[[list[RunRecord]], None]]:
    """Show a bar while the context lasts; yield what moves it, to be called with all of the runs."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as shown:
        bar = shown.add_task("waiting for the engine", total=runs)

        def update(records: list[RunRecord]) -> None:
            ended = sum(record.status.is_final for record in records)
            under_way = [record for record in records if record.status is Status.RUNNING]
            share = under_way[0].progress or 0.0 if under_way else 0.0
            text = f"{ended}/{runs}"
            if under_way:
                text += f" run {under_way[0].id}: {under_way[0].stage or 'starting'} {under_way[0].stage_message}"
            shown.update(bar, description=text, completed=ended + share * 0.9)

        yield update
