"""Dynamic int8: per channel is closer than per tensor, and a tool that refuses is a sentence."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.backends import BACKENDS
from engine.errors import ExportError
from engine.models.base import Artifact
from engine.models.preprocess import load_preprocessor
from engine.techniques.int8_dynamic import Int8Dynamic, Int8DynamicConfig
from tests import tiny
from tests.tiny import Kind

CONTEXT = tiny.context_for(Kind("vision").task)


def exported(folder: Path, backend_name: str) -> Artifact:
    import torch

    model = tiny.untrained(Kind("vision", "mlp"), folder)
    hidden: Any = model.module.get_submodule("hidden")
    with torch.no_grad():
        hidden.weight[0] *= 100  # one scale for all rows would leave little of the others
    backend = BACKENDS.get(backend_name)
    (folder / "artifact").mkdir()
    return backend.export(model, backend.options_type.model_validate({"threads": 1}), folder / "artifact")


def answers(artifact: Artifact, backend_name: str) -> np.ndarray[Any, Any]:
    backend = BACKENDS.get(backend_name)
    session = backend.load(artifact, backend.options_type.model_validate({"threads": 1}))
    samples = tiny.image_dataset().test.samples
    return session.run(load_preprocessor(artifact.manifest.preprocess, artifact.folder)(samples))


@pytest.mark.parametrize("backend", ["torch", "onnxruntime"])
def test_a_scale_for_every_channel_is_closer_than_one_for_all(backend: str, tmp_path: Path) -> None:
    artifact = exported(tmp_path, backend)
    original, errors = answers(artifact, backend), []
    for per_channel in (True, False):
        folder = tmp_path / str(per_channel)
        folder.mkdir()
        Int8Dynamic().apply(artifact, Int8DynamicConfig(per_channel=per_channel), folder, CONTEXT)
        errors.append(float(np.abs(answers(Artifact.read(folder), backend) - original).mean()))
    assert 0 < errors[0] < errors[1]


def test_weights_are_integers_on_disk(tmp_path: Path) -> None:
    import onnx

    artifact = exported(tmp_path, "onnxruntime")
    (tmp_path / "int8").mkdir()
    changed = Int8Dynamic().apply(artifact, Int8DynamicConfig(), tmp_path / "int8", CONTEXT)
    graph = onnx.load(str(changed.folder / changed.manifest.weights[0])).graph
    kinds = {tensor.data_type for tensor in graph.initializer if np.prod(tensor.dims) > 1000}
    assert kinds == {onnx.TensorProto.INT8}


def test_a_graph_that_cannot_be_quantized_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from onnxruntime import quantization

    def refuse(*_: Any, **__: Any) -> None:
        raise ValueError("no such operator")

    monkeypatch.setattr(quantization, "quantize_dynamic", refuse)
    artifact = exported(tmp_path, "onnxruntime")
    (tmp_path / "int8").mkdir()
    with pytest.raises(ExportError, match=r"not quantize the graph \(no such operator\)\. Leave"):
        Int8Dynamic().apply(artifact, Int8DynamicConfig(), tmp_path / "int8", CONTEXT)
