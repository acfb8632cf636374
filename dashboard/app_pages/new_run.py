"""Choose a model and how hard to compress it, see what will happen, run it; experts choose everything."""

import streamlit as st

from dashboard import address, engine_switch, new_run_form, new_run_offer, state
from dashboard.grid import Request, expand
from dashboard.language import gettext as _
from dashboard.new_run_form import key
from engine.backends import BACKENDS
from engine.store.store import Store

SIMPLE, EXPERT = "simple", "expert"


def choose_mode() -> bool:
    """Let the person choose between one knob and all of them; return whether all are wanted."""
    titles = {SIMPLE: _("Simple"), EXPERT: _("Every parameter")}
    mode = address.segments(
        _("Form"),
        [SIMPLE, EXPERT],
        SIMPLE,
        key("mode"),
        format_func=titles.__getitem__,
        label_visibility="collapsed",
        persist_state="session",
    )
    return mode == EXPERT


def simple(store: Store) -> Request:
    """Draw the form of a beginner."""
    model, dataset = new_run_form.choose_model()
    backend = new_run_form.preferred_backend(store, model)
    techniques = new_run_form.choose_strength(model, backend)
    st.caption(_("On {backend}, one query at a time.").format(backend=_(BACKENDS.get(backend.name).title)))
    scenario = new_run_form.usual_scenario(model)
    return Request(model.name, dataset, techniques, backend, new_run_form.choose_effort(), scenario)


def expert(store: Store) -> Request:
    """Draw the form with everything in it."""
    model, dataset = new_run_form.choose_model()
    backend = new_run_form.choose_backend(store, model)
    new_run_form.restore_stack()
    techniques = tuple(new_run_form.choose_techniques(model, BACKENDS.get(backend.name)))
    new_run_form.remember_stack(techniques)
    effort = new_run_form.choose_effort()
    return Request(model.name, dataset, techniques, backend, effort, new_run_form.choose_scenario(model))


def main() -> None:
    """Show the page: choices on the left, what they amount to on the right."""
    store = state.store()
    st.title(_("New run"))
    form, _gap, summary = st.columns([6, 0.4, 5])
    with form:
        is_expert = choose_mode()
        request = expert(store) if is_expert else simple(store)
        variations = new_run_offer.choose_variations(request) if is_expert else []
        study = new_run_offer.choose_study(_("none"))
    with summary:
        engine_switch.notice(store)
        expansion = expand(request, variations)
        new_run_offer.show_refusals(expansion)
        new_run_offer.offer(store, expansion.specs, study)


main()
