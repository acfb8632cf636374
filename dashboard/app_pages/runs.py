"""What the engine is doing, what waits, and how everything ended; live."""

import streamlit as st

from dashboard import components, engine_switch, run_list, run_queue, state, study_panel
from dashboard.language import gettext as _
from engine.results import RunRecord, Status
from engine.store.selection import RunFilter
from engine.store.store import Store

FAILURES_SHOWN = 5
REFRESH_S = 2


def failed_card(store: Store, record: RunRecord) -> None:
    """Show why a run failed in one sentence, the rest on demand."""
    with st.container(border=True, key=run_queue.key(f"failed_{record.id}")):
        run_queue.head(record, ("retry", _("Retry"), run_list.retry, (store, [record.id])))
        components.failure(record)


@st.fragment(run_every=REFRESH_S)
@components.guarded
def live(store: Store, shown: str) -> None:
    """Show everything that changes by itself; draw the list anew when a run has joined it."""
    active = state.active_runs(store)
    if _ended_mark(store) != shown:
        st.rerun()
    if active:
        engine_switch.notice(store)
    running = [record for record in active if record.status is Status.RUNNING]
    if running:
        st.header(_("Running"), anchor=False)
    for record in running:
        run_queue.running_card(store, record)
    if len(active) > len(running):
        total = state.counted(store, RunFilter((Status.QUEUED,)))
        run_queue.waiting_list(store, store.waiting(run_queue.MOST_WAITING + 1), total)
    if not active:
        st.caption(_("Nothing is running or waiting."))
        st.page_link(components.NEW_RUN, label=_("New run"), icon=":material/add:")


@components.guarded
def ended(store: Store) -> None:
    """List the runs that ended, the last failures with their reasons above."""
    st.header(_("Ended"), anchor=False)
    chosen = run_list.choose(store)
    if len(chosen.studies) == 1:
        (study,) = chosen.studies
        study_panel.show(store, study, state.counted(store, RunFilter(studies=(study,))))
    plain = chosen == RunFilter(chosen.status)
    if Status.FAILED in chosen.status and plain:
        for record in store.runs(status=[Status.FAILED], limit=FAILURES_SHOWN):
            failed_card(store, record)
    run_list.show(store, chosen)


def main() -> None:
    """Show the page."""
    st.title(_("Runs"))
    queued = st.session_state.pop(run_queue.key("queued"), None)
    if queued is not None:
        st.toast(queued)
    store = state.store()
    live(store, _ended_mark(store))
    ended(store)


def _ended_mark(store: Store) -> str:
    """Return what changes when a run has ended."""
    return str(state.counted(store, RunFilter(run_list.ENDED)))


main()
