"""Colours and shapes that all figures share; they can be told apart by the colour-blind and on paper."""

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
"""Okabe and Ito's colours (https://jfly.uni-koeln.de/color/), the order in which they show best on white."""
DARK_PALETTE = ("#56B4E9", "#E69F00", "#009E73", "#CC79A7", "#F0E442", "#D55E00")
"""The same, for a dark page."""
FAINT, DARK_FAINT = "#eef6fc", "#1c2b36"
MANY_SHADE = "#0072B2"
SCALE = "Cividis"
"""For numbers: even steps in lightness, the same to every kind of eye (Nunez et al. 2018)."""
INK, DARK_INK = "#1b2127", "#e8ecf0"
NEUTRAL = "#8a8f98"
ALLOWED = "rgba(0, 158, 115, 0.10)"
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "pentagon", "hexagon")


def palette(*, dark: bool) -> tuple[str, ...]:
    """Return the colours of names on a light or dark page."""
    return DARK_PALETTE if dark else PALETTE


def ink(*, dark: bool) -> str:
    """Return the colour of text and of references on a light or dark page."""
    return DARK_INK if dark else INK


def shades(*, dark: bool) -> list[list[object]]:
    """Return the colours from nothing to many on a light or dark page.

    None lets the page through: the library chooses the ink of a cell's number as if a white page were behind it.
    """
    return [[0, DARK_FAINT if dark else FAINT], [1, MANY_SHADE]]


def translucent(color: str, share: float) -> str:
    """Return ``#rrggbb`` as a colour that lets the background through."""
    red, green, blue = (int(color[start : start + 2], 16) for start in (1, 3, 5))
    return f"rgba({red},{green},{blue},{share})"


def legend(y: float, anchor: str = "bottom") -> dict[str, object]:
    """Return a legend in one row, which wraps where the screen is narrow."""
    return {"orientation": "h", "x": 0, "xanchor": "left", "y": y, "yanchor": anchor, "title": None}
