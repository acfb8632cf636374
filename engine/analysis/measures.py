"""How any metric is written, scaled for a table and named on an axis: all of it follows from the registry's entry."""

import math

from engine.analysis.wording import Say, in_english
from engine.metrics import METRICS
from engine.metrics.base import MetricInfo
from engine.results import Metric
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

SHARES = frozenset({"agreement"})
"""Shares that are no quality."""
_WRITERS = {
    "ms": format_ms,
    "s": format_seconds,
    "bytes": format_bytes,
    "x": format_ratio,
    "J": format_joules,
}


def is_share(info: MetricInfo) -> bool:
    """Tell whether a metric is a part of a whole and so reads best in percent.

    A quality without a unit of which more is better is one (accuracy, F1); perplexity, where less is better, is none.
    """
    return not info.unit and ((info.quality and info.direction == "maximize") or info.name in SHARES)


def format_metric(info: MetricInfo, value: float | None) -> str:
    """Return a value with its unit: ``"1.62 ms"``, ``"85.8 %"``, ``"46.5"``, ``"120/s"``."""
    if value is None or not math.isfinite(value):
        return MISSING
    if is_share(info):
        return format_share(value)
    if info.unit in _WRITERS:
        return _WRITERS[info.unit](value)
    if info.unit == "1/s":
        return f"{value:,.{0 if value >= 100 else 1}f}/s"
    text = format_count(value) if abs(value) >= 1000 else f"{value:.3g}"
    return f"{text} {info.unit}" if info.unit else text


def format_gap(info: MetricInfo, gap: float, say: Say = in_english) -> str:
    """Return a difference of two values without its sign: shares in points, the rest in its unit."""
    if is_share(info):
        return say("{n} points").format(n=f"{abs(gap) * 100:.1f}")
    return format_metric(info, abs(gap))


def format_with_interval(info: MetricInfo, metric: Metric) -> str:
    """Return a value with its 95 % interval: ``"1.62 ms [1.58 ms, 1.70 ms]"``."""
    text = format_metric(info, metric.value)
    if metric.ci95 is None:
        return text
    return f"{text} [{format_metric(info, metric.ci95[0])}, {format_metric(info, metric.ci95[1])}]"


def metric_info(name: str) -> MetricInfo:
    """Return the entry of a metric; one that this release does not know is a plain number under its own name."""
    return METRICS.get(name) if name in METRICS else MetricInfo(name=name, title=name, description="")


def scale(info: MetricInfo) -> float:
    """Return by what a value is multiplied where people read or type it: percent, megabytes."""
    return 100.0 if is_share(info) else 1e-6 if info.unit == "bytes" else 1.0


def scaled_unit(info: MetricInfo) -> str:
    """Return the unit of a value after :func:`scale`: ``"%"``, ``"MB"``, ``"ms"``."""
    return "%" if is_share(info) else "MB" if info.unit == "bytes" else "" if info.unit == "x" else info.unit


def column_title(info: MetricInfo) -> str:
    """Return the head of a table's column: ``"Accuracy, %"``, ``"Latency p50, ms"``."""
    unit = scaled_unit(info)
    return f"{info.title}, {unit}" if unit else info.title


def scaled(info: MetricInfo, value: float | None) -> float | None:
    """Return a value as a table shows it; ``None`` where it was not measured."""
    return None if value is None else value * scale(info)
