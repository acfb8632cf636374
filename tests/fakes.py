"""What tests use in place of time, models and processes, and samples of every record."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from engine.executors.base import Bell, Ending, Job
from engine.insight import Explanation, LayerEffect, OperatorShare, StepEffect
from engine.results import (
    AccuracyChange,
    BaselineResult,
    Capability,
    Check,
    Context,
    Environment,
    Failure,
    Footprint,
    LatencySummary,
    MachineRecord,
    Metric,
    NumericalCheck,
    Ratio,
    RawData,
    RunResult,
    SelfCheck,
    StageRecord,
    Warning,
    WorkerEvent,
)
from engine.spec import Choice, Effort, ExperimentSpec, Task

MACHINE = "m-0123456789abcdef"


class FakeClock:
    """A clock that stands still until it is told to move; ``clock()`` gives seconds, ``clock.now()`` a date."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.seconds)

    def advance(self, seconds: float) -> None:
        self.seconds += seconds


@dataclass
class FakeHandle:
    """A worker that does what a test tells it; a cancelled one dies at the next poll."""

    job: Job
    bell: Bell
    ending: Ending | None = None
    is_cancelled: bool = False
    _events: list[WorkerEvent] = field(default_factory=list)

    def emit(self, stage: str, progress: float | None = None, finished: StageRecord | None = None) -> None:
        self._events.append(WorkerEvent(stage=stage, progress=progress, finished=finished))
        self.bell.ring()

    def end(self, ending: Ending | None = None) -> None:
        """End as told, else with a sample result."""
        self.ending = ending or Ending(result=make_result(), raw=make_raw())
        self.bell.ring()

    def die(self) -> None:
        """End without a result, as a killed process does."""
        failure = Failure(stage="time", kind="WorkerDiedError", message="The worker was killed.")
        self.end(Ending(failure=failure, died=True))

    def events(self) -> list[WorkerEvent]:
        fresh, self._events = self._events, []
        return fresh

    def poll(self) -> Ending | None:
        return self.ending

    def cancel(self) -> None:
        self.is_cancelled = True
        if self.ending is None:
            self.die()


class FakeExecutor:
    """Keeps the handles of all jobs; ``ends_at_once`` makes every worker succeed without being told."""

    def __init__(self, slots: int = 1, *, ends_at_once: bool = False) -> None:
        self.slots = slots
        self.handles: list[FakeHandle] = []
        self._ends_at_once = ends_at_once

    @property
    def last(self) -> FakeHandle:
        return self.handles[-1]

    def submit(self, job: Job, bell: Bell) -> FakeHandle:
        self.handles.append(FakeHandle(job, bell))
        if self._ends_at_once:
            self.last.end()
        return self.last


def make_spec(
    seed: int = 0,
    *,
    model: str = "fashion-mlp",
    dataset: str = "fashion-mnist",
    task: Task = Task.IMAGE_CLASSIFICATION,
    techniques: Sequence[str | Choice] = ("int8-dynamic",),
    backend: str | Choice = "onnxruntime",
    **changes: Any,
) -> ExperimentSpec:
    """Return a spec; different seeds give different fingerprints."""
    return ExperimentSpec(
        task=task,
        model=model,
        dataset=dataset,
        techniques=tuple(_choice(technique) for technique in techniques),
        backend=_choice(backend),
        seed=seed,
        **changes,
    )


def _choice(named: str | Choice) -> Choice:
    return Choice(name=named) if isinstance(named, str) else named


def make_latency(p50_ms: float = 2.0, **changes: Any) -> LatencySummary:
    """Return a latency whose other values follow from the median."""
    values: dict[str, Any] = {
        "p50_ms": p50_ms,
        "p90_ms": p50_ms * 1.2,
        "p95_ms": p50_ms * 1.3,
        "p99_ms": None,
        "mean_ms": p50_ms * 1.05,
        "std_ms": p50_ms * 0.1,
        "mad_ms": p50_ms * 0.05,
        "min_ms": p50_ms * 0.9,
        "max_ms": p50_ms * 2,
        "ci95_ms": (p50_ms * 0.97, p50_ms * 1.03),
        "n": 300,
        "processes": 3,
        "outliers_mild": 4,
        "outliers_severe": 1,
    }
    return LatencySummary(**values | changes)


def make_context(**changes: Any) -> Context:
    """Return the context in which all sample results were measured."""
    values: dict[str, Any] = {
        "task": Task.IMAGE_CLASSIFICATION,
        "dataset": "fashion-mnist",
        "split": "test",
        "samples": 4000,
        "metric": "accuracy",
        "scenario": "single-stream",
        "batch_size": 1,
        "input_shape": "1x28x28",
        "device": "cpu",
        "machine": MACHINE,
        "threads": 2,
    }
    return Context(**values | changes)


def make_environment(machine: str = MACHINE, **changes: Any) -> Environment:
    """Return the description of a small machine."""
    values: dict[str, Any] = {
        "machine": machine,
        "cpu_model": "Sample CPU",
        "isa_flags": ("avx2", "avx512_vnni"),
        "cores": 2,
        "affinity": (0, 1),
        "governor": None,
        "memory_bytes": 8 * 2**30,
        "memory_limit_bytes": None,
        "platform": "Linux",
        "python": "3.11.7",
        "versions": {"torch": "2.13.0"},
        "provider": "CPUExecutionProvider",
        "load_average": 0.2,
        "source_revision": "abc1234",
    }
    return Environment(**values | changes)


def make_machine(machine: str = MACHINE, seen_at: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> MachineRecord:
    """Return a machine that has one backend and misses another."""
    return MachineRecord(
        machine=machine,
        environment=make_environment(machine),
        capabilities=(
            Capability(backend="torch", available=True, version="2.13.0", devices=("cpu",)),
            Capability(backend="onnxruntime", available=False, reason="pip install onnxruntime"),
        ),
        seen_at=seen_at,
    )


def make_selfcheck(
    machine: str = MACHINE, checked_at: datetime = datetime(2026, 1, 1, tzinfo=UTC), *, passed: bool = True
) -> SelfCheck:
    """Return a self-check of two checks, the last of which fails if it did not pass."""
    return SelfCheck(
        machine=machine,
        model="fashion-mlp",
        backend="onnxruntime",
        effort=Effort.QUICK,
        checked_at=checked_at,
        seconds=110.5,
        environment=make_environment(machine),
        checks=(
            Check(name="same against same", expected="a tie", seen="1.00x [0.98x, 1.02x]", passed=True),
            Check(
                name="a known delay",
                expected="2.00x, within 5 %",
                seen="2.01x" if passed else "1.40x",
                passed=passed,
                values={"ratio": 2.01, "p_value": None},
            ),
        ),
    )


def make_result(
    p50_ms: float = 2.0,
    accuracy: float = 0.86,
    *,
    baseline_p50_ms: float = 8.0,
    baseline_accuracy: float = 0.87,
    metrics: Mapping[str, Metric] | None = None,
    warnings: Sequence[str] = (),
    **changes: Any,
) -> RunResult:
    """Return a whole result around a latency and an accuracy."""
    footprint = Footprint(
        size_bytes=400_000, parameters=407_050, nonzero_parameters=407_050, peak_memory_bytes=90_000_000, load_s=0.1
    )
    values: dict[str, Any] = {
        "context": make_context(),
        "latency": make_latency(p50_ms),
        "latency_with_preprocessing": make_latency(p50_ms * 1.1),
        "throughput_per_s": 1000 / p50_ms,
        "metrics": {"accuracy": _accuracy(accuracy), **(metrics or {})},
        "baseline": BaselineResult(
            latency=make_latency(baseline_p50_ms),
            metrics={"accuracy": _accuracy(baseline_accuracy)},
            footprint=footprint.model_copy(update={"size_bytes": 1_600_000}),
        ),
        "speedup": Ratio(value=baseline_p50_ms / p50_ms, ci95=(3.8, 4.2), pairs=3),
        "accuracy_change": AccuracyChange(
            value=accuracy - baseline_accuracy, flips=60, gained=10, lost=50, agreement=0.98, p_value=0.001
        ),
        "footprint": footprint,
        "numerical_check": NumericalCheck(max_abs_difference=0.01, agreement=0.99, samples=256),
        "environment": make_environment(),
        "warnings": tuple(Warning(code=code, message=f"About {code}.") for code in warnings),
        "stages": (StageRecord(name="load", seconds=0.5), StageRecord(name="time", seconds=9.0)),
    }
    return RunResult(**values | changes)


def make_insight() -> dict[str, Any]:
    """Return the fields of a result that tell what each step did, where the time goes, and why."""
    after = (
        OperatorShare(kind="MatMulInteger", calls=36, ms=1.4, share=0.7),
        OperatorShare(kind="DynamicQuantizeLinear", calls=24, ms=0.6, share=0.3),
    )
    first = "70% of the time is in 36 integer products, which this processor does with avx512_vnni"
    return {
        "explanation": Explanation(
            sentence=f"4.00x as fast as the baseline: {first}",
            reasons=(first, "60 operators do what 90 did before"),
            operators=after,
            before=(OperatorShare(kind="MatMul", calls=36, ms=5.0, share=1.0),),
        ),
        "steps": (
            StepEffect(
                name="fine-tune",
                accuracy=0.87,
                size_bytes=91_000_000,
                parameters=22_700_000,
                nonzero_parameters=22_700_000,
                flops=5.8e8,
            ),
            StepEffect(
                name="int8-dynamic",
                accuracy=0.865,
                size_bytes=23_000_000,
                parameters=22_700_000,
                nonzero_parameters=22_700_000,
                flops=5.8e8,
                note="3 of 36 operators stay in floating point",
            ),
        ),
        "layers": (
            LayerEffect(
                name="bert.encoder.layer.0",
                kinds="MatMulInteger, Mul",
                ms=1.5,
                share=0.75,
                size_bytes=1_000_000,
                error=0.02,
                sensitivity=1e-4,
            ),
            LayerEffect(
                name="=cmd|' /C calc'!A0",
                kinds="MatMul",
                ms=0.5,
                share=0.25,
                size_bytes=2_000_000,
                error=None,
                sensitivity=None,
            ),
        ),
    }


def _accuracy(value: float) -> Metric:
    return Metric(value=value, ci95=(value - 0.01, value + 0.01), n=4000)


def make_raw() -> RawData:
    """Return latency samples of three processes and some predictions."""
    generator = np.random.default_rng(0)
    return RawData(
        arrays={
            "latency_s": generator.gamma(4.0, 0.0005, size=(3, 100)),
            "predictions": generator.integers(0, 10, size=4000, dtype=np.int16),
        }
    )
