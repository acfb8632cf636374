"""Static quantization: the form that is fast on this processor is taken unless another one is asked for."""

import platform
from pathlib import Path
from typing import Any

import pytest

from engine.backends import BACKENDS
from engine.errors import ExportError
from engine.techniques.int8_static import Int8Static, Int8StaticConfig, chosen_form
from tests import tiny
from tests.tiny import Kind

ENCODER, FUSED, CNN = {"MatMul", "Gemm", "Add"}, {"Attention", "MatMul", "Gemm"}, {"Conv", "Gemm", "Relu"}


@pytest.mark.parametrize(
    ("kinds", "params", "is_qdq", "products"),
    [
        (ENCODER, {}, False, ["Gemm", "MatMul"]),
        (FUSED, {}, True, ["MatMul", "Attention"]),
        (CNN, {}, True, ["Conv", "Gemm"]),
        (ENCODER, {"form": "qdq"}, True, ["Gemm", "MatMul"]),
        (CNN, {"form": "qoperator"}, False, ["Conv", "Gemm"]),
        (ENCODER, {"operators": "all"}, False, None),
    ],
)
def test_the_form_follows_from_the_graph(kinds: set[str], params: dict[str, Any], is_qdq: bool, products: Any) -> None:
    form = chosen_form(Int8StaticConfig.model_validate(params), kinds)
    assert (form.is_qdq, form.kinds) == (is_qdq, products)


@pytest.mark.parametrize(
    ("machine", "asked", "is_signed"),
    [("x86_64", "auto", False), ("aarch64", "auto", True), ("x86_64", "signed", True), ("arm64", "unsigned", False)],
)
def test_activations_are_signed_only_where_that_is_fast_or_asked_for(
    machine: str, asked: Any, is_signed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: machine)
    assert chosen_form(Int8StaticConfig(activations=asked), ENCODER).is_signed is is_signed


@pytest.mark.parametrize("calibration", ["minmax", "entropy", "percentile"])
@pytest.mark.parametrize("kind", [Kind("encoder"), Kind("vision", "cnn")], ids=str)
def test_every_calibration_works_on_every_kind(calibration: Any, kind: Kind, tmp_path: Path) -> None:
    artifact = exported(kind, tmp_path)
    target = tmp_path / "changed"
    target.mkdir()
    config = Int8StaticConfig(calibration=calibration, samples=16)
    changed = Int8Static().apply(artifact, config, target, tiny.context_for(kind.task))
    assert changed.size_bytes < artifact.size_bytes


def test_fewer_samples_than_asked_for_are_an_error(tmp_path: Path) -> None:
    kind = Kind("vision", "mlp")
    with pytest.raises(ExportError, match="100 samples asked, but the training split has 64"):
        Int8Static().apply(
            exported(kind, tmp_path), Int8StaticConfig(samples=100), tmp_path, tiny.context_for(kind.task)
        )


def exported(kind: Kind, folder: Path) -> Any:
    source = folder / "artifact"
    source.mkdir()
    backend = BACKENDS.get("onnxruntime")
    return backend.export(tiny.untrained(kind, folder), backend.options_type.model_validate({"threads": 1}), source)
