"""Made-up runs that look like real ones, for pages, plots and exports; nothing here was measured."""

from datetime import UTC, datetime, timedelta

import numpy as np

from engine.results import (
    AccuracyChange,
    BaselineResult,
    Capability,
    Context,
    Environment,
    Failure,
    Footprint,
    LatencySummary,
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
from engine.spec import Choice, Effort, ExperimentSpec, Task

NOON = datetime(2026, 3, 14, 12, 0, tzinfo=UTC)
MACHINE = "4f2a9c1e77b0"

ENVIRONMENT = Environment(
    machine=MACHINE,
    cpu_model="AMD EPYC 9R14",
    isa_flags=("avx2", "avx512_vnni"),
    cores=2,
    affinity=(0, 1),
    governor=None,
    memory_bytes=24_000_000_000,
    memory_limit_bytes=None,
    platform="Linux-6.1-x86_64",
    python="3.11.2",
    versions={"torch": "2.13.0", "onnxruntime": "1.31.1"},
    provider="CPUExecutionProvider",
    load_average=0.2,
    source_revision="0" * 12,
)


def sample_spec(
    techniques: tuple[Choice, ...] = (),
    backend: str = "onnxruntime",
    model: str = "minilm-l6",
    *,
    seed: int = 0,
) -> ExperimentSpec:
    text = model.startswith("minilm")
    return ExperimentSpec(
        task=Task.TEXT_CLASSIFICATION if text else Task.IMAGE_CLASSIFICATION,
        model=model,
        dataset="movie-reviews" if text else "fashion-mnist",
        techniques=techniques,
        backend=Choice(name=backend, params={"threads": 0, "device": "cpu"}),
        effort=Effort.QUICK,
        seed=seed,
    )


def sample_context(model: str = "minilm-l6", **changes: object) -> Context:
    text = model.startswith("minilm")
    context = Context(
        task=Task.TEXT_CLASSIFICATION if text else Task.IMAGE_CLASSIFICATION,
        dataset="movie-reviews" if text else "fashion-mnist",
        split="test",
        samples=1411 if text else 4000,
        metric="accuracy",
        scenario="single-stream",
        batch_size=1,
        input_shape="(1, tokens)" if text else "(1, 1, 28, 28)",
        device="cpu",
        machine=MACHINE,
        threads=2,
    )
    return context.model_copy(update=changes)


def sample_latency(p50_ms: float, *, n: int = 400, spread: float = 0.03) -> LatencySummary:
    return LatencySummary(
        p50_ms=p50_ms,
        p90_ms=p50_ms * 1.15 if n >= 64 else None,
        p95_ms=p50_ms * 1.22 if n >= 130 else None,
        p99_ms=p50_ms * 1.6 if n >= 662 else None,
        mean_ms=p50_ms * 1.03,
        std_ms=p50_ms * 0.08,
        mad_ms=p50_ms * 0.02,
        min_ms=p50_ms * 0.93,
        max_ms=p50_ms * 2.1,
        ci95_ms=(p50_ms * (1 - spread), p50_ms * (1 + spread)),
        n=n,
        processes=3,
        outliers_mild=7,
        outliers_severe=2,
    )


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
    size_bytes: int = 91_000_000,
    p_value: float = 0.6,
    context: Context | None = None,
    warnings: tuple[Warning, ...] = (),
) -> RunResult:
    context = context or sample_context(spec.model)
    footprint = Footprint(
        size_bytes=size_bytes,
        parameters=22_700_000,
        nonzero_parameters=22_600_000,
        peak_memory_bytes=310_000_000,
        load_s=0.41,
        first_call_s=0.032,
        cpu_s_per_query=p50_ms * 1.9e-3,
    )
    ratio = baseline_ms / p50_ms
    change = accuracy - baseline_accuracy
    quality = {name: share(accuracy, context.samples) for name in ("accuracy", "macro_f1", "roc_auc")}
    return RunResult(
        context=context,
        latency=sample_latency(p50_ms),
        latency_with_preprocessing=sample_latency(p50_ms + 0.2),
        throughput_per_s=1e3 / p50_ms,
        metrics=quality,
        baseline=BaselineResult(
            latency=sample_latency(baseline_ms),
            metrics={"accuracy": share(baseline_accuracy, context.samples)},
            footprint=footprint,
        ),
        speedup=Ratio(value=ratio, ci95=(ratio * 0.96, ratio * 1.04), pairs=3),
        accuracy_change=AccuracyChange(
            value=change, flips=22, gained=10, lost=12, agreement=0.984, p_value=1.0 if not change else p_value
        ),
        footprint=footprint,
        numerical_check=None,
        environment=ENVIRONMENT,
        warnings=warnings,
        stages=(
            StageRecord(name="prepare", seconds=402.1, cached=True, detail="fine-tuned on movie-reviews"),
            StageRecord(name="export", seconds=5.2),
            StageRecord(name="time", seconds=28.4),
            StageRecord(name="score", seconds=6.3),
        ),
    )


INT8 = Choice(name="int8-dynamic", params={"per_channel": True})
PRUNE = Choice(name="prune-structured", params={"heads": 0.33, "ffn": 0.5})
MAGNITUDE = Choice(name="prune-magnitude", params={"sparsity": 0.5})
DISTILL = Choice(name="distill", params={"layers": 3, "temperature": 2.0})

TEXT_VARIANTS = (
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
VISION_VARIANTS = (
    ((), "torch", 0.131, 0.871, 1.6, 1.0),
    ((), "onnxruntime", 0.042, 0.871, 1.6, 1.0),
    ((INT8,), "onnxruntime", 0.031, 0.870, 0.4, 0.7),
    ((MAGNITUDE,), "onnxruntime", 0.042, 0.868, 1.6, 0.4),
    ((DISTILL, INT8), "onnxruntime", 0.024, 0.851, 0.1, 0.001),
)


def sample_runs() -> list[tuple[ExperimentSpec, RunResult]]:
    """Return a small sweep over two models, as the demo study gives it."""
    runs = []
    for model, variants in (("fashion-mlp", VISION_VARIANTS), ("minilm-l6", TEXT_VARIANTS)):
        _, _, baseline_ms, baseline_accuracy, _, _ = variants[0]
        for techniques, backend, p50_ms, accuracy, megabytes, p_value in variants:
            spec = sample_spec(techniques, backend, model)
            result = sample_result(
                spec,
                p50_ms,
                accuracy,
                baseline_ms=baseline_ms,
                baseline_accuracy=baseline_accuracy,
                size_bytes=int(megabytes * 1e6),
                p_value=p_value,
            )
            runs.append((spec, result))
    return runs


def sample_record(
    run_id: int = 1, spec: ExperimentSpec | None = None, result: RunResult | None = None, **changes: object
) -> RunRecord:
    """Return a finished run, or one in another state when ``changes`` say so."""
    spec = spec or sample_spec((INT8,))
    record = RunRecord(
        id=run_id,
        fingerprint=spec.fingerprint,
        spec=spec,
        status=Status.DONE,
        study="demo",
        created_at=NOON + timedelta(minutes=run_id),
        started_at=NOON + timedelta(minutes=run_id, seconds=1),
        finished_at=NOON + timedelta(minutes=run_id, seconds=45),
        attempt=1,
        result=result or sample_result(spec),
    )
    return record.model_copy(update=changes)


FAILURE = Failure(
    stage="export",
    kind="ExportError",
    message="The operator 'aten::foo' cannot be expressed in ONNX. Choose the torch backend for this model.",
    log_tail="Traceback (most recent call last):\n  ...\nExportError: aten::foo",
)


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
    return MachineRecord(
        machine=MACHINE,
        environment=ENVIRONMENT,
        capabilities=(
            Capability(backend="torch", available=True, version="2.13.0", devices=("cpu",)),
            Capability(backend="onnxruntime", available=True, version="1.31.1", devices=("cpu",)),
        ),
        seen_at=NOON,
    )
