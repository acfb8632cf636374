"""What runs and what waits: stages, logs, the order of the queue, cancelling."""

from collections.abc import Callable, Sequence

import streamlit as st

from dashboard import components, state
from dashboard.language import gettext as _
from dashboard.language import ngettext
from engine.results import RunRecord
from engine.store.store import Store

MOST_WAITING = 20


def key(name: str) -> str:
    """Return the session key of a widget of the page of runs."""
    return state.key("runs", name)


def head(record: RunRecord, *buttons: tuple[str, str, Callable[..., None], tuple[object, ...]]) -> None:
    """Show what a run is, with buttons at its end.

    Args:
        record: the run.
        buttons: name for the key, label, what it does and with what.
    """
    variant = components.plain(record.spec.label())
    with st.container(horizontal=True, vertical_alignment="center"):
        components.status_badge(record.status)
        components.run_link(record.id, _("Run {id}").format(id=record.id))
        st.markdown(f"**{components.plain(record.spec.model)}** · {variant}", width="stretch")
        for name, label, action, arguments in buttons:
            st.button(
                label,
                key=key(f"{name}_{record.id}"),
                disabled=record.cancel_requested,
                on_click=action,
                args=arguments,
                type="tertiary" if label.startswith(":") else "secondary",
            )


def running_card(store: Store, record: RunRecord) -> None:
    """Show the stages of a run under way, and its log."""
    with st.container(border=True, key=key(f"card_{record.id}")):
        head(record, ("cancel", _("Cancel"), components.cancel, (store, record.id)))
        if record.cancel_requested:
            st.caption(_("Being stopped; its worker ends within seconds."))
        components.stage_list(record)
        with st.expander(_("Log")):
            components.log(store.run_folder(record.id).log_tail())


def waiting_list(store: Store, waiting: Sequence[RunRecord], total: int) -> None:
    """Show what waits in the order in which it will be taken, with buttons that change it."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.header(_("Waiting, {n}").format(n=f"{total:,}"), anchor=False)
        if total > 1:
            st.button(_("Cancel all that wait"), key=key("cancel_waiting"), on_click=cancel_waiting, args=(store,))
    ids = [record.id for record in waiting]
    for place, record in enumerate(waiting[:MOST_WAITING]):
        cancel = ("cancel", _("Cancel"), components.cancel, (store, record.id))
        if place == 0:
            head(record, cancel)
            continue
        earlier = [*ids[: place - 1], record.id, ids[place - 1], *ids[place + 1 :]]
        first = [record.id, *ids[:place], *ids[place + 1 :]]
        up = ("up", ":material/arrow_upward:", reorder, (store, earlier))
        top = ("first", ":material/vertical_align_top:", reorder, (store, first))
        head(record, top, up, cancel)
    if total > MOST_WAITING:
        st.caption(ngettext("{n} more waits.", "{n} more wait.", total - MOST_WAITING))


@components.guarded
def reorder(store: Store, ids: Sequence[int]) -> None:
    """Let waiting runs be taken in this order."""
    store.reorder(ids)


@components.guarded
def cancel_waiting(store: Store) -> None:
    """Cancel everything that waits; what was taken meanwhile goes on."""
    components.cancel_all(store, [record.id for record in store.waiting()])
