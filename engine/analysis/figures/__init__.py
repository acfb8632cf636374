"""Plotly figures from data that was worked out before; the only room that knows Plotly."""

from engine.analysis.figures.frame import MANY, Canvas, FrontierStyle, axis_title
from engine.analysis.figures.frontier import frontier_figure, hover_text
from engine.analysis.figures.growth import growth_figure
from engine.analysis.figures.one_run import agreement_figure, box_figure, confusion_figure, latency_figure, steps_figure
from engine.analysis.figures.series import series_figure

__all__ = [
    "MANY",
    "Canvas",
    "FrontierStyle",
    "agreement_figure",
    "axis_title",
    "box_figure",
    "confusion_figure",
    "frontier_figure",
    "growth_figure",
    "hover_text",
    "latency_figure",
    "series_figure",
    "steps_figure",
]
