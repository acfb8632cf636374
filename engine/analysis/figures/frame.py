"""What stands around the frontier: axes, what a budget allows, and the names beside the points."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import plotly.graph_objects as go

from engine.analysis.budget import Verdict
from engine.analysis.figures.palette import ALLOWED, NEUTRAL, ink, legend, palette
from engine.analysis.frontier import FrontierInfo, Point, once, stack_name
from engine.analysis.labels import Box, Placement, Stretch, place_labels
from engine.analysis.measures import is_share
from engine.analysis.pareto import Standing
from engine.analysis.wording import Say, in_english
from engine.metrics.base import MetricInfo
from engine.results import Metric

CANVAS = (940.0, 380.0)
"""Size in pixels of the plotting area for which labels are placed; other sizes only move them apart or drop them."""
MANY = 150
"""Above this number of points, those off the frontier step back: small, pale and without interval bars."""
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
    color: str | None = None
    """Name of a category or a metric; ``None`` colours models, or backends where there is one model only."""
    size: str | None = None
    """Name of a metric; ``None`` draws all points alike."""
    selected: frozenset[int] = frozenset()
    """Ids of runs that are ringed."""
    say: Say = in_english
    """Puts words into the viewer's language."""

    @property
    def ink(self) -> str:
        """Return the colour of labels and of the reference."""
        return ink(dark=self.dark)

    @property
    def palette(self) -> tuple[str, ...]:
        """Return the colours of names."""
        return palette(dark=self.dark)


def axis_title(info: MetricInfo, say: Say = in_english) -> str:
    """Return the title with its unit and an arrow to the better end: ``"Latency p50, ms   ← better"``."""
    unit = {"": "", "x": f", {say('times the baseline')}", "bytes": ""}.get(info.unit, f", {info.unit}")
    arrow = say("better →") if info.direction == "maximize" else say("← better")
    return f"{say(info.title)}{unit}    <b>{arrow}</b>"


@dataclass(frozen=True)
class Canvas:
    """Where values lie in pixels once the axes have fitted themselves to all points and intervals."""

    across: Stretch
    up: Stretch
    log_x: bool
    is_narrow: bool
    """Whether all points lie within a factor of three, intervals included."""

    @staticmethod
    @once
    def of(info: FrontierInfo, log_x: bool) -> "Canvas":
        """Work it out once for a plot."""
        ends_x = [end for point in info.points for end in _ends(info, point, point.x)]
        ends_y = [end for point in info.points for end in _ends(info, point, point.y)]
        positive = [end for end in ends_x if end > 0]
        is_narrow = not positive or max(positive) / min(positive) < 3
        across = Stretch.over([_scaled(end, log_x) for end in ends_x], CANVAS[0])
        return Canvas(across, Stretch.over(ends_y, CANVAS[1]), log_x, is_narrow)

    @property
    def ranges(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """What of both axes shows everything, in powers of ten on a log axis."""
        return self.across.padded, self.up.padded

    def places(self, points: Sequence[Point]) -> list[tuple[float, float]]:
        """Return where points lie."""
        return [(self.across(_scaled(point.x.value, self.log_x)), self.up(point.y.value or 0.0)) for point in points]


def lay_out(figure: go.Figure, info: FrontierInfo, style: FrontierStyle, canvas: Canvas) -> None:
    """Set axes, legend and what keeps the zoom."""
    figure.update_xaxes(title=axis_title(info.x, style.say), range=style.x_range, **_ticks(info.x, style.log_x))
    figure.update_xaxes(type="log" if style.log_x else "linear")
    if style.log_x and canvas.is_narrow:
        figure.update_xaxes(dtick=None)  # ticks at 1, 2 and 5 would all lie outside; the library finds its own
    figure.update_yaxes(title=axis_title(info.y, style.say), range=style.y_range, **_ticks(info.y, log=False))
    figure.update_layout(
        height=500,
        margin={"l": 8, "r": 8, "t": 12, "b": 8},
        legend=legend(-0.16, "top"),
        hoverlabel={"align": "left", "font": {"color": style.ink}},
        hovermode="closest",
        uirevision=style.view,
    )


def shade_allowed(figure: go.Figure, info: FrontierInfo, verdict: Verdict, style: FrontierStyle) -> None:
    """Shade what a budget allows, with its bounds as dotted lines.

    Plotly widens an axis for a shape on it, so that the shade ends a little beyond what was measured.
    """
    bounds = (verdict.budget.x, verdict.y_bound)
    if any(bound is not None and not math.isfinite(bound) for bound in bounds):
        return
    rectangle: dict[str, object] = {}
    for axis, metric, bound in (("x", info.x, bounds[0]), ("y", info.y, bounds[1])):
        low, high = (
            (0.0, 1.0) if bound is None else _allowed(info, axis, metric, bound, log=axis == "x" and style.log_x)
        )
        rectangle |= {f"{axis}0": low, f"{axis}1": high, f"{axis}ref": axis if bound is not None else f"{axis} domain"}
    figure.add_shape(type="rect", layer="below", fillcolor=ALLOWED, line={"width": 0}, **rectangle)
    dotted = {"color": NEUTRAL, "dash": "dot", "width": 1.5}
    x, y = bounds
    if x is not None and x in (rectangle["x0"], rectangle["x1"]):
        figure.add_vline(x=x, line=dotted)
    if y is not None and y in (rectangle["y0"], rectangle["y1"]):
        figure.add_hline(y=y, line=dotted)


def name_points(info: FrontierInfo, style: FrontierStyle, canvas: Canvas) -> go.Scatter:
    """Name the frontier's points and the baselines where there is room.

    As a trace of texts: an annotation would widen the axis of a narrow screen until its text fits into it.
    """
    named = [point for point in info.points if point.standing is Standing.FRONTIER or point.is_baseline]
    positions = canvas.places(named[:MANY])
    others = [point for point in info.points if point.standing is not Standing.FRONTIER and not point.is_baseline]
    obstacles = [_point_box(place) for place in canvas.places(others[: 4 * MANY])]
    texts = [_short_name(point, style.say) for point in named[:MANY]]
    placed = place_labels(positions, texts, obstacles, CANVAS)
    return go.Scatter(
        x=[named[one.index].x.value for one in placed],
        y=[named[one.index].y.value for one in placed],
        text=[_beside(escape(texts[one.index]), one) for one in placed],
        textposition=[_position(one) for one in placed],
        textfont={"size": LABEL_SIZE, "color": style.ink},
        mode="text",
        name="names",
        hoverinfo="skip",
        showlegend=False,
        cliponaxis=False,
    )


def _position(placement: Placement) -> str:
    """Return a place around a point in the library's words."""
    rows, columns = {1: "top", 0: "middle", -1: "bottom"}, {1: "right", 0: "center", -1: "left"}
    return f"{rows[_sign(placement.dy)]} {columns[_sign(placement.dx)]}"


def _beside(text: str, placement: Placement) -> str:
    """Return a name with the room that its point needs: an empty line, or some blanks."""
    if placement.dy:
        return f"{text}<br> " if placement.dy > 0 else f" <br>{text}"
    return f"{text}   " if placement.dx < 0 else f"   {text}"


def _sign(number: float) -> int:
    return (number > 0) - (number < 0)


def is_quiet(point: Point) -> bool:
    """Tell whether a point may step back where there are many."""
    return point.standing is not Standing.FRONTIER and not point.is_baseline


def reach(info: FrontierInfo, point: Point, metric: Metric) -> tuple[float, float]:
    """Return how far the interval reaches above and below the value, nothing where it is not drawn."""
    if metric.ci95 is None or metric.value is None or (len(info.points) > MANY and is_quiet(point)):
        return 0.0, 0.0
    return max(0.0, metric.ci95[1] - metric.value), max(0.0, metric.value - metric.ci95[0])


def _allowed(info: FrontierInfo, axis: str, metric: MetricInfo, bound: float, *, log: bool) -> tuple[float, float]:
    """Return both ends of what a bound allows, cut off a little beyond what was measured."""
    values = [_scaled(getattr(point, axis).value, log) for point in info.points]
    low, high = min(values), max(values)
    pad = 0.15 * (high - low) or 0.1 * abs(high) or 1.0
    first, last = low - pad, high + pad
    if log:
        first, last = 10**first, 10**last
    if metric.direction == "minimize":
        return first, max(first, min(bound, last))
    return min(last, max(bound, first)), last


def _ends(info: FrontierInfo, point: Point, metric: Metric) -> tuple[float, float]:
    """Return where the drawn interval ends."""
    above, below = reach(info, point, metric)
    value = metric.value or 0.0
    return value - below, value + above


def _ticks(info: MetricInfo, log: bool) -> dict[str, object]:
    ticks: dict[str, object] = {"zeroline": False, "automargin": True}
    if is_share(info):
        ticks["tickformat"] = ".1%"
    elif info.unit in ("bytes", ""):
        ticks |= {"tickformat": "~s", "ticksuffix": "B" if info.unit == "bytes" else ""}
    if log:
        ticks |= {"dtick": "D2", "tickformat": ticks.get("tickformat", ",.3~r")}
    return ticks


def _short_name(point: Point, say: Say) -> str:
    return say("baseline") if point.is_baseline else stack_name(point.run, say)


def _scaled(value: float | None, log: bool) -> float:
    number = value or 0.0
    return math.log10(number) if log and number > 0 else number


def _point_box(place: tuple[float, float]) -> Box:
    return (place[0] - 6, place[1] - 6, place[0] + 6, place[1] + 6)
