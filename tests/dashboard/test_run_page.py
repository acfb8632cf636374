from datetime import UTC, datetime
from pathlib import Path

import pytest

from engine.datasets import load_dataset
from engine.results import Disturbance, Metric, RawData, StageRecord, Status, TimingPlan, Warning, WorkerEvent
from engine.spec import Task
from engine.store.notes import Subject
from engine.store.questions import QuestionStatus, Said
from engine.store.store import Store
from tests.dashboard.conftest import OpenPage, words
from tests.dashboard.samples import INT8, SERVICE, add_done, sample_result, sample_spec
from tests.fakes import MACHINE, make_insight, make_selfcheck


def test_a_finished_run_shows_its_numbers_with_their_intervals(filled_path: Path, open_page: OpenPage) -> None:
    app = open_page(filled_path, "run", run="11")
    assert not app.exception
    shown = {metric.label: metric.value for metric in app.metric}
    assert shown["Speed-up"] == "6.38x"
    assert shown["Accuracy"] == "85.5 %"
    assert "[6.12x, 6.63x]" in words(app)
    latency = app.table[0].value
    assert latency.loc["p99", "This run"] == "n/a (needs 662)"
    assert len(app.get("plotly_chart")) == 3, "curves, boxes, confusions"


def test_it_says_how_to_repeat_the_run(filled_path: Path, open_page: OpenPage) -> None:
    assert "subsecond run minilm-l6 --dataset movie-reviews" in words(open_page(filled_path, "run", run="11"))


def test_warnings_are_sentences(filled: Store, filled_path: Path, open_page: OpenPage) -> None:
    spec = sample_spec((INT8,), seed=5)
    warning = Warning(code="noisy", message="Another process used 30 % of the pinned cores.")
    run_id = add_done(filled, spec, sample_result(spec, warnings=[warning]))
    app = open_page(filled_path, "run", run=str(run_id))
    assert "Another process used 30 % of the pinned cores." in words(app)


def test_an_unchecked_instrument_is_said_with_the_way_to_check_it(filled_path: Path, open_page: OpenPage) -> None:
    app = open_page(filled_path, "run", run="11")
    assert "The instrument was not yet checked on this machine." in words(app)
    assert "System" in [link.label for link in app.get("page_link")]


@pytest.mark.parametrize(("passed", "word"), [(True, "passed"), (False, "failed")])
def test_a_checked_instrument_is_said_with_the_outcome(
    filled: Store, filled_path: Path, open_page: OpenPage, passed: bool, word: str
) -> None:
    filled.save_selfcheck(make_selfcheck(MACHINE, datetime(2026, 11, 22, 16, 20, tzinfo=UTC), passed=passed))
    filled.save_selfcheck(make_selfcheck("m-elsewhere", datetime(2026, 12, 1, tzinfo=UTC), passed=not passed))
    shown = words(open_page(filled_path, "run", run="11"))
    assert f"The instrument was checked on this machine on 22 Nov 2026, 16:20 UTC: {word}." in shown


def test_what_disturbed_the_timing_is_told(filled: Store, filled_path: Path, open_page: OpenPage) -> None:
    spec = sample_spec((INT8,), seed=5)
    seen = Disturbance(foreign_share=0.012, steal_share=None, migrations=0.3, clock_drift=0.021, pinned=True)
    plan = TimingPlan(pairs=3, min_iterations=100, min_seconds=1, warmup_seconds=0.5)
    run_id = add_done(filled, spec, sample_result(spec, timing=plan, disturbance=seen))
    app = open_page(filled_path, "run", run=str(run_id))
    assert "While it was timed" in words(app)
    told = next(table.value["Value"] for table in app.table if "Other programs" in table.value.index)
    told = told.str.replace("\\", "")
    assert told["Effort"] == "quick: 3 pairs, at least 100 queries and 1.0 s each"
    assert told["Other programs"] == "1.2 % of the timed cores"
    assert told["Hypervisor steal"] == "cannot be read on this machine"


def test_why_it_is_faster_and_what_each_step_did_are_told(
    filled: Store, filled_path: Path, open_page: OpenPage
) -> None:
    spec = sample_spec((INT8,), seed=5)
    app = open_page(filled_path, "run", run=str(add_done(filled, spec, sample_result(spec, **make_insight()))))
    assert not app.exception
    shown = words(app)
    assert "70% of the time is in 36 integer products, which this processor does with avx512_vnni." in shown
    assert "60 operators do what 90 did before" in shown
    tables = {str(frame.value.columns[0]): frame.value for frame in app.dataframe}
    assert list(tables["Operator"]["Operator"]) == ["MatMul"], "the last one is that of the graph before"
    assert list(tables["Step"]["Note"]) == ["", "3 of 36 operators stay in floating point"]
    assert list(tables["Layer"]["Share, %"]) == [75, 25]
    assert len(app.get("plotly_chart")) == 1, "the bars of the steps; nothing else was kept of this run"


def test_a_run_of_before_there_were_explanations_has_no_such_sections(filled_path: Path, open_page: OpenPage) -> None:
    shown = words(open_page(filled_path, "run", run="11"))
    assert "Step by step" not in shown
    assert "Layer by layer" not in shown


def test_of_an_older_run_only_the_effort_is_told(filled_path: Path, open_page: OpenPage) -> None:
    app = open_page(filled_path, "run", run="11")
    assert "was not recorded when this run was measured" in words(app)
    footprint = next(table.value for table in app.table if "Energy a query" in table.value.index)
    assert footprint.loc["Energy a query", "This run"] == "n/a (no counter readable)"


def test_a_run_without_raw_data_has_no_plots(filled: Store, filled_path: Path, open_page: OpenPage) -> None:
    spec = sample_spec((INT8,), seed=5)
    run_id = add_done(filled, spec, sample_result(spec))
    app = open_page(filled_path, "run", run=str(run_id))
    assert not app.exception
    assert app.get("plotly_chart") == []


def test_a_failed_run_says_why_and_can_be_retried(filled: Store, filled_path: Path, open_page: OpenPage) -> None:
    app = open_page(filled_path, "run", run="16")
    assert "The operator 'aten::foo' cannot be expressed in ONNX." in words(app)
    assert "ExportError in stage export" in words(app)
    app.button(key="run_retry").click().run()
    assert filled.run(18).status is Status.QUEUED
    assert filled.run(18).fingerprint == filled.run(16).fingerprint


def test_a_run_under_way_shows_its_stages_and_can_be_cancelled(
    filled: Store, filled_path: Path, open_page: OpenPage
) -> None:
    (run_id,) = filled.enqueue([sample_spec((INT8,), seed=5)])
    filled.claim(SERVICE)
    filled.record_event(run_id, SERVICE, WorkerEvent(stage="load", finished=StageRecord(name="load", seconds=2.0)))
    filled.record_event(run_id, SERVICE, WorkerEvent(stage="time", message="pair 2 of 3"))
    app = open_page(filled_path, "run", run=str(run_id))
    assert "2.00 s" in words(app)
    assert "pair 2 of 3" in words(app)
    app.button(key="run_cancel").click().run()
    assert filled.run(run_id).cancel_requested


def test_an_unknown_run_is_a_sentence(filled_path: Path, open_page: OpenPage) -> None:
    app = open_page(filled_path, "run", run="999")
    assert not app.exception
    assert "There is no run '999'" in words(app)


def test_an_address_that_is_no_number_is_a_sentence(filled_path: Path, open_page: OpenPage) -> None:
    assert "'<b>x' is not the number of a run" in words(open_page(filled_path, "run", run="<b>x"))


def test_no_run_in_the_address_leads_to_the_list(filled_path: Path, open_page: OpenPage) -> None:
    app = open_page(filled_path, "run")
    assert "No run was chosen." in words(app)
    assert [link.label for link in app.get("page_link")] == ["Choose one from the list"]


def test_the_samples_that_changed_sides_are_shown(filled: Store, filled_path: Path, open_page: OpenPage) -> None:
    test = load_dataset("movie-reviews").test
    changed = test.labels.copy()
    changed[[3, 7]] = 1 - changed[[3, 7]]
    arrays = {"labels": test.labels, "predictions": changed, "baseline_predictions": test.labels}
    spec = sample_spec((INT8,), seed=5)
    run_id = add_done(filled, spec, sample_result(spec), RawData(arrays=arrays))
    app = open_page(filled_path, "run", run=str(run_id))
    assert not app.exception
    assert [tab.label for tab in app.tabs[:2]] == ["2 are wrong now", "0 are right now"]
    shown = app.dataframe[0].value
    assert shown["Text"].tolist() == [test.samples[3], test.samples[7]]
    assert (shown["this run"] != shown["baseline"]).all()


def test_images_that_changed_sides_are_shown_as_pictures(filled: Store, filled_path: Path, open_page: OpenPage) -> None:
    labels = load_dataset("fashion-mnist").test.labels
    changed = labels.copy()
    changed[0] = (changed[0] + 1) % 10
    arrays = {"labels": labels, "predictions": changed, "baseline_predictions": labels}
    spec = sample_spec((INT8,), model="fashion-mlp", seed=5)
    run_id = add_done(filled, spec, sample_result(spec), RawData(arrays=arrays))
    app = open_page(filled_path, "run", run=str(run_id))
    assert not app.exception
    assert len(app.get("image")) == 1


def test_command_study_file_and_python_repeat_it(filled_path: Path, open_page: OpenPage) -> None:
    app = open_page(filled_path, "run", run="11")
    command, study, python = (block.value for block in app.code[:3])
    assert command.startswith("subsecond run minilm-l6")
    assert "prune-structured:ffn=0.5,heads=0.33" in study
    assert "follow(store, store.enqueue([spec])" in python


def test_everything_of_a_run_can_be_taken_away(filled_path: Path, open_page: OpenPage) -> None:
    done = [button.label for button in open_page(filled_path, "run", run="11").get("download_button")]
    assert done == ["Report", "Row as CSV", "Record as JSON", "Every latency", "Every answer"]
    failed = [button.label for button in open_page(filled_path, "run", run="16").get("download_button")]
    assert failed == ["Row as CSV", "Record as JSON"]


def test_notes_and_tags_are_written_beside_the_record(filled: Store, filled_path: Path, open_page: OpenPage) -> None:
    before = filled.run(11)
    app = open_page(filled_path, "run", run="11")
    app.text_area(key="run_run_11_note").set_value("**Mind** the <b>gap</b>")
    app.multiselect(key="run_run_11_tags").set_value(["good"])
    app.button(key="run_run_11_save").click().run()
    assert not app.exception
    assert filled.tags(Subject.run(11)) == ["good"]
    note = filled.note(Subject.run(11))
    assert note is not None
    assert note.text == "**Mind** the <b>gap</b>"
    assert filled.run(11) == before
    assert "**Mind** the <b>gap</b>" in words(app)


def test_a_language_model_shows_its_tokens_and_what_it_may_be_called(
    filled: Store, filled_path: Path, open_page: OpenPage
) -> None:
    spec = sample_spec((INT8,), seed=6)
    numbers = {
        "first_token_p50_ms": Metric(value=33.0, ci95=(32.0, 34.0), n=12),
        "tokens_per_s": Metric(value=109.0, n=12),
        "perplexity_ratio": Metric(value=1.03, ci95=(1.01, 1.05), n=300),
    }
    made = sample_result(spec)
    scored = made.metrics | {"perplexity": Metric(value=48.7, ci95=(40.0, 57.0), n=300)}
    run_id = add_done(filled, spec, made.model_copy(update={"generation": numbers, "metrics": scored}))
    app = open_page(filled_path, "run", run=str(run_id))
    assert not app.exception
    assert "Whole response p50" in {metric.label for metric in app.metric}
    assert "sub-second" in words(app)
    assert app.table[0].value.loc["First token p50", "This run"] == "33.0 ms [32.0 ms, 34.0 ms]"
    assert any("48.7 [40.0, 57.0]" in table.value.to_string() for table in app.table), (
        "a perplexity is no share of samples"
    )


def test_a_language_model_can_be_asked_and_both_answers_are_shown(
    filled: Store, filled_path: Path, open_page: OpenPage
) -> None:
    spec = sample_spec((INT8,), seed=5).model_copy(update={"task": Task.TEXT_GENERATION})
    run_id = add_done(filled, spec, sample_result(spec))
    app = open_page(filled_path, "run", run=str(run_id))
    (button,) = (button for button in app.button if button.label == "Ask")
    app = button.click().run()
    assert "Waits until no run is under way" in words(app)
    claimed = filled.claim_question(SERVICE)
    assert claimed is not None
    question, _ = claimed
    assert (question.prompt, question.new_tokens) == ("Why is the sky blue?", 64)
    said = {"baseline": Said("It is *air*.", 4, 2.0, ended=True), "variant": Said("Air.", 2, 0.1)}
    filled.answer(question.id, SERVICE, said)
    app.run()
    assert "It is *air*." in words(app)
    assert "2.0 tokens/s" in words(app)
    assert "20.0 tokens/s" in words(app)
    filled.answer(question.id, SERVICE, said, QuestionStatus.FAILED, "It fell over.")
    app.run()
    assert "It fell over." in words(app)


def test_a_classifier_has_no_box_to_ask(filled_path: Path, open_page: OpenPage) -> None:
    assert "Ask both" not in words(open_page(filled_path, "run", run="11"))
