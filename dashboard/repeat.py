"""How to repeat a run, and its files to take away."""

from collections.abc import Callable

import streamlit as st

from dashboard import components, state
from dashboard.language import gettext as _
from dashboard.language import html_language, wording
from engine.analysis import export
from engine.analysis.command import command_line, python_code, study_yaml
from engine.analysis.report import run_report
from engine.results import RunRecord
from engine.store.store import Store


def show(record: RunRecord) -> None:
    """Show the command, the study file and the Python that repeat a run, and the whole specification."""
    st.header(_("Repeat it"), anchor=False)
    command, yaml_text, python, whole = st.tabs([_("Command"), "YAML", "Python", _("Specification")])
    with command:
        st.code(command_line(record.spec), language="bash", wrap_lines=True)
    with yaml_text:
        st.code(study_yaml([record.spec], record.study or f"run {record.id}"), language="yaml")
        st.caption(_("Save it as a file and run it with {command}.").format(command="`subsecond sweep FILE.yaml`"))
    with python:
        st.code(python_code(record.spec), language="python")
    with whole:
        st.json(record.spec.model_dump(mode="json"))
        st.caption(_("Fingerprint {text}").format(text=record.fingerprint))


def downloads(store: Store, record: RunRecord) -> None:
    """Offer everything that is kept of a run; each file is made when it is asked for."""
    st.header(_("Take it away"), anchor=False)
    run_id = record.id
    with st.container(horizontal=True):
        if record.result is not None:
            say, tongue = wording(), html_language()  # the file is made later, by a thread that knows no viewer

            def report() -> str:
                return run_report(store.run(run_id), store.raw(run_id), say, language=tongue)

            _offer(_("Report"), report, f"run-{run_id}.html", "text/html")
        _offer(_("Row as CSV"), lambda: export.csv_text([store.run(run_id)]), f"run-{run_id}.csv", "text/csv")
        _offer(_("Record as JSON"), lambda: record.model_dump_json(indent=2), f"run-{run_id}.json", "application/json")
        if record.result is not None:
            latency = f"run-{run_id}-latency.csv"
            _offer(_("Every latency"), lambda: export.latency_csv(store.raw(run_id)), latency, "text/csv")
            answers = f"run-{run_id}-answers.csv"
            _offer(_("Every answer"), lambda: export.samples_csv(store.raw(run_id)), answers, "text/csv")
        log = store.run_folder(run_id)
        if log.log.is_file():
            _offer(_("Log"), lambda: log.log_tail(1 << 20), f"run-{run_id}-log.txt", "text/plain")


def _offer(label: str, make: Callable[[], str], name: str, mime: str) -> None:
    st.download_button(
        label,
        lambda: make().encode(),
        file_name=name,
        mime=mime,
        icon=":material/download:",
        on_click="ignore",
        key=state.key("run", name),
    )


def log(store: Store, record: RunRecord) -> None:
    """Show the end of a run's log where its files are still there."""
    folder = store.run_folder(record.id)
    if folder.log.is_file():
        with st.expander(_("Log")):
            components.log(folder.log_tail())
