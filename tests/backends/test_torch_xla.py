"""PyTorch/XLA with a fake in the place of its runtime, which needs a PyTorch of its own."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
import pytest

from engine.backends.torch_xla import TorchXla
from engine.datasets.files import take
from engine.errors import MeasurementError
from engine.models.base import Artifact
from engine.models.preprocess import load_preprocessor
from engine.models.training import predict
from tests import tiny
from tests.tiny import KINDS, Kind

if TYPE_CHECKING:
    import torch

XLA = TorchXla()
OPTIONS = XLA.options_type(threads=1)


class FakeXla(ModuleType):
    """Computes on the processor at once, and counts how often it was told to."""

    def __init__(self) -> None:
        super().__init__("torch_xla")
        self.chips, self.syncs, self.devices = 0, 0, []

    def device(self) -> torch.device:
        import torch

        self.devices.append(os.environ["PJRT_DEVICE"])
        return torch.device("cpu")

    def sync(self, wait: bool = False) -> None:
        self.syncs += 1


@pytest.fixture(autouse=True)
def xla(monkeypatch: pytest.MonkeyPatch) -> FakeXla:
    fake, internal, tpu = FakeXla(), ModuleType("torch_xla._internal"), ModuleType("torch_xla._internal.tpu")
    tpu.num_available_chips = lambda: fake.chips
    internal.tpu = tpu
    monkeypatch.setenv("PJRT_DEVICE", "")
    for module in (fake, internal, tpu):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return fake


def exported(kind: Kind, folder: Path) -> Artifact:
    target = folder / "artifact"
    target.mkdir()
    return XLA.export(tiny.untrained(kind, folder), OPTIONS, target)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_it_answers_as_the_module_does(kind: Kind, xla: FakeXla, tmp_path: Path) -> None:
    artifact, split = exported(kind, tmp_path), tiny.dataset_for(kind.task).validation
    session = XLA.load(artifact, OPTIONS)
    prepare = load_preprocessor(artifact.manifest.preprocess, artifact.folder)
    logits = session.run(prepare(take(split.samples, np.arange(len(split)))))
    session.synchronize()
    np.testing.assert_allclose(logits, predict(tiny.untrained(kind, tmp_path / "again"), split), atol=1e-4)
    assert xla.devices == ["CPU"]
    assert xla.syncs == 2


def test_texts_come_in_few_lengths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    artifact = exported(Kind("encoder"), tmp_path)
    session = XLA.load(artifact, OPTIONS)
    prepare = load_preprocessor(artifact.manifest.preprocess, artifact.folder)
    seen: list[int] = []
    family = session._family

    def logits(module: object, tensors: dict[str, torch.Tensor]) -> torch.Tensor:
        import torch

        seen.append(tensors["input_ids"].shape[1])
        return torch.zeros(1, 2)

    monkeypatch.setattr(type(family), "logits", lambda self, module, tensors: logits(module, tensors))
    for words in range(1, 120, 7):
        session.run(prepare(["good " * words]))
    assert sorted(set(seen)) == [16, 32, 48, 64]


@pytest.mark.parametrize(("chips", "device"), [(0, "cpu"), (4, "tpu")])
def test_the_device_of_the_machine_is_tried(chips: int, device: str, xla: FakeXla) -> None:
    xla.chips = chips
    assert XLA.try_options() == {"device": (device,)}
    assert xla.devices == [device.upper()]


def test_a_device_that_xla_does_not_know_is_a_sentence(tmp_path: Path) -> None:
    artifact = exported(Kind("vision", "mlp"), tmp_path)
    with pytest.raises(MeasurementError, match="has no device 'cuda' here; it has cpu, tpu"):
        XLA.load(artifact, XLA.options_type(device="cuda"))


def test_a_device_that_does_not_start_is_a_sentence(
    xla: FakeXla, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> torch.device:
        raise RuntimeError("no chips")

    monkeypatch.setattr(xla, "device", refuse)
    with pytest.raises(MeasurementError, match=r"XLA did not start on tpu \(no chips\).*subsecond doctor"):
        XLA.load(exported(Kind("vision", "mlp"), tmp_path), XLA.options_type(device="tpu"))
