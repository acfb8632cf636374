"""One run, from its spec to its result: prepare, export, check, time, score."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine import cautions, preparation
from engine.analysis import quality, statistics
from engine.analysis.explain import Measured, explain_profiles
from engine.analysis.layers import layers_of
from engine.answering import answering
from engine.backends import BACKENDS
from engine.datasets import load_dataset
from engine.datasets.base import Dataset, SplitName
from engine.errors import MeasurementError
from engine.insight import Explanation, LayoutRate, StepEffect
from engine.measure import environment, stability
from engine.measure.jobs import InferenceJob, write_samples
from engine.measure.lane import quiet_lane
from engine.measure.layouts import Halves, Together, time_layouts
from engine.measure.paired import Side, Timed, time_pairs
from engine.measure.processes import Launcher, launch, launch_together
from engine.measure.timing import PLANS
from engine.models import preprocess
from engine.models.base import Artifact
from engine.outcome import draw_samples, footprint_of, generation_of, raw_arrays
from engine.results import (
    BaselineResult,
    Context,
    Disturbance,
    Metric,
    NumericalCheck,
    RawData,
    RunResult,
    StageRecord,
    TimingPlan,
    WorkerEvent,
)
from engine.scenarios import SCENARIOS
from engine.spec import Choice, ExperimentSpec
from engine.stages import Stage, StageCache, code_version, stage_key
from engine.techniques import TECHNIQUES
from engine.techniques.base import Group

TIMED_SAMPLES = 100
SCORED_SPLIT: SplitName = "test"
PRIMARY_METRIC = "accuracy"
REPORT_INTERVAL_S = 0.3

Operators = dict[str, NDArray[np.generic]]
Emit = Callable[[WorkerEvent], None]


class Pipeline:
    """Carries out one experiment.

    Args:
        spec: what to do; complete, as :func:`engine.resolve.resolve` returns it.
        scratch: an empty folder for this run alone.
        emit: receives an event whenever something moved.
        cache: where stages are kept.
        launch: runs inference processes in turns; tests put a fake here.
        together: runs inference processes at once; likewise.
    """

    def __init__(
        self,
        spec: ExperimentSpec,
        scratch: Path,
        emit: Emit,
        cache: StageCache | None = None,
        launch: Launcher = launch,
        *,
        together: Together = launch_together,
    ) -> None:
        self._spec, self._scratch, self._emit = spec, scratch, emit
        self._launch, self._together = launch, together
        self._cache = cache or StageCache()
        self._records: list[StageRecord] = []
        self._layouts: tuple[LayoutRate, ...] = ()
        self._reported = 0.0
        self._backend = BACKENDS.get(spec.backend.name)
        self._scenario = SCENARIOS.get(spec.scenario.name)
        self._scenario_options = self._scenario.options_type.model_validate(spec.scenario.params)
        self._plan = self._scenario.plan(PLANS[spec.effort])
        self._answering = answering(spec.task)
        self.stage = "start"
        """The stage under way, for whoever has to report a failure."""

    def run(self) -> tuple[RunResult, RawData]:
        """Do everything and return the result with its raw arrays.

        Raises:
            RunError: whatever went wrong, while :attr:`stage` names where.
        """
        spec = self._spec
        with self._stage("load data"):
            dataset = self._dataset
        builder = preparation.Builder(spec, dataset, self._cache, self._stage, self._report, launch=self._launch)
        reference = builder.baseline()
        candidate = builder.candidate()
        sides = (self._side("variant", candidate.stage, spec.backend), self._side("baseline", reference, builder.eager))
        timed = self._time(*sides)
        has_eager_parent = spec.backend == builder.eager and spec.techniques
        parent = candidate.before or (reference if has_eager_parent else None)
        operators = self._profile(candidate, parent)
        logits = self._score("score", candidate.stage, spec.backend)
        reference_logits = self._score("score baseline", reference, builder.eager)
        with self._stage("evaluate"):
            result, raw = self._result(sides, timed, (logits, reference_logits), candidate.check)
            told: dict[str, object] = {"steps": tuple(builder.steps)}
            if operators:
                told["explanation"] = self._explanation(result, operators, builder.steps)
                told["layers"] = layers_of(operators[0], candidate.sensitivity)
            else:
                told["warnings"] = (*result.warnings, cautions.UNEXPLAINED())
            return result.model_copy(update=told), raw

    @cached_property
    def _dataset(self) -> Dataset:
        return load_dataset(self._spec.dataset)

    @cached_property
    def _cores(self) -> tuple[int, ...] | None:
        """The cores both sides are pinned to: as many as the run has threads."""
        cores = environment.affinity()
        return cores[: self._threads] if cores else None

    @property
    def _threads(self) -> int:
        return int(self._spec.backend.params["threads"])

    def _side(self, name: str, stage: Stage, backend: Choice) -> Side:
        return Side(name, stage.folder, backend)

    @contextmanager
    def _stage(self, name: str) -> Iterator[Callable[[Stage], Stage]]:
        """Announce a stage, time it, and note whether the cache had it."""
        self.stage = name
        self._emit(WorkerEvent(stage=name))
        started, cached = time.monotonic(), False

        def note(stage: Stage) -> Stage:
            nonlocal cached
            cached = stage.cached
            return stage

        yield note
        record = StageRecord(name=name, seconds=time.monotonic() - started, cached=cached)
        self._records.append(record)
        self._emit(WorkerEvent(stage=name, progress=1, finished=record))

    def _report(self, share: float, message: str) -> None:
        """Pass progress within the stage on, a few times a second at most."""
        now = time.monotonic()
        if now - self._reported < REPORT_INTERVAL_S and share < 1:
            return
        self._reported = now
        self._emit(WorkerEvent(stage=self.stage, progress=min(1.0, share), message=message))

    def _time(self, candidate: Side, baseline: Side) -> tuple[Timed, Timed]:
        """Time candidate and baseline in the quiet lane, on texts or images of the validation split."""
        split = self._dataset.validation
        samples = self._scratch / "timed.npz"
        count = self._scenario.samples_needed(self._spec.batch_size, self._scenario_options, TIMED_SAMPLES)
        draw_samples(self._answering, split, count, self._spec.seed, samples)
        device = str(self._spec.backend.params["device"])

        def waiting() -> None:
            self._report(0, "another run is being timed on this machine; waiting for the quiet lane")

        pairs = partial(
            time_pairs,
            candidate,
            baseline,
            plan=self._plan,
            samples=samples,
            scratch=self._scratch,
            batch_size=self._spec.batch_size,
            cores=self._cores,
            launch=self._launch,
            report=self._report,
            scenario=self._spec.scenario,
        )
        with ExitStack() as lane:
            with self._stage("quiet lane"):
                lane.enter_context(quiet_lane(device, waiting))
            with self._stage("time"):
                timed = pairs()
            if _noise(timed) > 1:
                with self._stage("time again"):  # once; what is noisy twice is kept and marked
                    timed = min(timed, pairs(), key=_noise)
            if self._scenario.tries_layouts and self._cores:
                with self._stage("spread over cores"):
                    self._layouts = self._time_layouts(candidate, timed, samples, self._cores)
            return timed

    def _time_layouts(
        self, side: Side, timed: tuple[Timed, Timed], samples: Path, cores: tuple[int, ...]
    ) -> tuple[LayoutRate, ...]:
        """Time the variant as one process, as several and cut in two, with batches of its best size."""
        folder = self._scratch / "parts"
        folder.mkdir()
        parts = self._backend.cut(Artifact.read(side.artifact), folder)
        offline = self._scenario.offline(*timed)
        return time_layouts(
            side,
            Halves(parts[0].folder, parts[1].folder) if parts else None,
            cores=cores,
            seconds=PLANS[self._spec.effort].min_seconds,
            samples=samples,
            scratch=self._scratch,
            batch_size=offline.batch_size if offline else self._spec.batch_size,
            together=self._together,
            report=self._report,
        )

    def _profile(self, candidate: preparation.Prepared, parent: Stage | None) -> tuple[Operators, Operators] | None:
        """Return where the time goes in the variant, compared with ``parent``, and in what its artifact came from."""

        def of(stage: Stage | None, parent: Stage | None = None) -> Operators:
            if stage is None:
                return {}
            job = InferenceJob(
                mode="profile",
                artifact=stage.folder,
                backend=self._spec.backend,
                samples=self._scratch / "timed.npz",
                output=self._scratch / "profile.npz",
                batch_size=self._spec.batch_size,
                cores=self._cores,
                parent=parent.folder if parent else None,
            )
            return dict(self._launch([job])[0].arrays)

        with self._stage("profile"):
            try:
                return of(candidate.stage, parent), of(candidate.before)
            except MeasurementError:  # a run is not worth less for want of its explanation
                return None

    def _explanation(
        self, result: RunResult, operators: tuple[Operators, Operators], steps: list[StepEffect]
    ) -> Explanation:
        """Say why it is faster, or is not."""
        whole_ms, run_ms = result.latency_with_preprocessing.mean_ms, result.latency.mean_ms
        groups = {TECHNIQUES.get(choice.name).group for choice in self._spec.techniques}
        measured = Measured(
            speedup=result.speedup,
            quantized=Group.QUANTIZATION in groups,
            parameters=result.footprint.parameters,
            nonzero_parameters=result.footprint.nonzero_parameters,
            isa_flags=result.environment.isa_flags,
            threads=self._threads,
            cores=environment.usable_cores(),
            preprocessing_share=max(0.0, 1 - run_ms / whole_ms),
            arithmetic=steps[-1].flops / steps[0].flops if steps[-1].flops and steps[0].flops else None,
            asked=getattr(self._backend.options_type.model_validate(self._spec.backend.params), "provider", ""),
        )
        return explain_profiles(*operators, measured)

    def _score(self, name: str, artifact: Stage, backend: Choice) -> NDArray[np.float32]:
        """Return the artifact's logits on the test split, from the backend that was timed.

        Kept by artifact, instruction set and runtime version: the same int8 file answers differently on another
        processor (onnxruntime issues 14642 and 6004). Answers are kept, a timing never is.
        """
        inputs = {
            "artifact": artifact.key,
            "backend": backend.model_dump(),
            "data": self._dataset.content_hash,
            "split": SCORED_SPLIT,
            "batch": self._spec.batch_size,
            "cpu": environment.cpu_model(),
            "isa": environment.isa_flags(),
            "runtime": BACKENDS.get(backend.name).capabilities().version,
            "code": code_version(BACKENDS.get(backend.name), preprocess),
        }

        def build(folder: Path) -> None:
            samples = self._scratch / "scored.npz"
            write_samples(samples, self._answering.written(self._dataset.split(SCORED_SPLIT).samples))
            job = InferenceJob(
                mode="score",
                artifact=artifact.folder,
                backend=backend,
                samples=samples,
                output=self._scratch / "scores.npz",
                batch_size=self._spec.batch_size,
                cores=self._cores,
            )
            np.save(folder / "logits.npy", self._launch([job])[0].arrays["logits"])

        with self._stage(name) as note:
            stage = note(self._cache.get(stage_key("scores", inputs), build))
            logits: NDArray[np.float32] = np.load(stage.folder / "logits.npy", allow_pickle=False)
            return logits

    def _result(
        self,
        sides: tuple[Side, Side],
        timed: tuple[Timed, Timed],
        logits: tuple[NDArray[np.float32], NDArray[np.float32]],
        check: NumericalCheck | None,
    ) -> tuple[RunResult, RawData]:
        """Put numbers, uncertainty and warnings together."""
        mine, base = (quality.judge(scores, self._dataset.split(SCORED_SPLIT)) for scores in logits)
        change = statistics.compare_predictions(mine.predictions, base.predictions, mine.labels)
        ratio = quality.perplexity_ratio(*logits)
        readings = [self._scenario.read(side, self._spec.batch_size, self._scenario_options) for side in timed]
        latency = [statistics.summarize_latency(reading.latency) for reading in readings]
        footprints = [footprint_of(Artifact.read(side.artifact), runs) for side, runs in zip(sides, timed, strict=True)]
        seen = _disturbance(timed)
        warnings = [
            *stability.load_warnings(seen),
            *stability.timing_warnings(latency[0]),
            *stability.accuracy_warnings(change, _value(base.metrics[PRIMARY_METRIC]), mine.predictions, logits[0]),
            *stability.numerical_warnings(
                check, changes_numbers=bool(self._spec.techniques), unit=self._answering.checked
            ),
        ]
        offline = self._scenario.offline(*timed)
        result = RunResult(
            context=self._context(),
            latency=latency[0],
            latency_with_preprocessing=statistics.summarize_latency(readings[0].latency_with_preprocessing),
            throughput_per_s=statistics.rate(readings[0].pace),
            throughput_ci95=statistics.interval_of_rates(readings[0].pace),
            metrics=mine.metrics,
            generation=generation_of(timed[0], check) | ({"perplexity_ratio": ratio} if ratio else {}),
            baseline=BaselineResult(
                latency=latency[1],
                metrics=base.metrics,
                footprint=footprints[1],
                generation=generation_of(timed[1]),
            ),
            speedup=statistics.paired_speedup(readings[0].cost, readings[1].cost, readings[0].queries),
            accuracy_change=change,
            footprint=footprints[0],
            numerical_check=check,
            offline=offline and offline.model_copy(update={"layouts": self._layouts}),
            server=self._scenario.server(*timed, self._scenario_options),
            timing=TimingPlan(**asdict(self._plan)),
            disturbance=seen,
            environment=environment.describe(
                provider=f"{self._backend.title} on {self._spec.backend.params['device']}",
                more={self._backend.distributions[0]: self._backend.capabilities().version or "unknown"},
            ),
            warnings=tuple(warnings),
            stages=tuple(self._records),
        )
        raw = raw_arrays([reading.latency for reading in readings], [mine.predictions, base.predictions], mine.labels)
        raw["classes"] = np.asarray(self._dataset.classes)
        return result, RawData(arrays=raw)

    def _context(self) -> Context:
        """Say what must be equal before another run may share a plot with this one."""
        dataset, spec = self._dataset, self._spec
        shape = "text" if isinstance(dataset.test.samples, list) else "x".join(map(str, dataset.test.samples.shape[1:]))
        return Context(
            task=spec.task,
            dataset=f"{dataset.name}@{dataset.content_hash[:8]}",
            split=SCORED_SPLIT,
            samples=len(dataset.split(SCORED_SPLIT)),
            metric=PRIMARY_METRIC,
            scenario=self._scenario.label(self._scenario_options),
            batch_size=spec.batch_size,
            input_shape=shape,
            device=str(spec.backend.params["device"]),
            machine=environment.machine_id(),
            threads=self._threads,
        )


def _disturbance(timed: tuple[Timed, Timed]) -> Disturbance:
    """Return what was seen of the machine while the processes of both sides ran."""
    return stability.disturbance([*timed[0].reports, *timed[1].reports])


def _noise(timed: tuple[Timed, Timed]) -> float:
    """Return how much others disturbed the processes of both sides."""
    return stability.noise(_disturbance(timed))


def _value(metric: Metric) -> float:
    """Return a metric's value where it is always defined."""
    return metric.value if metric.value is not None else float("nan")
