"""The list of runs: filters that stand in the address, and what can be done with several at once."""

import math
from collections.abc import Sequence

import pandas as pd
import streamlit as st

from dashboard import address, components, downloads, state
from dashboard.columns import columns
from dashboard.language import gettext as _
from dashboard.language import ngettext, wording
from engine.analysis.listing import run_rows
from engine.results import Status
from engine.store.notes import Subject
from engine.store.selection import RunFilter
from engine.store.store import RunSummary, Store

PAGE_ROWS = 100
MOST_COMPARED = 6
ENDED = (Status.DONE, Status.FAILED, Status.CANCELLED)
SHOWN = {
    "all": ENDED,
    "done": (Status.DONE,),
    "failed": (Status.FAILED,),
    "cancelled": (Status.CANCELLED,),
}


def key(name: str) -> str:
    """Return the session key of a widget of the page of runs."""
    return state.key("runs", name)


def choose(store: Store) -> RunFilter:
    """Let the viewer say which runs are listed; the address restores it."""
    titles = {"all": _("All"), "done": _("Done"), "failed": _("Failed"), "cancelled": _("Cancelled")}
    names, tags = state.names(store), store.all_tags()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        shown = address.segments(
            _("Show"), list(SHOWN), "all", key("show"), format_func=titles.__getitem__, label_visibility="collapsed"
        )
        words = address.text(_("Search"), key("words"), placeholder=_("model, technique, study"), width=240)
        with st.popover(_("Filters"), icon=":material/filter_list:"):
            models = address.several(_("Models"), names.models, key("models"))
            backends = address.several(_("Backends"), names.backends, key("backends"))
            studies = address.several(_("Studies"), names.studies, key("studies"))
            chosen_tags = address.several(_("Tags"), tags, key("tags"))
    return RunFilter(SHOWN[shown], tuple(models), tuple(studies), tuple(backends), tuple(chosen_tags), words)


def show(store: Store, chosen: RunFilter) -> None:
    """List the runs a page at a time; ticked ones can be opened, compared, repeated, tagged or deleted."""
    total = state.counted(store, chosen)
    if not total:
        everything = chosen == RunFilter(ENDED)
        st.caption(_("No run has ended yet.") if everything else _("No run has ended this way."))
        return
    pages = math.ceil(total / PAGE_ROWS)
    place = 1
    if pages > 1:
        st.caption(ngettext("{n} run", "{n} runs", total))
        place = min(pages, st.pagination(pages, key=key("page"), bind="query-params"))
    runs = state.listed(store, chosen, PAGE_ROWS, (place - 1) * PAGE_ROWS)
    ticked = set(address.ticked([str(run.id) for run in runs], key("table")))
    st.dataframe(
        pd.DataFrame(run_rows(runs, wording())),
        hide_index=True,
        on_select="rerun",
        selection_mode="multi-row",
        key=key("table"),
        column_config=columns(),
        placeholder="",
        alt=_("Runs that ended"),
    )
    with st.container(horizontal=True):
        downloads.buttons(store, "runs", chosen)
    if ticked:
        actions(store, [run for run in runs if str(run.id) in ticked])
    elif total > 1:
        st.caption(_("Tick rows to open, compare, repeat, tag or delete them."))


def actions(store: Store, ticked: Sequence[RunSummary]) -> None:
    """Offer what can be done with the ticked runs."""
    ids = [run.id for run in ticked]
    done = [run.id for run in ticked if run.status is Status.DONE]
    with st.container(border=True, horizontal=True, vertical_alignment="center", key=key("actions")):
        st.markdown(ngettext("{n} run chosen", "{n} runs chosen", len(ids)))
        if len(ids) == 1:
            components.run_link(ids[0], _("Open run {id}").format(id=ids[0]))
        elif 2 <= len(done) <= MOST_COMPARED:
            components.compare_link(done)
        st.button(_("Run again"), icon=":material/replay:", key=key("retry"), on_click=retry, args=(store, ids))
        with st.popover(_("Tag"), icon=":material/label:"):
            tag_several(store, ids)
        with st.popover(_("Delete"), icon=":material/delete:"):
            delete_several(store, ids)


def tag_several(store: Store, ids: Sequence[int]) -> None:
    """Let the viewer add one tag to all ticked runs."""
    tag = st.text_input(_("Tag"), key=key("new_tag"), max_chars=40)
    if st.button(_("Add"), key=key("add_tag"), disabled=not tag.strip()):
        for run_id in ids:
            subject = Subject.run(run_id)
            store.set_tags([subject], [*store.tags(subject), tag])
        st.toast(ngettext("{n} run was tagged.", "{n} runs were tagged.", len(ids)))


def delete_several(store: Store, ids: Sequence[int]) -> None:
    """Delete the ticked runs once their number was typed, so that no slip of the hand does it."""
    word = _("run {id}").format(id=ids[0]) if len(ids) == 1 else ngettext("{n} run", "{n} runs", len(ids))
    st.markdown(_("Numbers, samples, notes and files go for good. Type **{word}** to delete.").format(word=word))
    typed = st.text_input(_("Type it here"), key=key("confirm"), placeholder=word)
    if st.button(_("Delete for good"), type="primary", key=key("delete"), disabled=typed.strip() != word):
        gone = store.delete_runs(ids)
        st.session_state.pop(key("table"), None)
        st.toast(ngettext("{n} run was deleted.", "{n} runs were deleted.", gone))
        st.rerun()


@components.guarded
def retry(store: Store, ids: Sequence[int]) -> None:
    """Queue the same experiments again."""
    fresh = [store.retry(run_id) for run_id in ids]
    if len(fresh) == 1:
        st.toast(_("Queued again as run {id}.").format(id=fresh[0]))
    else:
        st.toast(ngettext("{n} run was queued again.", "{n} runs were queued again.", len(fresh)))
