"""Asking for a token where a page can be reached by others; on a machine of one's own there is nothing to ask."""

import os
import time
from pathlib import Path

import streamlit as st

from dashboard.language import gettext as _
from engine.access import TOKENS_VARIABLE, Attempts, Person, Role, Tokens

LOCAL = Person("page", Role.RUNNER)
EVERYBODY = "everybody"
"""All failed tries count together: behind a proxy, addresses tell nobody apart."""
_PERSON = "login_person"


def person() -> Person:
    """Return who looks at this page; stop here, with a form, until that is known.

    Raises:
        InvalidValueError: if the token file cannot be used.
    """
    path = os.environ.get(TOKENS_VARIABLE)
    if not path:
        return LOCAL
    known = st.session_state.get(_PERSON)
    if not isinstance(known, Person):
        _ask(_tokens(path))
        st.stop()
    return known


def _ask(tokens: Tokens) -> None:
    attempts = _attempts()
    with st.form("login", border=True, width=420):
        st.subheader(_("Who are you?"), anchor=False)
        token = st.text_input(_("Token"), type="password", max_chars=200, autocomplete="current-password")
        if not st.form_submit_button(_("Open"), type="primary"):
            return
    wait_s = attempts.wait_s(EVERYBODY)
    if wait_s > 0:
        st.error(_("Too many wrong tokens. Try again in {n} seconds.").format(n=round(wait_s)), icon=":material/lock:")
        return
    found = tokens.person(token)
    if found is None:
        attempts.failed(EVERYBODY)
        st.error(_("Nobody has this token."), icon=":material/lock:")
        return
    st.session_state[_PERSON] = found
    st.rerun()


@st.cache_resource(show_spinner=False, ttl=60)
def _tokens(path: str) -> Tokens:
    return Tokens.read(Path(path))


@st.cache_resource(show_spinner=False)
def _attempts() -> Attempts:
    return Attempts(time.monotonic)
