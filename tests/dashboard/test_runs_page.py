from pathlib import Path

from engine.results import Status, WorkerEvent
from engine.store.notes import Subject
from engine.store.store import Store
from tests.dashboard.conftest import OpenPage, Screen, words
from tests.dashboard.samples import INT8, SERVICE, sample_spec


def test_ended_runs_are_listed_the_newest_first(filled_path: Path, open_page: OpenPage) -> None:
    app = open_page(filled_path, "runs")
    assert not app.exception
    assert app.dataframe[0].value["Run"].tolist() == list(range(17, 0, -1))
    assert "Nothing is running or waiting." in words(app)


def test_a_filter_in_the_address_is_applied(filled_path: Path, open_page: OpenPage) -> None:
    app = open_page(filled_path, "runs", runs_show="cancelled")
    assert app.dataframe[0].value["Status"].tolist() == ["cancelled"]


def test_a_failure_is_one_sentence_with_details_and_can_be_retried(
    filled: Store, filled_path: Path, open_page: OpenPage
) -> None:
    app = open_page(filled_path, "runs")
    assert [element.value.replace("\\", "") for element in app.error] == [
        "The operator 'aten::foo' cannot be expressed in ONNX. Choose the torch backend for this model."
    ]
    assert "ExportError: aten::foo" in app.code[0].value
    app.button(key="runs_retry_16").click().run()
    assert filled.run(18).status is Status.QUEUED


def test_a_running_run_shows_stage_progress_and_log(filled: Store, filled_path: Path, open_page: OpenPage) -> None:
    (run_id,) = filled.enqueue([sample_spec((INT8,), seed=5)])
    filled.claim(SERVICE)
    filled.record_event(run_id, SERVICE, WorkerEvent(stage="time", progress=0.4, message="pair 2 of 3"))
    log = filled.run_folder(run_id).log
    log.parent.mkdir(parents=True)
    log.write_text("warming up\n", "utf-8")
    app = open_page(filled_path, "runs")
    (bar,) = app.get("progress")
    assert bar.value == 40
    assert "pair 2 of 3" in bar.text
    assert "warming up" in words(app)


def test_waiting_and_running_runs_can_be_cancelled(filled: Store, filled_path: Path, open_page: OpenPage) -> None:
    running, waiting = filled.enqueue([sample_spec((INT8,), seed=5), sample_spec((INT8,), seed=6)])
    filled.claim(SERVICE, only=[running])
    app = open_page(filled_path, "runs")
    app.button(key=f"runs_cancel_{waiting}").click().run()
    app.button(key=f"runs_cancel_{running}").click().run()
    assert filled.run(waiting).status is Status.CANCELLED
    assert filled.run(running).cancel_requested
    assert app.button(key=f"runs_cancel_{running}").disabled


def test_cancelling_a_run_that_has_just_ended_is_no_error(
    filled: Store, filled_path: Path, open_page: OpenPage
) -> None:
    (run_id,) = filled.enqueue([sample_spec((INT8,), seed=5)])
    app = open_page(filled_path, "runs")
    filled.request_cancel(run_id)
    app.button(key=f"runs_cancel_{run_id}").click().run()
    assert not app.exception


def test_waiting_runs_without_an_engine_say_how_to_start_one(
    filled: Store, filled_path: Path, open_page: OpenPage
) -> None:
    filled.enqueue([sample_spec((INT8,), seed=5)])
    filled.retire(SERVICE)
    assert "subsecond serve" in words(open_page(filled_path, "runs"))
    filled.beat(SERVICE, "m-0123456789abcdef", 1)
    assert "subsecond serve" not in words(open_page(filled_path, "runs"))


def test_an_empty_list_says_so(database_path: Path, open_page: OpenPage) -> None:
    app = open_page(database_path, "runs")
    assert "No run has ended yet." in words(app)


def test_filters_in_the_address_are_applied_together(filled_path: Path, open_page: OpenPage) -> None:
    app = open_page(filled_path, "runs", runs_models="fashion-mlp", runs_words="INT8")
    assert not app.exception
    assert app.dataframe[0].value["Run"].tolist() == [5, 3]
    assert app.multiselect(key="runs_models").value == ["fashion-mlp"]
    assert app.query_params["runs_words"] == "INT8"


def test_filters_that_match_nothing_are_a_sentence(filled_path: Path, open_page: OpenPage) -> None:
    app = open_page(filled_path, "runs", runs_words="nothing like it <b>")
    assert not app.exception
    assert "No run has ended this way." in words(app)


def test_a_name_in_the_address_that_is_none_is_ignored(filled_path: Path, open_page: OpenPage) -> None:
    app = open_page(filled_path, "runs", runs_show="nonsense", runs_models="nobody|fashion-mlp")
    assert not app.exception
    assert len(app.dataframe[0].value) == 5


def test_waiting_runs_are_put_in_another_order(filled: Store, filled_path: Path, open_page: OpenPage) -> None:
    first, second, third = filled.enqueue([sample_spec((INT8,), seed=seed) for seed in (5, 6, 7)])
    app = open_page(filled_path, "runs")
    app.button(key=f"runs_first_{third}").click().run()
    assert [run.id for run in filled.waiting()] == [third, first, second]
    app.button(key=f"runs_up_{second}").click().run()
    assert [run.id for run in filled.waiting()] == [third, second, first]


def test_everything_that_waits_is_cancelled_at_once(filled: Store, filled_path: Path, open_page: OpenPage) -> None:
    ids = filled.enqueue([sample_spec((INT8,), seed=seed) for seed in (5, 6)])
    app = open_page(filled_path, "runs")
    app.button(key="runs_cancel_waiting").click().run()
    assert set(filled.statuses(ids).values()) == {Status.CANCELLED}
    assert "Nothing is running or waiting." in words(app)


def tick(app: Screen, *rows: int) -> Screen:
    """Tick rows of the list, as a click would."""
    app.session_state["runs_table"] = {"selection": {"rows": list(rows), "columns": [], "cells": []}}
    return app.run()


def test_ticked_runs_are_compared_or_repeated(filled: Store, filled_path: Path, open_page: OpenPage) -> None:
    app = tick(open_page(filled_path, "runs"), 2, 3)
    assert not app.exception
    assert "2 runs chosen" in words(app)
    assert "Compare 2 runs" in [link.label for link in app.get("page_link")]
    app.button(key="runs_retry").click().run()
    assert [run.fingerprint for run in filled.waiting()] == [filled.run(15).fingerprint, filled.run(14).fingerprint]


def test_ticked_runs_get_a_tag(filled: Store, filled_path: Path, open_page: OpenPage) -> None:
    app = tick(open_page(filled_path, "runs"), 2, 3)
    app.text_input(key="runs_new_tag").set_value("good").run()
    app.button(key="runs_add_tag").click().run()
    assert filled.tags(Subject.run(15)) == filled.tags(Subject.run(14)) == ["good"]


def test_deleting_asks_for_what_is_deleted(filled: Store, filled_path: Path, open_page: OpenPage) -> None:
    app = tick(open_page(filled_path, "runs"), 2, 3)
    assert app.button(key="runs_delete").disabled
    app.text_input(key="runs_confirm").set_value("3 runs").run()
    assert app.button(key="runs_delete").disabled
    app.text_input(key="runs_confirm").set_value("2 runs").run()
    app.button(key="runs_delete").click().run()
    assert not app.exception
    assert len(filled.summaries()) == 15
    assert app.dataframe[0].value["Run"].tolist()[:3] == [17, 16, 13]


def test_a_study_has_its_note_and_goes_when_its_name_is_typed(
    filled: Store, filled_path: Path, open_page: OpenPage
) -> None:
    filled.write_note(Subject.study("demo"), "why we did it")
    app = open_page(filled_path, "runs", runs_studies="demo")
    assert "why we did it" in words(app)
    app.text_input(key="runs_study_name").set_value("dem").run()
    assert app.button(key="runs_delete_study").disabled
    app.text_input(key="runs_study_name").set_value("demo").run()
    app.button(key="runs_delete_study").click().run()
    assert not app.exception
    assert [row.id for row in filled.summaries()] == [16, 17]
    assert filled.note(Subject.study("demo")) is None


def test_a_study_with_markup_in_its_name_is_shown_letter_by_letter(
    filled: Store, filled_path: Path, open_page: OpenPage
) -> None:
    (run_id,) = filled.enqueue([sample_spec((INT8,), seed=5)], "**big** <script>alert(1)</script>")
    filled.request_cancel(run_id)
    app = open_page(filled_path, "runs", runs_studies="**big** <script>alert(1)</script>")
    assert not app.exception
    assert any(r"\<script\>" in str(element.value) for element in app.markdown)
    assert app.dataframe[0].value["Run"].tolist() == [run_id]


def test_a_link_restores_the_ticked_rows_and_ignores_others(filled_path: Path, open_page: OpenPage) -> None:
    app = open_page(filled_path, "runs", runs_table="11|6|404|x")
    assert not app.exception
    assert "2 runs chosen" in words(app)
    assert sorted(app.query_params["runs_table"].split("|")) == ["11", "6"]
    assert "chosen" not in words(open_page(filled_path, "runs", runs_table="404"))
