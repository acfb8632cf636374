"""What a run's samples show: how its latency is spread, how good its answers are, and which of them changed."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from dashboard import components, sample_gallery, state
from dashboard.language import gettext as _
from dashboard.language import ngettext, wording
from engine.analysis import evidence, figures, table
from engine.results import RawData, RunRecord, RunResult
from engine.store.store import Store


def side_by_side(rows: Sequence[tuple[str, str, str]]) -> None:
    """Show numbers of this run beside the baseline's."""
    named = pd.DataFrame(rows, columns=[_("Measure"), _("This run"), _("Baseline")])
    st.table(named.set_index(_("Measure")), border="horizontal")


def show_latency(store: Store, record: RunRecord, result: RunResult) -> None:
    """Show percentiles and the distribution they come from."""
    batch = result.offline.batch_size if result.offline else 1
    title = _("Latency of batches of {n}").format(n=batch) if result.offline else _("Latency")
    st.header(title, anchor=False)
    left, right = st.columns([2, 3])
    with left:
        special = table.scenario_rows(result, wording())
        if special:
            side_by_side(special)
        side_by_side(table.percentile_rows(result, wording()))
        st.caption(
            _(
                "{n} queries in {processes} processes; {outliers} outliers are kept. A percentile is shown where the "
                "sample carries it. The slowest 1 % lie outside the plot; a double click brings them in."
            ).format(
                n=f"{result.latency.n:,}",
                processes=result.latency.processes,
                outliers=f"{result.latency.outliers_mild:,}",
            )
        )
    raw = store.raw(record.id)
    curves = evidence.latency_curves(raw)
    with right:
        if curves:
            st.plotly_chart(
                figures.latency_figure(curves, dark=components.is_dark(), say=wording()),
                key=state.key("run", "latency"),
                config={"displayModeBar": False},
                alt=_("Share of queries answered within a time, this run and the baseline, each process a faint line"),
            )
        show_box(raw)


def show_box(raw: RawData) -> None:
    """Show quartiles and every outlier that was kept."""
    boxes = evidence.latency_boxes(raw)
    if not boxes:
        return
    st.plotly_chart(
        figures.box_figure(boxes, dark=components.is_dark(), say=wording()),
        key=state.key("run", "box"),
        config={"displayModeBar": False},
        alt=_("Quartiles, whiskers and outliers of the latency of this run and of the baseline"),
    )


def show_flips(record: RunRecord, raw: RawData) -> None:
    """Show the samples that changed sides against the baseline."""
    found = evidence.flips(raw)
    if found is None or not (found.gained or found.lost):
        return
    answers = {_("this run"): raw.arrays["predictions"], _("baseline"): raw.arrays["baseline_predictions"]}
    with st.expander(_("The samples that changed sides")):
        lost, gained = st.tabs(
            [
                ngettext("{n} is wrong now", "{n} are wrong now", len(found.lost)),
                ngettext("{n} is right now", "{n} are right now", len(found.gained)),
            ]
        )
        with lost:
            sample_gallery.show(record, raw, answers, found.lost)
        with gained:
            sample_gallery.show(record, raw, answers, found.gained)


def show_quality(store: Store, record: RunRecord, result: RunResult) -> None:
    """Show how good the answers are, and which of them changed."""
    st.header(_("Answers"), anchor=False)
    left, right = st.columns([2, 3])
    raw = store.raw(record.id)
    with left:
        side_by_side(table.quality_rows(result, wording()))
        st.caption(components.plain(table.change_sentence(result, wording())))
    matrix = evidence.confusion(raw)
    with right:
        if matrix is not None:
            st.plotly_chart(
                figures.confusion_figure(matrix, dark=components.is_dark(), say=wording()),
                key=state.key("run", "confusion"),
                config={"displayModeBar": False},
                alt=_("Confusion matrix: true classes by predicted classes"),
            )
    show_flips(record, raw)
