"""Asking for a token or a login where others can reach the page; on a machine of one's own there is nothing to ask."""

import os
import time
from pathlib import Path
from typing import NoReturn

import streamlit as st

from dashboard.language import gettext as _
from engine.access import TOKENS_VARIABLE, Attempts, Person, Role, Tokens
from engine.entrance import OIDC_VARIABLE, Guests, confirmed_address, is_logged_in
from engine.store.store import Store

LOCAL = Person("page", Role.RUNNER)
EVERYBODY = "everybody"
"""All failed tries count together: behind a proxy, addresses tell nobody apart."""
_PERSON = "login_person"
_SEEN = "login_seen"


def person(store: Store) -> Person:
    """Return who looks at this page; stop here, with a form or a sentence, until that is known.

    Args:
        store: where it is noted who was let in, and who was not.

    Raises:
        InvalidValueError: if the file of tokens or logins cannot be used.
    """
    if oidc := os.environ.get(OIDC_VARIABLE):
        return _guest(_guests(oidc), store)
    path = os.environ.get(TOKENS_VARIABLE)
    if not path:
        return LOCAL
    known = st.session_state.get(_PERSON)
    if not isinstance(known, Person):
        _ask(_tokens(path), store)
        st.stop()
    return known


def sign_out() -> None:
    """Offer a way out to whoever has logged in."""
    if os.environ.get(OIDC_VARIABLE):
        st.button(_("Sign out"), icon=":material/logout:", type="tertiary", on_click=st.logout, key="login_out")


def _guest(guests: Guests, store: Store) -> Person:
    claims = st.user.to_dict()
    if not is_logged_in(claims, time.time()):
        with st.container(border=True, width=420):
            st.title(_("Who are you?"), anchor=False)
            st.button(_("Sign in"), type="primary", on_click=st.login, key="login_in")
        st.stop()
    address = confirmed_address(claims)
    if address is None:
        _turn_away(_("Your identity provider has not confirmed your e-mail address. Confirm it there, then come back."))
    found = guests.person(address)
    if found is None:
        st.text(address)
        if st.session_state.get(_SEEN) != address:
            st.session_state[_SEEN] = address
            store.acting(address).turned_away("login")
        _turn_away(_("You are not on the list of those who may open this page. Ask whoever runs it."))
    if st.session_state.get(_SEEN) != found.name:  # once a session, not at every rerun
        st.session_state[_SEEN] = found.name
        store.acting(found.name).signed_in("login")
    return found


def _turn_away(reason: str) -> NoReturn:
    st.error(reason, icon=":material/lock:")
    sign_out()
    st.stop()


def _ask(tokens: Tokens, store: Store) -> None:
    attempts = _attempts()
    with st.form("login", border=True, width=420):
        st.title(_("Who are you?"), anchor=False)
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
        store.acting(LOCAL.name).turned_away("token")
        st.error(_("Nobody has this token."), icon=":material/lock:")
        return
    st.session_state[_PERSON] = found
    store.acting(found.name).signed_in("token")
    st.rerun()


@st.cache_resource(show_spinner=False, ttl=60)
def _tokens(path: str) -> Tokens:
    return Tokens.read(Path(path))


@st.cache_resource(show_spinner=False, ttl=60)
def _guests(path: str) -> Guests:
    return Guests.read(Path(path))


@st.cache_resource(show_spinner=False)
def _attempts() -> Attempts:
    return Attempts(time.monotonic)
