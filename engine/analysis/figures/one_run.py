"""Figures of one run: how its latency is spread, what it confuses, what each step of its stack did."""

import itertools
import math
from collections.abc import Sequence
from html import escape

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from engine.analysis.evidence import BASELINE, THIS_RUN, Confusion, LatencyBox, LatencyCurve
from engine.analysis.figures.palette import NEUTRAL, legend, palette, shades
from engine.analysis.wording import Say, in_english
from engine.insight import StepEffect


def latency_figure(curves: Sequence[LatencyCurve], *, dark: bool = False, say: Say = in_english) -> go.Figure:
    """Draw which share of the queries was answered within which time, each process faint, all of them strong."""
    figure = go.Figure()
    colors = itertools.cycle(palette(dark=dark))
    for curve in curves:
        color = NEUTRAL if curve.name == BASELINE else next(colors)
        name = _named(curve.name, say)
        for seconds in curve.by_process_ms:
            figure.add_trace(_curve(seconds, curve.shares, name, color))
        hover = say("{share} within {time}").format(share="%{y:.0%}", time="%{x:.3g} ms")
        figure.add_trace(_curve(curve.all_ms, curve.shares, name, color, hover))
    figure.update_xaxes(
        title=say("Latency of one query, ms"), type="log", dtick="D2", tickformat=",.3~r", automargin=True
    )
    figure.update_xaxes(range=_usual_range(curves))
    figure.update_yaxes(title=say("Share of queries answered"), tickformat=".0%", range=[0, 1.02])
    figure.update_layout(height=320, margin={"l": 8, "r": 8, "t": 16, "b": 8}, legend=legend(1.02))
    return figure


def _usual_range(curves: Sequence[LatencyCurve]) -> tuple[float, float] | None:
    """Return the ends of a log axis that shows 99 % of the queries; the tail stays within reach."""
    if not curves:
        return None
    usual = [
        value for curve in curves for value, share in zip(curve.all_ms, curve.shares, strict=True) if share <= 0.99
    ]
    return math.log10(min(usual) * 0.95), math.log10(max(usual) * 1.1)


def box_figure(boxes: Sequence[LatencyBox], *, dark: bool = False, say: Say = in_english) -> go.Figure:
    """Draw quartiles, whiskers of 1.5 IQR and every kept outlier, candidate and baseline one above the other."""
    figure = go.Figure()
    for box, color in zip(boxes, (palette(dark=dark)[0], NEUTRAL), strict=False):
        quartiles = {"q1": [box.q1_ms], "median": [box.median_ms], "q3": [box.q3_ms]}
        fences = {"lowerfence": [box.low_ms], "upperfence": [box.high_ms]}
        name = _named(box.name, say)
        trace = go.Box(y=[name], name=name, orientation="h", marker_color=color, **quartiles, **fences)
        figure.add_trace(trace)
        outliers = go.Scatter(
            x=box.outliers_ms,
            y=[name] * len(box.outliers_ms),
            mode="markers",
            marker={"color": color, "size": 5, "opacity": 0.5, "symbol": "circle-open"},
            hovertemplate=f"%{{x:.3g}} ms<extra>{say('outlier')}</extra>",
        )
        figure.add_trace(outliers)
    figure.update_xaxes(title=say("Latency of one query, ms"), type="log", automargin=True)
    figure.update_yaxes(autorange="reversed", automargin=True)
    figure.update_layout(height=220, margin={"l": 8, "r": 8, "t": 16, "b": 8}, showlegend=False)
    return figure


def confusion_figure(confusion: Confusion, *, dark: bool = False, say: Say = in_english) -> go.Figure:
    """Draw how many samples of each true class were given which class."""
    figure = _heat_map(confusion.classes, confusion.counts, "%{z}", dark=dark)
    hover = say("{n} samples of {true} were called {predicted}").format(n="%{z}", true="%{y}", predicted="%{x}")
    figure.update_traces(hovertemplate=f"{hover}<extra></extra>")
    figure.update_xaxes(title=say("Predicted"), showgrid=False)
    figure.update_yaxes(title=say("True"), autorange="reversed", showgrid=False)
    figure.update_layout(height=300, margin={"l": 8, "r": 8, "t": 16, "b": 8})
    return figure


def agreement_figure(
    names: Sequence[str], shares: Sequence[Sequence[float | None]], *, dark: bool = False, say: Say = in_english
) -> go.Figure:
    """Draw for each pair of runs which share of the samples they answer alike."""
    figure = _heat_map(names, shares, "%{z:.1%}", dark=dark)
    hover = say("{one} and {other} answer {share} alike").format(one="%{y}", other="%{x}", share="%{z:.2%}")
    figure.update_traces(hovertemplate=f"{hover}<extra></extra>")
    figure.update_yaxes(autorange="reversed", showgrid=False, automargin=True)
    figure.update_xaxes(showgrid=False, automargin=True)
    figure.update_layout(height=120 + 50 * len(names), margin={"l": 8, "r": 8, "t": 16, "b": 8})
    return figure


def _heat_map(names: Sequence[str], cells: Sequence[Sequence[float | None]], text: str, *, dark: bool) -> go.Figure:
    """Draw a square of cells, each with its number in it."""
    look = {"colorscale": shades(dark=dark), "showscale": False, "xgap": 2, "ygap": 2}
    return go.Figure(go.Heatmap(z=cells, x=list(names), y=list(names), texttemplate=text, **look))


def steps_figure(steps: Sequence[StepEffect], *, dark: bool = False, say: Say = in_english) -> go.Figure:
    """Draw what a model was after each step of its stack: how good, how large, how much of it is left."""
    panels = (
        (say("Accuracy, %"), [100 * step.accuracy for step in steps], ".1f"),
        (say("Size, MB"), [step.size_bytes / 1e6 for step in steps], ",.3~r"),
        (say("Non-zero weights, M"), [step.nonzero_parameters / 1e6 for step in steps], ",.3~r"),
        (say("Operations a sample, M"), [(step.flops or math.nan) / 1e6 for step in steps], ",.3~r"),
    )
    figure = make_subplots(2, 2, vertical_spacing=0.3)
    names = [f"{number}. {say(step.name)}" for number, step in enumerate(steps)]
    color = palette(dark=dark)[0]
    for place, (title, values, form) in enumerate(panels):
        bar = go.Bar(x=names, y=values, marker_color=color, texttemplate=f"%{{y:{form}}}", textposition="outside")
        bar.hovertemplate = f"%{{x}}: %{{y:{form}}}<extra>{escape(title)}</extra>"
        row, column = place // 2 + 1, place % 2 + 1
        figure.add_trace(bar, row=row, col=column)
        figure.update_xaxes(title=title, row=row, col=column)  # a title above would vanish on a narrow screen
    figure.update_yaxes(showticklabels=False, rangemode="tozero")
    figure.update_layout(height=520, margin={"l": 8, "r": 8, "t": 32, "b": 8}, showlegend=False, bargap=0.35)
    return figure


def _named(side: str, say: Say) -> str:
    """Return a side of a run in the reader's language; the names of several runs stay as they are."""
    return say(side) if side in (THIS_RUN, BASELINE) else side


def _curve(
    values_ms: Sequence[float], shares: Sequence[float], name: str, color: str, hover: str | None = None
) -> go.Scatter:
    """Draw one distribution: strong where it says something under the pointer, faint where it does not."""
    return go.Scatter(
        x=values_ms,
        y=shares,
        mode="lines",
        name=name,
        legendgroup=name,
        showlegend=hover is not None,
        line={"color": color, "width": 1 if hover is None else 2.5},
        opacity=0.35 if hover is None else 1,
        hoverinfo="skip" if hover is None else "all",
        hovertemplate=None if hover is None else f"{hover}<extra>{escape(name)}</extra>",
    )
