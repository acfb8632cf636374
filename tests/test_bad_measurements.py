"""Bad input on the way of a number: it ends as a warning, a gap or a sentence, never as a crash or an invention."""

import csv
import io
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.analysis.evidence import confusion
from engine.analysis.export import csv_text
from engine.errors import MeasurementError
from engine.measure import environment
from engine.measure.disturbance import pin
from engine.measure.jobs import InferenceJob
from engine.measure.processes import ProcessReport
from engine.results import RunResult, flat_metrics
from engine.spec import ExperimentSpec
from tests import tiny
from tests.dashboard.samples import sample_record
from tests.runs import FakeLauncher, Run, furnished, make_spec


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with furnished(tmp_path_factory.mktemp("home")) as folder:
        yield folder


def row_of(spec: ExperimentSpec, result: RunResult) -> dict[str, str]:
    """Return the one row of a result's CSV, as text."""
    (row,) = csv.DictReader(io.StringIO(csv_text([sample_record(1, spec, result)])))
    return row


def codes(result: RunResult) -> set[str]:
    return {warning.code for warning in result.warnings}


class PinningLauncher(FakeLauncher):
    """Asks for each child's cores as the real launcher does; nothing is moved."""

    def one(self, job: InferenceJob) -> ProcessReport:
        return replace(super().one(job), pinned=pin(os.getpid(), job.cores))


@pytest.mark.parametrize(("cores", "pinned"), [((0,), True), (None, False)])
def test_a_machine_with_one_core_or_none_that_it_tells(
    cores: tuple[int, ...] | None, pinned: bool, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "affinity", lambda: cores)
    monkeypatch.setattr(os, "sched_setaffinity", lambda pid, asked: None, raising=False)
    spec = make_spec(home, backend="torch")
    run = Run(spec, tmp_path / "run", PinningLauncher())
    result, _ = run.go()
    assert {job.cores for job in run.launcher.jobs} == {cores}
    assert result.disturbance is not None
    assert result.disturbance.pinned is pinned
    assert result.environment.affinity == cores
    row = row_of(spec, result)
    assert ("not-pinned" in row["warnings"]) is not pinned
    assert row["affinity"] == ("0" if cores else "")


def test_without_permission_to_pin_the_run_goes_on(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(pid: int, cores: tuple[int, ...]) -> None:
        raise PermissionError(pid, cores)

    monkeypatch.setattr(environment, "affinity", lambda: (0, 1))
    monkeypatch.setattr(os, "sched_setaffinity", refuse, raising=False)
    result, _ = Run(make_spec(home, backend="torch"), tmp_path / "run", PinningLauncher()).go()
    assert "not-pinned" in codes(result)


def test_a_machine_that_shows_nothing_of_others_says_so(home: Path, tmp_path: Path) -> None:
    spec = make_spec(home, backend="torch")
    run = Run(spec, tmp_path / "run", FakeLauncher(foreign=[None]))
    result, _ = run.go()
    assert "unwatched" in row_of(spec, result)["warnings"]
    assert "noisy" not in codes(result)
    assert "time again" not in run.finished, "what cannot be seen is no reason to repeat"


class NumberlessLauncher(FakeLauncher):
    """The candidate's answers are not numbers; those of the baseline are."""

    def one(self, job: InferenceJob) -> ProcessReport:
        report = super().one(job)
        if job.mode == "score" and job.backend.name == "onnxruntime":
            return replace(report, arrays={"logits": np.full_like(report.arrays["logits"], np.nan)})
        return report


def test_a_candidate_without_one_answer_is_a_finished_run_of_accuracy_zero(home: Path, tmp_path: Path) -> None:
    spec = make_spec(home)
    result, raw = Run(spec, tmp_path / "run", NumberlessLauncher()).go()
    assert {"nan", "collapse"} <= codes(result)
    assert "one-class" not in codes(result)
    assert result.metrics["accuracy"].value == 0
    assert result.accuracy_change.gained == 0
    assert result.accuracy_change.agreement == 0
    assert result.accuracy_change.value == pytest.approx(-result.baseline.metrics["accuracy"].value)
    assert raw.arrays["predictions"].tolist() == [-1] * 18
    assert RunResult.model_validate_json(result.model_dump_json()) == result
    row = row_of(spec, result)
    assert (row["accuracy"], row["roc_auc"]) == ("0.0", "")
    matrix = confusion(raw)
    assert matrix is not None
    assert sum(map(sum, matrix.counts)) == 0, "no answer is in no class"


def test_a_model_without_one_answer_is_a_finished_run_too(home: Path, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    folder = tiny.encoder_folder(tmp_path / "nan", classes=tiny.CLASSES)
    state = load_file(folder / "model.safetensors")
    state["classifier.bias"] = torch.full_like(state["classifier.bias"], float("nan"))
    save_file(state, folder / "model.safetensors")
    spec = make_spec(home, backend="torch").model_copy(update={"model": str(folder)})
    result, _ = Run(spec, tmp_path / "run").go()
    assert "nan" in codes(result)
    assert result.metrics["accuracy"].value == 0
    assert result.metrics["roc_auc"].value is None
    assert flat_metrics(result)["max_abs_difference"].value is None
    assert RunResult.model_validate_json(result.model_dump_json()) == result


def test_a_test_split_of_one_class(home: Path, tmp_path: Path) -> None:
    """Accuracy stands; an area under a curve needs two classes, and is left empty."""
    path = tiny.reviews_csv(tmp_path / "own.csv", split=True)
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["part"] != "test" or row["mood"] == "positive"]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    spec = make_spec(home, backend="torch").model_copy(update={"dataset": tiny.reviews_reference(path, split=True)})
    result, raw = Run(spec, tmp_path / "run").go()
    assert len(np.unique(raw.arrays["labels"])) == 1
    assert result.metrics["roc_auc"].value is None
    assert all(result.metrics[name].value is not None for name in ("accuracy", "macro_recall", "macro_f1"))
    assert row_of(spec, result)["roc_auc"] == ""


def test_a_sample_too_small_for_a_median_shows_none(home: Path, tmp_path: Path) -> None:
    """Nine samples carry no percentile; none is interpolated, in whatever form the result is read."""
    spec = make_spec(home, backend="torch")
    result, _ = Run(spec, tmp_path / "run", FakeLauncher(n=3)).go()
    assert result.latency.n == 9
    summaries = (result.latency, result.latency_with_preprocessing, result.baseline.latency)
    assert {getattr(one, name) for one in summaries for name in ("p50_ms", "p90_ms", "p95_ms", "p99_ms")} == {None}
    percentiles = [name for name in flat_metrics(result) if "_p5" in name or "_p9" in name]
    assert len(percentiles) == 6
    row = row_of(spec, result)
    for name in percentiles:
        assert flat_metrics(result)[name].value is None
        assert row[name] == ""
    assert result.latency.mean_ms == pytest.approx(1.2, rel=0.05), "what nine samples do carry is there"
    assert row["on_frontier"] == "false"


@pytest.mark.parametrize(("n", "shown"), [(4, {"p50_ms"}), (22, {"p50_ms", "p90_ms"})])
def test_each_percentile_appears_when_its_sample_is_there(n: int, shown: set[str], home: Path, tmp_path: Path) -> None:
    result, _ = Run(make_spec(home, backend="torch"), tmp_path / "run", FakeLauncher(n=n)).go()
    names = ("p50_ms", "p90_ms", "p95_ms", "p99_ms")
    assert {name for name in names if getattr(result.latency, name) is not None} == shown


class StoppedLauncher(FakeLauncher):
    """A clock that does not move while a query runs."""

    def one(self, job: InferenceJob) -> ProcessReport:
        report = super().one(job)
        arrays = {name: values * 0 if name == "run_ns" else values for name, values in report.arrays.items()}
        return replace(report, arrays=arrays)


def test_times_of_zero_are_a_sentence_and_not_an_infinite_speed(home: Path, tmp_path: Path) -> None:
    run = Run(make_spec(home, backend="torch"), tmp_path / "run", StoppedLauncher())
    with pytest.raises(MeasurementError, match="clock of this machine cannot be trusted"):
        run.go()
    assert run.pipeline.stage == "evaluate"
