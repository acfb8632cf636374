"""What the engine is doing, what waits, and how everything ended; live."""

from collections.abc import Callable

import streamlit as st

from dashboard import components, state
from engine.analysis.table import run_rows
from engine.results import RunRecord, Status
from engine.store.store import Store

FILTERS = {
    "All": (Status.DONE, Status.FAILED, Status.CANCELLED),
    "Done": (Status.DONE,),
    "Failed": (Status.FAILED,),
    "Cancelled": (Status.CANCELLED,),
}
FAILURES_SHOWN = 5
REFRESH_S = 2


def key(name: str) -> str:
    """Return this page's session key."""
    return state.key("runs", name)


@components.guarded
def retry(store: Store, run_id: int) -> None:
    """Queue the same experiment again."""
    st.toast(f"Queued again as run {store.retry(run_id)}.")


def head(store: Store, record: RunRecord, label: str, action: Callable[[Store, int], None]) -> None:
    """Show what a run is, with one button at its end."""
    variant = components.plain(record.spec.label())
    with st.container(horizontal=True, vertical_alignment="center"):
        components.status_badge(record.status)
        components.run_link(record.id, f"Run {record.id}")
        st.markdown(f"**{components.plain(record.spec.model)}** · {variant}", width="stretch")
        st.button(
            label,
            key=key(f"{label.lower()}_{record.id}"),
            disabled=record.cancel_requested,
            on_click=action,
            args=(store, record.id),
        )


def running_card(store: Store, record: RunRecord) -> None:
    """Show the stages of a run under way, and its log."""
    with st.container(border=True, key=key(f"card_{record.id}")):
        head(store, record, "Cancel", components.cancel)
        if record.cancel_requested:
            st.caption("Being stopped; its worker ends within seconds.")
        components.stage_list(record)
        with st.expander("Log"):
            components.log(store.run_folder(record.id).log_tail())


def failed_card(store: Store, record: RunRecord) -> None:
    """Show why a run failed in one sentence, the rest on demand."""
    with st.container(border=True, key=key(f"failed_{record.id}")):
        head(store, record, "Retry", retry)
        components.failure(record)


def ended(store: Store) -> None:
    """List the runs that ended; a chosen row opens its run."""
    st.subheader("Ended")
    chosen = st.segmented_control(
        "Show", list(FILTERS), default="All", required=True, key=key("show"), bind="query-params",
        label_visibility="collapsed",
    )  # fmt: skip
    if chosen in ("All", "Failed"):
        for record in store.runs(status=[Status.FAILED], limit=FAILURES_SHOWN):
            failed_card(store, record)
    rows = run_rows(store.summaries(status=FILTERS[chosen]))
    if not rows:
        st.caption("No run has ended this way." if chosen != "All" else "No run has ended yet.")
        return
    components.linked_table(rows, key("table"), "Runs that ended")


@st.fragment(run_every=REFRESH_S)
@components.guarded
def live(store: Store) -> None:
    """Show everything that changes by itself."""
    active = state.active_runs(store)
    if active:
        components.engine_notice(state.is_engine_alive(store))
    running = [record for record in active if record.status is Status.RUNNING]
    waiting = [record for record in reversed(active) if record.status is Status.QUEUED]
    if running:
        st.subheader("Running")
    for record in running:
        running_card(store, record)
    if waiting:
        st.subheader(f"Waiting, {len(waiting)}")
    for record in waiting:
        head(store, record, "Cancel", components.cancel)
    if not active:
        st.caption("Nothing is running or waiting.")
        st.page_link(components.NEW_RUN, label="New run", icon=":material/add:")
    ended(store)


def main() -> None:
    """Show the page."""
    st.title("Runs")
    queued = st.session_state.pop(key("queued"), None)
    if queued is not None:
        st.toast(f"Run {queued} is queued.")
    live(state.store())


main()
