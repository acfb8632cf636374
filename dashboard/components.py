"""Parts that several pages show."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from functools import wraps
from typing import Any, Literal, ParamSpec, TypeVar

import pandas as pd
import streamlit as st

from dashboard.columns import columns
from dashboard.language import gettext as _
from dashboard.language import ngettext, wording
from engine.analysis.answer import Answer
from engine.analysis.wording import retold
from engine.cautions import CAUTIONS
from engine.errors import ContradictionError, ForbiddenError, ReadOnlyError, SchemaError, StoreError, SubsecondError
from engine.results import Context, MachineRecord, RunRecord, SelfCheck, StageRecord, Status, Warning
from engine.store.store import RunSummary, Store
from engine.units import format_seconds

P = ParamSpec("P")
R = TypeVar("R")

FRONTIER, NEW_RUN, RUNS, RUN, COMPARE, SYSTEM = (
    f"app_pages/{name}.py" for name in ("frontier", "new_run", "runs", "run", "compare", "system")
)
SERVE = "subsecond serve"
UNPROVEN = "Not checked yet: `subsecond selfcheck` proves the instrument on this machine, in about two minutes."
COLORS: dict[Status, Literal["gray", "blue", "green", "red", "orange"]] = {
    Status.QUEUED: "gray",
    Status.RUNNING: "blue",
    Status.DONE: "green",
    Status.FAILED: "red",
    Status.CANCELLED: "orange",
}
MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+\-.!|<>$:~])")


def plain(text: str) -> str:
    """Return ``text`` so that Markdown shows it letter by letter; names come from people and files."""
    return MARKDOWN.sub(r"\\\1", text)


def guarded(function: Callable[P, R]) -> Callable[P, R | None]:
    """Turn the errors that Subsecond raises on purpose into a sentence on the page."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R | None:
        try:
            return function(*args, **kwargs)
        except SubsecondError as error:
            explain(error)
            return None

    return call


def explain(error: SubsecondError) -> None:
    """Show what is wrong and a way on."""
    st.error(plain(str(error)), icon=":material/error:")
    if isinstance(error, SchemaError):
        st.markdown(_("Update Subsecond, or start it with another database: `subsecond serve --db OTHER.db`"))
    elif isinstance(error, ForbiddenError):
        st.markdown(_("Nothing was changed."))
    elif isinstance(error, ReadOnlyError):
        st.markdown(_("Nothing was changed. Make the file and its folder writable, then reload this page."))
    elif isinstance(error, StoreError):
        st.markdown(_("`subsecond doctor` checks the database. Reload this page once it is back."))
    else:
        st.page_link(FRONTIER, label=_("Back to the frontier"), icon=":material/arrow_back:")


def open_run(run_id: int) -> None:
    """Leave this page for the page of one run."""
    st.switch_page(RUN, query_params={"run": str(run_id)})


def run_link(run_id: int, label: str) -> None:
    """Link to the page of one run."""
    st.page_link(RUN, label=plain(label), icon=":material/arrow_forward:", query_params={"run": str(run_id)})


def compare_link(ids: Sequence[int]) -> None:
    """Link to the page that sets several runs side by side."""
    st.page_link(
        COMPARE,
        label=ngettext("Compare {n} run", "Compare {n} runs", len(ids)),
        icon=":material/compare_arrows:",
        query_params={"runs": ",".join(map(str, ids))},
    )


def status_badge(status: Status) -> None:
    """Show where a run stands."""
    st.badge(_(status.value), color=COLORS[status])


def engine_notice(alive: bool) -> None:
    """Say how to start the engine where none is running."""
    if not alive:
        st.warning(
            _("No engine is running, so runs wait. Start one in a terminal: {command}").format(command=f"`{SERVE}`"),
            icon=":material/power_off:",
        )


def answer_line(answer: Answer, *, name_model: bool) -> None:
    """Show what speed one model gives, with a link to the run."""
    model = f"{answer.model}: " if name_model else ""
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        with st.container(gap=None):
            st.header(f":primary[{plain(model + answer.told(wording()))}]", anchor=False)
            st.caption(plain(_(answer.detail)))
        if answer.run_id is not None:
            run_link(answer.run_id, _("Open run {id}").format(id=answer.run_id))


def stage_list(record: RunRecord) -> None:
    """Show the stages of a run: those that ended with their times, the one under way with its progress."""
    ended = [
        f":green[:material/check:] {plain(_(stage.name))} :gray[{plain(stage_note(stage))}]" for stage in record.stages
    ]
    if ended:
        st.markdown("  \n".join(ended))
    if record.status is Status.RUNNING and record.stage:
        message = f"  :gray[{plain(record.stage_message)}]" if record.stage_message else ""
        if record.progress is None:
            st.markdown(f":blue[:material/pending:] {plain(_(record.stage))}{message}")
        else:
            st.progress(record.progress, text=plain(_(record.stage)) + message)


def stage_note(stage: StageRecord) -> str:
    """Return how long a stage took, or that an earlier run had done it."""
    note = _("from the cache") if stage.cached else format_seconds(stage.seconds)
    return f"{note} · {stage.detail}" if stage.detail else note


def when(moment: datetime | None) -> str:
    """Return a time as a person reads it, in UTC: ``"14 Mar 2026, 12:07 UTC"``."""
    if moment is None:
        return _("not yet")
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return aware.astimezone(UTC).strftime(_("%-d %b %Y, %H:%M UTC"))


def facts(rows: Sequence[tuple[str, str]]) -> None:
    """Show names and values, one pair a line."""
    named = pd.DataFrame([(plain(name), plain(value)) for name, value in rows], columns=["Name", "Value"])
    st.table(named.set_index("Name"), border="horizontal", hide_header=True)


def grid(header: Sequence[str], rows: Sequence[Sequence[str]], *, markdown: Collection[str] = ()) -> None:
    """Show a small table of texts, letter by letter except in the columns that are Markdown."""
    table = pd.DataFrame(rows, columns=list(header))
    for name in table.columns.difference(list(markdown)):
        table[name] = table[name].map(plain)
    st.table(table, border="horizontal", hide_index=True)


def mark(passed: bool) -> str:
    """Return whether something passed, in Markdown: a sign and a word, so that colour is not needed to read it."""
    return f":green[:material/check: {_('yes')}]" if passed else f":red[:material/close: {_('no')}]"


def check_badge(check: SelfCheck) -> None:
    """Show whether a self-check passed."""
    st.badge(_("passed") if check.passed else _("failed"), color="green" if check.passed else "red")


def instrument_line(check: SelfCheck | None) -> None:
    """Say whether the machine of a run was proven to measure rightly, with the way to the proof."""
    if check is None:
        said = f":gray[:material/help:] {_('The instrument was not yet checked on this machine.')}"
    else:
        colour, icon, word = ("green", "verified", _("passed")) if check.passed else ("red", "error", _("failed"))
        checked = _("The instrument was checked on this machine on {when}: {verdict}.")
        checked = checked.format(when=when(check.checked_at), verdict=word)
        said = f":{colour}[:material/{icon}:] {plain(checked)}"
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(said)
        st.page_link(SYSTEM, label=_("System"), icon=":material/arrow_forward:")


def linked_table(rows: Sequence[Mapping[str, object]], key: str, alt: str) -> None:
    """List runs; a chosen row opens its run, whose number is in the column ``Run``."""
    event = st.dataframe(
        pd.DataFrame(rows),
        hide_index=True,
        on_select="rerun",
        selection_mode="single-row",
        key=key,
        column_config=columns(),
        placeholder="",
        alt=alt,
    )
    row = selected_row(event)
    if row is not None:
        open_run(int(str(rows[row]["Run"])))


def number_table(rows: Sequence[Mapping[str, object]], alt: str) -> None:
    """Show numbers to be read and sorted, not to be clicked."""
    st.dataframe(pd.DataFrame(rows), hide_index=True, column_config=columns(), alt=alt)


def selected_row(event: Any) -> int | None:
    """Return the row a person chose in a table, if any."""
    rows = event.selection.rows
    return int(rows[0]) if rows else None


def is_dark() -> bool:
    """Tell whether the viewer's theme is dark."""
    return st.context.theme.type == "dark"


def clicked_run(event: Any) -> int | None:
    """Return the run whose point was clicked in a plot, if any."""
    points = event.selection.points
    return run_of_point(points[0]) if points else None


def run_of_point(point: Mapping[str, Any]) -> int | None:
    """Return the run that a point of a plot carries, if any."""
    data = point.get("customdata")
    value = data[0] if isinstance(data, list) else data
    return None if value is None else int(value)


def progress(active: Sequence[RunRecord]) -> None:
    """Say what the engine is busy with, with the way to watch it."""
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        st.markdown(progress_sentence(active), width="stretch")
        st.page_link(RUNS, label=_("Watch"), icon=":material/arrow_forward:")


def progress_sentence(active: Sequence[RunRecord]) -> str:
    """Return what the engine is busy with, in Markdown."""
    running = [run for run in active if run.status is Status.RUNNING]
    waiting = _("{n} waiting").format(n=len(active) - len(running))
    if not running:
        return f":material/hourglass_empty: {waiting}"
    first = running[-1]
    stage = f", {plain(_(first.stage))}" if first.stage else ""
    variant = plain(f"{first.spec.model}, {first.spec.label()}")
    return f":material/autorenew: {_('Run {id}').format(id=first.id)}: {variant}{stage} · {waiting}"


def provenance(machines: Sequence[MachineRecord], context: Context, runs: Sequence[RunSummary], left_out: int) -> str:
    """Return where and when the numbers of a plot were measured, in one line."""
    place = next((machine.environment for machine in machines if machine.machine == context.machine), None)
    parts = [
        _("{cpu}, {n} cores").format(cpu=place.cpu_model, n=place.cores)
        if place
        else _("machine {name}").format(name=context.machine),
        _("{device}, {n} threads").format(device=context.device, n=context.threads),
        ngettext("{n} run", "{n} runs", len(runs)),
    ]
    ended = [run.finished_at for run in runs if run.finished_at]
    if ended:
        parts.append(_("the last on {when}").format(when=when(max(ended))))
    if left_out:
        parts.append(_("{n} left out, without a value on one of the axes").format(n=left_out))
    return plain(_("Measured on {parts}").format(parts=" · ".join(parts)))


def cautions(warnings: Sequence[Warning]) -> None:
    """Show what a reader must know before believing a number."""
    if warnings:
        known = [caution.words for caution in CAUTIONS]
        listed = "\n".join(f"- {plain(retold(warning.message, known, _))}" for warning in warnings)
        st.warning(f"{_('Before you quote these numbers:')}\n{listed}", icon=":material/warning:")


def known_run(earlier: RunRecord) -> None:
    """Say that an experiment needs not be repeated."""
    if earlier.status is Status.DONE:
        said = _("This has been measured already, on {when}.").format(when=when(earlier.finished_at))
        st.success(said, icon=":material/check:")
    else:
        said = _("This is queued already.") if earlier.status is Status.QUEUED else _("This is running already.")
        st.info(said, icon=":material/info:")


def failure(record: RunRecord) -> None:
    """Say why a run failed in one sentence; stage, kind and log on demand."""
    if record.error is None:
        return
    st.error(plain(record.error.message), icon=":material/error:")
    with st.expander(_("Details")):
        said = _("{kind} in stage {stage}, attempt {n}")
        st.caption(plain(said.format(kind=record.error.kind, stage=_(record.error.stage), n=record.attempt)))
        log(record.error.log_tail)


def log(text: str) -> None:
    """Show the end of a log."""
    if text.strip():
        st.code(text, language=None, wrap_lines=True, height=260)
    else:
        st.caption(_("Nothing has been written to the log."))


def run_facts(record: RunRecord) -> None:
    """Show number, study and times of a run in one line."""
    parts = [_("Run {id}").format(id=record.id), _("{effort} effort").format(effort=_(record.spec.effort.value))]
    if record.study:
        parts.append(_("study {name}").format(name=record.study))
    ended = record.finished_at
    parts.append(
        _("ended {when}").format(when=when(ended)) if ended else _("queued {when}").format(when=when(record.created_at))
    )
    st.caption(plain(" · ".join(parts)))


@guarded
def cancel(store: Store, run_id: int) -> None:
    """Ask for the end of a run; one that has just ended by itself needs none."""
    try:
        status = store.request_cancel(run_id)
    except ContradictionError as error:
        st.toast(plain(str(error)))
    else:
        said = _("Run {id} is cancelled.") if status is Status.CANCELLED else _("Run {id} is being stopped.")
        st.toast(said.format(id=run_id))


@guarded
def cancel_all(store: Store, run_ids: Sequence[int]) -> None:
    """Ask for the end of several runs."""
    ended = 0
    for run_id in run_ids:
        try:
            store.request_cancel(run_id)
            ended += 1
        except ContradictionError:  # it has just ended by itself
            continue
    st.toast(ngettext("{n} run is cancelled.", "{n} runs are cancelled.", ended))
