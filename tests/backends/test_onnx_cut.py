"""Cutting a graph in two: both together answer as the whole does, and share its weights about evenly."""

from pathlib import Path

import numpy as np
import pytest

from engine.backends import BACKENDS, onnx_layers
from engine.backends.onnx_cut import cut_in_two
from engine.backends.onnx_runtime import OnnxRuntimeOptions
from engine.datasets.files import take
from engine.errors import ExportError
from engine.models.preprocess import load_preprocessor
from engine.techniques import TECHNIQUES
from tests import tiny
from tests.tiny import KINDS, Kind

ONNX = BACKENDS.get("onnxruntime")
OPTIONS = OnnxRuntimeOptions(threads=1)


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("technique", [None, "fuse", "int8-dynamic"])
def test_the_parts_answer_as_the_whole(kind: Kind, technique: str | None, tmp_path: Path) -> None:
    if technique and kind.task not in TECHNIQUES.get(technique).tasks:
        pytest.skip("it does not fit")
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    parts.mkdir()
    artifact = ONNX.export(tiny.untrained(kind, tmp_path), OPTIONS, whole)
    if technique:
        (changed := tmp_path / "changed").mkdir()
        step = TECHNIQUES.get(technique)
        artifact = step.apply(artifact, step.config_type(), changed, tiny.context_for(kind.task))
    found = ONNX.cut(artifact, parts)
    assert found is not None
    samples = tiny.dataset_for(kind.task).validation.samples
    inputs = load_preprocessor(artifact.manifest.preprocess, artifact.folder)(take(samples, np.arange(5)))
    front, back = (ONNX.load_part(part, OPTIONS) for part in found)
    expected = ONNX.load(artifact, OPTIONS).run(inputs)
    np.testing.assert_allclose(back.run(front.run(inputs))["logits"], expected, atol=1e-5)
    sizes = [sum(onnx_layers.bytes_by_node(part.folder / "model.onnx").values()) for part in found]
    assert all(sizes)
    assert sum(sizes) < 1.1 * sum(onnx_layers.bytes_by_node(artifact.folder / "model.onnx").values())


def test_a_graph_of_one_node_cannot_be_cut(tmp_path: Path) -> None:
    (tmp_path / "one.onnx").write_bytes(onnx_layers.one_node())
    with pytest.raises(ExportError, match="no place to be cut"):
        cut_in_two(tmp_path / "one.onnx", tmp_path / "front.onnx", tmp_path / "back.onnx")
