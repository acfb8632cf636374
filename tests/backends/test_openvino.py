"""OpenVINO: the precision that was asked for, times by node, and NNCF's int8 with and without a bound."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.backends import BACKENDS
from engine.backends.openvino import OpenVino, OpenVinoOptions
from engine.datasets.files import take
from engine.errors import ExportError
from engine.models.base import Artifact
from engine.models.preprocess import load_preprocessor
from engine.techniques.int8_nncf import Int8Nncf, Int8NncfConfig
from tests import tiny
from tests.tiny import Kind

found = BACKENDS.get("openvino").capabilities()
pytestmark = pytest.mark.skipif(not found.available, reason=found.reason)
ENCODER = Kind("encoder")


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    (tmp_path / "artifact").mkdir()
    return OpenVino().export(tiny.untrained(ENCODER, tmp_path), OpenVinoOptions(), tmp_path / "artifact")


def inputs_of(artifact: Artifact, count: int = 4) -> dict[str, Any]:
    samples = take(tiny.text_dataset().validation.samples, np.arange(count))
    return load_preprocessor(artifact.manifest.preprocess, artifact.folder)(samples)


@pytest.mark.parametrize(("precision", "hint"), [("fp32", "f32"), ("bf16", "bf16")])
def test_threads_and_precision_reach_the_runtime(
    artifact: Artifact, precision: str, hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import openvino

    seen: list[dict[str, Any]] = []

    class Spy:
        available_devices = ("CPU",)

        def compile_model(self, path: str, device: str, settings: dict[str, Any]) -> Any:
            seen.append(settings)
            return openvino.compile_model(path, device)

    monkeypatch.setattr(openvino, "Core", Spy)
    OpenVino().load(artifact, OpenVinoOptions.model_validate({"threads": 1, "precision": precision}))
    (settings,) = seen
    assert settings == {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": 1}


def test_the_profile_tells_the_time_of_each_node(artifact: Artifact, tmp_path: Path) -> None:
    inputs = inputs_of(artifact)
    times = OpenVino().profile(artifact, OpenVinoOptions(threads=1), [inputs, inputs, inputs], tmp_path)
    assert times
    assert sum(time.seconds for time in times) > 0
    assert all(0 < time.calls <= 1 for time in times), "each node runs once in a query"
    assert {time.kind for time in times} & {"FullyConnected", "MatMul"}


def test_a_bound_on_the_loss_is_kept(artifact: Artifact, tmp_path: Path) -> None:
    (tmp_path / "int8").mkdir()
    config = Int8NncfConfig(samples=16, max_loss=1.0)
    changed = Int8Nncf().apply(artifact, config, tmp_path / "int8", tiny.context_for(ENCODER.task))
    split = tiny.text_dataset().validation
    right = []
    for one in (artifact, changed):
        session = OpenVino().load(one, OpenVinoOptions(threads=1))
        preprocess = load_preprocessor(one.manifest.preprocess, one.folder)
        answers = [session.run(preprocess(take(split.samples, np.array([row])))).argmax() for row in range(len(split))]
        right.append((np.array(answers) == split.labels).mean())
    assert right[1] >= right[0] - 0.01


def test_more_samples_than_there_are_is_a_sentence(artifact: Artifact, tmp_path: Path) -> None:
    (tmp_path / "int8").mkdir()
    with pytest.raises(ExportError, match=r"4096 samples asked, but the training split has \d+"):
        Int8Nncf().apply(artifact, Int8NncfConfig(samples=4096), tmp_path / "int8", tiny.context_for(ENCODER.task))


def test_nothing_is_told_to_its_makers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CI", raising=False)
    import os

    OpenVino().export(tiny.untrained(Kind("vision", "mlp"), tmp_path), OpenVinoOptions(), tmp_path)
    assert os.environ["CI"] == "true"
