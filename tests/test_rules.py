"""The rules of measuring, one test each, numbered as they are: each fails if the engine breaks its rule.

The part of rule 18 on language models is tested in ``analysis/test_quality.py``. Every rule is tested in more depth
where its code is tested; here it is seen at a glance that each of them holds.
"""

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from types import MappingProxyType
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import psutil
import pytest

from engine import inference, preparation
from engine.analysis import statistics
from engine.analysis.comparability import require_one_context
from engine.analysis.evidence import confusion
from engine.analysis.presets import PRESETS
from engine.analysis.suite import across_models
from engine.analysis.tokens import badge
from engine.backends import BACKENDS
from engine.datasets import load_dataset
from engine.errors import ContradictionError
from engine.measure import environment, processes, stability
from engine.measure.energy import Counter, Meter
from engine.measure.jobs import read_samples, save_arrays
from engine.measure.paired import Side, time_pairs
from engine.measure.timing import PLANS, Plan, Query, measure
from engine.metrics import METRICS
from engine.results import AccuracyChange, Metric, Ratio, RawData, RunResult
from engine.scenarios import SCENARIOS
from engine.scenarios.response import PROMPTS, OneResponse, ResponseOptions, prompts
from engine.scenarios.server import serve
from engine.spec import Choice, Effort
from engine.stages import Stage, StageCache
from tests.analysis.rows import Row
from tests.fakes import make_context, make_latency
from tests.runs import FakeLauncher, Run, furnished, make_spec
from tests.test_inference import make_job

MS = 1_000_000
Finished = tuple[Run, RunResult, RawData]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with furnished(tmp_path_factory.mktemp("home")) as folder:
        yield folder


@pytest.fixture(scope="module")
def finished(home: Path) -> Finished:
    """One int8 run on ONNX Runtime."""
    run = Run(make_spec(home, Choice(name="int8-dynamic")), home / "finished")
    return run, *run.go()


def timing_jobs(run: Run) -> list[Any]:
    return [job for job in run.launcher.jobs if job.mode == "time"]


class Bench:
    """Queries that move a clock by what they cost."""

    def __init__(self, cost_ms: float) -> None:
        self.now, self.cost_ms = 0, cost_ms
        self.query: Query[None] = Query(lambda: None, self._run)

    def _run(self, _: object) -> None:
        self.now += round(self.cost_ms * MS)

    def clock(self) -> int:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += math.ceil(seconds * 1e9)

    def tick(self) -> int:
        """Look at the clock, which takes a microsecond, so that waiting awake ends."""
        self.now += 1_000
        return self.now


def test_rule_01_the_scenario_is_named_and_queueing_counts() -> None:
    assert set(SCENARIOS.names()) == {"single-stream", "offline", "server", "response"}
    with pytest.raises(ContradictionError, match="scenario"):
        require_one_context([make_context(scenario="single-stream"), make_context(scenario="server")])
    bench = Bench(10)
    trial = serve([bench.query], 1000.0, np.array([0.001, 0.002, 0.003]), clock=bench.tick, sleep=bench.sleep)
    assert np.array(trial.latency_ns) / MS == pytest.approx([10, 19, 28], abs=0.1), "counted from the moment it was due"


def test_rule_02_a_percentile_is_shown_only_where_the_sample_carries_it() -> None:
    for q, needed in ((50, 11), (90, 64), (95, 130), (97, 219), (99, 662), (99.9, 6636)):
        assert statistics.percentile(np.ones(needed - 1), q) is None
        assert statistics.percentile(np.ones(needed), q) == 1


def test_rule_03_timing_stops_when_both_floors_are_met() -> None:
    slow, fast = Bench(100), Bench(1)
    plan = Plan(pairs=1, min_iterations=5, min_seconds=0.2, warmup_seconds=0.0)
    assert len(measure([slow.query], plan, slow.clock).run_ns) == 5
    assert len(measure([fast.query], plan, fast.clock).run_ns) == 200


def test_rule_04_fresh_processes_are_the_unit_of_variance(finished: Finished) -> None:
    assert [PLANS[effort].pairs for effort in (Effort.QUICK, Effort.STANDARD, Effort.RIGOROUS)] == [3, 5, 10]
    assert len({job.output for job in timing_jobs(finished[0])}) == 2 * 3
    apart = [np.full(5000, seconds) for seconds in (0.010, 0.011, 0.012)]
    interval = statistics.interval_of_medians(apart)
    assert interval is not None
    assert interval[1] - interval[0] > 0.002, "15,000 samples do not make three processes more certain"
    assert statistics.interval_of_medians(apart[:1]) is None


def test_rule_05_the_baseline_is_interleaved_and_drift_leaves_the_ratio_alone(tmp_path: Path) -> None:
    order: list[str] = []

    def launch(jobs: Any) -> list[processes.ProcessReport]:
        return [one(job) for job in jobs]

    def one(job: Any) -> processes.ProcessReport:
        slower = 1 + len(order) // 2  # from pair to pair
        order.append(job.artifact.name)
        cost = (1 if job.artifact.name == "a" else 2) * MS * slower
        return processes.ProcessReport({"run_ns": np.full(50, cost)}, None, 0.0, 0.0)

    timed = time_pairs(
        Side("variant", tmp_path / "a", Choice(name="torch")),
        Side("baseline", tmp_path / "b", Choice(name="torch")),
        plan=Plan(4, 1, 0.0, 0.0),
        samples=tmp_path,
        scratch=tmp_path,
        batch_size=1,
        cores=None,
        launch=launch,
        report=lambda share, text: None,
    )
    assert "".join(order) == "abbaabba"
    speedup = statistics.paired_speedup(timed[0].seconds(), timed[1].seconds())
    assert speedup.value == pytest.approx(2)
    alone = math.exp(1.96 * statistics.RUN_TO_RUN * math.log(2))
    assert speedup.ci95 == (pytest.approx(2 / alone, rel=1e-4), pytest.approx(2 * alone, rel=1e-4)), "no drift in it"


def test_rule_06_warm_up_grows_and_is_kept_apart_as_is_the_cold_start(tmp_path: Path) -> None:
    for warmup_s, rounds in ((0.010, 1), (0.011, 1 + 2), (0.031, 1 + 2 + 4)):
        bench = Bench(10)
        samples = measure([bench.query], Plan(1, 1, 0.0, warmup_s), bench.clock)
        assert (len(samples.warmup_ns), len(samples.run_ns)) == (rounds, 1)
    arrays = inference.run(make_job(tmp_path, mode="time", batch_size=7, min_iterations=1))
    assert arrays["load_s"].shape == arrays["first_call_s"].shape == ()
    assert len(arrays["run_ns"]) == 1, "the first call is not among them"


def test_rule_07_raw_samples_are_kept_and_outliers_counted_but_never_dropped(finished: Finished) -> None:
    _, result, raw = finished
    assert len(raw.arrays["candidate_latency_s"]) == len(raw.arrays["candidate_process"]) == result.latency.n
    samples = np.array([*np.linspace(0.010, 0.011, 100), 0.0119, 0.020])
    summary = statistics.summarize_latency([samples])
    assert (summary.n, summary.outliers_mild, summary.outliers_severe) == (102, 2, 1)
    assert summary.mean_ms == pytest.approx(samples.mean() * 1e3)
    assert summary.mad_ms < summary.std_ms


def test_rule_08_an_unstable_timing_is_marked_and_a_noisy_one_is_repeated_once(home: Path, tmp_path: Path) -> None:
    calm = {"p50_ms": 10.0, "mean_ms": 10.0, "std_ms": 0.5, "min_ms": 9.0, "max_ms": 11.0, "ci95_ms": (9.95, 10.05)}
    for change, code in (
        ({"std_ms": 1.0}, "unstable"),
        ({"max_ms": 15.0}, "wide-range"),
        ({"min_ms": 5.0}, "wide-range"),
        ({"ci95_ms": (9.8, 10.2)}, "few-processes"),
    ):
        latency = make_latency(**calm | change)
        assert [warning.code for warning in stability.timing_warnings(latency)] == [code]
    short = make_latency(p50_ms=0.5, mean_ms=0.5, std_ms=0.0, min_ms=0.5, max_ms=0.5, ci95_ms=None)
    assert [warning.code for warning in stability.timing_warnings(short)] == ["short"]
    run = Run(make_spec(home, backend="torch"), tmp_path / "run", FakeLauncher(foreign=[0.5]))
    result, _ = run.go()
    assert "noisy" in [warning.code for warning in result.warnings]
    assert len(timing_jobs(run)) == 2 * 2 * 3


def test_rule_09_the_parent_blocks_while_its_child_measures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    child, cpu_times = MagicMock(pid=1), MagicMock(return_value=[])
    job = make_job(tmp_path, mode="time")

    said = iter(["ready\n", "done\n"])

    def answer() -> str:
        assert cpu_times.call_count == 1, "nothing is read from the machine while it lasts"
        save_arrays(job.output, {"run_ns": np.asarray([1])})
        return next(said)

    child.stdout.readline.side_effect = answer
    monkeypatch.setattr(processes.subprocess, "Popen", lambda *_, **__: child)
    monkeypatch.setattr(psutil, "cpu_times", cpu_times)
    processes.launch([job])
    assert child.stdout.readline.call_count == 2
    child.poll.assert_not_called()
    assert cpu_times.call_count == 2


def test_rule_10_inputs_vary_come_from_the_data_and_are_the_same_for_a_seed(home: Path, finished: Finished) -> None:
    run, result, _ = finished
    again = Run(make_spec(home, Choice(name="int8-dynamic")), home / "again")
    again.go()
    drawn, redrawn = (read_samples(timing_jobs(one)[0].samples) for one in (run, again))
    validation = load_dataset(make_spec(home).dataset).validation.samples
    assert sorted(drawn) == sorted(validation), "each of them, none twice"
    assert drawn == redrawn
    assert result.latency_with_preprocessing.mean_ms > result.latency.mean_ms, "with and without tokenising"


def test_rule_11_text_is_generated_from_the_same_prompts_to_a_fixed_length() -> None:
    contexts = [np.arange(9, dtype=np.int64), np.arange(9, 20, dtype=np.int64)]
    options = ResponseOptions(prompt_tokens=12, new_tokens=5)
    assert [len(ids) for ids in prompts(contexts, 12)] == [12] * PROMPTS
    assert OneResponse().label(options) == "response, 12 tokens in, 5 out", "lengths are part of the context"
    assert {"first_token_p50_ms", "time_per_token_p50_ms", "tokens_per_s", "latency_p50_ms"} <= set(METRICS.names())
    assert (badge(1000), badge(1001), badge(10_001)) == ("sub-second", "second-level", "")


def test_rule_12_the_place_is_recorded(finished: Finished) -> None:
    run, result, _ = finished
    place = result.environment
    assert {
        "cpu_model", "isa_flags", "cores", "affinity", "governor", "load_average", "versions", "provider",
        "source_revision", "memory_bytes", "memory_limit_bytes",
    } <= place.model_dump().keys()  # fmt: skip
    assert place.cpu_model
    assert place.source_revision
    assert place.provider == "ONNX Runtime on cpu"
    assert {"torch", "onnxruntime", "numpy"} <= place.versions.keys()
    assert (result.context.threads, result.context.machine) == (1, place.machine)
    assert {job.backend.params["threads"] for job in run.launcher.jobs} == {1}


def test_rule_13_what_was_timed_is_what_was_scored(finished: Finished) -> None:
    run, _, _ = finished
    for mode in ("time", "score"):
        pairs = {(job.artifact, job.backend.name) for job in run.launcher.jobs if job.mode == mode}
        assert {backend for _, backend in pairs} == {"onnxruntime", "torch"}
        assert pairs == {(job.artifact, job.backend.name) for job in run.launcher.jobs if job.mode != "profile"}


class Untouchable:
    """A split that nobody may look at."""

    def __getattribute__(self, name: str) -> Any:
        raise AssertionError(f"the test split was read: {name}")

    def __len__(self) -> int:
        raise AssertionError("the test split was read")


def test_rule_14_the_test_split_steers_nothing_and_is_scored_once_a_side(
    home: Path, tmp_path: Path, finished: Finished
) -> None:
    techniques = [Choice(name=name) for name in ("prune-magnitude", "distill", "int8-dynamic")]
    spec = make_spec(home, *techniques, seed=14)
    dataset = replace(load_dataset(spec.dataset), test=Untouchable())

    def frame(name: str) -> Any:
        context = MagicMock()
        context.__enter__.return_value = lambda stage: stage
        context.__exit__.return_value = None
        return context

    builder = preparation.Builder(spec, dataset, StageCache(tmp_path), frame, lambda share, text: None)
    assert isinstance(builder.baseline(), Stage)
    assert isinstance(builder.candidate().stage, Stage)
    run, result, _ = finished
    assert result.context.split == "test"
    assert sum(job.mode == "score" for job in run.launcher.jobs) == 2
    assert not set(read_samples(timing_jobs(run)[0].samples)) & set(load_dataset(spec.dataset).test.samples)


def test_rule_15_accuracy_is_compared_sample_by_sample(finished: Finished) -> None:
    _, result, raw = finished
    assert {len(raw.arrays[name]) for name in ("labels", "predictions", "baseline_predictions")} == {18}
    assert result.metrics["accuracy"].ci95 is not None
    assert statistics.wilson(15, 148).ci95 == pytest.approx((0.0624, 0.1605), abs=5e-5)  # Newcombe 1998
    labels = np.zeros(30, np.int64)
    candidate, baseline = labels.copy(), labels.copy()
    candidate[:10] = 1
    baseline[10:12] = 1
    change = statistics.compare_predictions(candidate, baseline, labels)
    assert (change.gained, change.lost, change.flips) == (2, 10, 12)
    assert change.p_value == pytest.approx(158 / 4096)


@pytest.mark.parametrize("changed", ["artifact", "instruction set", "runtime version"])
@pytest.mark.usefixtures("finished")
def test_rule_16_answers_are_kept_by_artifact_instruction_set_and_version(
    changed: str, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    techniques = [Choice(name="int8-dynamic")]
    if changed == "artifact":
        techniques = []
    elif changed == "instruction set":
        monkeypatch.setattr(environment, "isa_flags", lambda: ("made-up",))
    else:
        runtime = type(BACKENDS.get("onnxruntime"))
        other = BACKENDS.get("onnxruntime").capabilities().model_copy(update={"version": "0.0.1"})
        monkeypatch.setattr(runtime, "capabilities", lambda self: other)
    run = Run(make_spec(home, *techniques), tmp_path / "run")
    run.go()
    assert not run.finished["score"], "it was scored anew"
    assert run.finished["fine-tune"], "and nothing that does not depend on it was made anew"


@pytest.mark.parametrize(
    ("value", "predictions", "codes"),
    [
        (-0.08, np.arange(100) % 2, []),
        (-0.10, np.arange(100) % 2, ["collapse"]),
        (0.0, (np.arange(100) >= 95).astype(np.int64), []),
        (0.0, (np.arange(100) >= 96).astype(np.int64), ["one-class"]),
    ],
)
def test_rule_17_a_collapse_is_an_alarm(value: float, predictions: Any, codes: list[str]) -> None:
    change = AccuracyChange(value=value, flips=0, gained=0, lost=0, agreement=1, p_value=1)
    found = stability.accuracy_warnings(change, 0.9, predictions, np.zeros((100, 2), np.float32))
    assert [warning.code for warning in found] == codes


def test_rule_18_classifiers_have_all_their_scores(finished: Finished) -> None:
    _, result, raw = finished
    scores = {"accuracy", "macro_precision", "macro_recall", "macro_f1", "roc_auc"}
    assert set(result.metrics) == set(result.baseline.metrics) == scores
    assert all(metric.value is not None for metric in result.metrics.values())
    rare = statistics.classification_metrics(np.eye(2, dtype=np.float32)[[0] * 10], np.array([0] * 9 + [1]))
    found = [rare[name].value for name in ("accuracy", "macro_recall", "macro_precision")]
    assert found == pytest.approx([0.9, 0.5, 0.45]), "a rare class weighs as much as any other"
    matrix = confusion(raw)
    assert matrix is not None
    assert sum(map(sum, matrix.counts)) == 18
    assert sum(row[i] for i, row in enumerate(matrix.counts)) / 18 == pytest.approx(result.metrics["accuracy"].value)


def suite_run(number: int, model: str, speedup: float) -> Row:
    metrics = {"speedup": Metric(value=speedup), "accuracy_change": Metric(value=0.0)}
    return Row(number, model, "int8-dynamic", "onnxruntime", "context", MappingProxyType(metrics))


def test_rule_19_a_difference_excludes_zero_and_exceeds_a_percent_and_suites_are_geometric() -> None:
    for value, ci95, different in (
        (1.05, (1.02, 1.08), True),
        (1.05, (0.99, 1.11), False),
        (1.005, (1.002, 1.008), False),
    ):
        assert Ratio(value=value, ci95=ci95, pairs=3).is_different is different
    for value, p_value, different in ((0.05, 0.01, True), (0.05, 0.2, False), (0.005, 0.01, False)):
        change = AccuracyChange(value=value, flips=1, gained=1, lost=0, agreement=1, p_value=p_value)
        assert change.is_different is different
    (summed,) = across_models([suite_run(1, "a", 2.0), suite_run(2, "b", 0.5)])
    assert summed.speedup == pytest.approx(1), "twice as fast and half as fast is no gain"


def test_rule_20_good_enough_is_99_or_99_9_percent_of_the_baseline() -> None:
    def kept(accuracy: float) -> list[str]:
        metrics = {"accuracy": Metric(value=accuracy), "accuracy_change": Metric(value=accuracy - 0.8)}
        run = replace(suite_run(1, "a", 2.0), metrics=MappingProxyType(metrics))
        return [preset.name for preset in PRESETS if preset.minimum_share and preset.keeps(run)]

    assert [kept(0.8 * share) for share in (0.9991, 0.9989, 0.9899)] == [["99", "99.9"], ["99"], []]


def test_rule_21_resources_are_those_of_the_inference_process(finished: Finished) -> None:
    _, result, _ = finished
    for footprint in (result.footprint, result.baseline.footprint):
        assert footprint.size_bytes > 0
        assert 0 < footprint.nonzero_parameters <= footprint.parameters
        assert footprint.cpu_s_per_query is not None
    peaks = {result.footprint.peak_memory_bytes, result.baseline.footprint.peak_memory_bytes}
    assert peaks == {50_000_005, 50_000_006}, "the highest of each side's processes, as seen from outside"


def test_rule_22_energy_is_measured_or_there_is_none(home: Path, tmp_path: Path, finished: Finished) -> None:
    def refuse() -> float:
        raise PermissionError("root alone may read it")

    assert Meter([]).joules() is Meter([Counter("RAPL package-0", refuse)]).joules() is None
    readings = count(5.0, 1.5)
    assert Meter([Counter("RAPL package-0", lambda: next(readings))]).joules() == 1.5
    assert (finished[1].footprint.energy_j_per_query, finished[1].footprint.energy_source) == (None, None)
    measured, _ = Run(make_spec(home, backend="torch"), tmp_path / "run", FakeLauncher(energy=0.25)).go()
    assert (measured.footprint.energy_j_per_query, measured.footprint.energy_source) == (0.25, "RAPL package-0")
