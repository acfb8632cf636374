"""What a new run or grid amounts to: its steps, how many were done before, how long it takes, and the button."""

from collections.abc import Sequence

import streamlit as st

from dashboard import components, plan, state
from dashboard.grid import Expansion, Request, Variation, parameters, parse_values
from dashboard.language import gettext as _
from dashboard.language import ngettext
from engine.analysis.command import command_line, study_yaml
from engine.analysis.estimate import Estimate, estimate
from engine.results import RunRecord, Status
from engine.spec import ExperimentSpec
from engine.store.store import Store
from engine.units import format_seconds

MOST_VARIED = 3
LONGEST_NAME = 100


def key(name: str) -> str:
    """Return this page's session key."""
    return state.key("new", name)


def choose_variations(request: Request) -> list[Variation]:
    """Let the person give several values of a parameter: every combination becomes a run."""
    with st.expander(_("Several values make a grid"), icon=":material/grid_on:"):
        names = st.multiselect(
            _("Vary"), parameters(request), max_selections=MOST_VARIED, key=key("vary"), persist_state="session"
        )
        return [
            Variation(
                name,
                parse_values(
                    st.text_input(
                        _("Values of {name}").format(name=name), key=key(f"vary_{name}"), placeholder="0.3, 0.5, 0.7"
                    )
                ),
            )
            for name in names
        ]


def choose_study(suggested: str) -> str | None:
    """Let the person name the study that the runs belong to."""
    name = st.text_input(
        _("Name of the study"), key=key("study"), max_chars=LONGEST_NAME, placeholder=suggested, persist_state="session"
    )
    return name.strip() or None


def show_plan(spec: ExperimentSpec) -> None:
    """Say what is going to happen, and the command that does the same."""
    st.header(_("What will happen"), anchor=False)
    st.markdown("\n".join(f"1. {components.plain(step)}" for step in plan.steps(spec)))
    st.caption(_("The same from a terminal"))
    st.code(command_line(spec), language="bash", wrap_lines=True)


def show_refusals(expansion: Expansion) -> None:
    """Say which combinations cannot be, and why."""
    if expansion.too_many:
        many = f"{expansion.too_many:,}"
        st.warning(_("{n} runs are more than can be queued at once; give fewer values.").format(n=many))
    for reason in expansion.refusals[:MOST_VARIED]:
        st.warning(components.plain(reason), icon=":material/info:")


def show_estimate(found: Estimate) -> None:
    """Say how long it is going to take, or that nobody knows."""
    if not found.known:
        st.caption(_("Nothing like it was measured on this machine yet, so its length is not known."))
        return
    text = _("About {time}, judging by runs like it.").format(time=format_seconds(found.seconds))
    if not found.is_complete:
        text += " " + ngettext("{n} run is not in it.", "{n} runs are not in it.", found.runs - found.known)
    st.caption(components.plain(text))


def offer(store: Store, specs: Sequence[ExperimentSpec], study: str | None) -> None:
    """Queue what is new; show what was done already instead of repeating it."""
    machines = store.machines()
    machine = machines[0].machine if machines else None
    if len(specs) == 1:
        _offer_one(store, specs[0], machine, study)
    elif specs:
        _offer_many(store, specs, machine, study)


def _offer_one(store: Store, spec: ExperimentSpec, machine: str | None, study: str | None) -> None:
    show_plan(spec)
    earlier = store.find(spec.fingerprint, machine)
    if earlier is None:
        show_estimate(estimate([spec], store.durations(machine)))
        if st.button(_("Run"), type="primary", icon=":material/play_arrow:", key=key("run"), width="stretch"):
            queue(store, [spec], study)
        return
    components.known_run(earlier)
    st.page_link(
        components.RUN, label=link_text(earlier), icon=":material/arrow_forward:", query_params={"run": str(earlier.id)}
    )
    if earlier.status is Status.DONE and st.button(_("Run again"), icon=":material/replay:", key=key("again")):
        queue(store, [spec], study)


def _offer_many(store: Store, specs: Sequence[ExperimentSpec], machine: str | None, study: str | None) -> None:
    known = store.known([spec.fingerprint for spec in specs], machine)
    fresh = [spec for spec in specs if spec.fingerprint not in known]
    st.header(ngettext("{n} run", "{n} runs", len(specs)), anchor=False)
    st.markdown(
        ngettext("{n} of them is done or under way already.", "{n} of them are done or under way already.", len(known))
    )
    again = bool(known) and st.toggle(_("Measure those again too"), key=key("repeat"))
    chosen = list(specs) if again else fresh
    show_estimate(estimate(chosen, store.durations(machine)))
    label = ngettext("Run {n}", "Run {n}", len(chosen))
    if st.button(
        label, type="primary", icon=":material/play_arrow:", key=key("run"), disabled=not chosen, width="stretch"
    ):
        queue(store, chosen, study)
    with st.expander(_("As a study file")):
        st.code(study_yaml(specs, study or "grid"), language="yaml")


def link_text(earlier: RunRecord) -> str:
    """Return where the link to an earlier run leads."""
    words = _("Open its result, run {id}") if earlier.status is Status.DONE else _("Watch run {id}")
    return words.format(id=earlier.id)


def queue(store: Store, specs: Sequence[ExperimentSpec], study: str | None) -> None:
    """Append the runs and go where they can be watched."""
    ids = store.enqueue(specs, study)
    said = (
        _("Run {id} is queued.").format(id=ids[0])
        if len(ids) == 1
        else ngettext("{n} run is queued.", "{n} runs are queued.", len(ids))
    )
    st.session_state[state.key("runs", "queued")] = said
    st.switch_page(components.RUNS)
