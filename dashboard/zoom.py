"""Which part of a plot the viewer looks at, asked from the browser just before the plot is drawn anew.

Streamlit gives a plot with new data a new identity and mounts it from scratch, so the zoom that Plotly's ``uirevision``
would keep goes away with the old plot (streamlit 1.67, ``plotly_chart.py``: the element's id contains the figure).
"""

from dataclasses import dataclass
from typing import Any

import streamlit as st

Range = tuple[float, float]

READ_RANGES = """
export default function({ data, setTriggerValue }) {
  const plot = document.querySelector(`.st-key-${data} .js-plotly-plot`);
  const range = (axis) => (!axis || axis.autorange ? null : axis.range);
  const layout = plot?._fullLayout;
  setTriggerValue("ranges", { view: layout?.uirevision ?? "", x: range(layout?.xaxis), y: range(layout?.yaxis) });
}
"""


@dataclass(frozen=True)
class Zoom:
    """The visible ranges of a view, ``None`` where an axis shows everything."""

    view: str
    x: Range | None = None
    y: Range | None = None


def ask(plot_key: str, key: str) -> Zoom | None:
    """Return how far the plot is zoomed; ``None`` on the first call, the answer comes with a rerun.

    Args:
        plot_key: the plot's own session key.
        key: session key of the question.
    """
    component = st.components.v2.component("subsecond_zoom", js=READ_RANGES)
    answer: Any = component(data=plot_key, key=key, on_ranges_change=lambda: None).ranges
    if answer is None:
        return None
    return Zoom(str(answer["view"]), _range(answer["x"]), _range(answer["y"]))


def _range(ends: Any) -> Range | None:
    return None if ends is None else (float(ends[0]), float(ends[1]))
