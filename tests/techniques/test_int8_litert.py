"""LiteRT's int8 with measured ranges; run by the Python of LiteRT's own environment."""

from pathlib import Path

import numpy as np
import pytest

from engine.backends import BACKENDS
from engine.datasets.files import take
from engine.errors import ExportError
from engine.models.base import Artifact
from engine.models.preprocess import load_preprocessor
from engine.spec import Task
from engine.techniques.int8_litert import Int8LiteRt, Int8LiteRtConfig
from tests import tiny
from tests.tiny import Kind

LITERT = BACKENDS.get("litert")
CNN, ENCODER = Kind("vision", "cnn"), Kind("encoder")
needs_litert = pytest.mark.skipif(
    not (LITERT.is_here and LITERT.capabilities().available),
    reason="LiteRT is tested where it lives: test_own_environments",
)


def exported(kind: Kind, folder: Path) -> Artifact:
    target = folder / "artifact"
    target.mkdir()
    return LITERT.export(tiny.untrained(kind, folder), LITERT.options_type(), target)


def quantized(artifact: Artifact, task: Task, folder: Path, **config: object) -> Artifact:
    folder.mkdir()
    return Int8LiteRt().apply(
        artifact, Int8LiteRtConfig.model_validate({"samples": 16, **config}), folder, tiny.context_for(task)
    )


def operators(artifact: Artifact) -> list[str]:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    path = str(artifact.folder / "model.tflite")
    return [one["op_name"] for one in Interpreter(path, experimental_op_resolver_type=plain)._get_ops_details()]


def logits(artifact: Artifact, task: Task) -> np.ndarray:
    samples = take(tiny.dataset_for(task).validation.samples, np.arange(12))
    prepare = load_preprocessor(artifact.manifest.preprocess, artifact.folder)
    return LITERT.load(artifact, LITERT.options_type()).run(prepare(samples))


@needs_litert
def test_an_image_model_becomes_integer_throughout(tmp_path: Path) -> None:
    before = exported(CNN, tmp_path)
    after = quantized(before, CNN.task, tmp_path / "int8", activations="static")
    found = operators(after)
    assert found[0] == "QUANTIZE"
    assert found[-1] == "DEQUANTIZE"
    assert not {"QUANTIZE", "DEQUANTIZE"} & set(found[1:-1])
    assert after.size_bytes < 0.35 * before.size_bytes
    original, ours = logits(before, CNN.task), logits(after, CNN.task)
    assert 0 < np.abs(ours - original).max() < 0.2 * np.ptp(original)


@needs_litert
@pytest.mark.parametrize("operators_", ["auto", "products"])
def test_a_text_model_keeps_its_mask_in_floating_point(tmp_path: Path, operators_: str) -> None:
    before = exported(ENCODER, tmp_path)
    after = quantized(before, ENCODER.task, tmp_path / "int8", activations="static", operators=operators_)
    found = operators(after)
    assert found.count("QUANTIZE") > 2
    assert found.count("DEQUANTIZE") > 2
    original, ours = logits(before, ENCODER.task), logits(after, ENCODER.task)
    assert 0 < np.abs(ours - original).max() < 0.2 * np.ptp(original)


@needs_litert
def test_activations_scaled_on_the_fly_need_no_samples(tmp_path: Path) -> None:
    before = exported(CNN, tmp_path)
    after = quantized(before, CNN.task, tmp_path / "int8", samples=4096)
    assert "QUANTIZE" not in operators(after)
    assert after.size_bytes < 0.35 * before.size_bytes


@needs_litert
def test_more_samples_than_there_are_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="65 samples asked, but the training split has 64"):
        quantized(exported(CNN, tmp_path), CNN.task, tmp_path / "int8", activations="static", samples=65)
