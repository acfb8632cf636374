"""The form of a new run: model, data, how hard to compress, and for experts every technique and parameter."""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from dashboard import address, choices, components, forms, state
from dashboard.language import gettext as _
from engine.analysis.strength import STRENGTHS, strength
from engine.backends import BACKENDS
from engine.backends.base import Backend
from engine.datasets import DATASETS
from engine.errors import RequestError, SubsecondError
from engine.models import MODELS
from engine.models.catalog import ModelEntry
from engine.resolve import resolve
from engine.results import Capability
from engine.scenarios import SCENARIOS
from engine.spec import CLASSIFICATION, RESPONSE, SINGLE_STREAM, Choice, Effort, Scalar
from engine.store.store import Store
from engine.studies import parse_choice
from engine.techniques import TECHNIQUES
from engine.techniques.base import Technique

KEEP: dict[str, Any] = {"persist_state": "session"}
PREFERRED = ("onnxruntime", "onnxruntime-genai")
"""What a beginner gets, where it is there and fits."""
STACK = "new_stack"
"""Where the address says which techniques were chosen, as the command line writes them."""


def key(name: str) -> str:
    """Return this page's session key."""
    return state.key("new", name)


def task_key(name: str, model: ModelEntry) -> str:
    """Return the key of a widget that classifiers share and that language models have for themselves."""
    return key(name if model.task in CLASSIFICATION else f"{name}_{model.task}")


def usual_scenario(model: ModelEntry) -> Choice:
    """Return how a model is timed unless a person says otherwise."""
    return SINGLE_STREAM if model.task in CLASSIFICATION else RESPONSE


def choose_strength(model: ModelEntry, backend: Choice) -> tuple[Choice, ...]:
    """Let a beginner say how hard to compress; the first stack of that strength that fits is taken."""
    names = [entry.name for entry in STRENGTHS]
    level = address.steps(
        _("How hard to compress"),
        names,
        "medium",
        key("strength"),
        format_func=lambda name: _(strength(name).title),
        **KEEP,
    )
    chosen = strength(level)
    st.caption(components.plain(_(chosen.summary)))
    for stack in chosen.stacks:
        techniques = tuple(Choice(name=name) for name in stack)
        if all(name in TECHNIQUES and model.task in TECHNIQUES.get(name).tasks for name in stack):
            try:
                return resolve(model=model.name, techniques=techniques, backend=backend).techniques
            except RequestError:
                continue
    st.caption(_("Nothing of this strength fits this model; it is measured as it is."))
    return ()


def preferred_backend(store: Store, model: ModelEntry) -> Choice:
    """Return the backend that a beginner gets: ONNX Runtime, in the form that fits the model, where it is there."""
    known = choices.capabilities(store.machines())
    return Choice(name=_preferred([name for name, reason in _reasons(known, model).items() if reason is None]))


def _reasons(known: dict[str, Capability], model: ModelEntry) -> dict[str, str | None]:
    """Return why each backend cannot run a model here."""
    return {backend.name: choices.why_not_backend(backend, known, model.task) for backend in BACKENDS}


def _preferred(able: Sequence[str]) -> str:
    return next((name for name in PREFERRED if name in able), able[0] if able else PREFERRED[0])


def restore_stack() -> None:
    """Bring the techniques of the address into the form, where somebody followed a link."""
    asked = st.query_params.get(STACK)
    if asked is None or asked == st.session_state.get(STACK + address.SEEN):
        return
    for text in filter(None, asked.split("+")):
        try:
            choice = parse_choice(text)
            config = TECHNIQUES.get(choice.name).config_type.model_validate(choice.params)
        except (SubsecondError, ValueError):
            continue
        st.session_state[key(choice.name)] = True
        for name, value in config.model_dump(mode="json").items():
            st.session_state[f"{key(choice.name)}_{name}"] = value


def remember_stack(techniques: tuple[Choice, ...]) -> None:
    """Let the address say which techniques were chosen, with what is not their default."""
    written = "+".join(_written(choice) for choice in techniques)
    st.session_state[STACK + address.SEEN] = written
    if written:
        st.query_params[STACK] = written
    else:
        st.query_params.pop(STACK, None)


def _written(choice: Choice) -> str:
    fields = TECHNIQUES.get(choice.name).config_type.model_fields
    given = [
        f"{name}={str(value).lower() if isinstance(value, bool) else value}"
        for name, value in choice.params.items()
        if value != fields[name].get_default(call_default_factory=True)
    ]
    return f"{choice.name}:{','.join(given)}" if given else choice.name


def choose_model() -> tuple[ModelEntry, str]:
    """Let the person choose a model, then a data set of its task."""
    names = MODELS.names()
    name = address.select(
        _("Model"), names, names[0], key("model"), format_func=lambda name: _(MODELS.get(name).title), **KEEP
    )
    model = MODELS.get(name)
    st.caption(components.plain(_(model.summary)))
    fitting = [entry.name for entry in DATASETS if entry.task == model.task]
    usual = model.default_dataset if model.default_dataset in fitting else fitting[0]
    dataset = address.select(
        _("Data"),
        fitting,
        usual,
        key(f"dataset_{model.task}"),
        format_func=lambda name: _(DATASETS.get(name).title),
        **KEEP,
    )
    st.caption(components.plain(_(DATASETS.get(dataset).summary)))
    return model, dataset


def choose_backend(store: Store, model: ModelEntry) -> Choice:
    """Let the person choose where it runs; what this machine cannot do is grey, with the reason."""
    known = choices.capabilities(store.machines())
    reasons = _reasons(known, model)
    able = [name for name, reason in reasons.items() if reason is None]
    name = st.radio(
        _("Backend"),
        able,
        index=able.index(_preferred(able)) if able else 0,
        format_func=lambda name: _(BACKENDS.get(name).title),
        captions=[_(BACKENDS.get(name).summary) for name in able],
        key=task_key("backend", model),
        **KEEP,
    )
    for other, reason in reasons.items():
        if reason is not None:
            title = _(BACKENDS.get(other).title)
            st.radio(title, [title], disabled=True, label_visibility="collapsed")
            st.caption(components.plain(reason))
    with st.expander(_("Backend options")):
        found = known[name].choices
        return Choice(name=name, params=forms.parameters(BACKENDS.get(name).options_type, key(name), found=found))


def choose_technique(technique: Technique[Any], reason: str | None) -> Choice | None:
    """Show one toggle; its parameters appear when it is on."""
    with st.container(gap="xxsmall"):
        is_on = st.toggle(_(technique.title), key=key(technique.name), disabled=reason is not None, **KEEP)
        st.caption(components.plain(reason or _(technique.summary)))
    if reason is not None or not is_on:
        return None
    with st.container(border=True):
        params: dict[str, Scalar] = forms.parameters(technique.config_type, key(technique.name))
    return Choice(name=technique.name, params=params)


def choose_techniques(model: ModelEntry, backend: Backend[Any]) -> list[Choice]:
    """Show the techniques by family; what does not fit is grey, with the reason."""
    stack: list[Choice] = []
    for group, members in choices.techniques_by_group().items():
        st.markdown(f"**{_(choices.GROUP_TITLES[group])}**")
        for technique in members:
            chosen = [choice.name for choice in stack]
            choice = choose_technique(technique, choices.why_not_technique(technique, model.task, backend, chosen))
            stack += [choice] if choice else []
    return [choice for name in TECHNIQUES.names() for choice in stack if choice.name == name]


def choose_effort() -> Effort:
    """Let the person choose how sure the timing should be."""
    titles = {Effort.QUICK: _("Quick"), Effort.STANDARD: _("Standard"), Effort.RIGOROUS: _("Rigorous")}
    effort = address.segments(
        _("Effort"),
        [effort.value for effort in Effort],
        Effort.QUICK.value,
        key("effort"),
        format_func=lambda name: titles[Effort(name)],
        help=_(
            "How many pairs of fresh processes a timing is worth: quick 3, standard 5, rigorous 10. "
            "More pairs give narrower intervals."
        ),
        **KEEP,
    )
    return Effort(effort)


def choose_scenario(model: ModelEntry) -> Choice:
    """Let the person choose how queries arrive."""
    fitting = [scenario for scenario in SCENARIOS if model.task in scenario.tasks]
    name = address.segments(
        _("Scenario"),
        [scenario.name for scenario in fitting],
        usual_scenario(model).name,
        task_key("scenario", model),
        format_func=lambda name: _(SCENARIOS.get(name).title),
        help="\n\n".join(f"{_(scenario.title)}: {_(scenario.summary)}" for scenario in fitting),
        **KEEP,
    )
    scenario = SCENARIOS.get(name)
    return Choice(name=name, params=forms.parameters(scenario.options_type, key(name)))
