import json
import shutil
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest  # noqa: TID251 - the page under test is Streamlit's

from engine.spec import Choice, Task
from engine.store.store import Store
from tests.dashboard.conftest import ROOT, OpenPage, words
from tests.dashboard.samples import INT8, SERVICE, add_done, sample_context, sample_result, sample_spec
from tests.fakes import MACHINE


def test_the_start_page_shows_its_context_with_its_answer(filled_path: Path, open_page: OpenPage) -> None:
    app = open_page(filled_path)
    assert not app.exception
    assert "6.38x as fast as the baseline, accuracy tied" in words(app)
    assert "prune-structured + int8-dynamic · onnxruntime" in words(app)
    assert app.selectbox(key="frontier_context").options[0].startswith("movie-reviews")
    assert len(app.dataframe[0].value) == 10


def test_another_context_shows_other_runs(filled_path: Path, open_page: OpenPage) -> None:
    app = open_page(filled_path)
    app.selectbox(key="frontier_context").select_index(1).run()
    assert len(app.dataframe[0].value) == 5
    assert "fashion-mnist" in str(
        app.selectbox(key="frontier_context").format_func(app.selectbox(key="frontier_context").value)
    )


def test_models_of_one_context_can_be_filtered(filled: Store, filled_path: Path, open_page: OpenPage) -> None:
    spec = sample_spec((INT8,), model="minilm-l12")
    add_done(filled, spec, sample_result(spec, 7.0))
    app = open_page(filled_path)
    assert len(app.dataframe[0].value) == 11
    app.selectbox(key="frontier_model").select("minilm-l12").run()
    assert app.dataframe[0].value["Run"].tolist() == [18]


def test_axes_can_be_changed(filled_path: Path, open_page: OpenPage) -> None:
    app = open_page(filled_path)
    app.selectbox(key="frontier_x").select("peak_memory_bytes").run()
    assert not app.exception
    assert "Peak memory, MB" in app.dataframe[0].value.columns


def test_an_empty_database_offers_the_demo_and_queues_it(database_path: Path, open_page: OpenPage) -> None:
    app = open_page(database_path)
    assert "Nothing has been measured here yet" in words(app)
    (button,) = (button for button in app.button if button.label == "Run the one-minute demo")
    button.click().run()
    store = Store(database_path)
    queued = store.runs()
    store.close()
    assert {run.study for run in queued} == {"demo"}
    assert {run.spec.task for run in queued} == {Task.IMAGE_CLASSIFICATION}
    assert len(queued) >= 5


def test_runs_under_way_are_announced_and_a_dead_engine_is_said(
    filled: Store, filled_path: Path, open_page: OpenPage
) -> None:
    filled.enqueue([sample_spec((INT8,), seed=9)])
    filled.retire("service-1")
    app = open_page(filled_path)
    assert "1 waiting" in words(app)
    assert "No engine is running" in words(app)


def test_names_with_markup_are_shown_letter_by_letter(filled: Store, filled_path: Path, open_page: OpenPage) -> None:
    spec = sample_spec((Choice(name="int8-dynamic"),), model="minilm-**bold** <b>")
    add_done(filled, spec, sample_result(spec, 2.0))
    app = open_page(filled_path)
    assert any(r"minilm\-\*\*bold\*\* \<b\>" in str(element.value) for element in app.header)


def test_runs_of_two_machines_do_not_share_a_plot(filled: Store, filled_path: Path, open_page: OpenPage) -> None:
    spec = sample_spec((INT8,), seed=4)
    other = sample_context(machine="m-fedcba9876543210")
    add_done(filled, spec, sample_result(spec, 2.0, context=other))
    app = open_page(filled_path)
    assert len(app.selectbox(key="frontier_context").options) == 3
    assert len(app.dataframe[0].value) == 10
    app.selectbox(key="frontier_context").select(other.key).run()
    assert len(app.dataframe[0].value) == 1


def test_the_csv_holds_every_run(filled_path: Path, open_page: OpenPage) -> None:
    app = open_page(filled_path)
    assert [button.label for button in app.get("download_button")] == ["All runs: CSV", "Parquet", "Report"]


@pytest.mark.parametrize("query", ["nonsense", ""])
def test_a_link_with_an_unknown_filter_shows_everything(filled_path: Path, open_page: OpenPage, query: str) -> None:
    app = open_page(filled_path, frontier_context=query, frontier_x=query)
    assert not app.exception
    assert len(app.dataframe[0].value) == 10


@pytest.mark.parametrize(("keep", "kept"), [("any", 10), ("99", 7), ("99.9", 2)])
def test_a_preset_leaves_out_what_loses_too_much_and_counts_it(
    filled_path: Path, open_page: OpenPage, keep: str, kept: int
) -> None:
    app = open_page(filled_path)
    app.segmented_control(key="frontier_keep").set_value(keep).run()
    assert not app.exception
    assert len(app.dataframe[0].value) == kept
    assert (f"{10 - kept} runs are left out: below {keep} % of the baseline's accuracy." in words(app)) == (kept < 10)


def test_the_answer_obeys_the_preset(filled_path: Path, open_page: OpenPage) -> None:
    app = open_page(filled_path)
    app.segmented_control(key="frontier_keep").set_value("99.9").run()
    assert "2.73x as fast as the baseline, accuracy tied" in words(app)


def test_where_a_preset_leaves_nothing_there_is_a_sentence_and_no_empty_plot(
    filled: Store, filled_path: Path, open_page: OpenPage
) -> None:
    spec = sample_spec((INT8,), model="minilm-l12")
    add_done(filled, spec, sample_result(spec, 7.0, 0.5))
    app = open_page(filled_path)
    app.selectbox(key="frontier_model").select("minilm-l12").run()
    app.segmented_control(key="frontier_keep").set_value("99").run()
    assert not app.exception
    assert "No variant keeps 99 % of the baseline's accuracy yet" in words(app)
    assert "1 run is left out" in words(app)
    assert app.get("plotly_chart") == []


def test_variants_of_several_models_are_summed_up(filled_path: Path, open_page: OpenPage) -> None:
    app = open_page(filled_path)
    assert "Across models" in words(app)
    suite = app.dataframe[1].value.set_index("Variant")
    assert len(suite) == 4
    assert suite.loc["int8-dynamic · onnxruntime", "Speed-up"] == pytest.approx((15.3 / 3.2 * 0.131 / 0.031) ** 0.5)
    assert suite.loc["int8-dynamic · onnxruntime", "Worst change"] == "−0.3 points"  # noqa: RUF001 - the minus sign


def test_one_model_is_no_suite(store: Store, database_path: Path, open_page: OpenPage) -> None:
    store.beat(SERVICE, "m", 1)
    spec = sample_spec((INT8,))
    add_done(store, spec, sample_result(spec))
    app = open_page(database_path)
    assert "Across models" not in words(app)
    assert len(app.dataframe) == 1


HERE = "feedfacecafe"


def add_first_point_here(store: Store) -> None:
    """Let another machine's engine measure one run."""
    store.beat("engine-here", HERE, 2)
    spec = sample_spec((INT8,), model="fashion-mlp", seed=5)
    add_done(store, spec, sample_result(spec, 0.02, context=sample_context("fashion-mlp", machine=HERE)))


def test_a_budget_lights_the_best_run_at_once_and_links_it(filled_path: Path, open_page: OpenPage) -> None:
    app = open_page(filled_path)
    assert "Best within your budget" not in words(app)
    app.number_input(key="frontier_limit_latency_p50_ms").set_value(5.0).run()
    app.number_input(key="frontier_drop_accuracy").set_value(0.4).run()
    assert not app.exception
    assert "Best within your budget:** prune-structured + int8-dynamic · onnxruntime: 2.40 ms" in words(app)
    assert "Open run 11" in [link.label for link in app.get("page_link")]


def test_a_budget_that_nothing_meets_names_the_nearest_misses(filled_path: Path, open_page: OpenPage) -> None:
    app = open_page(filled_path)
    app.number_input(key="frontier_limit_latency_p50_ms").set_value(1.0).run()
    assert "No run is within this budget." in words(app)
    assert "latency p50 1.50 ms, 500 µs too much" in words(app)


def test_a_lowest_accuracy_may_be_asked_instead_of_a_largest_loss(filled_path: Path, open_page: OpenPage) -> None:
    app = open_page(filled_path)
    app.selectbox(key="frontier_answers").select("bound").run()
    app.number_input(key="frontier_bound_accuracy").set_value(85.7).run()
    assert "Best within your budget:** prune-structured · onnxruntime: 4.10 ms" in words(app)


def test_the_address_restores_budget_axes_colour_and_scale(filled_path: Path, open_page: OpenPage) -> None:
    asked = {
        "frontier_limit_latency_p50_ms": "5",
        "frontier_drop_accuracy": "0.4",
        "frontier_color": "techniques",
        "frontier_size": "size_bytes",
        "frontier_log": "off",
        "frontier_known": "4",
    }
    app = open_page(filled_path, **asked)
    assert not app.exception
    assert app.number_input(key="frontier_limit_latency_p50_ms").value == 5.0
    assert app.selectbox(key="frontier_color").value == "techniques"
    assert app.toggle(key="frontier_log").value is False
    assert shown_rows(app) == 4
    figure = json.loads(app.get("plotly_chart")[0].proto.spec)
    assert figure["layout"]["xaxis"]["type"] == "linear"
    low, high = figure["layout"]["xaxis"]["range"]
    assert low < 1.5, "the axes are those of all runs"
    assert high > 31
    assert {key: app.query_params[key] for key in asked} == asked


def test_the_address_restores_ticked_rows(filled_path: Path, open_page: OpenPage) -> None:
    app = open_page(filled_path, frontier_table="11|7|7|404|<b>")
    assert not app.exception
    assert [link.label for link in app.get("page_link") if "ompare" in link.label]
    figure = json.loads(app.get("plotly_chart")[0].proto.spec)
    (ring,) = (trace for trace in figure["data"] if trace["name"] == "selected")
    assert len(ring["x"]) == 2
    assert sorted(app.query_params["frontier_table"].split("|")) == ["11", "7"]


@pytest.mark.parametrize("asked", ["", "|", "nonsense", "999", "1.5|-3"])
def test_rows_that_are_not_there_are_not_ticked(filled_path: Path, open_page: OpenPage, asked: str) -> None:
    app = open_page(filled_path, frontier_table=asked, frontier_watch_zoom=asked)
    assert not app.exception
    assert shown_rows(app) == 10
    assert dict(app.query_params) == {}


def test_what_is_chosen_stands_in_the_address_and_defaults_do_not(filled_path: Path, open_page: OpenPage) -> None:
    app = open_page(filled_path)
    assert dict(app.query_params) == {}
    app.selectbox(key="frontier_x").select("peak_memory_bytes").run()
    assert app.query_params["frontier_x"] == "peak_memory_bytes"
    app.selectbox(key="frontier_x").select("latency_p50_ms").run()
    assert dict(app.query_params) == {}


def test_any_metric_can_be_set_against_any_other_but_not_itself(filled_path: Path, open_page: OpenPage) -> None:
    app = open_page(filled_path, frontier_x="accuracy", frontier_y="size_bytes")
    assert not app.exception
    assert app.selectbox(key="frontier_x").value == "accuracy"
    assert "Accuracy" not in app.selectbox(key="frontier_y").options
    assert shown_rows(app) == 10


def test_columns_that_say_the_same_of_every_run_are_hidden(filled_path: Path, open_page: OpenPage) -> None:
    columns = open_page(filled_path).dataframe[0].value.columns
    assert "Study" not in columns
    assert "Backend" in columns


def test_the_covered_share_is_shown_and_replayed(filled_path: Path, open_page: OpenPage) -> None:
    app = open_page(filled_path)
    assert any(block.label.startswith("Covered share of the plot: ") for block in app.expander)
    assert len(app.get("plotly_chart")) == 1, "how it grew is drawn when it is asked for"
    app = open_page(filled_path, frontier_known="5")
    app.slider(key="frontier_known").set_value(3).run()
    assert not app.exception
    assert shown_rows(app) == 3
    assert app.query_params["frontier_known"] == "3"


def shown_rows(app: AppTest) -> int:
    return len(app.dataframe[0].value)


def test_a_recorded_plot_gives_way_to_this_machines_first_point(
    filled: Store, filled_path: Path, open_page: OpenPage
) -> None:
    filled.retire(SERVICE)
    app = open_page(filled_path)
    assert shown_rows(app) == 10
    add_first_point_here(filled)
    app.run()
    assert shown_rows(app) == 1


def test_what_the_viewer_chose_stays(filled: Store, filled_path: Path, open_page: OpenPage) -> None:
    filled.retire(SERVICE)
    app = open_page(filled_path)
    app.selectbox(key="frontier_context").select_index(1).run()
    add_first_point_here(filled)
    app.run()
    assert shown_rows(app) == 5


def test_this_machines_plot_comes_first(filled: Store, filled_path: Path, open_page: OpenPage) -> None:
    filled.retire(SERVICE)
    add_first_point_here(filled)
    spec = sample_spec((INT8,), seed=6)
    add_done(filled, spec, sample_result(spec, 7.0))
    assert shown_rows(open_page(filled_path)) == 1


def test_the_context_with_the_most_runs_is_shown_where_no_engine_measures(
    filled: Store, filled_path: Path, open_page: OpenPage
) -> None:
    filled.retire(SERVICE)
    spec = sample_spec((INT8,), seed=7)
    add_done(filled, spec, sample_result(spec, 2.0, context=sample_context(batch_size=8)))
    assert shown_rows(open_page(filled_path)) == 10


def test_what_was_measured_before_the_engine_was_started_does_not_push_itself_forward(
    filled: Store, filled_path: Path, open_page: OpenPage
) -> None:
    filled.retire(SERVICE)
    spec = sample_spec((INT8,), seed=7)
    add_done(filled, spec, sample_result(spec, 2.0, context=sample_context(batch_size=8)))
    filled.beat("started-later", MACHINE, 3)
    assert shown_rows(open_page(filled_path)) == 10
    add_done(filled, spec, sample_result(spec, 2.0, context=sample_context(batch_size=8)))
    assert shown_rows(open_page(filled_path)) == 2


def test_the_address_says_another_context(filled: Store, filled_path: Path, open_page: OpenPage) -> None:
    app = open_page(filled_path, frontier_context=sample_context("fashion-mlp").key)
    assert not app.exception
    assert shown_rows(app) == 5


def test_a_fresh_clone_shows_the_plot_of_the_readme(open_page: OpenPage, tmp_path: Path) -> None:
    recorded = shutil.copy(ROOT / "experiments.db", tmp_path / "experiments.db")
    app = open_page(recorded)
    assert not app.exception
    assert app.selectbox(key="frontier_context").options[0].startswith("movie-reviews · ")
    assert shown_rows(app) > 10
