"""What a viewer may choose about a plot: its axes, its scale, its colours and sizes."""

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from dashboard import address, state
from dashboard.language import gettext as _
from engine.analysis import fields
from engine.analysis.frontier import DEFAULT_X, DEFAULT_Y, axis_metrics, default_x
from engine.metrics import METRICS
from engine.metrics.base import MetricInfo
from engine.results import Context
from engine.store.store import RunSummary

AUTOMATIC = "auto"
PICTURES = ("svg", "png")


@dataclass(frozen=True)
class PlotChoice:
    """What was chosen."""

    x: MetricInfo
    y: MetricInfo
    log_x: bool
    color: str | None
    size: str | None
    picture: str = "svg"
    """In which format the plot's own button saves it."""


@dataclass(frozen=True)
class Offer:
    """What can be chosen where some runs were measured."""

    axes: tuple[MetricInfo, ...]
    categories: tuple[fields.Category, ...]
    numbers: tuple[MetricInfo, ...]

    @classmethod
    def of(cls, runs: Sequence[RunSummary]) -> "Offer":
        """Look which metrics can be an axis and which fields differ."""
        axes = (*axis_metrics(runs, quality=False), *axis_metrics(runs, quality=True))
        return cls(axes, tuple(fields.categories(runs)), tuple(fields.numbers(runs)))


def choose_plot(context: Context, offer: Offer, page: str) -> PlotChoice:
    """Draw the choices in a row of their own.

    Args:
        context: decides which axes come first.
        offer: what can be chosen.
        page: first part of the widgets' keys.
    """
    names = [info.name for info in offer.axes]
    first, second = default_x(context.scenario), context.metric if context.metric in METRICS else DEFAULT_Y
    with st.container(horizontal=True, vertical_alignment="bottom"):
        x = _choose_axis(_("X"), names or [first], first, _axis_key(page, "x", first, DEFAULT_X))
        rest = [name for name in names if name != x] or [second]
        y = _choose_axis(_("Y"), rest, second, _axis_key(page, "y", second, DEFAULT_Y))
        categories = {entry.name: _(entry.title) for entry in offer.categories}
        numbers = {info.name: _(info.title) for info in offer.numbers}
        color = _choose_field(_("Colour"), categories | numbers, state.key(page, "color"))
        size = _choose_field(_("Size"), numbers, state.key(page, "size"))
        log_x = address.toggle(_("Log scale"), True, state.key(page, "log"), help=_("Equal distances are equal ratios"))
        picture = address.segments(
            _("Picture"), PICTURES, PICTURES[0], state.key(page, "picture"), format_func=str.upper,
            help=_("The camera above the plot saves it in this format."),
        )  # fmt: skip
    return PlotChoice(METRICS.get(x), METRICS.get(y), log_x, color, size, picture)


def _axis_key(page: str, axis: str, name: str, usual: str) -> str:
    """Return the key of an axis; where another metric comes first, its choice is another one."""
    return state.key(page, axis if name == usual else f"{axis}_{name}")


def _choose_axis(label: str, names: Sequence[str], default: str, key: str) -> str:
    """Let the viewer choose what an axis shows; which way is better follows from the metric."""
    first = default if default in names else names[0]
    return address.select(label, names, first, key, format_func=lambda name: _(METRICS.get(name).title), width=220)


def _choose_field(label: str, titles: dict[str, str], key: str) -> str | None:
    options = [AUTOMATIC, *titles]
    chosen = address.select(
        label, options, AUTOMATIC, key, format_func=lambda name: titles.get(name, _("automatic")), width=180
    )
    return None if chosen == AUTOMATIC else chosen
