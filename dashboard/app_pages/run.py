"""Everything about one run; reached by its id in the address, ``?run=12``."""

import streamlit as st

from dashboard import annotations, ask_box, components, engine_switch, repeat, run_evidence, state
from dashboard.language import gettext as _
from dashboard.language import wording
from engine.analysis import export, figures, table
from engine.analysis.explain import retell
from engine.analysis.instrument import last_check, timing_rows
from engine.errors import InvalidValueError, RequestError
from engine.results import RunRecord, RunResult, Status
from engine.store.notes import Subject
from engine.store.store import Store


def wanted_id() -> int | None:
    """Return the run named in the address.

    Raises:
        InvalidValueError: if it is not a number.
    """
    text = st.query_params.get("run")
    if text is None:
        return None
    if not text.isdecimal():
        said = _("'{text}' is not the number of a run. Open one from the list of runs.")
        raise InvalidValueError(said.format(text=text[:40]))
    return int(text)


def show_headline(store: Store, result: RunResult) -> None:
    """Show what the run is worth, and how far to trust it."""
    for column, number in zip(st.columns(4), table.headline(result, wording()), strict=True):
        with column.container(border=True, height="stretch"):
            st.metric(number.title, number.value)
            st.caption(components.plain(number.note))
    components.cautions(result.warnings)
    components.instrument_line(last_check(store.selfchecks(), result.environment.machine))


def show_reasons(result: RunResult) -> None:
    """Say why it is faster, or is not, and what each step of the stack did."""
    told = result.explanation
    if told is not None:
        st.header(_("Why"), anchor=False)
        sentence, reasons = retell(told, wording())
        st.markdown(_("**{sentence}.**").format(sentence=components.plain(sentence)))
        st.markdown("\n".join(f"- {components.plain(reason)}" for reason in reasons[1:]))
        after, before = st.columns(2)
        with after:
            components.number_table(table.operator_rows(told.operators), _("Operators of this run by time"))
            st.caption(_("Operators of this run, as the runtime's profiler saw them."))
        if told.before:
            with before:
                components.number_table(table.operator_rows(told.before), _("Operators before the graph was changed"))
                st.caption(_("The same model on the same backend before its graph was changed."))
    if len(result.steps) > 1:
        st.header(_("Step by step"), anchor=False)
        st.plotly_chart(
            figures.steps_figure(result.steps, dark=components.is_dark(), say=wording()),
            key=state.key("run", "steps"),
            config={"displayModeBar": False},
            alt=_("Bars: accuracy, size, non-zero parameters and operations after each step of the stack"),
        )
        components.number_table(
            table.step_rows(result, wording()), _("What the model was after each step of the stack")
        )


def show_layers(record: RunRecord, result: RunResult) -> None:
    """Show where time, bytes and errors are, layer by layer."""
    if not result.layers:
        return
    with st.expander(_("Layer by layer")):
        components.number_table(table.layer_rows(result.layers), _("Layers of this run in the order of execution"))
        st.caption(
            _(
                "Time as the runtime's profiler saw it. Error: how far a layer's values are from those of the model "
                "before its graph was changed, as a share of them. Sensitivity: what quantizing this operator alone "
                "does to the answers, where that was measured."
            )
        )
        st.download_button(
            _("Download as CSV"),
            export.layers_csv(result.layers),
            file_name=f"run-{record.id}-layers.csv",
            mime="text/csv",
            icon=":material/download:",
            key=state.key("run", "layers_csv"),
        )


def show_rest(record: RunRecord, result: RunResult) -> None:
    """Show size, disturbances, stages and place."""
    left, right = st.columns(2)
    with left:
        st.header(_("Footprint"), anchor=False)
        run_evidence.side_by_side(table.footprint_rows(result, wording()))
    with right:
        st.header(_("While it was timed"), anchor=False)
        components.facts(timing_rows(result, record.spec.effort, wording()))
        if result.disturbance is None:
            st.caption(_("What else the machine did was not recorded when this run was measured."))
        st.header(_("Stages"), anchor=False)
        components.stage_list(record)
    with st.expander(_("Where it was measured")):
        components.facts(table.environment_rows(result, wording()))
    with st.expander(_("Under which conditions")):
        components.facts(table.context_rows(result, wording()))


@st.fragment(run_every=2)
@components.guarded
def show_live(store: Store, run_id: int) -> None:
    """Follow a run to its end, then show the page anew."""
    record = store.run(run_id)
    if record.status.is_final:
        st.rerun()
    engine_switch.notice(store)
    if record.status is Status.QUEUED:
        st.markdown(_("Waits for its turn."))
    components.stage_list(record)
    if record.cancel_requested:
        st.caption(_("Being stopped; its worker ends within seconds."))
    else:
        st.button(_("Cancel"), key=state.key("run", "cancel"), on_click=components.cancel, args=(store, run_id))
    with st.expander(_("Log")):
        components.log(store.run_folder(run_id).log_tail())


def show_ended(store: Store, record: RunRecord) -> None:
    """Show a run that failed or was cancelled, and offer to try again."""
    components.failure(record)
    if record.status is Status.CANCELLED:
        st.info(_("This run was cancelled before it ended."), icon=":material/info:")
    components.stage_list(record)
    if st.button(_("Retry"), type="primary", icon=":material/replay:", key=state.key("run", "retry")):
        components.open_run(store.retry(record.id))


def main() -> None:
    """Show the page from top to bottom."""
    store = state.store()
    try:
        run_id = wanted_id()
        record = None if run_id is None else store.run(run_id)
    except RequestError:
        st.title(_("Run"))
        raise
    if record is None:
        st.title(_("Run"))
        st.markdown(_("No run was chosen."))
        st.page_link(components.RUNS, label=_("Choose one from the list"), icon=":material/arrow_forward:")
        return
    st.page_link(components.FRONTIER, label=_("Frontier"), icon=":material/arrow_back:")
    st.title(f"{components.plain(record.spec.model)}: {components.plain(record.spec.label())}", anchor=False)
    with st.container(horizontal=True, vertical_alignment="center"):
        components.status_badge(record.status)
        components.run_facts(record)
    annotations.show(store, Subject.run(record.id), "run")
    if not record.status.is_final:
        show_live(store, record.id)
    elif record.result is None:
        show_ended(store, record)
    else:
        show_headline(store, record.result)
        ask_box.show(store, record)
        run_evidence.show_latency(store, record, record.result)
        show_reasons(record.result)
        show_layers(record, record.result)
        run_evidence.show_quality(store, record, record.result)
        show_rest(record, record.result)
    repeat.show(record)
    repeat.downloads(store, record)
    if record.status.is_final:
        repeat.log(store, record)


main()
