"""A made-up sweep that looks like a real one, for pages, plots and exports; nothing here was measured."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import numpy as np

from engine.results import (
    AccuracyChange,
    Context,
    Failure,
    Footprint,
    MachineRecord,
    Metric,
    Ratio,
    RawData,
    RunRecord,
    RunResult,
    StageRecord,
    Status,
    Warning,
)
from engine.spec import Choice, ExperimentSpec, Task
from engine.store.store import Store
from tests.fakes import FakeClock, make_context, make_machine, make_result, make_spec

SERVICE = "service-1"
INT8 = Choice(name="int8-dynamic", params={"per_channel": True})
PRUNE = Choice(name="prune-structured", params={"heads": 0.33, "ffn": 0.5})
MAGNITUDE = Choice(name="prune-magnitude", params={"sparsity": 0.5})
DISTILL = Choice(name="distill", params={"layers": 3, "temperature": 2.0})

Variant = tuple[tuple[Choice, ...], str, float, float, float, float]
"""Techniques, backend, latency p50 in ms, accuracy, size in MB, McNemar's p."""

TEXT: tuple[Variant, ...] = (
    ((), "torch", 15.3, 0.858, 91, 1.0),
    ((), "onnxruntime", 5.6, 0.858, 91, 1.0),
    ((INT8,), "torch", 31.0, 0.857, 30, 0.8),
    ((INT8,), "onnxruntime", 3.2, 0.855, 23, 0.5),
    ((PRUNE,), "onnxruntime", 4.1, 0.857, 66, 0.9),
    ((PRUNE, INT8), "onnxruntime", 2.4, 0.855, 18, 0.6),
    ((DISTILL,), "onnxruntime", 2.9, 0.838, 70, 0.01),
    ((DISTILL, INT8), "onnxruntime", 1.5, 0.836, 18, 0.004),
    ((MAGNITUDE,), "onnxruntime", 5.7, 0.852, 91, 0.2),
    ((MAGNITUDE, INT8), "onnxruntime", 3.3, 0.846, 23, 0.03),
)
VISION: tuple[Variant, ...] = (
    ((), "torch", 0.131, 0.871, 1.6, 1.0),
    ((), "onnxruntime", 0.042, 0.871, 1.6, 1.0),
    ((INT8,), "onnxruntime", 0.031, 0.870, 0.4, 0.7),
    ((MAGNITUDE,), "onnxruntime", 0.042, 0.868, 1.6, 0.4),
    ((DISTILL, INT8), "onnxruntime", 0.024, 0.851, 0.1, 0.001),
)
FAILURE = Failure(
    stage="export",
    kind="ExportError",
    message="The operator 'aten::foo' cannot be expressed in ONNX. Choose the torch backend for this model.",
    log_tail="Traceback (most recent call last):\n  ...\nExportError: aten::foo",
)


def sample_spec(
    techniques: Sequence[Choice] = (), backend: str = "onnxruntime", model: str = "minilm-l6", *, seed: int = 0
) -> ExperimentSpec:
    text = model.startswith("minilm")
    return make_spec(
        seed,
        model=model,
        dataset="movie-reviews" if text else "fashion-mnist",
        task=Task.TEXT_CLASSIFICATION if text else Task.IMAGE_CLASSIFICATION,
        techniques=techniques,
        backend=Choice(name=backend, params={"threads": 0, "device": "cpu"}),
    )


def sample_context(model: str = "minilm-l6", **changes: Any) -> Context:
    if not model.startswith("minilm"):
        return make_context(**changes)
    text: dict[str, Any] = {"task": Task.TEXT_CLASSIFICATION, "dataset": "movie-reviews", "samples": 1411}
    return make_context(**text | {"input_shape": "tokens"} | changes)


def share(value: float, n: int) -> Metric:
    half = 1.96 * float(np.sqrt(max(value * (1 - value), 1e-6) / n))
    return Metric(value=value, ci95=(max(0.0, value - half), min(1.0, value + half)), n=n)


def sample_result(
    spec: ExperimentSpec,
    p50_ms: float = 4.0,
    accuracy: float = 0.858,
    *,
    baseline_ms: float = 15.3,
    baseline_accuracy: float = 0.858,
    megabytes: float = 91,
    p_value: float = 0.6,
    warnings: Sequence[Warning] = (),
    **changes: Any,
) -> RunResult:
    context = changes.pop("context", None) or sample_context(spec.model)
    ratio, change = baseline_ms / p50_ms, accuracy - baseline_accuracy
    quality = {name: share(accuracy, context.samples) for name in ("accuracy", "macro_f1", "roc_auc")}
    result = make_result(
        p50_ms,
        accuracy,
        baseline_p50_ms=baseline_ms,
        baseline_accuracy=baseline_accuracy,
        metrics=quality,
        context=context,
        speedup=Ratio(value=ratio, ci95=(ratio * 0.96, ratio * 1.04), pairs=3),
        accuracy_change=AccuracyChange(
            value=change, flips=22, gained=10, lost=12, agreement=0.984, p_value=p_value if change else 1.0
        ),
        footprint=Footprint(
            size_bytes=int(megabytes * 1e6),
            parameters=22_700_000,
            nonzero_parameters=22_600_000,
            peak_memory_bytes=310_000_000,
            load_s=0.41,
            first_call_s=0.032,
            cpu_s_per_query=p50_ms * 1.9e-3,
        ),
        stages=(
            StageRecord(name="prepare", seconds=402.1, cached=True, detail=f"fine-tuned on {spec.dataset}"),
            StageRecord(name="export", seconds=5.2),
            StageRecord(name="time", seconds=28.4),
            StageRecord(name="score", seconds=6.3),
        ),
        **changes,
    )
    return result.model_copy(update={"warnings": tuple(warnings)})


def sample_runs() -> list[tuple[ExperimentSpec, RunResult]]:
    """Return a small sweep over two models, vision first."""
    runs = []
    for model, variants in (("fashion-mlp", VISION), ("minilm-l6", TEXT)):
        _, _, baseline_ms, baseline_accuracy, _, _ = variants[0]
        for techniques, backend, p50_ms, accuracy, megabytes, p_value in variants:
            spec = sample_spec(techniques, backend, model)
            result = sample_result(
                spec,
                p50_ms,
                accuracy,
                baseline_ms=baseline_ms,
                baseline_accuracy=baseline_accuracy,
                megabytes=megabytes,
                p_value=p_value,
            )
            runs.append((spec, result))
    return runs


def sample_record(
    run_id: int = 1, spec: ExperimentSpec | None = None, result: RunResult | None = None, **changes: Any
) -> RunRecord:
    """Return a finished run, or one in another state when ``changes`` say so."""
    spec = spec or sample_spec((INT8,))
    if result is None and changes.get("status", Status.DONE) is Status.DONE:
        result = sample_result(spec)
    start = FakeClock().now() + timedelta(minutes=run_id)
    record = RunRecord(
        id=run_id,
        fingerprint=spec.fingerprint,
        spec=spec,
        status=Status.DONE,
        study="demo",
        created_at=start,
        started_at=start + timedelta(seconds=1),
        finished_at=start + timedelta(seconds=45),
        attempt=1,
        result=result,
    )
    return record.model_copy(update=changes)


def sample_records() -> list[RunRecord]:
    """Return the sweep as records, numbered from 1."""
    return [sample_record(number, spec, result) for number, (spec, result) in enumerate(sample_runs(), 1)]


def sample_raw(samples: int = 200, classes: int = 2) -> RawData:
    """Return raw arrays: latencies of three processes, predictions with a few flips."""
    source = np.random.default_rng(0)
    labels = source.integers(0, classes, samples)
    baseline, predictions = labels.copy(), labels.copy()
    baseline[:20] = (baseline[:20] + 1) % classes
    predictions[15:40] = (predictions[15:40] + 1) % classes
    processes = np.repeat(np.arange(3), 100)
    return RawData(
        arrays={
            "labels": labels,
            "predictions": predictions,
            "baseline_predictions": baseline,
            "candidate_latency_s": source.lognormal(-5.5, 0.1, 300),
            "candidate_process": processes,
            "baseline_latency_s": source.lognormal(-4.2, 0.1, 300),
            "baseline_process": processes,
        }
    )


def sample_machine() -> MachineRecord:
    """Return a machine on which every backend works."""
    record = make_machine()
    able = tuple(entry.model_copy(update={"available": True, "reason": ""}) for entry in record.capabilities)
    return record.model_copy(update={"capabilities": able})


def add_done(store: Store, spec: ExperimentSpec, result: RunResult, raw: RawData | None = None) -> int:
    """Put a finished run into a store, through its own queue."""
    (run_id,) = store.enqueue([spec], study="demo")
    claimed = store.claim(SERVICE, only=[run_id])
    if claimed is None or not store.finish(run_id, SERVICE, result, raw):
        raise LookupError(f"run {run_id} could not be finished")
    return run_id


def add_failed(store: Store, spec: ExperimentSpec) -> int:
    """Put a failed run into a store."""
    (run_id,) = store.enqueue([spec])
    store.claim(SERVICE, only=[run_id])
    store.fail(run_id, SERVICE, FAILURE)
    return run_id


def fill(store: Store) -> None:
    """Put the whole sweep into a store: 15 finished runs, run 16 failed, run 17 cancelled."""
    store.beat(SERVICE, sample_machine().machine, 1)
    store.describe_machine(sample_machine())
    for spec, result in sample_runs():
        add_done(store, spec, result, sample_raw())
    add_failed(store, sample_spec((PRUNE,), "torch"))
    (run_id,) = store.enqueue([sample_spec((PRUNE,), seed=3)])
    store.request_cancel(run_id)
