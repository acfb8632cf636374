"""ONNX Runtime: one file, the options that were asked for, and a sentence where the exporter refuses."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.backends import onnx_runtime
from engine.backends.onnx_export import GRAPH_FILE, OPSET
from engine.backends.onnx_runtime import OnnxRuntime, OnnxRuntimeOptions
from engine.errors import ExportError, MeasurementError
from engine.models.base import Artifact
from tests import tiny
from tests.tiny import Kind


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    return OnnxRuntime().export(tiny.untrained(Kind("vision", "mlp"), tmp_path), OnnxRuntimeOptions(), tmp_path)


def test_the_graph_is_one_file_with_free_batch(artifact: Artifact) -> None:
    import onnx

    model = onnx.load(str(artifact.folder / GRAPH_FILE))
    onnx.checker.check_model(model)
    assert model.opset_import[0].version == OPSET
    assert artifact.manifest.weights == (GRAPH_FILE,)
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    assert [node.name for node in model.graph.output] == ["logits"]


@pytest.mark.parametrize(("level", "name"), [("off", "ORT_DISABLE_ALL"), ("all", "ORT_ENABLE_ALL")])
def test_threads_and_optimisation_reach_the_session(
    artifact: Artifact, level: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnxruntime

    seen: list[Any] = []
    original = onnxruntime.InferenceSession

    def spy(path: str, settings: Any, **rest: Any) -> Any:
        seen.append(settings)
        assert rest == {"providers": ["CPUExecutionProvider"]}
        return original(path, settings, **rest)

    monkeypatch.setattr(onnxruntime, "InferenceSession", spy)
    OnnxRuntime().load(artifact, OnnxRuntimeOptions.model_validate({"threads": 2, "graph_optimization": level}))
    assert (seen[0].intra_op_num_threads, seen[0].inter_op_num_threads) == (2, 1)
    assert seen[0].execution_mode == onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    assert seen[0].graph_optimization_level == getattr(onnxruntime.GraphOptimizationLevel, name)


def test_options_of_loading_do_not_change_the_artifact() -> None:
    assert OnnxRuntime.export_options == frozenset()


def test_an_operator_that_cannot_be_exported_is_a_sentence(tmp_path: Path) -> None:
    import torch
    from torch import nn

    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(784, 3)

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            flat: torch.Tensor = self.head(image.flatten(1))
            return flat + torch.linalg.matrix_exp(flat.T @ flat)[0, 0]

    model = tiny.untrained(Kind("vision", "mlp"), tmp_path)
    model.module = Odd()
    with pytest.raises(ExportError, match=r"cannot be exported to ONNX.*Choose the torch backend"):
        OnnxRuntime().export(model, OnnxRuntimeOptions(), tmp_path)


def test_a_provider_that_does_not_start_is_no_silent_fallback(
    artifact: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnxruntime

    class Fallen:
        def __init__(self, *given: Any, **rest: Any) -> None:
            pass

        def get_providers(self) -> list[str]:
            return ["CPUExecutionProvider"]

        def run(self, names: None, feeds: dict[str, Any]) -> list[Any]:
            return [feeds["x"] + feeds["x"]]

    installed = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: installed)
    monkeypatch.setattr(onnxruntime, "InferenceSession", Fallen)
    options = OnnxRuntimeOptions(provider="cuda", device="cuda")
    with pytest.raises(MeasurementError, match="'cuda' is installed but did not start"):
        OnnxRuntime().load(artifact, options)
    assert OnnxRuntime().try_options() == {"device": ("cpu",), "provider": ("cpu",)}


def test_the_profile_tells_what_computed_each_node(artifact: Artifact, tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    inputs = {"image": np.zeros((1, 1, 28, 28), dtype=np.float32)}
    times = OnnxRuntime().profile(artifact, OnnxRuntimeOptions(threads=1), [inputs], tmp_path / "scratch")
    assert {time.provider for time in times} == {"cpu"}


def test_independent_operators_run_at_once_where_that_was_asked(artifact: Artifact) -> None:
    import onnxruntime

    settings = onnx_runtime._settings(OnnxRuntimeOptions(inter_op_threads=2))
    assert settings.inter_op_num_threads == 2
    assert settings.execution_mode == onnxruntime.ExecutionMode.ORT_PARALLEL
    images = {"image": np.ones((2, 1, 28, 28), dtype=np.float32)}
    one, two = (OnnxRuntime().load(artifact, OnnxRuntimeOptions(inter_op_threads=count)) for count in (1, 2))
    np.testing.assert_allclose(one.run(images), two.run(images), atol=1e-5)
