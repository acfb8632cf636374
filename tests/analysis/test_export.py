import csv
import io
from datetime import UTC, datetime

import pandas as pd
import pytest

from engine.analysis.export import csv_text, latency_csv, layers_csv, neutralise, samples_csv
from engine.metrics import METRICS
from engine.results import RawData, RunRecord, Status
from engine.spec import Choice
from tests.dashboard.samples import FAILURE, INT8, sample_raw, sample_record, sample_records, sample_result, sample_spec
from tests.fakes import make_insight


def read(records: list[RunRecord]) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(csv_text(records)), parse_dates=["created_at", "started_at", "finished_at"])


def all_kinds() -> list[RunRecord]:
    failed = sample_record(98, status=Status.FAILED, error=FAILURE)
    cancelled = sample_record(99, status=Status.CANCELLED, started_at=None)
    return [*sample_records(), failed, cancelled]


def test_one_row_a_run_whatever_became_of_it() -> None:
    table = read(all_kinds())
    assert table["run"].tolist() == [record.id for record in all_kinds()]
    assert table["status"].value_counts().to_dict() == {"done": 15, "failed": 1, "cancelled": 1}
    assert table.set_index("run").loc[98, "error"] == FAILURE.message


def test_pandas_reads_back_the_right_types() -> None:
    table = read(all_kinds())
    assert table["on_frontier"].dtype == bool
    assert table["run"].dtype == "int64"
    assert table["latency_p50_ms"].dtype == "float64"
    assert isinstance(table["created_at"].dtype, pd.DatetimeTZDtype)
    assert pd.api.types.is_string_dtype(table["model"])


def test_values_survive_exactly() -> None:
    table = read(all_kinds()).set_index("run")
    for record in sample_records():
        assert record.result is not None
        row = table.loc[record.id]
        assert row["latency_p50_ms"] == record.result.latency.p50_ms
        assert row["accuracy"] == record.result.metrics["accuracy"].value
        assert (row["speedup_ci95_low"], row["speedup_ci95_high"]) == record.result.speedup.ci95
        assert row["accuracy_n"] == record.result.metrics["accuracy"].n
        assert row["fingerprint"] == record.fingerprint
        assert row["cpu_model"] == "Sample CPU"


def test_times_are_iso_8601_in_utc() -> None:
    moment = datetime(2026, 3, 1, 12, 30, 15, 250000, tzinfo=UTC)
    assert "2026-03-01T12:30:15.250Z" in csv_text([sample_record(created_at=moment)])


def test_every_parameter_has_its_column() -> None:
    stack = (Choice(name="prune-magnitude", params={"sparsity": 0.3}), INT8)
    table = read([sample_record(1, sample_spec(stack)), sample_record(2, sample_spec((INT8,), "torch"))])
    assert table["prune-magnitude.sparsity"].tolist()[0] == 0.3
    assert pd.isna(table["prune-magnitude.sparsity"].tolist()[1])
    assert table["int8-dynamic.per_channel"].tolist() == [True, True]
    assert table["onnxruntime.threads"].tolist()[0] == 0
    assert pd.isna(table["onnxruntime.threads"].tolist()[1])


def test_a_technique_used_twice_keeps_both_parameters() -> None:
    twice = tuple(Choice(name="prune-magnitude", params={"sparsity": value}) for value in (0.3, 0.6))
    table = read([sample_record(1, sample_spec(twice))])
    assert table["prune-magnitude.sparsity"].tolist() == [0.3]
    assert table["prune-magnitude#2.sparsity"].tolist() == [0.6]


def test_parameters_and_metrics_that_no_registry_knows_are_kept() -> None:
    table = read([sample_record(1, sample_spec((Choice(name="folding", params={"depth": 2}),)))])
    assert table["folding.depth"].tolist() == [2]


def test_every_metric_has_a_column_even_in_an_empty_table() -> None:
    header = csv_text([]).strip().split(",")
    assert {info.name for info in METRICS} <= set(header)
    assert len(header) == len(set(header))


def test_the_frontier_is_marked_within_each_context() -> None:
    table = read(all_kinds())
    marked = table[table["on_frontier"]].groupby("dataset")["run"].apply(list).to_dict()
    assert marked["movie-reviews"] == [7, 10, 11, 13]
    assert 3 in marked["fashion-mnist"]


def test_the_table_is_rectangular() -> None:
    lines = csv_text(all_kinds()).splitlines()
    widths = {len(row) for row in pd.read_csv(io.StringIO("\n".join(lines)), header=None, dtype=str).to_numpy()}
    assert widths == {len(lines[0].split(","))}


@pytest.mark.parametrize("text", ["=1+1", "+cmd", "-cmd", "@SUM(A1)", "\t=1", "\r=1", "＝1"])  # noqa: RUF001 - full width is meant
def test_text_that_a_spreadsheet_would_run_is_neutralised(text: str) -> None:
    assert neutralise(text) == "'" + text
    spec = sample_spec().model_copy(update={"model": text})
    assert read([sample_record(1, spec)])["model"].tolist() == ["'" + text]


@pytest.mark.parametrize("text", ["-1.5", "+3", "-1e-9", "fashion-mlp", "", "a=b"])
def test_numbers_and_harmless_text_stay_as_they_are(text: str) -> None:
    assert neutralise(text) == text


def test_a_study_name_with_quotes_and_lines_is_one_cell() -> None:
    name = 'a "b", c\nd'
    assert read([sample_record(1, study=name)])["study"].tolist() == [name]


def test_layers_are_a_table_that_no_spreadsheet_runs() -> None:
    layers = make_insight()["layers"]
    first, second = csv.DictReader(io.StringIO(layers_csv(layers), newline=""))
    assert first == {
        "name": "bert.encoder.layer.0",
        "kinds": "MatMulInteger, Mul",
        "ms": "1.5",
        "share": "0.75",
        "size_bytes": "1000000",
        "error": "0.02",
        "sensitivity": "0.0001",
    }
    assert second["name"].startswith("'=cmd")
    assert second["error"] == ""


def test_why_it_is_fast_stands_in_its_row() -> None:
    explained = sample_record(50, result=sample_result(sample_spec((INT8,)), **make_insight()))
    table = read([*all_kinds(), explained]).set_index("run")
    assert table.loc[50, "why"].startswith("4.00x as fast as the baseline")
    assert table.loc[50, "flops"] == 5.8e8
    assert table["why"].notna().sum() == 1


def test_every_answer_and_every_latency_can_be_taken_away() -> None:
    raw = sample_raw(samples=50)
    answers = pd.read_csv(io.StringIO(samples_csv(raw)))
    assert list(answers.columns) == ["sample", "labels", "predictions", "baseline_predictions"]
    assert (answers["predictions"].to_numpy() == raw.arrays["predictions"]).all()
    times = pd.read_csv(io.StringIO(latency_csv(raw)))
    mine = times[times["side"] == "candidate"]
    assert mine["latency_s"].to_numpy() == pytest.approx(raw.arrays["candidate_latency_s"])
    assert set(mine["process"]) == {0, 1, 2}


def test_a_run_without_arrays_gives_headers_only() -> None:
    assert samples_csv(RawData(arrays={})) == "sample\r\n"
    assert latency_csv(RawData(arrays={})) == "side,process,latency_s\r\n"
