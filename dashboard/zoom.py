"""Which part of a plot the viewer looks at, told by the browser, so that a plot that is drawn anew keeps it.

Streamlit gives a plot with new data a new identity and mounts it from scratch, so the zoom that Plotly's ``uirevision``
would keep goes away with the old plot (streamlit 1.67, ``plotly_chart.py``: the element's id contains the figure).
"""

import json
import math
import zlib
from dataclasses import dataclass
from typing import Any

import streamlit as st

from dashboard import address

Range = tuple[float, float]
SEPARATOR = "~"

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

    @property
    def written(self) -> str | None:
        """How the address says it: a mark of the view, then both ranges; nothing where everything is visible."""
        if self.x is None and self.y is None:
            return None
        ends = [*(self.x or ("", "")), *(self.y or ("", ""))]
        return SEPARATOR.join([_mark(self.view), *(end if isinstance(end, str) else f"{end:.6g}" for end in ends)])


def watch(plot_key: str, key: str) -> None:
    """Let the browser tell whenever the visible part of a plot has changed and settled; the address remembers it.

    Args:
        plot_key: the plot's own session key.
        key: session key of the watching, and of the zoom in the address.
    """
    component = st.components.v2.component("subsecond_zoom", js=WATCH_RANGES)
    known = st.session_state.get(f"{key}_known")
    answer: Any = component(
        data={"plot": plot_key, "known": known}, key=key, default={"ranges": None}, on_ranges_change=lambda: None
    ).ranges
    if answer is not None and answer != st.session_state.get(f"{key}_told"):
        st.session_state[f"{key}_told"] = st.session_state[f"{key}_known"] = answer
        address.say(f"{key}_zoom", _read(answer).written)


def kept(key: str, view: str) -> Zoom:
    """Return how far a view is zoomed: as the address asks, else as the browser last told.

    Everything is visible in any other view than the one that was zoomed, and where the address makes no sense.
    """
    wanted = address.asked(f"{key}_zoom", lambda text: _parse(text, view))
    if wanted is not None:
        st.session_state[f"{key}_known"] = json.dumps({"view": view, "x": wanted.x, "y": wanted.y})
    known = st.session_state.get(f"{key}_known")
    zoom = _read(known) if known is not None else Zoom(view)
    found = zoom if zoom.view == view else Zoom(view)
    address.say(f"{key}_zoom", found.written)
    return found


def _read(told: str) -> Zoom:
    ranges = json.loads(told)
    return Zoom(ranges["view"], _range(ranges["x"]), _range(ranges["y"]))


def _parse(text: str, view: str) -> Zoom | None:
    """Return what the address asks of a view; nothing where it was written for another one or by a slip."""
    mark, *ends = text.split(SEPARATOR)
    if mark != _mark(view) or len(ends) != 4:
        return None
    try:
        x, y = (_range(pair if any(pair) else None) for pair in (ends[:2], ends[2:]))
    except ValueError:
        return None
    sound = all(ends is None or (all(map(math.isfinite, ends)) and ends[0] != ends[1]) for ends in (x, y))
    return Zoom(view, x, y) if sound else None


def _mark(view: str) -> str:
    """Return a few letters that tell a view from others."""
    return f"{zlib.crc32(view.encode()):08x}"


def _range(ends: Any) -> Range | None:
    return None if ends is None else (float(ends[0]), float(ends[1]))
