"""The entry: opens the database, lays out the pages, and turns what goes wrong into a sentence."""

import streamlit as st

from dashboard import components, login, look, state
from dashboard.language import gettext as _
from dashboard.language import switch

st.set_page_config(page_title="Subsecond", page_icon=look.MARK, layout="wide")
st.logo(look.WORDMARK, size="large")
st.html(look.style(dark=components.is_dark()))

page = st.navigation(
    [
        st.Page(components.FRONTIER, title=_("Frontier"), icon=":material/show_chart:", default=True),
        st.Page(components.NEW_RUN, title=_("New run"), icon=":material/add:", url_path="new"),
        st.Page(components.RUNS, title=_("Runs"), icon=":material/list:", url_path="runs"),
        st.Page(components.COMPARE, title=_("Compare"), icon=":material/compare_arrows:", url_path="compare"),
        st.Page(components.SYSTEM, title=_("System"), icon=":material/memory:", url_path="system"),
        st.Page(components.RUN, title=_("Run"), url_path="run", visibility="hidden"),
    ],
    position="top",
)


@components.guarded
def show() -> None:
    """Read from the store first, so that a database that cannot be read is said once and on every page."""
    state.store().revision()
    page.run()
    with st.container(horizontal=True, horizontal_alignment="right"):
        login.sign_out()
        switch()


show()
