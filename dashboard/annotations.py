"""What people write about a run or a study: a note in Markdown and tags; the record itself never changes."""

import streamlit as st

from dashboard import components, state
from dashboard.language import gettext as _
from engine.store.notes import LONGEST_NOTE, Subject
from engine.store.store import Store


@components.guarded
def show(store: Store, subject: Subject, page: str) -> None:
    """Show note and tags, and let the viewer change them.

    Args:
        store: where they are kept.
        subject: the run or study.
        page: first part of the widgets' keys.
    """
    name = f"{subject.kind}_{subject.name}"
    note, tags = store.note(subject), store.tags(subject)
    with st.container(horizontal=True, vertical_alignment="center"):
        for tag in tags:
            st.badge(components.plain(tag), icon=":material/label:", color="violet")
        with st.popover(_("Note and tags"), icon=":material/edit_note:"):
            _edit(store, subject, "" if note is None else note.text, tags, state.key(page, name))
    if note is not None:
        with st.container(border=True):
            # A person's own Markdown; Streamlit shows HTML in it as text.
            st.markdown(note.text)
            st.caption(_("Changed {when}").format(when=components.when(note.updated_at)))


def _edit(store: Store, subject: Subject, text: str, tags: list[str], key: str) -> None:
    known = sorted({*store.all_tags(), *tags})
    chosen = st.multiselect(_("Tags"), known, default=tags, accept_new_options=True, key=f"{key}_tags")
    written = st.text_area(
        _("Note, in Markdown"),
        text,
        max_chars=LONGEST_NOTE,
        height=200,
        key=f"{key}_note",
        placeholder=_("What to know"),
    )
    if st.button(_("Save"), type="primary", key=f"{key}_save"):
        store.write_note(subject, written)
        store.set_tags([subject], chosen)
        st.rerun()
