"""Figures as HTML that needs no network."""

from collections.abc import Sequence
from functools import cache

import plotly.graph_objects as go
from plotly.io import to_html
from plotly.offline import get_plotlyjs


def figures_html(figures: Sequence[go.Figure]) -> list[str]:
    """Return each figure as a piece of HTML; they need :func:`library` once on their page."""
    return [
        to_html(figure, full_html=False, include_plotlyjs=False, config={"displaylogo": False}) for figure in figures
    ]


@cache
def library() -> str:
    """Return the drawing library as the text of a script, some 4 MB."""
    return str(get_plotlyjs())
