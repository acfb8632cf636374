"""The engine's switch on the page, and a word on what keeps runs waiting: no engine, or one that is paused."""

import streamlit as st

from dashboard import components, state
from dashboard.language import gettext as _
from engine.store.store import Store


def key(name: str) -> str:
    """Return the session key of a button of the switch."""
    return state.key("system", name)


def notice(store: Store) -> None:
    """Say what keeps runs waiting; nothing where an engine takes them."""
    components.engine_notice(state.is_engine_alive(store))
    if store.control().paused:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.warning(_("The engine is paused, so runs wait."), icon=":material/pause_circle:")
            st.page_link(components.SYSTEM, label=_("System"), icon=":material/arrow_forward:")


def switch(store: Store, *, is_alive: bool) -> None:
    """Show whether the engine is paused, with the button that changes it; how to start one where there is none."""
    components.engine_notice(is_alive)
    control = store.control()
    if control.paused:
        said = _("Paused by {who} since {when}: what runs goes on to its end, no other run and no answer begins.")
        when = components.when(control.since)
        st.warning(components.plain(said.format(who=control.who, when=when)), icon=":material/pause_circle:")
        st.button(
            _("Let the engine go on"),
            key=key("resume"),
            on_click=resume,
            args=(store,),
            type="primary",
            icon=":material/play_arrow:",
        )
    elif is_alive:
        st.button(
            _("Pause the engine"),
            key=key("pause"),
            on_click=pause,
            args=(store,),
            icon=":material/pause:",
            help=_("What runs goes on to its end, what waits stays in the queue."),
        )


@components.guarded
def pause(store: Store) -> None:
    """Ask the engine to begin nothing new."""
    store.pause()


@components.guarded
def resume(store: Store) -> None:
    """Let the engine take up what waits."""
    store.resume()
