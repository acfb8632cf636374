"""The parts of the page of the system: the engine, how busy its machine is, and the logs."""

from datetime import UTC, datetime

import streamlit as st

from dashboard import address, components, engine_switch, state
from dashboard.language import gettext as _
from dashboard.pulse import pulse
from engine.analysis.figures import series_figure
from engine.analysis.logs import LEVELS, filtered
from engine.results import ServiceRecord, Status
from engine.store.selection import RunFilter
from engine.store.store import Store
from engine.units import format_seconds

REFRESH_S = 2
LOGGED_RUNS = 30
LOG_BYTES = 1 << 18
MOST_LINES = 500
SHOWN_ACTIONS = 200
_FIXED = ("time", "who", "did")


def key(name: str) -> str:
    """Return this page's session key."""
    return state.key("system", name)


@st.fragment(run_every=REFRESH_S)
@components.guarded
def live(store: Store) -> None:
    """Show the engine's signs of life, the queue, and how busy this machine is."""
    services = store.services()
    alive = store.services(alive_within_s=state.ALIVE_WITHIN_S)
    engine_switch.switch(store, is_alive=bool(alive))
    waiting = _numbers(store, alive)
    for service in services:
        heartbeat(service, service in alive)
    samples = pulse().look(alive[0].pid if alive else None, waiting)
    times = [sample.at for sample in samples]
    left, right = st.columns(2)
    with left:
        st.markdown(f"**{_('Processor of this machine')}**")
        busy: list[float | None] = [one.cpu_percent for one in samples]
        draw(
            "cpu",
            _("Processor of this machine"),
            series_figure(times, {_("all cores"): busy}, "%", dark=components.is_dark()),
        )
    with right:
        st.markdown(f"**{_('Memory of this machine')}**")
        used: list[float | None] = [one.memory_bytes / 1e9 for one in samples]
        engine = [None if one.engine_bytes is None else one.engine_bytes / 1e9 for one in samples]
        lines = {_("all programs"): used, _("engine and workers"): engine}
        draw("memory", _("Memory of this machine"), series_figure(times, lines, "GB", dark=components.is_dark()))
    st.caption(_("Sampled while this page is open; a page that is closed costs the engine nothing."))


def _numbers(store: Store, alive: list[ServiceRecord]) -> int:
    """Show how much there is to do; return how many runs wait."""
    counts = {status: state.counted(store, RunFilter((status,))) for status in Status}
    titles = {
        _("Engines"): len(alive),
        _("Running"): counts[Status.RUNNING],
        _("Waiting"): counts[Status.QUEUED],
        _("Done"): counts[Status.DONE],
        _("Failed"): counts[Status.FAILED],
    }
    with st.container(horizontal=True):
        for title, number in titles.items():
            st.metric(title, f"{number:,}", border=True, width=150)
    return counts[Status.QUEUED]


def heartbeat(service: ServiceRecord, is_alive: bool) -> None:
    """Say when an engine last gave a sign of life."""
    ago = max(0.0, (datetime.now(UTC) - service.heartbeat_at).total_seconds())
    sign = ":green[:material/favorite:]" if is_alive else ":red[:material/heart_broken:]"
    said = _("Engine {pid} on {machine}: last sign of life {ago} ago, started {when}").format(
        pid=service.pid, machine=service.machine, ago=format_seconds(ago), when=components.when(service.started_at)
    )
    st.markdown(f"{sign} {components.plain(said)}")


def draw(name: str, title: str, figure: object) -> None:
    """Draw a figure without a bar of buttons."""
    st.plotly_chart(figure, key=key(name), config={"displayModeBar": False}, alt=title)


def logs(store: Store) -> None:
    """Show the log of a run, only the lines that are asked for."""
    st.header(_("Logs"), anchor=False)
    recent = store.listed(RunFilter(), LOGGED_RUNS)
    names = {str(run.id): f"{run.id}: {run.model}, {_(run.status.value)}" for run in recent}
    if not names:
        st.caption(_("No run was asked for yet."))
        return
    levels = {"all": _("Everything"), "warnings": _("Warnings"), "errors": _("Errors")}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen = address.select(
            _("Run"), list(names), next(iter(names)), key("run"), format_func=lambda name: names.get(name, name)
        )
        level = address.segments(_("Lines"), list(LEVELS), "all", key("level"), format_func=levels.__getitem__)
        words = address.text(_("Search"), key("words"), width=240)
    text = store.run_folder(int(chosen)).log_tail(LOG_BYTES)
    lines = filtered(text, level, words)
    if text.strip() and not lines:
        st.caption(_("No line of this log is like that."))
        return
    components.log("\n".join(lines[-MOST_LINES:]))


def actions(store: Store) -> None:
    """Show who changed what, the last first."""
    entries = store.audit(SHOWN_ACTIONS)
    with st.expander(_("Who did what")):
        if not entries:
            st.markdown(_("Nobody has changed anything yet."))
            return
        rows = [
            {
                _("When"): entry.get("time", ""),
                _("Who"): str(entry.get("who", "")),
                _("What"): str(entry.get("did", "")),
                _("With"): ", ".join(f"{name}: {value}" for name, value in entry.items() if name not in _FIXED),
            }
            for entry in entries
        ]
        components.number_table(rows, _("Changes that people asked for, the last first"))
