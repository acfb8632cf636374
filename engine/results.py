"""What comes back: the immutable record of a run, its numbers with their uncertainty, and its evidence."""

import hashlib
import json
from datetime import datetime
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field

from engine.insight import Explanation, LayerEffect, LayoutRate, StepEffect
from engine.spec import Effort, ExperimentSpec, Frozen, Task

Interval = tuple[float, float]


class Status(StrEnum):
    """Where a run stands; the last three are final and such a run never changes again."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Tell whether a run in this state is immutable."""
        return self in (Status.DONE, Status.FAILED, Status.CANCELLED)


class LatencySummary(Frozen):
    """Latency of one query over all processes; a percentile that the sample cannot carry is ``None``.

    ``ci95_ms`` is the 95 % interval of the median, with the process as the unit of variance.
    """

    p50_ms: float | None
    p90_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    mean_ms: float
    std_ms: float
    mad_ms: float
    min_ms: float
    max_ms: float
    ci95_ms: Interval | None
    n: int
    processes: int
    outliers_mild: int = Field(description="beyond 1.5 IQR, kept in every statistic")
    outliers_severe: int = Field(description="beyond 3 IQR, kept in every statistic")

    @property
    def spread(self) -> float:
        """The coefficient of variation: standard deviation over mean."""
        return self.std_ms / self.mean_ms

    @property
    def steadiness(self) -> str:
        """The band of the spread, with AIPerf's bounds: 5, 10 and 20 %."""
        bands = ((0.05, "steady"), (0.10, "fair"), (0.20, "wide"))
        return next((name for bound, name in bands if self.spread < bound), "very wide")


class Metric(Frozen):
    """One number with its 95 % interval and the sample it rests on."""

    value: float | None
    ci95: Interval | None = None
    n: int | None = None


class Ratio(Frozen):
    """A paired ratio, larger is better, with its 95 % interval over process pairs."""

    value: float
    ci95: Interval | None
    pairs: int

    @property
    def is_different(self) -> bool:
        """Tell whether the ratio differs from 1: its interval excludes 1 and the change exceeds 1 %."""
        if self.ci95 is None or abs(self.value - 1) <= 0.01:
            return False
        return self.ci95[0] > 1 or self.ci95[1] < 1


class AccuracyChange(Frozen):
    """Candidate minus baseline on the same samples, with McNemar's exact test on the flipped ones."""

    value: float
    flips: int = Field(description="samples on which exactly one of the two is right")
    gained: int = Field(description="wrong at the baseline, right here")
    lost: int = Field(description="right at the baseline, wrong here")
    agreement: float = Field(description="share of samples with the same prediction")
    p_value: float

    @property
    def is_different(self) -> bool:
        """Tell whether the change counts: significant at 5 % and larger than 1 % of the scale."""
        return self.p_value <= 0.05 and abs(self.value) > 0.01


class BaselineResult(Frozen):
    """The same model without any technique in PyTorch eager, timed in the same run."""

    latency: LatencySummary
    metrics: dict[str, Metric]
    footprint: "Footprint"
    generation: dict[str, Metric] = Field(default_factory=dict)


class Footprint(Frozen):
    """What a variant occupies. Peak memory is that of the inference process, read from outside it."""

    size_bytes: int
    parameters: int
    nonzero_parameters: int
    peak_memory_bytes: int | None
    load_s: float | None = Field(default=None, description="cold start, first part: loading the model")
    first_call_s: float | None = Field(default=None, description="cold start, second part: the first query")
    cpu_s_per_query: float | None = None
    energy_j_per_query: float | None = Field(default=None, description="measured by RAPL or NVML, else none")
    energy_source: str | None = Field(default=None, description="the counters read, for example 'RAPL package-0'")


class Disturbance(Frozen):
    """What was seen of the machine while both sides were timed, in the worst process; ``None`` where it hides that."""

    foreign_share: float | None = Field(description="CPU time of everybody else on the timed cores, share of them")
    steal_share: float | None = Field(description="CPU time the hypervisor gave to others, share of the timed cores")
    migrations: float | None = Field(description="moves of the timed process's threads between cores, per second")
    clock_drift: float | None = Field(description="how far the cores' speed moved from process to process, share")
    pinned: bool = Field(description="whether both sides were held on the same cores")


class TimingPlan(Frozen):
    """How much timing the effort stood for; each process went on until both floors were met."""

    pairs: int
    min_iterations: int
    min_seconds: float
    warmup_seconds: float


class OfflineResult(Frozen):
    """What the offline scenario says beside the throughput: samples a second by batch size, of both sides."""

    batch_size: int = Field(description="the size with the highest throughput, by which the run is judged")
    baseline_batch_size: int
    rates: dict[int, float]
    baseline_rates: dict[int, float]
    layouts: tuple[LayoutRate, ...] = Field(default=(), description="of the variant; empty where none were tried")


class ServerResult(Frozen):
    """What the server scenario says: which rate of Poisson arrivals keeps the latency bound."""

    bound_ms: float
    percentile: float = Field(description="share of queries, in percent, that has to lie within the bound")
    searched: bool = Field(description="whether the highest rate was searched, else the rate was asked for")
    rate_per_s: float
    baseline_rate_per_s: float
    met: bool
    baseline_met: bool


class NumericalCheck(Frozen):
    """The exported artifact against the model it was exported from, on validation samples."""

    max_abs_difference: float | None = Field(description="of logits; none where an answer is not a number")
    agreement: float = Field(description="share of samples with the same prediction")
    samples: int


class Environment(Frozen):
    """The place of a measurement; holds no user, host or path name."""

    machine: str = Field(description="random id of the machine, made at its first run")
    cpu_model: str
    isa_flags: tuple[str, ...]
    cores: int
    affinity: tuple[int, ...] | None
    governor: str | None
    memory_bytes: int
    memory_limit_bytes: int | None
    platform: str
    python: str
    versions: dict[str, str]
    provider: str | None
    load_average: float | None
    source_revision: str


class Warning(Frozen):
    """Something a reader must know before believing a number; ``code`` is stable, ``message`` is a sentence."""

    code: str
    message: str


class StageRecord(Frozen):
    """One stage of a run; a cached stage was computed by an earlier run from the same inputs."""

    name: str
    seconds: float
    cached: bool = False
    detail: str = ""


class Failure(Frozen):
    """Why a run failed: the stage, the kind of error, a sentence that says what to do, and the log's tail."""

    stage: str
    kind: str
    message: str
    log_tail: str = ""


class Context(Frozen):
    """Everything that must be equal before two runs may share a plot."""

    task: Task
    dataset: str
    split: str
    samples: int
    metric: str
    scenario: str
    batch_size: int
    input_shape: str
    device: str
    machine: str
    threads: int

    @property
    def key(self) -> str:
        """Return 16 hexadecimal digits that are equal for equal contexts."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def differences(self, other: "Context") -> list[str]:
        """Return the names of the keys in which two contexts differ."""
        return [name for name in type(self).model_fields if getattr(self, name) != getattr(other, name)]


class RunResult(Frozen):
    """All that a finished run says. Raw samples and predictions travel beside it, as :class:`RawData`."""

    context: Context
    latency: LatencySummary
    latency_with_preprocessing: LatencySummary
    throughput_per_s: float
    throughput_ci95: Interval | None = None
    metrics: dict[str, Metric]
    generation: dict[str, Metric] = Field(default_factory=dict, description="what only text generation has, by name")
    baseline: BaselineResult
    speedup: Ratio
    accuracy_change: AccuracyChange
    footprint: Footprint
    numerical_check: NumericalCheck | None
    offline: OfflineResult | None = None
    server: ServerResult | None = None
    timing: TimingPlan | None = None
    disturbance: Disturbance | None = None
    explanation: Explanation | None = None
    steps: tuple[StepEffect, ...] = ()
    layers: tuple[LayerEffect, ...] = ()
    environment: Environment
    warnings: tuple[Warning, ...]
    stages: tuple[StageRecord, ...]


class RawData(Frozen):
    """Named arrays kept for every finished run: latency samples by process, predictions by sample."""

    model_config = ConfigDict(arbitrary_types_allowed=True, frozen=True, extra="forbid")

    arrays: dict[str, NDArray[np.generic]]


class RunRecord(Frozen):
    """A run as the store shows it: a frozen view, never a database row."""

    id: int
    fingerprint: str
    spec: ExperimentSpec
    status: Status
    study: str | None
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    attempt: int = 0
    cancel_requested: bool = False
    stage: str | None = Field(default=None, description="the stage under way")
    progress: float | None = Field(default=None, ge=0, le=1, description="share of that stage, where known")
    stage_message: str = ""
    stages: tuple[StageRecord, ...] = ()
    result: RunResult | None = None
    error: Failure | None = None


class WorkerEvent(Frozen):
    """One line from a worker: a stage began, moved on or ended."""

    stage: str
    progress: float | None = Field(default=None, ge=0, le=1)
    message: str = ""
    finished: StageRecord | None = Field(default=None, description="set when the stage has ended")


class Capability(Frozen):
    """What a machine can do with one backend, and the sentence that would enable it where it cannot."""

    backend: str
    available: bool
    version: str | None = None
    devices: tuple[str, ...] = ()
    choices: dict[str, tuple[str, ...]] = Field(default_factory=dict, description="what answered, by free option")
    reason: str = ""


class MachineRecord(Frozen):
    """A machine as its service last described it."""

    machine: str
    environment: Environment
    capabilities: tuple[Capability, ...]
    seen_at: datetime


class ServiceRecord(Frozen):
    """A service's sign of life."""

    id: str
    machine: str
    pid: int
    started_at: datetime
    heartbeat_at: datetime


class Check(Frozen):
    """One thing a self-check tried: what had to come out, what came out, and the numbers behind it."""

    name: str
    expected: str
    seen: str
    passed: bool
    values: dict[str, float | None] = Field(default_factory=dict)


class SelfCheck(Frozen):
    """The proof that the instrument is right on one machine: ``subsecond selfcheck``."""

    machine: str
    model: str
    backend: str
    effort: Effort
    checked_at: datetime
    seconds: float
    environment: Environment
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Tell whether every check came out as it must."""
        return all(check.passed for check in self.checks)


class WorkerOutcome(Frozen):
    """What a worker leaves in ``result.json``: exactly one of the two is set."""

    result: RunResult | None = None
    error: Failure | None = None


def flat_metrics(result: RunResult) -> dict[str, Metric]:
    """Return every number of a result under its one name, as the store and the CSV keep it."""
    latency, footprint = result.latency, result.footprint
    flat = result.metrics | result.generation
    for field in ("p50_ms", "p90_ms", "p95_ms", "p99_ms", "mean_ms", "std_ms", "min_ms", "max_ms"):
        interval = latency.ci95_ms if field == "p50_ms" else None
        flat[f"latency_{field}"] = Metric(value=getattr(latency, field), ci95=interval, n=latency.n)
    whole = result.latency_with_preprocessing
    flat["latency_with_preprocessing_p50_ms"] = Metric(value=whole.p50_ms, ci95=whole.ci95_ms, n=whole.n)
    base = result.baseline.latency
    flat["baseline_latency_p50_ms"] = Metric(value=base.p50_ms, ci95=base.ci95_ms, n=base.n)
    flat["throughput_per_s"] = Metric(value=result.throughput_per_s, ci95=result.throughput_ci95)
    if result.offline is not None:
        flat["best_batch_size"] = Metric(value=result.offline.batch_size)
    if result.server is not None and result.server.searched:
        flat["max_rate_per_s"] = flat["throughput_per_s"]
    flat["speedup"] = Metric(value=result.speedup.value, ci95=result.speedup.ci95, n=result.speedup.pairs)
    flat["accuracy_change"] = Metric(value=result.accuracy_change.value)
    flat |= {name: Metric(value=getattr(result.accuracy_change, name)) for name in ("flips", "agreement")}
    flat["mcnemar_p"] = Metric(value=result.accuracy_change.p_value)
    flat |= {name: Metric(value=value) for name, value in footprint.model_dump(exclude={"energy_source"}).items()}
    if result.numerical_check is not None:
        flat["max_abs_difference"] = Metric(value=result.numerical_check.max_abs_difference)
    return flat
