"""A runtime that only its own environment has: tried, exported for, changed and run by processes of that Python."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from engine import conversion
from engine.backends import BACKENDS
from engine.errors import ExportError, UnavailableError
from engine.measure.jobs import InferenceJob, write_samples
from engine.measure.processes import launch
from engine.models.base import Artifact, TrainingContext
from engine.models.training import predict
from engine.probe import probe
from engine.spec import Choice
from engine.techniques import TECHNIQUES
from tests import tiny
from tests.tiny import Kind
from tests.wheels import write_wheel

MODULE = "madeup_runtime"
CHOICE = Choice(name="made-up", params={"threads": 1})
SOURCE = """
import sys

from pydantic import Field

from engine.backends import BACKENDS
from engine.backends.torch_eager import TorchEager
from engine.errors import ExportError
from engine.techniques import TECHNIQUES
from engine.techniques.base import ArtifactTechnique, Group, TechniqueConfig, copy_beside_weights


class MadeUp(TorchEager):
    name = "made-up"
    title = "Made-up runtime"
    format = "made-up"
    distributions = ("madeup_runtime",)
    requirements = (WHEEL,)

    def export(self, model, options, folder):
        if model.family.name == "encoder":
            raise ExportError("The made-up runtime knows no texts.")
        (folder / "exported_by").write_text(sys.prefix)
        return super().export(model, options, folder)

    def load(self, artifact, options):
        (artifact.folder / "loaded_by").write_text(sys.prefix)
        return super().load(artifact, options)


class MadeUpConfig(TechniqueConfig):
    times: int = Field(default=1, ge=1, le=9)


class MadeUpStep(ArtifactTechnique[MadeUpConfig]):
    name = "made-up-step"
    title = "Made-up step"
    summary = "Copies."
    group = Group.GRAPH
    config_type = MadeUpConfig
    formats = frozenset({"made-up"})

    def apply(self, artifact, config, folder, context):
        copy_beside_weights(artifact, folder)
        for name in artifact.manifest.weights:
            (folder / name).write_bytes((artifact.folder / name).read_bytes())
        context.note(f"{config.times} of {len(context.dataset.train)} with seed {context.seed} in {sys.prefix}")
        return type(artifact).write(folder, artifact.manifest)


BACKENDS.add(MadeUp())
TECHNIQUES.add(MadeUpStep())
"""


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """A third party's backend and technique, installed nowhere yet; its wheel brings it into every process."""
    folder = tmp_path_factory.mktemp("runtime")
    place = str(folder / f"{MODULE}-1.0-py3-none-any.whl")
    source = SOURCE.replace("WHEEL", repr(place))
    write_wheel(folder, MODULE, {f"{MODULE}.py": source, f"{MODULE}.pth": f"import {MODULE}\n"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SUBSECOND_CACHE", str(folder / "cache"))
        patch.syspath_prepend(place)
        yield importlib.import_module(MODULE)
    del sys.modules[MODULE], BACKENDS._entries["made-up"], TECHNIQUES._entries["made-up-step"]


@pytest.fixture(scope="module")
def prefix(runtime: ModuleType) -> str:
    """Its environment, made."""
    environment = BACKENDS.get("made-up").environment
    assert environment is not None
    environment.make()
    return str(environment.folder)


def exported(kind: Kind, folder: Path) -> Artifact:
    model = tiny.untrained(kind, folder)
    saved, target = folder / "saved", folder / "artifact"
    saved.mkdir()
    target.mkdir()
    model.family.save(model, saved)
    return conversion.export(CHOICE, model, saved, target)


def test_before_it_is_installed_it_is_a_sentence_with_the_command(runtime: ModuleType, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SUBSECOND_CACHE", str(tmp_path / "nothing"))
        found = probe("made-up")
        assert not found.available
        assert "subsecond backend install made-up" in found.reason
        with pytest.raises(UnavailableError, match="subsecond backend install made-up"):
            exported(Kind("vision", "mlp"), tmp_path)


def test_it_is_tried_exported_for_and_run_where_it_lives(prefix: str, tmp_path: Path) -> None:
    found = probe("made-up")
    assert (found.available, found.version, found.reason) == (True, "1.0", "")
    artifact = exported(Kind("vision", "mlp"), tmp_path)
    assert (artifact.folder / "exported_by").read_text() == prefix
    split = tiny.image_dataset().test
    write_samples(tmp_path / "samples.npz", split.samples)
    job = InferenceJob(
        mode="score",
        artifact=artifact.folder,
        backend=CHOICE,
        samples=tmp_path / "samples.npz",
        output=tmp_path / "scores.npz",
        batch_size=8,
        cores=None,
    )
    (report,) = launch([job])
    assert (artifact.folder / "loaded_by").read_text() == prefix
    expected = predict(tiny.untrained(Kind("vision", "mlp"), tmp_path), split)
    np.testing.assert_allclose(report.arrays["logits"], expected, atol=1e-5)


def test_what_cannot_be_exported_there_is_said_here(prefix: str, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"^The made-up runtime knows no texts\.$"):
        exported(Kind("encoder"), tmp_path)


def test_a_technique_works_there_and_its_notes_come_back(prefix: str, tmp_path: Path) -> None:
    artifact, changed = exported(Kind("vision", "mlp"), tmp_path), tmp_path / "changed"
    changed.mkdir()
    notes: list[str] = []
    step = TECHNIQUES.get("made-up-step")
    after = conversion.transform(
        CHOICE,
        technique=step,
        config=step.config_type.model_validate({"times": 3}),
        parent=artifact,
        folder=changed,
        context=TrainingContext(tiny.image_dataset(), 7, lambda share, text: None, notes.append),
        dataset="fashion-mnist",
    )
    assert after == Artifact.read(changed)
    assert notes == [f"3 of 12000 with seed 7 in {prefix}"]


def test_a_process_that_dies_there_is_a_sentence(
    prefix: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model = tiny.untrained(Kind("vision", "mlp"), tmp_path)
    with pytest.raises(ExportError, match=r"Made-up runtime's own process ended without an answer \(exit code 1\)"):
        conversion.export(CHOICE, model, tmp_path / "not there", tmp_path)
    assert "not there" in capfd.readouterr().err, "its last words belong into the log"
