"""What every technique must do to a language model: change it really, and leave one that still speaks."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.answering import Generating
from engine.backends import BACKENDS
from engine.backends.torch_text import TorchGenerator
from engine.errors import ExportError
from engine.models.base import Artifact, TrainedModel
from engine.models.weights_file import count_parameters
from engine.spec import Task
from engine.techniques import TECHNIQUES
from engine.techniques.base import ArtifactTechnique, Group, ModelTechnique
from tests import tiny_lm

IDS = np.asarray([5, 40, 7, 100, 31, 8, 200, 9], dtype=np.int64)
SHORT: dict[str, dict[str, Any]] = {
    "weights-nncf": {"group_size": 16},
    "prune-layers": {"layers": 1},
    "distill": {"layers": 2, "width": 1.0, "epochs": 1.0},
}

GENERATORS = [backend for backend in BACKENDS if Task.TEXT_GENERATION in backend.tasks]
FITTING = [technique for technique in TECHNIQUES if Task.TEXT_GENERATION in technique.tasks]


def pairs() -> list[Any]:
    """Return every artifact technique with every backend it names; what is not installed is skipped with its reason."""
    found = []
    for technique in FITTING:
        for backend in GENERATORS:
            if isinstance(technique, ArtifactTechnique) and backend.format in technique.formats:
                capability = backend.capabilities()
                marks = [] if capability.available else [pytest.mark.skip(reason=capability.reason)]
                found.append(pytest.param(technique, backend, id=f"{technique.name}-{backend.name}", marks=marks))
    return found


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> TrainedModel:
    return tiny_lm.loaded(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, model: TrainedModel) -> dict[str, Artifact]:
    artifacts = {}
    for backend in GENERATORS:
        if backend.capabilities().available:
            options = backend.options_type.model_validate({"threads": 1})
            artifacts[backend.name] = backend.export(model, options, tmp_path_factory.mktemp(backend.name))
    return artifacts


def logits(artifact: Artifact, backend: Any) -> np.ndarray[Any, Any]:
    (found,) = backend.load_generator(artifact, backend.options_type.model_validate({"threads": 1})).logits([IDS])
    return np.asarray(found)


@pytest.mark.parametrize(("technique", "backend"), pairs())
def test_an_artifact_technique_changes_every_format_it_names(
    technique: ArtifactTechnique[Any], backend: Any, built: dict[str, Artifact], tmp_path: Path
) -> None:
    artifact = built[backend.name]
    config = technique.config_type.model_validate(SHORT.get(technique.name, {}))
    if technique.name == "kv-cache":  # for wider heads, see tests/backends/test_llama_cpp.py
        with pytest.raises(ExportError, match="heads of 16 values"):
            technique.apply(artifact, config, tmp_path, tiny_lm.context())
        return
    changed = technique.apply(artifact, config, tmp_path, tiny_lm.context())
    assert changed == Artifact.read(tmp_path)
    expected = {path.name for path in artifact.folder.iterdir()} | set(changed.manifest.weights)
    assert {path.name for path in tmp_path.iterdir()} == expected
    before, after = logits(artifact, backend), logits(changed, backend)
    assert np.isfinite(after).all()
    if technique.group is Group.QUANTIZATION:
        assert changed.size_bytes < 0.85 * artifact.size_bytes
        assert not np.array_equal(before, after), "nothing changed"
        assert np.corrcoef(before.ravel(), after.ravel())[0, 1] > 0.85, "nothing is left of the answers"
    else:
        np.testing.assert_allclose(after, before, atol=1e-3)
    options = backend.options_type.model_validate({"threads": 1})
    assert len(list(backend.load_generator(changed, options).stream(IDS, 12))) == 12


@pytest.mark.parametrize(
    "technique",
    [technique for technique in FITTING if isinstance(technique, ModelTechnique)],
    ids=lambda technique: technique.name,
)
def test_a_model_technique_leaves_a_model_that_speaks(technique: ModelTechnique[Any], tmp_path: Path) -> None:
    model = tiny_lm.loaded(tmp_path / "source")
    before = count_parameters(model.module)
    (original,) = TorchGenerator(model).logits([IDS])
    config = technique.config_type.model_validate(SHORT.get(technique.name, {}))
    changed = technique.apply(model, config, tiny_lm.context())
    if technique.group in (Group.DISTILLATION, Group.PRUNING):
        assert count_parameters(changed.module) < before, "neither fewer parameters nor fewer that are not zero"
    (expected,) = TorchGenerator(changed).logits([IDS])
    assert np.isfinite(expected).all()
    assert not np.allclose(expected, original)
    (tmp_path / "saved").mkdir()
    changed.family.save(changed, tmp_path / "saved")
    again = changed.family.load(tmp_path / "saved")
    (read,) = TorchGenerator(again).logits([IDS])
    np.testing.assert_allclose(read, expected, atol=1e-4)
    assert Generating().scores_of_model(again, tiny_lm.dataset().validation).shape == (12, 4, 2)
