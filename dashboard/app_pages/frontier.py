"""The start page: what speed can be bought, and what accuracy it costs."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import streamlit as st

from dashboard import (
    address,
    budget_boxes,
    components,
    downloads,
    engine_switch,
    frontier_data,
    frontier_view,
    state,
    zoom,
)
from dashboard.frontier_data import ALL, Shown
from dashboard.frontier_view import PAGE, key
from dashboard.language import gettext as _
from dashboard.language import html_language, ngettext, wording
from dashboard.plot_choices import PlotChoice, choose_plot
from engine.analysis.budget import Budget, judge
from engine.analysis.comparability import context_labels
from engine.analysis.figures import Canvas, FrontierStyle
from engine.analysis.presets import ANY, BOUND, PRESETS, Preset
from engine.analysis.report import frontier_report
from engine.analysis.suite import suite_rows
from engine.analysis.wording import retold
from engine.results import Context
from engine.spec import Task
from engine.store.store import RunSummary, Store
from engine.studies import demo_specs

MOST_ANSWERS = 3


@st.fragment(run_every=3)
@components.guarded
def watch(store: Store, shown: str) -> None:
    """Say what the engine is doing; draw the page anew when a run has joined the record."""
    zoom.watch(key("plot"), key("watch"))
    if state.finished_mark(store) != shown:
        st.rerun()
    active = state.active_runs(store)
    if active:
        components.progress(active)
        engine_switch.notice(store)


@components.guarded
def welcome(store: Store) -> None:
    """Offer the one thing to do where nothing has been measured yet."""
    st.header(_("Nothing has been measured here yet"), anchor=False)
    st.markdown(
        _(
            "Subsecond prepares, times and scores variants of a model and draws what speed each buys for what "
            "accuracy. The demo takes about a minute: two small image models, ready to run."
        )
    )
    if state.active_runs(store):
        st.markdown(_("The first point appears here by itself."))
    elif st.button(_("Run the one-minute demo"), key=key("demo"), type="primary", icon=":material/play_arrow:"):
        store.enqueue(demo_specs(Task.IMAGE_CLASSIFICATION), study="demo")
        st.rerun()
    engine_switch.notice(store)
    st.page_link(components.NEW_RUN, label=_("Or choose a model yourself"), icon=":material/arrow_forward:")


def move_on(contexts: Sequence[Context]) -> None:
    """Leave a plot recorded elsewhere for this machine's first point, unless the viewer chose what to see."""
    chosen = st.session_state.setdefault(key("chosen"), key("context") in st.query_params)
    shown = next((context for context in contexts if context.key == st.session_state.get(key("context"))), None)
    if shown and not chosen and shown.machine != contexts[0].machine:
        st.session_state[key("context")] = contexts[0].key


def remember_choice() -> None:
    """Note that the viewer chose a context; from now on it stays."""
    st.session_state[key("chosen")] = True


def choose_context(store: Store, contexts: Sequence[Context]) -> Context:
    """Let the viewer choose under which conditions the runs were measured; :func:`state.contexts` says which first."""
    move_on(contexts)
    cpus = {machine.machine: machine.environment.cpu_model for machine in store.machines()}
    labels = context_labels(contexts, cpus, wording())
    chosen = address.select(
        _("Measured on"),
        [context.key for context in contexts],
        contexts[0].key,
        key("context"),
        format_func=lambda name: labels.get(name, name),
        on_change=remember_choice,
        help=_("Only runs measured under the same conditions share a plot: data, batch, device, machine, threads."),
    )
    return next(context for context in contexts if context.key == chosen)


def choose_model(runs: Sequence[RunSummary]) -> str:
    """Let the viewer choose one model where there are several."""
    models = list(dict.fromkeys(run.model for run in runs))
    if len(models) == 1:
        return ALL
    return address.select(
        _("Model"), [ALL, *models], ALL, key("model"), format_func=lambda name: _("All models") if name == ALL else name
    )


def choose_preset() -> Preset:
    """Let the viewer say how much accuracy a run must keep."""
    name = address.segments(
        _("Keep"),
        PRESETS.names(),
        ANY.name,
        key("keep"),
        format_func=lambda name: _(PRESETS.get(name).title),
        help=_("Leaves out what loses more of the baseline's accuracy. 99 % and 99.9 % are MLPerf's two targets."),
    )
    return PRESETS.get(name)


def show_plot(shown: Shown, plot: PlotChoice, budget: Budget) -> None:
    """Draw the plot and its table, each showing what is chosen in the other."""
    place = st.container()
    whole = shown.info(plot.x.name, plot.y.name)
    info = frontier_view.replay(whole, shown.growth(plot.x.name, plot.y.name, log_x=plot.log_x))
    rows = frontier_view.table_rows(info)
    style = FrontierStyle(
        log_x=plot.log_x,
        view=f"{shown.name}/{plot.x.name}/{plot.y.name}/{plot.log_x}/{info is whole}",
        dark=components.is_dark(),
        color=plot.color,
        size=plot.size,
        say=wording(),
        selected=frontier_view.chosen_in_table(rows),
    )
    if info is not whole:  # so that the axes stand still while the runs come
        x_range, y_range = Canvas.of(whole, log_x=plot.log_x).ranges
        style = replace(style, x_range=x_range, y_range=y_range)
    with place:
        boxed = frontier_view.draw_plot(info, style, budget, plot.picture)
    frontier_view.draw_table(info, rows, boxed, style.selected)


def draw_suite(store: Store, contexts: Sequence[Context], context: Context) -> None:
    """Sum up each variant over the models it was measured on, under the same conditions as the plot."""
    rows = suite_rows(frontier_data.suite(store, contexts, context), wording())
    if not rows:
        return
    st.header(_("Across models"), anchor=False)
    components.number_table(rows, _("Every variant of two or more models with the geometric mean of its speed-ups"))
    st.caption(
        _(
            "Speed-up is the geometric mean over models, the latest run of each, whatever its parameters; the worst "
            "change is the largest loss of accuracy among them. Same machine, threads, batch and scenario as the plot. "
            "What was chosen under Keep does not apply here."
        )
    )


def footer(
    store: Store, context: Context, runs: Sequence[RunSummary], left_out: int, report: Callable[[], str]
) -> None:
    """Say where the numbers come from, and offer all of them."""
    st.caption(components.provenance(store.machines(), context, runs, left_out))
    with st.container(horizontal=True):
        downloads.buttons(store, PAGE)
        downloads.report_button(report, PAGE)


def caption(preset: Preset, left_out: int) -> str:
    """Return what the plot shows, and how many runs the preset leaves out of it."""
    text = _("Each point is one measured run, the line joins those that no other beats. Click a point to open it.")
    if not left_out:
        return text
    counted = ngettext("{n} run is left out: below {bound}.", "{n} runs are left out: below {bound}.", left_out)
    return f"{text} {counted.format(bound=retold(preset.bound, (BOUND,), _))}"


def main() -> None:
    """Show the page from top to bottom."""
    store = state.store()
    st.title(_("What speed can I buy, and what accuracy does it cost?"))
    contexts = state.contexts(store)
    watch(store, state.finished_mark(store))
    if not contexts:
        welcome(store)
        return
    head = st.container()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        context = choose_context(store, contexts)
        model = choose_model(state.runs_of(store, context.key))
        shown = Shown(store, context, model, choose_preset())
    with st.expander(_("Axes, colours, sizes"), icon=":material/tune:"):
        plot = choose_plot(context, frontier_data.offer(store, context), PAGE)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        budget = budget_boxes.boxes(plot.x, plot.y, PAGE)
    info, found = shown.info(plot.x.name, plot.y.name), shown.answers
    with head:
        for answer in found[:MOST_ANSWERS]:
            components.answer_line(answer, name_model=len(found) > 1)
    budget_boxes.show_verdict(info, judge(info, budget))
    if info.points:
        show_plot(shown, plot, budget)
    st.caption(caption(shown.preset, len(shown.measured) - len(shown.runs)))
    draw_suite(store, contexts, context)
    report = partial(
        frontier_report, info, found, context, FrontierStyle(say=wording()), budget, language=html_language()
    )
    footer(store, context, shown.runs, info.left_out, report)


main()
