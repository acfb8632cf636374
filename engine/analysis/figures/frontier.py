"""The frontier as a figure: a step line through the runs that no other beats, every run with its intervals."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import NamedTuple, TypeVar

import plotly.graph_objects as go

from engine.analysis import fields
from engine.analysis.answer import describe_change
from engine.analysis.budget import Budget, Verdict, judge
from engine.analysis.figures.frame import (
    CANVAS,
    MANY,
    Canvas,
    FrontierStyle,
    is_quiet,
    lay_out,
    name_points,
    reach,
    shade_allowed,
)
from engine.analysis.figures.palette import NEUTRAL, SCALE, SYMBOLS, translucent
from engine.analysis.frontier import FrontierInfo, Point, once, plain_name, variant_name
from engine.analysis.measures import format_with_interval, metric_info
from engine.analysis.pareto import Standing
from engine.analysis.wording import Say, in_english
from engine.metrics import METRICS

T = TypeVar("T")
SUFFIX = {Standing.FRONTIER: "", Standing.TIED: "-open-dot", Standing.DOMINATED: "-open"}
OPACITY = {Standing.FRONTIER: 1.0, Standing.TIED: 0.9, Standing.DOMINATED: 0.7}
STANDING_TEXT = {
    Standing.FRONTIER: "on the frontier",
    Standing.TIED: "tied with it",
    Standing.DOMINATED: "beaten",
}
SIZE, CROWDED_SIZE, CROWDED_OPACITY, OUTSIDE_OPACITY = 11, 6, 0.4, 0.35
LARGEST_SIZE = 30
MOST_DRAWN, MOST_LOUD = 800, 200
"""Of more points off and on the frontier than these, those that would lie on top of one another are drawn once."""
HOVER_METRICS = ("latency_p50_ms", "speedup", "accuracy", "size_bytes")


class _Kind(NamedTuple):
    """What the points of one trace have in common."""

    label: str
    """The name by which they are coloured."""
    backend: str
    is_baseline: bool
    look: tuple[Standing, bool] | None = None
    """In a crowd also where they stand and whether they are within the budget: then one marker is that of all."""

    @property
    def entry(self) -> tuple[str, str, bool]:
        """What shares one entry of the legend."""
        return self[:3]

    def each(self, members: Sequence[Point], tell: Callable[[Point], T]) -> T | list[T]:
        """Return what is told of every point, once where it is the same of all: a browser draws that twice as fast."""
        return [tell(point) for point in members] if self.look is None else tell(members[0])

    @property
    def steps_back(self) -> bool:
        """Tell whether others are drawn over them."""
        return self.look is not None and self.look[0] is not Standing.FRONTIER and not self.is_baseline


@dataclass(frozen=True)
class _Drawing:
    """What is drawn and how: worked out once for all traces."""

    info: FrontierInfo
    style: FrontierStyle
    verdict: Verdict
    kind: Callable[[Point], _Kind]
    colors: dict[str, str]
    symbols: dict[str, str]
    sizes: Callable[[Point], float]


def frontier_figure(info: FrontierInfo, style: FrontierStyle | None = None, budget: Budget | None = None) -> go.Figure:
    """Draw the frontier, and what a budget allows of it.

    Each point carries its run's id as ``customdata``. A run outside the budget is grey, the best one within is lit; a
    noisy one is crossed; a selected one is ringed.
    """
    style = style or FrontierStyle()
    drawing = _drawing(info, style, judge(info, budget or Budget()))
    figure = go.Figure()
    if info.points:
        figure.add_trace(_step_line(info, style.say))
    canvas = Canvas.of(info, log_x=style.log_x)
    kinds: dict[_Kind, list[Point]] = {}
    for point in _drawn(info, style.log_x, style.selected):
        kinds.setdefault(drawing.kind(point), []).append(point)
    ordered = sorted(kinds, key=lambda kind: not kind.steps_back)
    named = {kind.entry: kind for kind in ordered}  # the last of each, which tells most
    for kind in ordered:
        figure.add_trace(_points_trace(drawing, kind, kinds[kind], in_legend=named[kind.entry] == kind))
    for trace in _marks(drawing):
        figure.add_trace(trace)
    for standing in dict.fromkeys(point.standing for point in info.points if not point.is_baseline):
        figure.add_trace(_legend_entry(standing, style.say))
    lay_out(figure, info, style, canvas)
    if drawing.verdict.budget.is_set and info.points:
        shade_allowed(figure, info, drawing.verdict, style)
    figure.add_trace(name_points(info, style, canvas))
    return figure


def hover_text(point: Point, info: FrontierInfo, say: Say = in_english) -> str:
    """Return everything about a run that fits under the pointer, as the HTML that Plotly allows."""
    run = point.run
    shown = dict.fromkeys((info.x.name, info.y.name, *HOVER_METRICS))
    lines = [
        f"<b>{escape(variant_name(run, say))}</b>",
        escape(run.model),
        *(escape(part) for part in run.techniques.split(" + ") if part),
        escape(run.backend),
        "",
        *(_hover_line(point, name, say) for name in shown if name in run.metrics),
        f"{say('against the baseline')}  {describe_change(run, say)}",
    ]
    if run.warnings:
        codes = escape(", ".join(say(code) for code in run.warnings))
        lines.append(f"<i>{say('Mind:')} {codes}</i>")
    lines.append(f"<i>{say(STANDING_TEXT[point.standing])} · {say('click to open run {id}').format(id=run.id)}</i>")
    return "<br>".join(lines)


@once
def _told(info: FrontierInfo, say: Say) -> dict[int, str]:
    """Return what has been told of points by the ids of their runs; a third of a drawing is to tell it."""
    del info, say
    return {}


def _texts(info: FrontierInfo, members: Sequence[Point], say: Say) -> list[str]:
    told = _told(info, say)
    for point in members:
        if point.run.id not in told:
            told[point.run.id] = hover_text(point, info, say)
    return [told[point.run.id] for point in members]


def _hover_line(point: Point, name: str, say: Say) -> str:
    info = metric_info(name)
    return f"{escape(say(info.title))}  {escape(format_with_interval(info, point.metric(name)))}"


def _drawing(info: FrontierInfo, style: FrontierStyle, verdict: Verdict) -> _Drawing:
    several = len({point.run.model for point in info.points}) > 1
    category = fields.category(style.color) or fields.category("model" if several else "backend")

    def name(point: Point) -> str:
        return category.of(point.run) if category else ""

    common = fields.most_common([name(point) for point in info.points], len(style.palette))
    colors = dict(zip(common, style.palette, strict=False))
    backends = dict.fromkeys(plain_name(point.run.backend) for point in info.points)
    symbols = {name: SYMBOLS[index % len(SYMBOLS)] for index, name in enumerate(backends)}

    is_crowd = len(info.points) > MANY

    def kind(point: Point) -> _Kind:
        label = name(point)
        look = (point.standing, point.run.id in verdict.passing) if is_crowd else None
        backend = plain_name(point.run.backend)
        return _Kind(label if label in colors else fields.OTHER, backend, point.is_baseline, look)

    return _Drawing(info, style, verdict, kind, colors, symbols, _sizes(info, style))


def _sizes(info: FrontierInfo, style: FrontierStyle) -> Callable[[Point], float]:
    """Return how large a point is: its area grows with the chosen metric."""
    crowded = len(info.points) > MANY
    chosen = style.size
    values = [point.metric(chosen).value or 0.0 for point in info.points] if chosen else []
    most = max(values, default=0.0)

    def size(point: Point) -> float:
        if chosen and most > 0:
            return max(4.0, LARGEST_SIZE * math.sqrt(max(0.0, point.metric(chosen).value or 0.0) / most))
        return CROWDED_SIZE if crowded and is_quiet(point) else SIZE

    return size


@once
def _drawn(info: FrontierInfo, log_x: bool, selected: frozenset[int]) -> list[Point]:
    """Return the points that are drawn; of a dense crowd, one for each spot of some pixels."""
    canvas = Canvas.of(info, log_x=log_x)
    quiet, loud = ([point for point in info.points if is_quiet(point) is wanted] for wanted in (True, False))
    chosen = _one_a_spot(quiet, canvas, MOST_DRAWN) | _one_a_spot(loud, canvas, MOST_LOUD) | selected
    return [point for point in info.points if point.run.id in chosen]


def _one_a_spot(points: Sequence[Point], canvas: Canvas, most: int) -> set[int]:
    """Return the runs of at most so many points, those of the newest in spots that are as small as can be."""
    if len(points) <= most:
        return {point.run.id for point in points}
    places = canvas.places(points)
    cell = 2.0
    while True:
        kept = {(int(x / cell), int(y / cell)): point.run.id for point, (x, y) in zip(points, places, strict=True)}
        if len(kept) <= most or cell > CANVAS[0]:
            return set(kept.values())
        cell *= 1.5


def _points_trace(drawing: _Drawing, kind: _Kind, members: list[Point], *, in_legend: bool) -> go.Scatter:
    info, style = drawing.info, drawing.style
    label, backend, baseline, _ = kind
    color = drawing.colors.get(label, NEUTRAL)
    is_budgeted = drawing.verdict.budget.is_set
    marker: dict[str, object] = {
        "color": kind.each(members, lambda point: _color(drawing, point, color)) if is_budgeted else color,
        "size": [drawing.sizes(point) for point in members] if style.size else kind.each(members, drawing.sizes),
        "opacity": kind.each(members, lambda point: _opacity(drawing, point)),
        "symbol": kind.each(members, lambda point: drawing.symbols[backend] + SUFFIX[point.standing]),
        "line": {"width": 1.8, "color": color},
    }
    if baseline:
        several = len({point.run.model for point in info.points}) > 1
        fill = color if several else style.ink
        marker |= {"symbol": "star", "size": 17, "color": fill, "opacity": 1, "line": {"width": 1, "color": fill}}
    elif style.color in METRICS:
        marker |= _by_number(drawing, members)
    else:
        marker["line"] = {"width": 1.8, "color": marker["color"]}
    name = style.say("baseline") if baseline else backend
    shown = style.say(label) if label in fields.OWN_WORDS else label
    named = name if label in ("", backend) else f"{escape(shown)} · {name}"
    return go.Scatter(
        x=[point.x.value for point in members],
        y=[point.y.value for point in members],
        error_x=None if kind.steps_back else _error_bars([reach(info, point, point.x) for point in members], color),
        error_y=None if kind.steps_back else _error_bars([reach(info, point, point.y) for point in members], color),
        mode="markers",
        name=named,
        marker=marker,
        customdata=[point.run.id for point in members],
        hovertext=_texts(info, members, style.say),
        hoverinfo="text",
        legendgroup=f"{label}/{name}",
        showlegend=in_legend,
    )


def _by_number(drawing: _Drawing, members: list[Point]) -> dict[str, object]:
    """Colour points by a metric, on one scale for the whole plot."""
    name = drawing.style.color or ""
    values = [point.metric(name).value for point in drawing.info.points]
    known = [value for value in values if value is not None]
    return {
        "color": [point.metric(name).value for point in members],
        "colorscale": SCALE,
        "cmin": min(known, default=0.0),
        "cmax": max(known, default=1.0),
        "showscale": True,
        "colorbar": {
            "title": {"text": escape(drawing.style.say(METRICS.get(name).title)), "side": "right"},
            "thickness": 12,
        },
        "line": {"width": 1, "color": NEUTRAL},
    }


def _color(drawing: _Drawing, point: Point, color: str) -> str:
    return color if point.run.id in drawing.verdict.passing else NEUTRAL


def _opacity(drawing: _Drawing, point: Point) -> float:
    if drawing.verdict.budget.is_set and point.run.id not in drawing.verdict.passing:
        return OUTSIDE_OPACITY
    crowded = len(drawing.info.points) > MANY and is_quiet(point)
    return CROWDED_OPACITY if crowded else OPACITY[point.standing]


def _marks(drawing: _Drawing) -> list[go.Scatter]:
    """Return what is drawn over points: crosses on noisy ones, rings around selected ones and the best."""
    info, style = drawing.info, drawing.style
    noisy = [point for point in info.points if fields.is_noisy(point.run)][:MOST_DRAWN]
    selected = [point for point in info.points if point.run.id in style.selected]
    best = [drawing.verdict.best] if drawing.verdict.best else []
    lit = style.palette[2]  # the green of what is allowed
    kinds = (
        (style.say("noisy"), noisy, {"symbol": "x-thin", "size": 9, "line": {"width": 1.4, "color": style.ink}}),
        (
            style.say("selected"),
            selected,
            {"symbol": "circle-open", "size": 20, "line": {"width": 2, "color": style.ink}},
        ),
        (
            style.say("best within the budget"),
            best,
            {"symbol": "circle-open", "size": 26, "color": lit, "line": {"width": 4, "color": lit}},
        ),
    )
    return [_overlay(name, points, {"color": style.ink} | marker) for name, points, marker in kinds if points]


def _overlay(name: str, points: Sequence[Point], marker: dict[str, object]) -> go.Scatter:
    return go.Scatter(
        x=[point.x.value for point in points],
        y=[point.y.value for point in points],
        mode="markers",
        name=name,
        marker=marker,
        customdata=[point.run.id for point in points],
        hoverinfo="skip",
    )


def _error_bars(reaches: list[tuple[float, float]], color: str) -> dict[str, object]:
    return {
        "type": "data",
        "symmetric": False,
        "array": [up for up, _ in reaches],
        "arrayminus": [down for _, down in reaches],
        "color": translucent(color, 0.3),
        "thickness": 1.3,
        "width": 0,
    }


def _step_line(info: FrontierInfo, say: Say) -> go.Scatter:
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
        name=say("frontier"),
        line={"color": NEUTRAL, "width": 2, "shape": "hv" if info.x.direction == "minimize" else "vh"},
        hoverinfo="skip",
    )


def _legend_entry(standing: Standing, say: Say) -> go.Scatter:
    """Explain a marker's filling; the trace itself has no point."""
    marker = {"color": NEUTRAL, "symbol": "circle" + SUFFIX[standing], "size": 10, "opacity": OPACITY[standing]}
    return go.Scatter(
        x=[None], y=[None], mode="markers", name=say(STANDING_TEXT[standing]), marker=marker, hoverinfo="skip"
    )
