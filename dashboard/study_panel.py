"""What belongs to a study as a whole: its note and tags, and its deletion."""

import streamlit as st

from dashboard import annotations, components, state
from dashboard.language import gettext as _
from dashboard.language import ngettext
from engine.store.notes import Subject
from engine.store.store import Store


@components.guarded
def show(store: Store, study: str, runs: int) -> None:
    """Show note and tags of a study; deleting it asks for its name.

    Args:
        store: where it is kept.
        study: its name.
        runs: how many runs it has.
    """
    with st.container(border=True):
        st.markdown(f"**{_('Study')} {components.plain(study)}**")
        annotations.show(store, Subject.study(study), "runs")
        with st.popover(_("Delete the study"), icon=":material/delete:"):
            _delete(store, study, runs)


def _delete(store: Store, study: str, runs: int) -> None:
    st.markdown(
        ngettext("{n} run goes for good, with notes and files.", "{n} runs go for good, with notes and files.", runs)
    )
    typed = st.text_input(_("Type the name of the study"), key=state.key("runs", "study_name"), placeholder=study)
    ready = typed == study
    if st.button(_("Delete for good"), type="primary", key=state.key("runs", "delete_study"), disabled=not ready):
        gone = store.delete_study(study)
        st.query_params.pop(state.key("runs", "studies"), None)
        st.session_state.pop(state.key("runs", "studies"), None)
        st.toast(ngettext("{n} run was deleted.", "{n} runs were deleted.", gone))
        st.rerun()
