"""The parts of the start page: the plot, the table that is linked with it, how the frontier grew, and the way out."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
import streamlit as st

from dashboard import address, components, state, zoom
from dashboard.columns import columns
from dashboard.language import gettext as _
from dashboard.language import ngettext, wording
from engine.analysis.budget import Budget
from engine.analysis.figures import FrontierStyle, frontier_figure, growth_figure
from engine.analysis.frontier import FrontierInfo, frontier_info
from engine.analysis.hypervolume import Growth
from engine.analysis.listing import frontier_rows

PAGE = "frontier"
MOST_COMPARED = 6
MOST_ROWS = 1000
CHART_CONFIG: dict[str, Any] = {
    "displaylogo": False,
    "doubleClick": "autosize",
    "modeBarButtonsToRemove": ["lasso2d", "resetScale2d"],
}


def key(name: str) -> str:
    """Return this page's session key."""
    return state.key(PAGE, name)


def draw_plot(info: FrontierInfo, style: FrontierStyle, budget: Budget, picture: str) -> set[int]:
    """Draw the frontier; a click on a point opens its run, a box around several is returned as their ids."""
    kept = zoom.kept(key("watch"), style.view)
    if kept.x or kept.y:
        style = replace(style, x_range=kept.x, y_range=kept.y)
    event: Any = st.plotly_chart(
        frontier_figure(info, style, budget),
        key=key("plot"),
        on_select="rerun",
        selection_mode=("points", "box"),
        config=CHART_CONFIG | {"toImageButtonOptions": {"format": picture, "filename": "frontier", "scale": 2}},
        alt=_("{y} against {x} of {n} runs, with the frontier as a step line").format(
            y=_(info.y.title), x=_(info.x.title), n=len(info.points)
        ),
    )
    if event.selection.get("box"):
        return {run_id for point in event.selection.points if (run_id := components.run_of_point(point)) is not None}
    run_id = components.clicked_run(event)
    if run_id is not None:
        components.open_run(run_id)
    return set()


def table_rows(info: FrontierInfo) -> list[dict[str, Any]]:
    """Return the table's rows in their order, the best ones where there are too many to read."""
    return list(frontier_rows(info, MOST_ROWS, say=wording()))


def chosen_in_table(rows: Sequence[dict[str, Any]]) -> frozenset[int]:
    """Return the runs whose rows are ticked, before the table is drawn so that the plot can ring them."""
    return frozenset(map(int, address.ticked([str(row["Run"]) for row in rows], key("table"))))


def draw_table(
    info: FrontierInfo, rows: Sequence[dict[str, Any]], boxed: Collection[int], ticked: frozenset[int]
) -> None:
    """List the points, only those in the box where there is one; ticked rows can be opened or compared."""
    shown = list(frontier_rows(info, MOST_ROWS, boxed, wording())) if boxed else list(rows)
    if boxed:
        st.caption(ngettext("{n} run in the box.", "{n} runs in the box.", len(boxed)))
    st.dataframe(
        pd.DataFrame(shown),
        hide_index=True,
        on_select="rerun",
        selection_mode="multi-row",
        key=key("boxed" if boxed else "table"),
        column_config=columns(),
        placeholder="",
        alt=_("Every run of the plot with its numbers"),
    )
    if len(shown) == MOST_ROWS:
        st.caption(_("The best {n} are listed; the files below hold all.").format(n=f"{MOST_ROWS:,}"))
    if ticked and not boxed:
        offer_chosen(ticked)


def offer_chosen(chosen: frozenset[int]) -> None:
    """Offer what can be done with ticked runs."""
    ids = sorted(chosen)
    with st.container(horizontal=True):
        if len(ids) == 1:
            components.run_link(ids[0], _("Open run {id}").format(id=ids[0]))
        elif len(ids) <= MOST_COMPARED:
            components.compare_link(ids)
        else:
            st.caption(_("Tick at most six runs to compare them."))


def replay(info: FrontierInfo, whole: Growth) -> FrontierInfo:
    """Let the viewer go back to what the first runs had shown; return what is shown then."""
    count = len(whole.run_ids)
    if count < 2:
        return info
    asked = key("known") in st.query_params
    title = f"{_('Covered share of the plot')}: {whole.last:.1%}"
    frame = st.expander(title, asked, icon=":material/area_chart:", key=key("growth_frame"), on_change="rerun")
    if not frame.open:
        return info
    with frame:
        shown = address.slider(
            _("Runs known"),
            1,
            count,
            count,
            key("known"),
            help=_(
                "Shows the plot as it was after the first runs. The share is the hypervolume between the worst and the "
                "best value of each axis."
            ),
        )
        st.plotly_chart(
            growth_figure(whole, shown, dark=components.is_dark(), say=wording()),
            key=key("growth"),
            config={"displayModeBar": False},
            alt=_("Share of the plot that the frontier covers, after each run"),
        )
    if shown == count:
        return info
    known = set(whole.run_ids[:shown])
    runs = [point.run for point in info.points if point.run.id in known]
    return frontier_info(runs, info.x.name, info.y.name)
