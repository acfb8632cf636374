from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest  # noqa: TID251 - the page under test is Streamlit's

from engine.spec import Choice
from engine.store.store import Store
from tests.dashboard.conftest import OpenPage, words
from tests.dashboard.samples import INT8, SERVICE, add_done, sample_context, sample_result, sample_spec


def test_the_newest_context_is_shown_with_its_answer(filled_path: Path, open_page: OpenPage) -> None:
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
    assert "Peak memory" in app.dataframe[0].value.columns


def test_an_empty_database_offers_the_demo_and_queues_it(database_path: Path, open_page: OpenPage) -> None:
    app = open_page(database_path)
    assert "Nothing has been measured here yet" in words(app)
    (button,) = (button for button in app.button if button.label == "Run the demo")
    button.click().run()
    store = Store(database_path)
    queued = store.runs()
    store.close()
    assert {run.study for run in queued} == {"demo"}
    assert len(queued) >= 14


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
    assert any(r"minilm\-\*\*bold\*\* \<b\>" in str(element.value) for element in app.subheader)


def test_runs_of_two_machines_do_not_share_a_plot(filled: Store, filled_path: Path, open_page: OpenPage) -> None:
    spec = sample_spec((INT8,), seed=4)
    other = sample_context(machine="m-fedcba9876543210")
    filled.retire(SERVICE)  # with no engine alive, the newest context comes first
    add_done(filled, spec, sample_result(spec, 2.0, context=other))
    app = open_page(filled_path)
    assert len(app.selectbox(key="frontier_context").options) == 3
    assert len(app.dataframe[0].value) == 1


def test_the_csv_holds_every_run(filled_path: Path, open_page: OpenPage) -> None:
    app = open_page(filled_path)
    (button,) = app.get("download_button")
    assert button.label == "All runs as CSV"


@pytest.mark.parametrize("query", ["nonsense", ""])
def test_a_link_with_an_unknown_filter_shows_everything(filled_path: Path, open_page: OpenPage, query: str) -> None:
    app = open_page(filled_path, frontier_context=query, frontier_x=query)
    assert not app.exception
    assert len(app.dataframe[0].value) == 10


HERE = "feedfacecafe"


def add_first_point_here(store: Store) -> None:
    """Let another machine's engine measure one run."""
    store.beat("engine-here", HERE, 2)
    spec = sample_spec((INT8,), model="fashion-mlp", seed=5)
    add_done(store, spec, sample_result(spec, 0.02, context=sample_context("fashion-mlp", machine=HERE)))


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
