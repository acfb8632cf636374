"""Runs as documents and as tables."""

import io
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from rich.console import Console

from engine import present
from engine.analysis.frontier import frontier_info
from engine.analysis.table import quality_rows
from engine.asking import Reply
from engine.backends import BACKENDS
from engine.datasets import DATASETS
from engine.metrics import METRICS
from engine.models import MODELS
from engine.results import Failure, LatencySummary, Metric, RawData, RunRecord, StageRecord, Status
from engine.store.store import Store
from engine.techniques import TECHNIQUES
from tests.fakes import MACHINE, make_insight, make_result, make_spec

PROMISED = {
    "id", "status", "fingerprint", "spec", "latency", "throughput_per_s", "metrics", "baseline", "speedup",
    "accuracy_change", "footprint", "environment", "warnings", "stages", "error",
}  # fmt: skip


def record(**changes: Any) -> RunRecord:
    spec = make_spec()
    values: dict[str, Any] = {
        "id": 7,
        "fingerprint": spec.fingerprint,
        "spec": spec,
        "status": Status.DONE,
        "study": None,
        "created_at": datetime(2026, 1, 1, tzinfo=UTC),
        "result": make_result(warnings=["noisy"]),
    }
    return RunRecord(**values | changes)


def drawn(renderable: object) -> str:
    console = Console(file=io.StringIO(), width=200)
    console.print(renderable)
    return console.file.getvalue()


def test_a_run_s_document_holds_what_was_promised() -> None:
    document = json.loads(present.as_json(present.run_document(record())))
    assert document.keys() >= PROMISED
    names = ("p50_ms", "p90_ms", "p95_ms", "p99_ms", "mean_ms", "std_ms", "min_ms", "max_ms", "ci95_ms", "n")
    assert document["latency"].keys() >= set(names)
    assert document["latency"]["p99_ms"] is None
    assert document["metrics"]["accuracy"].keys() == {"value", "ci95", "n"}
    assert document["baseline"].keys() >= {"latency", "metrics"}
    assert document["speedup"].keys() >= {"value", "ci95"}
    assert document["accuracy_change"].keys() >= {"value", "flips", "p_value"}
    sizes = {"size_bytes", "parameters", "nonzero_parameters", "peak_memory_bytes"}
    assert document["footprint"].keys() >= sizes
    assert document["stages"] == {"load": 0.5, "time": 9.0}
    assert document["created_at"] == "2026-01-01T00:00:00+00:00"
    assert document["error"] is None


def test_a_run_without_result_has_the_same_keys() -> None:
    failure = Failure(stage="export", kind="ExportError", message="It cannot.")
    stages = (StageRecord(name="load", seconds=1.0),)
    failed = record(status=Status.FAILED, result=None, error=failure, stages=stages)
    document = json.loads(present.as_json(present.run_document(failed)))
    assert document.keys() == present.run_document(record()).keys()
    assert (document["latency"], document["warnings"], document["stages"]) == (None, [], {"load": 1.0})
    assert document["error"]["stage"] == "export"


def test_stages_of_one_name_are_added_up() -> None:
    stages = [StageRecord(name="a", seconds=1), StageRecord(name="b", seconds=2), StageRecord(name="a", seconds=3)]
    assert present.stage_seconds(stages) == {"a": 4, "b": 2}


def test_a_finished_run_is_told_in_a_few_lines() -> None:
    text = "\n".join(present.run_lines(record()))
    for expected in ("run 7: done, fashion-mlp", "p50 2.00 ms", "p99 n/a", "4.00x [3.8, 4.2]", "86.0 %", "About noisy"):
        assert expected in text
    assert "400 kB" in text


def test_why_and_step_by_step_are_told() -> None:
    lines = present.run_lines(record(result=make_result(**make_insight())))
    assert (
        "why      4.00x as fast as the baseline: 70% of the time is in 36 integer products, "
        "which this processor does with avx512_vnni"
    ) in lines
    assert lines[lines.index(next(line for line in lines if line.startswith("step"))) + 1] == (
        "step     int8-dynamic: 86.5 % on validation, 23.0 MB, 22,700,000 non-zero, 580 MFLOP "
        "(3 of 36 operators stay in floating point)"
    )


@pytest.mark.parametrize(("p_value", "verdict"), [(0.001, "(different)"), (0.2, "(tied)")])
def test_a_change_of_accuracy_is_told_with_its_verdict(p_value: float, verdict: str) -> None:
    change = make_result().accuracy_change.model_copy(update={"value": -0.02, "p_value": p_value})
    text = "\n".join(present.run_lines(record(result=make_result(accuracy_change=change))))
    assert f"change -2.00%, 60 flips, McNemar p={p_value} {verdict}" in text


def test_a_failed_run_is_told_with_its_stage() -> None:
    failure = Failure(stage="export", kind="ExportError", message="It cannot.")
    lines = present.run_lines(record(status=Status.FAILED, result=None, error=failure))
    assert lines[-1] == "failed at 'export': It cannot."


def test_a_running_run_is_told_with_its_stage() -> None:
    assert present.run_lines(record(status=Status.RUNNING, result=None, stage="time"))[-1] == "stage: time"
    assert len(present.run_lines(record(status=Status.QUEUED, result=None))) == 1


@pytest.mark.parametrize("registry", [MODELS, DATASETS, TECHNIQUES, BACKENDS, METRICS], ids=lambda r: r.kind)
def test_every_registry_can_be_listed(registry: Any) -> None:
    rows = present.registry_rows(registry)
    assert [row["name"] for row in rows] == registry.names()
    assert all(row["title"] and row["summary"] for row in rows)
    assert json.loads(present.as_json(rows)) == rows
    text = drawn(present.registry_table(rows))
    assert all(name in text for name in registry.names())


def test_parameters_are_listed_with_their_bounds() -> None:
    rows = {row["name"]: row for row in present.registry_rows(TECHNIQUES)}
    sparsity = rows["prune-magnitude"]["parameters"]["sparsity"]
    assert sparsity == {
        "default": 0.5,
        "description": "Share of the weights to set to zero",
        "exclusiveMinimum": 0,
        "exclusiveMaximum": 1,
    }
    assert rows["prune-magnitude"]["parameters"]["scope"]["enum"] == ["global", "layer"]
    assert "sparsity=0.5: Share of the weights" in drawn(present.registry_table(list(rows.values())))


@pytest.fixture
def finished(store: Store) -> Store:
    """Two finished runs, one of them twice as slow."""
    for p50_ms in (2.0, 4.0):
        (run_id,) = store.enqueue([make_spec(seed=int(p50_ms))])
        store.beat("s", MACHINE, 1)
        assert store.claim("s") is not None
        assert store.finish(run_id, "s", make_result(p50_ms), RawData(arrays={}))
    return store


def test_runs_are_listed(finished: Store) -> None:
    rows = finished.summaries()
    text = drawn(present.runs_table(rows))
    assert "2.00 ms" in text
    assert "86.0 %" in text
    document = json.loads(present.as_json([present.summary_document(row) for row in rows]))
    assert [entry["metrics"]["latency_p50_ms"] for entry in document] == [2.0, 4.0]
    assert {entry["status"] for entry in document} == {"done"}


def test_the_frontier_is_listed_with_every_point(finished: Store) -> None:
    ((context, count),) = finished.contexts()
    info = frontier_info(finished.summaries())
    document = json.loads(present.as_json(present.frontier_document(context, info)))
    assert count == len(document["points"]) == 2
    assert document["context"]["split"] == "test"
    assert {point["run"]: point["latency_p50_ms"]["value"] for point in document["points"]} == {1: 2.0, 2: 4.0}
    assert len({point["standing"] for point in document["points"]}) == 2
    text = drawn(present.frontier_table(info))
    assert text.index("2 ms") < text.index("4 ms")


def test_a_latency_knows_all_percentiles_that_are_shown() -> None:
    assert {"p50_ms", "p90_ms", "p95_ms", "p99_ms"} <= set(LatencySummary.model_fields)


def generated(p50_ms: float) -> RunRecord:
    numbers = {
        "first_token_p50_ms": Metric(value=33.0, ci95=(32.0, 34.0), n=12),
        "tokens_per_s": Metric(value=109.25, ci95=(107.0, 114.0), n=12),
        "kv_cache_bytes": Metric(value=7_700_000.0),
        "next_token_agreement": Metric(value=0.995, n=200),
        "perplexity_ratio": Metric(value=1.004, ci95=(0.99, 1.02), n=300),
    }
    metrics = {"accuracy": Metric(value=0.4, ci95=(0.35, 0.45), n=300), "perplexity": Metric(value=46.7, n=300)}
    result = make_result(p50_ms, metrics=metrics, generation=numbers)
    return record(result=result)


def test_tokens_are_shown_in_their_units_with_a_badge() -> None:
    text = "\n".join(present.run_lines(generated(600)))
    assert "badge    sub-second: a whole response took 600 ms" in text
    assert "First token p50 33.0 ms [32.0 ms, 34.0 ms], baseline n/a" in text
    assert "Tokens a second 109/s [107/s, 114/s]" in text
    assert "KV cache 7.70 MB" in text
    assert "Next-token agreement 99.5 %" in text
    assert "Perplexity ratio 1.00x [0.990x, 1.02x]" in text
    assert "badge    second-level" in "\n".join(present.run_lines(generated(5000)))
    assert "badge" not in "\n".join(present.run_lines(generated(20_000)))


def test_a_perplexity_is_no_share() -> None:
    result = generated(600).result
    assert result is not None
    rows = {title: mine for title, mine, _ in quality_rows(result)}
    assert rows["Perplexity"] == "46.7"
    assert rows["Accuracy"].startswith("40.0 %")


def test_replies_stand_under_their_side() -> None:
    console = Console(record=True, width=80, file=io.StringIO())
    side = present.show_reply(Reply(side="baseline", text="The sky", tokens=2, seconds=0.1), None, console)
    side = present.show_reply(Reply(side="baseline", tokens=2, seconds=0.5, ended=True), side, console)
    present.show_reply(Reply(side="variant", ended=True, error="It has no memory left."), side, console)
    text = console.export_text()
    assert text.startswith("-- baseline\nThe sky\n   2 tokens in 500 ms, 4.0 tokens/s")
    assert text.endswith("-- variant\nIt has no memory left.")
