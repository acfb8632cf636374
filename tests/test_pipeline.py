"""One run from spec to result, on a person's own tiny model and file, with inference inside this process."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.errors import MeasurementError, RunError, TrainingError, WeightsError
from engine.measure.environment import machine_id
from engine.measure.jobs import InferenceJob
from engine.measure.processes import ProcessReport
from engine.measure.timing import PLANS
from engine.metrics import METRICS
from engine.models import training
from engine.outcome import KEPT_PER_PROCESS
from engine.results import Disturbance, RawData, RunResult, flat_metrics
from engine.spec import Choice, Effort, Task
from tests import tiny
from tests.runs import FakeLauncher, Run, furnished, make_spec

EVERY_STAGE = [
    "load data",
    "fetch weights",
    "fine-tune",
    "export baseline",
    "prune-magnitude",
    "export",
    "int8-dynamic",
    "quiet lane",
    "time",
    "profile",
    "score",
    "score baseline",
    "evaluate",
]
CACHED_STAGES = {
    "fine-tune",
    "export baseline",
    "prune-magnitude",
    "export",
    "int8-dynamic",
    "score",
    "score baseline",
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Caches, state and locks of this file alone; its stages are shared by its tests, as they are by real runs."""
    with furnished(tmp_path_factory.mktemp("home")) as folder:
        yield folder


STACK = (Choice(name="prune-magnitude", params={"sparsity": 0.3}), Choice(name="int8-dynamic"))


@pytest.fixture(scope="module")
def first(home: Path) -> tuple[Run, RunResult, RawData]:
    """The first run of a stack."""
    run = Run(make_spec(home, *STACK), home / "first")
    return run, *run.go()


def test_stages_come_in_order_and_are_announced(first: tuple[Run, RunResult, RawData]) -> None:
    run, result, _ = first
    assert list(run.finished) == EVERY_STAGE
    assert not any(run.finished.values())
    announced = list(dict.fromkeys(event.stage for event in run.events))
    assert announced == EVERY_STAGE
    assert [stage.name for stage in result.stages] == EVERY_STAGE[:-1], "the last one is still under way"
    assert all(stage.seconds >= 0 for stage in result.stages)


def test_a_result_is_complete(first: tuple[Run, RunResult, RawData]) -> None:
    _, result, _ = first
    fitting = {metric.name for metric in METRICS if Task.TEXT_CLASSIFICATION in metric.tasks}
    assert set(flat_metrics(result)) == fitting - {"max_rate_per_s", "best_batch_size"}
    missing = {name for name, metric in flat_metrics(result).items() if metric.value is None}
    assert missing == {"latency_p99_ms", "energy_j_per_query"}, "360 samples do not carry one, no counter the other"
    assert RunResult.model_validate_json(result.model_dump_json()) == result
    assert result.environment.provider == "ONNX Runtime on cpu"


def test_how_much_was_timed_and_what_was_seen_meanwhile_is_kept(first: tuple[Run, RunResult, RawData]) -> None:
    _, result, _ = first
    assert result.timing is not None
    assert result.timing.model_dump() == asdict(PLANS[Effort.QUICK])
    assert result.disturbance == Disturbance(
        foreign_share=0.0, steal_share=0.0, migrations=3.0, clock_drift=0.25, pinned=True
    )
    assert result.throughput_ci95 is not None
    assert result.throughput_ci95[0] < result.throughput_per_s < result.throughput_ci95[1]


def test_energy_is_that_of_a_query_or_none(home: Path, first: tuple[Run, RunResult, RawData]) -> None:
    assert (first[1].footprint.energy_j_per_query, first[1].footprint.energy_source) == (None, None)
    launcher = FakeLauncher(energy=0.25)
    result, _ = Run(make_spec(home, backend="torch"), home / "energy", launcher).go()
    assert (result.footprint.energy_j_per_query, result.footprint.energy_source) == (0.25, "RAPL package-0")
    assert flat_metrics(result)["energy_j_per_query"].value == 0.25


def test_the_model_was_fitted_to_the_person_s_data(first: tuple[Run, RunResult, RawData]) -> None:
    _, result, _ = first
    assert result.baseline.metrics["accuracy"].n == 18
    assert result.footprint.nonzero_parameters < 0.8 * result.baseline.footprint.nonzero_parameters


def test_latency_and_speed_up_are_of_the_processes(first: tuple[Run, RunResult, RawData]) -> None:
    run, result, _ = first
    assert result.latency.n == 360
    assert result.latency.p50_ms == pytest.approx(1.2, rel=0.01)
    assert result.latency_with_preprocessing.p50_ms == pytest.approx(1.3, rel=0.01)
    assert result.baseline.latency.p50_ms == pytest.approx(3, rel=0.01)
    assert result.speedup.value == pytest.approx(2.5, rel=0.01)
    assert result.throughput_per_s == pytest.approx(1e3 / result.latency.mean_ms)
    assert result.footprint.load_s == pytest.approx(0.2)
    assert result.footprint.peak_memory_bytes == 50_000_005 + 0
    timing = [job for job in run.launcher.jobs if job.mode == "time"]
    assert len(timing) == 6


def test_both_sides_are_timed_alike(first: tuple[Run, RunResult, RawData]) -> None:
    run, _, _ = first
    timing = [job for job in run.launcher.jobs if job.mode == "time"]
    assert len({job.samples for job in timing}) == 1
    assert {job.backend.params["threads"] for job in timing} == {1}
    assert all(job.cores is None or len(job.cores) == 1 for job in timing)
    assert {job.backend.name for job in timing if job.output.name.startswith("baseline")} == {"torch"}


def test_what_was_timed_is_what_was_scored(first: tuple[Run, RunResult, RawData]) -> None:
    run, _, _ = first
    timed = {job.artifact for job in run.launcher.jobs if job.mode == "time"}
    assert {job.artifact for job in run.launcher.jobs if job.mode == "score"} == timed
    assert len(timed) == 2


def test_raw_arrays_are_kept_small_and_agree_with_the_summary(first: tuple[Run, RunResult, RawData]) -> None:
    _, result, raw = first
    arrays = raw.arrays
    assert arrays["classes"].tolist() == list(tiny.CLASSES)
    assert {name: array.dtype.name for name, array in arrays.items() if name != "classes"} == {
        "labels": "uint8",
        "predictions": "int16",
        "baseline_predictions": "int16",
        "candidate_latency_s": "float32",
        "candidate_process": "uint8",
        "baseline_latency_s": "float32",
        "baseline_process": "uint8",
    }
    accuracy = (arrays["predictions"] == arrays["labels"]).mean()
    assert accuracy == pytest.approx(result.metrics["accuracy"].value)
    assert np.median(arrays["candidate_latency_s"]) * 1e3 == pytest.approx(result.latency.p50_ms, rel=1e-4)
    assert np.bincount(arrays["candidate_process"].astype(int)).tolist() == [120] * 3


def test_the_context_names_what_must_be_equal(first: tuple[Run, RunResult, RawData], home: Path) -> None:
    _, result, _ = first
    context = result.context
    assert context.dataset.startswith("own.csv@")
    assert (context.split, context.samples, context.batch_size, context.threads) == ("test", 18, 1, 1)
    assert (context.device, context.input_shape, context.machine) == ("cpu", "text", machine_id())
    assert str(home) not in result.model_dump_json()


def test_a_second_run_takes_everything_but_the_timing_from_the_cache(
    first: tuple[Run, RunResult, RawData], home: Path
) -> None:
    run = Run(make_spec(home, *STACK), home / "second")
    result, _ = run.go()
    assert {name for name, cached in run.finished.items() if cached} == CACHED_STAGES
    assert {job.mode for job in run.launcher.jobs} == {"time", "profile"}
    assert result.metrics == first[1].metrics
    assert result.context == first[1].context


@pytest.mark.usefixtures("first")
def test_runs_share_the_stages_they_have_in_common(home: Path) -> None:
    run = Run(make_spec(home, STACK[1]), home / "third")
    run.go()
    assert {name for name, cached in run.finished.items() if cached} == {
        "fine-tune",
        "export baseline",
        "score baseline",
    }


@pytest.mark.usefixtures("first")
def test_another_seed_is_another_model(home: Path) -> None:
    run = Run(make_spec(home, backend="torch", seed=1), home / "seeded")
    run.go()
    assert run.finished["fine-tune"] is False


def test_the_baseline_itself_is_tied_with_itself(home: Path, first: tuple[Run, RunResult, RawData]) -> None:
    del first
    result, raw = Run(make_spec(home, backend="torch"), home / "baseline").go()
    assert (result.accuracy_change.flips, result.accuracy_change.agreement) == (0, 1.0)
    assert not result.accuracy_change.is_different
    np.testing.assert_array_equal(raw.arrays["predictions"], raw.arrays["baseline_predictions"])
    assert result.numerical_check is not None
    assert result.numerical_check.max_abs_difference < 1e-4


def test_batches_are_counted_in_the_throughput(home: Path, first: tuple[Run, RunResult, RawData]) -> None:
    del first
    run = Run(make_spec(home, backend="torch", batch_size=4), home / "batched")
    result, _ = run.go()
    assert result.throughput_per_s == pytest.approx(4e3 / result.latency.mean_ms)
    assert {job.batch_size for job in run.launcher.jobs} == {4}
    assert result.context.batch_size == 4


def test_of_many_samples_some_are_kept_and_all_are_counted(home: Path, first: tuple[Run, RunResult, RawData]) -> None:
    del first
    launcher = FakeLauncher(n=3 * KEPT_PER_PROCESS + 1)
    result, raw = Run(make_spec(home, backend="torch"), home / "many", launcher).go()
    assert result.latency.n == 3 * (3 * KEPT_PER_PROCESS + 1)
    assert np.bincount(raw.arrays["candidate_process"].astype(int)).max() <= KEPT_PER_PROCESS


def test_a_foreign_load_is_a_warning(home: Path, first: tuple[Run, RunResult, RawData]) -> None:
    del first
    run = Run(make_spec(home, backend="torch"), home / "noisy", FakeLauncher(foreign=[0.5]))
    result, _ = run.go()
    assert "noisy" in [warning.code for warning in result.warnings]
    assert "time again" in run.finished, "a noisy timing is repeated once, then kept and marked"
    assert sum(job.mode == "time" for job in run.launcher.jobs) == 2 * 2 * 3


def test_a_noise_that_passes_is_left_behind(home: Path, first: tuple[Run, RunResult, RawData]) -> None:
    del first
    run = Run(make_spec(home, backend="torch"), home / "passing", FakeLauncher(foreign=[0.5] * 6 + [0.0]))
    result, _ = run.go()
    assert "noisy" not in [warning.code for warning in result.warnings]
    assert result.footprint.peak_memory_bytes is not None
    assert result.footprint.peak_memory_bytes > 50_000_006, "the quiet repetition is the one that counts"


def test_a_quiet_timing_is_not_repeated(first: tuple[Run, RunResult, RawData]) -> None:
    run, _, _ = first
    assert "time again" not in run.finished


def test_progress_is_not_told_more_than_a_few_times_a_second(first: tuple[Run, RunResult, RawData]) -> None:
    run, _, _ = first
    within = [event for event in run.events if event.stage == "fine-tune" and event.progress not in (None, 1)]
    assert len(within) <= 5


def fails(home: Path, name: str, *techniques: Choice, launcher: Any = None, **changes: Any) -> tuple[str, RunError]:
    """Return the stage in which a run failed, and its error."""
    run = Run(make_spec(home, *techniques, **changes), home / name, launcher)
    with pytest.raises(RunError) as caught:
        run.go()
    assert run.pipeline.stage not in run.finished
    return run.pipeline.stage, caught.value


def test_a_failure_while_timing_names_the_stage(home: Path, first: tuple[Run, RunResult, RawData]) -> None:
    del first

    def dies(job: InferenceJob) -> ProcessReport:
        raise MeasurementError("The inference process ended without an answer.")

    assert fails(home, "dies", launcher=dies, backend="torch")[0] == "time"


def test_a_failure_while_training_names_the_stage_and_leaves_none(
    home: Path, first: tuple[Run, RunResult, RawData], monkeypatch: pytest.MonkeyPatch
) -> None:
    del first
    before = {path.name for path in (home / "cache" / "stages").iterdir() if path.is_dir()}

    def diverges(*_: Any, **__: Any) -> None:
        raise TrainingError("Training diverged.")

    monkeypatch.setattr(training, "train", diverges)
    stage, error = fails(home, "diverges", seed=99)
    assert (stage, type(error)) == ("fine-tune", TrainingError)
    assert {path.name for path in (home / "cache" / "stages").iterdir() if path.is_dir()} == before


def test_damaged_weights_name_the_stage(home: Path, tmp_path: Path) -> None:
    broken = tiny.encoder_folder(tmp_path / "broken")
    (broken / "model.safetensors").write_bytes(b"damaged")
    spec = make_spec(home).model_copy(update={"model": str(broken)})
    run = Run(spec, home / "broken")
    with pytest.raises(WeightsError, match="cannot be read"):
        run.go()
    assert run.pipeline.stage == "fine-tune"


def test_a_file_that_went_away_names_the_stage(home: Path) -> None:
    spec = make_spec(home).model_copy(update={"dataset": tiny.reviews_reference(home / "gone.csv")})
    run = Run(spec, home / "gone")
    with pytest.raises(RunError, match=r"no file 'gone\.csv'"):
        run.go()
    assert run.pipeline.stage == "load data"


def test_data_of_another_task_is_refused(home: Path) -> None:
    run = Run(make_spec(home).model_copy(update={"dataset": "fashion-mnist"}), home / "mixed")
    with pytest.raises(RunError, match="text-classification"):
        run.go()


def test_answers_of_other_code_are_not_reused(
    home: Path, first: tuple[Run, RunResult, RawData], monkeypatch: pytest.MonkeyPatch
) -> None:
    del first
    run = Run(make_spec(home, backend="torch"), home / "known")
    run.go()
    monkeypatch.setattr("engine.pipeline.code_version", lambda *_: "another release")
    again = Run(make_spec(home, backend="torch"), home / "edited")
    again.go()
    assert again.finished["fine-tune"], "only what the edited code made is made anew"
    assert not again.finished["score"]
