"""How the covered share of a plot grew, run by run."""

import plotly.graph_objects as go

from engine.analysis.figures.palette import NEUTRAL, palette
from engine.analysis.hypervolume import Growth
from engine.analysis.wording import Say, in_english


def growth_figure(growth: Growth, shown: int, *, dark: bool = False, say: Say = in_english) -> go.Figure:
    """Draw the share after each run as steps, with a mark at the run up to which the plot is replayed.

    Args:
        growth: the share after each run.
        shown: how many runs the plot shows now.
        dark: whether the page behind it is dark.
        say: puts words into the viewer's language.
    """
    numbers = list(range(1, len(growth.shares) + 1))
    color = palette(dark=dark)[0]
    line = go.Scatter(
        x=numbers,
        y=growth.shares,
        customdata=growth.run_ids,
        mode="lines",
        line={"color": color, "width": 2, "shape": "hv"},
        hovertemplate=say("after run {run}: {share}").format(run="%{customdata}", share="%{y:.1%}") + "<extra></extra>",
    )
    figure = go.Figure(line)
    if 0 < shown <= len(numbers):
        figure.add_vline(x=shown, line={"color": NEUTRAL, "dash": "dot"})
        mark = {"color": color, "size": 10}
        figure.add_trace(go.Scatter(x=[shown], y=[growth.shares[shown - 1]], mode="markers", marker=mark))
    figure.update_xaxes(title=say("Runs, in the order in which they were asked for"), tickformat=",d", automargin=True)
    figure.update_yaxes(title=say("Covered share"), tickformat=".0%", rangemode="tozero", automargin=True)
    figure.update_layout(height=220, margin={"l": 8, "r": 8, "t": 16, "b": 8}, showlegend=False)
    return figure
