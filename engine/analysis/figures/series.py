"""Something over time."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import plotly.graph_objects as go

from engine.analysis.figures.palette import legend, palette


def series_figure(
    times: Sequence[datetime], lines: Mapping[str, Sequence[float | None]], unit: str, *, dark: bool = False
) -> go.Figure:
    """Draw one line for each name over the same times; a value that is missing leaves a gap."""
    figure = go.Figure()
    for (name, values), color in zip(lines.items(), palette(dark=dark), strict=False):
        hover = f"%{{x|%H:%M:%S}}: %{{y:.3~g}} {unit}<extra>{name}</extra>"
        line = {"color": color, "width": 2}
        figure.add_trace(go.Scatter(x=times, y=values, mode="lines", name=name, line=line, hovertemplate=hover))
    figure.update_yaxes(title=unit, rangemode="tozero", automargin=True)
    figure.update_xaxes(automargin=True)
    margin = {"l": 8, "r": 8, "t": 16, "b": 8}
    figure.update_layout(height=220, margin=margin, legend=legend(1.02), showlegend=True, uirevision="series")
    return figure
