"""The two boxes of a budget, and what became of it."""

import streamlit as st

from dashboard import address, components, state
from dashboard.language import gettext as _
from dashboard.language import wording
from engine.analysis.budget import Budget, Verdict, miss_sentence, verdict_sentence
from engine.analysis.frontier import FrontierInfo, variant_name
from engine.analysis.measures import is_share, scale, scaled_unit
from engine.metrics.base import MetricInfo

DROP, BOUND = "drop", "bound"


def boxes(x: MetricInfo, y: MetricInfo, page: str) -> Budget:
    """Draw the boxes for the two axes of a plot and return what was asked.

    Args:
        x: the first axis.
        y: the second axis.
        page: the page's name, first part of the widgets' keys.
    """
    asked_x = _box(_bound_label(x), x, state.key(page, f"limit_{x.name}"))
    kinds = {DROP: _drop_label(y), BOUND: _bound_label(y)}
    kind = address.select(
        _("Limit of the answers"),
        list(kinds),
        DROP,
        state.key(page, "answers"),
        format_func=lambda name: kinds[name],
        width=230,
        help=_("Either how much worse than its own baseline a run may be, or how good it must be in itself."),
    )
    asked_y = _box(kinds[kind], y, state.key(page, f"{kind}_{y.name}"))
    return Budget(x=asked_x, y=asked_y if kind == BOUND else None, drop=asked_y if kind == DROP else None)


def show_verdict(info: FrontierInfo, verdict: Verdict) -> None:
    """Say which run is best within the budget, or which come nearest where none is."""
    if not verdict.budget.is_set:
        return
    with st.container(border=True, horizontal=True, vertical_alignment="center", key="budget_verdict"):
        if verdict.best is not None:
            said = components.plain(verdict_sentence(info, verdict, wording()))
            st.markdown(f":green[:material/check_circle:] **{_('Best within your budget')}:** {said}", width="stretch")
            components.run_link(verdict.best.run.id, _("Open run {id}").format(id=verdict.best.run.id))
            return
        nearest = [f"- {components.plain(miss_sentence(info, miss, wording()))}" for miss in verdict.misses]
        head = f":orange[:material/block:] **{_('No run is within this budget.')}**"
        said = f"{head} {_('The nearest misses:')}\n" + "\n".join(nearest) if nearest else head
        st.markdown(said, width="stretch")
        for miss in verdict.misses[:1]:
            components.run_link(miss.point.run.id, _("Open {name}").format(name=variant_name(miss.point.run, _)))


def _box(label: str, info: MetricInfo, key: str) -> float | None:
    typed = address.number(
        label,
        key,
        min_value=0.0,
        step=0.1 if is_share(info) else None,
        format="%g",
        placeholder=_("no limit"),
        width=210,
    )
    return None if typed is None else typed / scale(info)


def _bound_label(info: MetricInfo) -> str:
    words = _("{metric} at most") if info.direction == "minimize" else _("{metric} at least")
    return _with_unit(words.format(metric=_(info.title)), info)


def _drop_label(info: MetricInfo) -> str:
    words = _("{metric}: largest loss") if info.direction == "maximize" else _("{metric}: largest rise")
    unit = _("points") if is_share(info) else scaled_unit(info)
    return f"{words.format(metric=_(info.title))}, {unit}" if unit else words.format(metric=_(info.title))


def _with_unit(text: str, info: MetricInfo) -> str:
    unit = scaled_unit(info)
    return f"{text}, {unit}" if unit else text
