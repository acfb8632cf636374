"""Stacks on the way from a spec to an artifact: what completes a step, what it found out, what is built but once."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.errors import MeasurementError
from engine.measure.jobs import InferenceJob
from engine.measure.processes import ProcessReport
from engine.results import RunResult
from engine.spec import Choice
from tests.runs import FakeLauncher, Run, furnished, make_spec


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Caches, state and locks of this file alone; its stages are shared by its tests, as they are by real runs."""
    with furnished(tmp_path_factory.mktemp("home")) as folder:
        yield folder


def choice(name: str, **params: Any) -> Choice:
    return Choice(name=name, params=params)


def result_of(home: Path, name: str, *techniques: Choice, **changes: Any) -> RunResult:
    result, _ = Run(make_spec(home, *techniques, **changes), home / name).go()
    return result


def test_training_with_rounding_is_completed_by_quantization(home: Path) -> None:
    result = result_of(home, "qat", choice("int8-qat", epochs=1, samples=16))
    assert [step.name for step in result.steps] == ["fine-tune", "int8-qat", "int8-static"]
    assert result.explanation is not None
    assert {share.kind for share in result.explanation.operators} & {"QLinearMatMul", "QGemm"}
    assert result.explanation.before, "the graph before it was quantized was profiled too"


def test_fusion_comes_before_the_quantization_that_completes_training(home: Path) -> None:
    result = result_of(home, "fused_qat", choice("int8-qat", epochs=1, samples=16), choice("fuse"))
    assert [step.name for step in result.steps] == ["fine-tune", "int8-qat", "fuse", "int8-static"]


def test_what_a_step_found_out_is_kept(home: Path) -> None:
    result = result_of(home, "fused", choice("fuse"))
    assert "Attention" in result.steps[-1].note
    assert result.steps[0].note == ""


def test_layers_carry_their_errors_against_what_was_changed(home: Path) -> None:
    layers = result_of(home, "int8", choice("int8-dynamic")).layers
    assert sum(layer.share for layer in layers) == pytest.approx(1)
    assert sum(layer.size_bytes for layer in layers) > 0
    errors = [layer.error for layer in layers if layer.error is not None]
    assert errors
    assert all(0 <= error < 1 for error in errors)


def test_layers_of_an_eager_model_are_compared_with_the_baseline(home: Path) -> None:
    layers = result_of(home, "eager", choice("prune-magnitude", sparsity=0.3), backend="torch").layers
    first = next(layer for layer in layers if layer.name.endswith("layer.0.intermediate.dense"))
    assert first.error is not None
    assert first.error > 0
    assert first.size_bytes == 4 * (32 * 64 + 64)
    assert "aten::addmm" in first.kinds


def test_more_teachers_are_fitted_once_for_all_their_students(home: Path) -> None:
    def fitted() -> int:
        return len(list((home / "cache" / "stages").glob("tuned-*/.complete")))

    before = fitted()
    for number, epochs in enumerate((1, 2)):
        result_of(home, f"students{number}", choice("distill", teachers=3, epochs=epochs))
    assert fitted() == max(before, 1) + 2


@pytest.mark.parametrize("backend", ["torch", "onnxruntime"])
def test_an_early_exit_goes_the_whole_way(home: Path, backend: str) -> None:
    more = [choice("fuse"), choice("int8-dynamic")] if backend == "onnxruntime" else [choice("int8-dynamic")]
    result = result_of(home, f"early_{backend}", choice("early-exit"), *more, backend=backend)
    assert "of the validation samples leave after 1 layers" in result.steps[1].note or (
        result.steps[1].note == "no validation sample leaves early"
    )
    assert result.numerical_check is not None
    assert result.numerical_check.agreement > 0.9


def test_buckets_change_the_shapes_and_not_the_answers(home: Path) -> None:
    result = result_of(home, "buckets", choice("bucket-length", multiple=32))
    assert result.numerical_check is not None
    assert result.numerical_check.agreement == 1
    assert result.numerical_check.max_abs_difference == pytest.approx(0, abs=1e-3)


def test_half_precision_is_compared_layer_by_layer_too(home: Path) -> None:
    result = result_of(home, "half", choice("fp16"))
    assert any(layer.error is not None and layer.error < 0.01 for layer in result.layers)


def test_a_profiler_that_fails_does_not_cost_the_run(home: Path) -> None:
    class Unprofiled(FakeLauncher):
        def one(self, job: InferenceJob) -> ProcessReport:
            if job.mode == "profile":
                raise MeasurementError("The profiler crashed.")
            return super().one(job)

    result, _ = Run(make_spec(home), home / "unprofiled", Unprofiled()).go()
    assert result.explanation is None
    assert result.layers == ()
    assert [warning.code for warning in result.warnings].count("unexplained") == 1
    assert result.speedup.value > 1
