"""Choose a model, toggle compressions and a backend, see what will happen, run it."""

from typing import Any

import streamlit as st

from dashboard import choices, components, forms, plan, state
from engine.analysis.command import command_line
from engine.backends import BACKENDS
from engine.backends.base import Backend
from engine.datasets import DATASETS
from engine.errors import RequestError
from engine.models import MODELS
from engine.models.catalog import ModelEntry
from engine.resolve import resolve
from engine.results import RunRecord, Status
from engine.scenarios import SCENARIOS
from engine.spec import CLASSIFICATION, Choice, Effort, ExperimentSpec, Scalar
from engine.store.store import Store
from engine.techniques import TECHNIQUES
from engine.techniques.base import Technique

KEEP: dict[str, Any] = {"persist_state": "session"}


def key(name: str) -> str:
    """Return this page's session key."""
    return state.key("new", name)


def task_key(name: str, model: ModelEntry) -> str:
    """Return the key of a widget that classifiers share and that language models have for themselves."""
    return key(name if model.task in CLASSIFICATION else f"{name}_{model.task}")


def choose_model() -> tuple[ModelEntry, str]:
    """Let the person choose a model, then a data set of its task."""
    name = st.selectbox(
        "Model", MODELS.names(), format_func=lambda name: MODELS.get(name).title, key=key("model"), **KEEP
    )
    model = MODELS.get(name)
    st.caption(components.plain(model.summary))
    fitting = [entry.name for entry in DATASETS if entry.task == model.task]
    index = fitting.index(model.default_dataset) if model.default_dataset in fitting else 0
    dataset = st.selectbox(
        "Data",
        fitting,
        index=index,
        format_func=lambda name: DATASETS.get(name).title,
        key=key(f"dataset_{model.task}"),
        **KEEP,
    )
    st.caption(components.plain(DATASETS.get(dataset).summary))
    return model, dataset


def choose_backend(store: Store, model: ModelEntry) -> Choice:
    """Let the person choose where it runs; what this machine cannot do is grey, with the reason."""
    known = choices.capabilities(store.machines())
    reasons = {backend.name: choices.why_not_backend(backend, known, model.task) for backend in BACKENDS}
    able = [name for name, reason in reasons.items() if reason is None]
    preferred = able.index("onnxruntime") if "onnxruntime" in able else 0
    name = st.radio(
        "Backend",
        able,
        index=preferred,
        format_func=lambda name: BACKENDS.get(name).title,
        captions=[BACKENDS.get(name).summary for name in able],
        key=task_key("backend", model),
        **KEEP,
    )
    for other, reason in reasons.items():
        if reason is not None:
            st.radio(
                BACKENDS.get(other).title, [BACKENDS.get(other).title], disabled=True, label_visibility="collapsed"
            )
            st.caption(components.plain(reason))
    with st.expander("Backend options"):
        found = known[name].choices
        return Choice(name=name, params=forms.parameters(BACKENDS.get(name).options_type, key(name), found=found))


def choose_technique(technique: Technique[Any], reason: str | None) -> Choice | None:
    """Show one toggle; its parameters appear when it is on."""
    with st.container(gap="xxsmall"):
        is_on = st.toggle(technique.title, key=key(technique.name), disabled=reason is not None, **KEEP)
        st.caption(components.plain(reason or technique.summary))
    if reason is not None or not is_on:
        return None
    with st.container(border=True):
        params: dict[str, Scalar] = forms.parameters(technique.config_type, key(technique.name))
    return Choice(name=technique.name, params=params)


def choose_techniques(model: ModelEntry, backend: Backend[Any]) -> list[Choice]:
    """Show the techniques by family; what does not fit is grey, with the reason."""
    stack: list[Choice] = []
    for group, members in choices.techniques_by_group().items():
        st.markdown(f"**{choices.GROUP_TITLES[group]}**")
        for technique in members:
            chosen = [choice.name for choice in stack]
            choice = choose_technique(technique, choices.why_not_technique(technique, model.task, backend, chosen))
            stack += [choice] if choice else []
    return [choice for name in TECHNIQUES.names() for choice in stack if choice.name == name]


def choose_effort() -> Effort:
    """Let the person choose how sure the timing should be."""
    effort: Effort = st.segmented_control(
        "Effort",
        list(Effort),
        default=Effort.QUICK,
        required=True,
        format_func=lambda effort: effort.value.capitalize(),
        key=key("effort"),
        help="How many pairs of fresh processes a timing is worth: quick 3, standard 5, rigorous 10. "
        "More pairs give narrower intervals.",
        **KEEP,
    )
    return effort


def choose_scenario(model: ModelEntry) -> Choice:
    """Let the person choose how queries arrive."""
    fitting = [scenario for scenario in SCENARIOS if model.task in scenario.tasks]
    name = st.segmented_control(
        "Scenario",
        [scenario.name for scenario in fitting],
        default=fitting[0].name,
        required=True,
        format_func=lambda name: SCENARIOS.get(name).title,
        key=task_key("scenario", model),
        help="\n\n".join(f"{scenario.title}: {scenario.summary}" for scenario in fitting),
        **KEEP,
    )
    scenario = SCENARIOS.get(name)
    return Choice(name=name, params=forms.parameters(scenario.options_type, key(name)))


def show_plan(spec: ExperimentSpec) -> None:
    """Say what is going to happen, and the command that does the same."""
    st.subheader("What will happen")
    st.markdown("\n".join(f"1. {components.plain(step)}" for step in plan.steps(spec)))
    st.caption("The same from a terminal")
    st.code(command_line(spec), language="bash", wrap_lines=True)


def offer(store: Store, spec: ExperimentSpec) -> None:
    """Queue the run, or show the one that has done this already."""
    machines = store.machines()
    earlier = store.find(spec.fingerprint, machines[0].machine if machines else None)
    if earlier is None:
        if st.button("Run", type="primary", icon=":material/play_arrow:", key=key("run"), width="stretch"):
            queue(store, spec)
        return
    components.known_run(earlier)
    st.page_link(
        components.RUN,
        label=link_text(earlier),
        icon=":material/arrow_forward:",
        query_params={"run": str(earlier.id)},
    )
    if earlier.status is Status.DONE and st.button("Run again", icon=":material/replay:", key=key("again")):
        queue(store, spec)


def link_text(earlier: RunRecord) -> str:
    """Return where the link to an earlier run leads."""
    return f"Open its result, run {earlier.id}" if earlier.status is Status.DONE else f"Watch run {earlier.id}"


def queue(store: Store, spec: ExperimentSpec) -> None:
    """Append the run and go where it can be watched."""
    (run_id,) = store.enqueue([spec])
    st.session_state[state.key("runs", "queued")] = run_id
    st.switch_page(components.RUNS)


def main() -> None:
    """Show the page: choices on the left, what they amount to on the right."""
    store = state.store()
    st.title("New run")
    form, _, summary = st.columns([6, 0.4, 5])
    with form:
        model, dataset = choose_model()
        backend = choose_backend(store, model)
        techniques = choose_techniques(model, BACKENDS.get(backend.name))
        effort = choose_effort()
        scenario = choose_scenario(model)
    with summary:
        components.engine_notice(state.is_engine_alive(store))
        try:
            spec = resolve(
                model=model.name,
                dataset=dataset,
                techniques=techniques,
                backend=backend,
                effort=effort,
                scenario=scenario,
            )
        except RequestError as error:
            st.warning(components.plain(str(error)), icon=":material/info:")
            return
        show_plan(spec)
        offer(store, spec)


main()
