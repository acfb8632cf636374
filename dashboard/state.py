"""What outlives one rerun: the open store, what was read from it, and the names of session keys."""

import os
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, TypeVar

import streamlit as st

from dashboard import login
from dashboard.language import gettext as _
from engine.access import Role
from engine.results import Context, RunRecord, Status
from engine.store.selection import RunFilter
from engine.store.store import RunSummary, Store
from engine.store.summary import Names

T = TypeVar("T")
DATABASE_VARIABLE = "SUBSECOND_DB"
ACTIVE = (Status.QUEUED, Status.RUNNING)
ALIVE_WITHIN_S = 15.0
RECENT = 200


def database() -> str:
    """Return the path or URL of the database this page shows."""
    return os.environ.get(DATABASE_VARIABLE, "experiments.db")


def store() -> Store:
    """Return the store, opened once for all sessions, as this viewer may use it.

    Raises:
        StoreError: if it cannot be opened; the next call tries again.
    """
    if _open_store(database()).is_replaced:  # by a copy, say; all that was read from the earlier one goes with it
        st.cache_resource.clear()
    opened = _open_store(database())
    who = login.person(opened)
    if who.role is Role.VIEWER:
        return opened.looking_on(_("You look on as a viewer. Ask a runner to do this."))
    return opened.acting(who.name)


def key(page: str, name: str) -> str:
    """Return the session key of a widget, so that no two pages share one."""
    return f"{page}_{name}"


def finished_mark(opened: Store) -> str:
    """Return a short text that changes when a run was added to any plot, but not while one is under way."""
    counted, _ = _measured(database(), opened, opened.revision())
    return " ".join(f"{context.key}:{count}" for context, count in counted)


def runs_of(opened: Store, context_key: str) -> Sequence[RunSummary]:
    """Return the finished runs of a context, read again only when there are new ones."""
    return _runs_of(database(), opened, context_key, finished_mark(opened))


def made(opened: Store, make: Callable[[], T], *key: str) -> T:
    """Return what is worked out of finished runs, again only when there are new ones; shared by all who look.

    Args:
        opened: where the runs are from.
        make: works it out.
        key: what it depends on besides the runs; the first names what it is.
    """
    found: T = _made(database(), opened, key, finished_mark(opened), make)
    return found


def active_runs(opened: Store) -> Sequence[RunRecord]:
    """Return what is queued or running, the newest first; read once for all who look."""
    return _active(database(), opened, opened.revision())


def listed(opened: Store, chosen: RunFilter, limit: int, offset: int) -> Sequence[RunSummary]:
    """Return a page of a list of runs, read again only when something has changed."""
    return _listed(database(), opened, chosen, limit, offset, opened.revision())


def counted(opened: Store, chosen: RunFilter) -> int:
    """Return how many runs a filter lets through."""
    return _counted(database(), opened, chosen, opened.revision())


def names(opened: Store) -> Names:
    """Return what runs can be filtered by."""
    return _names(database(), opened, finished_mark(opened))


def is_engine_alive(opened: Store) -> bool:
    """Tell whether a service that takes runs gave a sign of life just now; asked once a second for all who look."""
    return _is_alive(database(), opened)


def contexts(opened: Store) -> list[Context]:
    """Return all contexts, first the one that a viewer wants to see.

    What an engine that is alive has measured since it was started comes first, the last measured before all: somebody
    waits for it. Otherwise the context with the most runs tells most, whatever was measured after it.
    """
    since: dict[str, datetime] = {}
    for service in opened.services(alive_within_s=ALIVE_WITHIN_S):
        since[service.machine] = min(service.started_at, since.get(service.machine, service.started_at))
    counted, ended = _measured(database(), opened, opened.revision())

    def place(entry: tuple[Context, int]) -> tuple[bool, float, int]:
        context, count = entry
        last, started = ended.get(context.key), since.get(context.machine)
        is_fresh = last is not None and started is not None and last >= started
        return not is_fresh, -last.timestamp() if is_fresh and last else 0.0, -count

    return [context for context, _ in sorted(counted, key=place)]


@st.cache_resource(max_entries=2, on_release=Store.close, show_spinner=False)
def _open_store(path_or_url: str) -> Store:
    return Store(path_or_url)


@st.cache_resource(max_entries=2, ttl=600, show_spinner=False)
def _active(path_or_url: str, _store: Store, revision: str) -> Sequence[RunRecord]:
    return tuple(_store.runs(status=ACTIVE, limit=RECENT))


@st.cache_resource(max_entries=2, ttl=1, show_spinner=False)
def _is_alive(path_or_url: str, _store: Store) -> bool:
    return bool(_store.services(alive_within_s=ALIVE_WITHIN_S))


@st.cache_resource(max_entries=16, ttl=600, show_spinner=False)
def _runs_of(path_or_url: str, _store: Store, context_key: str, mark: str) -> Sequence[RunSummary]:
    return tuple(_store.summaries(status=[Status.DONE], context_key=context_key))


@st.cache_resource(max_entries=32, ttl=600, show_spinner=False)
def _made(path_or_url: str, _store: Store, key: tuple[str, ...], mark: str, _make: Callable[[], Any]) -> Any:
    return _make()


@st.cache_resource(max_entries=32, ttl=600, show_spinner=False)
def _listed(
    path_or_url: str, _store: Store, chosen: RunFilter, limit: int, offset: int, revision: str
) -> Sequence[RunSummary]:
    return tuple(_store.listed(chosen, limit, offset))


@st.cache_resource(max_entries=64, ttl=600, show_spinner=False)
def _counted(path_or_url: str, _store: Store, chosen: RunFilter, revision: str) -> int:
    return _store.count(chosen)


@st.cache_resource(max_entries=4, ttl=600, show_spinner=False)
def _names(path_or_url: str, _store: Store, mark: str) -> Names:
    return _store.names()


@st.cache_resource(max_entries=8, ttl=600, show_spinner=False)
def _measured(path_or_url: str, _store: Store, revision: str) -> tuple[list[tuple[Context, int]], dict[str, datetime]]:
    """Return every context with its number of finished runs, and when the last one of each ended."""
    return _store.contexts(), _store.last_ended()
