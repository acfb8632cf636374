"""Plotly figures from data that was worked out before; the only place that knows Plotly."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from engine.analysis.answer import describe_change, format_ms_interval, format_ratio_interval, format_share_interval
from engine.analysis.evidence import Confusion, LatencyCurve
from engine.analysis.frontier import FrontierInfo, Point, plain_name, stack_name, variant_name
from engine.analysis.labels import Box, Stretch, place_labels
from engine.analysis.pareto import Standing
from engine.insight import StepEffect
from engine.metrics.base import MetricInfo
from engine.results import Metric
from engine.units import format_bytes

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
"""Okabe and Ito's colours (https://jfly.uni-koeln.de/color/), the order in which they show best on white."""
DARK_PALETTE = ("#56B4E9", "#E69F00", "#009E73", "#CC79A7", "#F0E442", "#D55E00")
"""The same, for a dark page."""
SHADES = [[0, "rgba(86, 180, 233, 0.08)"], [1, "#0072B2"]]
"""From nothing to many, on white and on black."""
INK, DARK_INK = "#1b2127", "#e8ecf0"
NEUTRAL = "#8a8f98"
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "pentagon", "hexagon")
SUFFIX = {Standing.FRONTIER: "", Standing.TIED: "-open-dot", Standing.DOMINATED: "-open"}
OPACITY = {Standing.FRONTIER: 1.0, Standing.TIED: 0.9, Standing.DOMINATED: 0.7}
STANDING_TEXT = {
    Standing.FRONTIER: "on the frontier",
    Standing.TIED: "tied with it",
    Standing.DOMINATED: "beaten",
}
CANVAS = (940.0, 380.0)
"""Size in pixels of the plotting area for which labels are placed; other sizes only move them apart or drop them."""
MANY = 150
"""Above this number of points, those that are beaten step back: small, pale and without interval bars."""
SIZE, CROWDED_SIZE, CROWDED_OPACITY = 11, 6, 0.4
LABEL_SIZE = 12


@dataclass(frozen=True)
class FrontierStyle:
    """What a viewer may choose."""

    log_x: bool = True
    view: str = "frontier"
    """Zoom and hidden traces are kept as long as this stays the same."""
    x_range: tuple[float, float] | None = None
    """What is visible, in powers of ten on a log axis; ``None`` shows everything."""
    y_range: tuple[float, float] | None = None
    dark: bool = False
    """Whether the page behind it is dark."""

    @property
    def ink(self) -> str:
        """Return the colour of labels and of the reference."""
        return DARK_INK if self.dark else INK

    @property
    def palette(self) -> tuple[str, ...]:
        """Return the colours of models or backends."""
        return DARK_PALETTE if self.dark else PALETTE


def frontier_figure(info: FrontierInfo, style: FrontierStyle | None = None) -> go.Figure:
    """Draw the frontier: a step line through the runs that no other beats, every run with its intervals.

    Each point carries its run's id as ``customdata``.
    """
    style = style or FrontierStyle()
    figure = go.Figure()
    if info.points:
        figure.add_trace(_step_line(info))
    colors = _colors(info, style.palette)
    for key in dict.fromkeys(_group(point) for point in info.points):
        members = [point for point in info.points if _group(point) == key]
        figure.add_trace(_points_trace(info, members, colors[key], style.ink))
    for standing in dict.fromkeys(point.standing for point in info.points if not point.is_baseline):
        figure.add_trace(_legend_entry(standing))
    _lay_out(figure, info, style)
    for annotation in _annotations(info, style):
        figure.add_annotation(annotation)
    return figure


def latency_figure(curves: Sequence[LatencyCurve], *, dark: bool = False) -> go.Figure:
    """Draw which share of the queries was answered within which time, each process faint, all of them strong."""
    figure = go.Figure()
    for curve, color in zip(curves, (DARK_PALETTE[0] if dark else PALETTE[0], NEUTRAL), strict=False):
        for seconds in curve.by_process_ms:
            figure.add_trace(_curve(seconds, curve.shares, curve.name, color, faint=True))
        figure.add_trace(_curve(curve.all_ms, curve.shares, curve.name, color, faint=False))
    figure.update_xaxes(title="Latency of one query, ms", type="log", dtick="D2", tickformat=".3~g", automargin=True)
    figure.update_xaxes(range=_usual_range(curves))
    figure.update_yaxes(title="Share of queries answered", tickformat=".0%", range=[0, 1.02])
    figure.update_layout(height=320, margin={"l": 8, "r": 8, "t": 16, "b": 8}, legend=_legend(1.02))
    return figure


def _usual_range(curves: Sequence[LatencyCurve]) -> tuple[float, float] | None:
    """Return the ends of a log axis that shows 99 % of the queries; the tail stays within reach."""
    if not curves:
        return None
    usual = [
        value for curve in curves for value, share in zip(curve.all_ms, curve.shares, strict=True) if share <= 0.99
    ]
    return math.log10(min(usual) * 0.95), math.log10(max(usual) * 1.1)


def confusion_figure(confusion: Confusion) -> go.Figure:
    """Draw how many samples of each true class were given which class."""
    counts = confusion.counts
    labels = list(confusion.classes)
    figure = go.Figure(
        go.Heatmap(
            z=counts, x=labels, y=labels, texttemplate="%{z}", colorscale=SHADES, showscale=False, xgap=2, ygap=2
        )
    )
    figure.update_traces(hovertemplate="%{z} samples of %{y} were called %{x}<extra></extra>")
    figure.update_xaxes(title="Predicted", showgrid=False)
    figure.update_yaxes(title="True", autorange="reversed", showgrid=False)
    figure.update_layout(height=300, margin={"l": 8, "r": 8, "t": 16, "b": 8})
    return figure


def steps_figure(steps: Sequence[StepEffect], *, dark: bool = False) -> go.Figure:
    """Draw what a model was after each step of its stack: how good, how large, how much of it is left."""
    panels = (
        ("Accuracy, %", [100 * step.accuracy for step in steps], ".1f"),
        ("Size, MB", [step.size_bytes / 1e6 for step in steps], ".3~g"),
        ("Non-zero weights, M", [step.nonzero_parameters / 1e6 for step in steps], ".3~g"),
        ("Operations a sample, M", [(step.flops or math.nan) / 1e6 for step in steps], ".3~g"),
    )
    figure = make_subplots(2, 2, vertical_spacing=0.3)
    names = [f"{number}. {step.name}" for number, step in enumerate(steps)]
    color = (DARK_PALETTE if dark else PALETTE)[0]
    for place, (title, values, form) in enumerate(panels):
        bar = go.Bar(x=names, y=values, marker_color=color, texttemplate=f"%{{y:{form}}}", textposition="outside")
        bar.hovertemplate = f"%{{x}}: %{{y:{form}}}<extra>{escape(title)}</extra>"
        row, column = place // 2 + 1, place % 2 + 1
        figure.add_trace(bar, row=row, col=column)
        figure.update_xaxes(title=title, row=row, col=column)  # a title above would vanish on a narrow screen
    figure.update_yaxes(showticklabels=False, rangemode="tozero")
    figure.update_layout(height=520, margin={"l": 8, "r": 8, "t": 32, "b": 8}, showlegend=False, bargap=0.35)
    return figure


def axis_title(info: MetricInfo) -> str:
    """Return the title with its unit and an arrow to the better end: ``"Latency p50, ms   ← better"``."""
    unit = {"": "", "x": ", times the baseline", "bytes": ""}.get(info.unit, f", {info.unit}")
    arrow = "better →" if info.direction == "maximize" else "← better"
    return f"{info.title}{unit}    <b>{arrow}</b>"


def _group(point: Point) -> tuple[str, str, bool]:
    return point.run.model, plain_name(point.run.backend), point.is_baseline


def _colors(info: FrontierInfo, palette: Sequence[str]) -> dict[tuple[str, str, bool], str]:
    """Give every model its colour, or every backend where there is one model only."""
    keys = dict.fromkeys(_group(point) for point in info.points)
    several = len({model for model, _, _ in keys}) > 1
    names = list(dict.fromkeys(model if several else backend for model, backend, _ in keys))
    return {key: palette[names.index(key[0] if several else key[1]) % len(palette)] for key in keys}


def _points_trace(info: FrontierInfo, members: list[Point], color: str, ink: str) -> go.Scatter:
    model, backend, baseline = _group(members[0])
    several = len({point.run.model for point in info.points}) > 1
    symbols = _backends(info)
    name = "baseline" if baseline else backend
    crowded = len(info.points) > MANY
    marker: dict[str, object] = {
        "color": color,
        "size": [CROWDED_SIZE if crowded and _is_quiet(point) else SIZE for point in members],
        "opacity": [CROWDED_OPACITY if crowded and _is_quiet(point) else OPACITY[point.standing] for point in members],
        "symbol": [symbols[backend] + SUFFIX[point.standing] for point in members],
        "line": {"width": 1.8, "color": color},
    }
    if baseline:
        fill = color if several else ink
        marker |= {"symbol": "star", "size": 17, "color": fill, "opacity": 1, "line": {"width": 1, "color": fill}}
    return go.Scatter(
        x=[point.x.value for point in members],
        y=[point.y.value for point in members],
        error_x=_error_bars([_reach(info, point, point.x) for point in members], color),
        error_y=_error_bars([_reach(info, point, point.y) for point in members], color),
        mode="markers",
        name=f"{escape(model)} · {name}" if several else name,
        marker=marker,
        customdata=[point.run.id for point in members],
        hovertext=[hover_text(point) for point in members],
        hoverinfo="text",
        legendgroup=f"{model}/{name}",
    )


def hover_text(point: Point) -> str:
    """Return everything about a run that fits under the pointer, as the HTML that Plotly allows."""
    run = point.run
    lines = [
        f"<b>{escape(variant_name(run))}</b>",
        escape(run.model),
        *(escape(part) for part in run.techniques.split(" + ") if part),
        escape(run.backend),
        "",
        f"Latency p50  {format_ms_interval(point.metric('latency_p50_ms'))}",
        f"Speed-up  {format_ratio_interval(point.metric('speedup'))}",
        f"Accuracy  {format_share_interval(point.metric('accuracy'))}",
        f"against the baseline  {describe_change(run)}",
        f"Size  {format_bytes(point.metric('size_bytes').value)}",
    ]
    if run.warnings:
        lines.append(f"<i>Mind: {escape(', '.join(run.warnings))}</i>")
    lines.append(f"<i>{STANDING_TEXT[point.standing]} · click to open run {run.id}</i>")
    return "<br>".join(lines)


def _backends(info: FrontierInfo) -> dict[str, str]:
    names = dict.fromkeys(plain_name(point.run.backend) for point in info.points)
    return {name: SYMBOLS[index % len(SYMBOLS)] for index, name in enumerate(names)}


def _is_quiet(point: Point) -> bool:
    """Tell whether a point may step back where there are many."""
    return point.standing is Standing.DOMINATED and not point.is_baseline


def _reach(info: FrontierInfo, point: Point, metric: Metric) -> tuple[float, float]:
    """Return how far the interval reaches above and below the value, nothing where it is not drawn."""
    if metric.ci95 is None or metric.value is None or (len(info.points) > MANY and _is_quiet(point)):
        return 0.0, 0.0
    return max(0.0, metric.ci95[1] - metric.value), max(0.0, metric.value - metric.ci95[0])


def _ends(info: FrontierInfo, point: Point, metric: Metric) -> tuple[float, float]:
    """Return where the drawn interval ends."""
    above, below = _reach(info, point, metric)
    value = metric.value or 0.0
    return value - below, value + above


def _error_bars(reaches: list[tuple[float, float]], color: str) -> dict[str, object]:
    red, green, blue = (int(color[start : start + 2], 16) for start in (1, 3, 5))
    return {
        "type": "data",
        "symmetric": False,
        "array": [up for up, _ in reaches],
        "arrayminus": [down for _, down in reaches],
        "color": f"rgba({red},{green},{blue},0.3)",
        "thickness": 1.3,
        "width": 0,
    }


def _step_line(info: FrontierInfo) -> go.Scatter:
    """Draw the best that can be had within each budget, out to the edges of what was measured."""
    front = info.on_frontier()
    xs = [point.x.value or 0.0 for point in front]
    ys = [point.y.value or 0.0 for point in front]
    all_x = [point.x.value or 0.0 for point in info.points]
    all_y = [point.y.value or 0.0 for point in info.points]
    worst_x = max(all_x) if info.x.direction == "minimize" else min(all_x)
    worst_y = min(all_y) if info.y.direction == "maximize" else max(all_y)
    if info.x.direction == "minimize":
        xs, ys = [xs[0], *xs, worst_x], [worst_y, *ys, ys[-1]]
    else:
        xs, ys = [worst_x, *xs, xs[-1]], [ys[0], *ys, worst_y]
    return go.Scatter(
        x=xs,
        y=ys,
        mode="lines",
        name="frontier",
        line={"color": NEUTRAL, "width": 2, "shape": "hv" if info.x.direction == "minimize" else "vh"},
        hoverinfo="skip",
    )


def _legend_entry(standing: Standing) -> go.Scatter:
    """Explain a marker's filling; the trace itself has no point."""
    marker = {"color": NEUTRAL, "symbol": "circle" + SUFFIX[standing], "size": 10, "opacity": OPACITY[standing]}
    return go.Scatter(x=[None], y=[None], mode="markers", name=STANDING_TEXT[standing], marker=marker, hoverinfo="skip")


def _lay_out(figure: go.Figure, info: FrontierInfo, style: FrontierStyle) -> None:
    figure.update_xaxes(title=axis_title(info.x), range=style.x_range, **_ticks(info.x, style.log_x))
    figure.update_xaxes(type="log" if style.log_x else "linear")
    if style.log_x and _is_narrow(info):
        figure.update_xaxes(dtick=None)  # ticks at 1, 2 and 5 would all lie outside; the library finds its own
    figure.update_yaxes(title=axis_title(info.y), range=style.y_range, **_ticks(info.y, log=False))
    figure.update_layout(
        height=500,
        margin={"l": 8, "r": 8, "t": 12, "b": 8},
        legend=_legend(-0.16, "top"),
        hoverlabel={"align": "left", "font": {"color": style.ink}},
        hovermode="closest",
        uirevision=style.view,
    )


def _is_narrow(info: FrontierInfo) -> bool:
    """Tell whether all points lie within a factor of three, intervals included."""
    ends = [end for point in info.points for end in _ends(info, point, point.x) if end > 0]
    return not ends or max(ends) / min(ends) < 3


def _ticks(info: MetricInfo, log: bool) -> dict[str, object]:
    ticks: dict[str, object] = {"zeroline": False, "automargin": True}
    if info.is_share:
        ticks["tickformat"] = ".1%"
    elif info.unit in ("bytes", ""):
        ticks |= {"tickformat": "~s", "ticksuffix": "B" if info.unit == "bytes" else ""}
    if log:
        ticks |= {"dtick": "D2", "tickformat": ticks.get("tickformat", ".3~g")}
    return ticks


def _legend(y: float, anchor: str = "bottom") -> dict[str, object]:
    return {"orientation": "h", "x": 0, "xanchor": "left", "y": y, "yanchor": anchor, "title": None}


def _annotations(info: FrontierInfo, style: FrontierStyle) -> list[dict[str, object]]:
    """Name the frontier's points and the baselines where there is room."""
    named = [point for point in info.points if point.standing is Standing.FRONTIER or point.is_baseline]
    positions = _pixels(info, named, style.log_x)
    others = [point for point in info.points if point not in named]
    obstacles = [_point_box(place) for place in _pixels(info, others, style.log_x)]
    texts = [_short_name(point) for point in named]
    annotations: list[dict[str, object]] = []
    for placement in place_labels(positions, texts, obstacles, CANVAS):
        point = named[placement.index]
        x = math.log10(point.x.value or 1.0) if style.log_x else point.x.value
        annotations.append(
            {
                "x": x,
                "y": point.y.value,
                "text": escape(texts[placement.index]),
                "showarrow": False,
                "xshift": placement.dx,
                "yshift": placement.dy,
                "font": {"size": LABEL_SIZE, "color": style.ink},
            }
        )
    return annotations


def _short_name(point: Point) -> str:
    return "baseline" if point.is_baseline else stack_name(point.run)


def _pixels(info: FrontierInfo, points: Sequence[Point], log_x: bool) -> list[tuple[float, float]]:
    """Return where points lie on the canvas once the axes have fitted themselves to all points and intervals."""
    all_x = [_scaled(end, log_x) for point in info.points for end in _ends(info, point, point.x)]
    all_y = [_scaled(end, log=False) for point in info.points for end in _ends(info, point, point.y)]
    across, up = Stretch.over(all_x, CANVAS[0]), Stretch.over(all_y, CANVAS[1])
    return [(across(_scaled(point.x.value, log_x)), up(_scaled(point.y.value, log=False))) for point in points]


def _scaled(value: float | None, log: bool) -> float:
    number = value or 0.0
    return math.log10(number) if log and number > 0 else number


def _point_box(place: tuple[float, float]) -> Box:
    return (place[0] - 6, place[1] - 6, place[0] + 6, place[1] + 6)


def _curve(values_ms: Sequence[float], shares: Sequence[float], name: str, color: str, *, faint: bool) -> go.Scatter:
    return go.Scatter(
        x=values_ms,
        y=shares,
        mode="lines",
        name=name,
        legendgroup=name,
        showlegend=not faint,
        line={"color": color, "width": 1 if faint else 2.5},
        opacity=0.35 if faint else 1,
        hoverinfo="skip" if faint else "all",
        hovertemplate=None if faint else "%{y:.0%} within %{x:.3g} ms<extra>" + escape(name) + "</extra>",
    )
