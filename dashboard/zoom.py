"""Which part of a plot the viewer looks at, told by the browser, so that a plot that is drawn anew keeps it.

Streamlit gives a plot with new data a new identity and mounts it from scratch, so the zoom that Plotly's ``uirevision``
would keep goes away with the old plot (streamlit 1.67, ``plotly_chart.py``: the element's id contains the figure).
"""

import json
from dataclasses import dataclass
from typing import Any

import streamlit as st

Range = tuple[float, float]

WATCH_RANGES = """
export default function({ data, setStateValue }) {
  const read = () => {
    const layout = document.querySelector(`.st-key-${data.plot} .js-plotly-plot`)?._fullLayout;
    if (!layout) return null;
    const range = (axis) => (!axis || axis.autorange ? null : Array.from(axis.range, Number));
    return JSON.stringify({ view: layout.uirevision ?? "", x: range(layout.xaxis), y: range(layout.yaxis) });
  };
  let known = data.known, before = null;
  const timer = setInterval(() => {
    const now = read();
    const settled = now !== null && now === before;
    before = now;
    // Before the first zoom there is nothing to tell.
    const blank = now !== null && now.includes('"x":null,"y":null');
    if (settled && now !== known && !(blank && !known)) {
      known = now;
      setStateValue("ranges", now);
      document.documentElement.dataset.zoomTold = now;
    }
  }, 300);
  return () => clearInterval(timer);
}
"""


@dataclass(frozen=True)
class Zoom:
    """The visible ranges of a view, ``None`` where an axis shows everything."""

    view: str
    x: Range | None = None
    y: Range | None = None


def watch(plot_key: str, key: str) -> None:
    """Let the browser tell whenever the visible part of a plot has changed and settled.

    Args:
        plot_key: the plot's own session key.
        key: session key of the watching.
    """
    component = st.components.v2.component("subsecond_zoom", js=WATCH_RANGES)
    known = st.session_state.get(f"{key}_known")
    answer: Any = component(
        data={"plot": plot_key, "known": known}, key=key, default={"ranges": None}, on_ranges_change=lambda: None
    ).ranges
    if answer is not None:
        st.session_state[f"{key}_known"] = answer


def kept(key: str, view: str) -> Zoom:
    """Return how far a view was zoomed when the browser last told; everything is visible in any other view."""
    told = st.session_state.get(f"{key}_known")
    if told is None:
        return Zoom(view)
    ranges = json.loads(told)
    if ranges["view"] != view:
        return Zoom(view)
    return Zoom(view, _range(ranges["x"]), _range(ranges["y"]))


def _range(ends: Any) -> Range | None:
    return None if ends is None else (float(ends[0]), float(ends[1]))
