"""Accuracy-aware quantization: what costs too much stays in floating point, and no more than that."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.backends import BACKENDS
from engine.errors import ExportError
from engine.models.base import Artifact, TrainedModel
from engine.techniques import sensitivity
from engine.techniques.int8_dynamic import Int8Dynamic, Int8DynamicConfig
from engine.techniques.int8_static import Int8Static, Int8StaticConfig
from tests import tiny
from tests.tiny import Kind


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    model: TrainedModel = tiny.untrained(Kind("encoder"), tmp_path)
    folder = tmp_path / "artifact"
    folder.mkdir()
    backend = BACKENDS.get("onnxruntime")
    return backend.export(model, backend.options_type.model_validate({"threads": 1}), folder)


def integer_products(artifact: Artifact) -> int:
    import onnx

    kinds = [node.op_type for node in onnx.load(str(artifact.folder / "model.onnx")).graph.node]
    return sum(kind in ("MatMulInteger", "QLinearMatMul", "QGemm") for kind in kinds)


def apply(technique: Any, artifact: Artifact, config: Any, folder: Path) -> tuple[Artifact, list[str]]:
    notes: list[str] = []
    folder.mkdir()
    context = replace(tiny.context_for(Kind("encoder").task), note=notes.append)
    return technique.apply(artifact, config, folder, context), notes


@pytest.mark.parametrize(
    ("technique", "config"),
    [(Int8Dynamic(), Int8DynamicConfig(max_loss=0)), (Int8Static(), Int8StaticConfig(max_loss=0, samples=16))],
    ids=["dynamic", "static"],
)
def test_operators_stay_in_floating_point_until_the_loss_is_allowed(
    technique: Any, config: Any, artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The judge is told to find every graph with more than four integer products too bad."""
    monkeypatch.setattr(
        sensitivity._Judge,
        "points_lost",
        lambda self, folder: 5.0 if integer_products(Artifact(folder, artifact.manifest)) > 4 else 0.0,
    )
    everything, _ = apply(technique, artifact, config.model_copy(update={"max_loss": 100.0}), tmp_path / "all")
    assert integer_products(everything) > 4
    some, notes = apply(technique, artifact, config, tmp_path / "some")
    assert 0 < integer_products(some) <= 4
    told = json.loads((some.folder / sensitivity.SENSITIVITY_FILE).read_text())
    kept = [told["errors"][name] for name in told["kept"]]
    others = [error for name, error in told["errors"].items() if name not in told["kept"]]
    assert min(kept) >= max(others), "the most sensitive stay"
    assert notes == [
        f"{len(kept)} of {len(kept) + len(others)} operators stay in floating point, to lose 0 points at most"
    ]


def test_nothing_is_held_back_where_all_is_good_enough(artifact: Artifact, tmp_path: Path) -> None:
    changed, notes = apply(Int8Dynamic(), artifact, Int8DynamicConfig(max_loss=99), tmp_path / "changed")
    assert integer_products(changed) > 4
    assert "operators are quantized; together they stay within 99 points" in notes[0]
    assert not (changed.folder / sensitivity.SENSITIVITY_FILE).exists()


def test_a_bound_that_nothing_meets_is_an_error(
    artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sensitivity._Judge, "points_lost", lambda self, folder: 50.0)
    with pytest.raises(ExportError, match=r"Not one operator .* Allow a larger max_loss"):
        apply(Int8Dynamic(), artifact, Int8DynamicConfig(max_loss=1), tmp_path / "changed")
