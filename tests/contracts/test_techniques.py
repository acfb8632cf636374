"""What every technique must do: explain its parameters, really change a model, and leave one that can be exported."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from engine.backends import BACKENDS
from engine.datasets.files import take
from engine.models.base import Artifact, TrainedModel
from engine.models.preprocess import load_preprocessor
from engine.models.training import predict
from engine.models.weights_file import count_parameters
from engine.resolve import suits
from engine.spec import Task
from engine.techniques import TECHNIQUES
from engine.techniques.base import ArtifactTechnique, Group, ModelTechnique, Technique
from tests import tiny
from tests.tiny import KINDS, Kind

SHORT: dict[str, dict[str, Any]] = {
    "distill": {"width": 0.5, "epochs": 1},
    "prune-layers": {"layers": 1},
    "prune-gradual": {"epochs": 2},
    "int8-static": {"samples": 16},
    "int8-nncf": {"samples": 16},
    "int8-weight-only": {"group_size": 16},
    "int4-weight-only": {"group_size": 16},
}
"""Parameters that keep a test short, where the defaults would not."""

ONE_OF_EACH_FORMAT = list({backend.format: backend for backend in reversed(tiny.usable_backends())}.values())
"""Backends that load the same files need not be tried with every technique; some are tried where they live."""

IMPOSSIBLE = {("early-exit", "mlp")}
"""What the check of a technique refuses, which has tests of its own."""

each_technique = pytest.mark.parametrize("technique", TECHNIQUES, ids=lambda technique: technique.name)


def pairs(kind_of_technique: type) -> list[Any]:
    """Return every technique of a kind with every architecture of its tasks."""
    return [
        pytest.param(technique, kind, id=f"{technique.name}-{kind}")
        for technique in TECHNIQUES
        if isinstance(technique, kind_of_technique)
        for kind in KINDS
        if kind.task in technique.tasks and (technique.name, str(kind)) not in IMPOSSIBLE
    ]


def weights_size(artifact: Artifact) -> int:
    """Return the bytes of the weights; in a model as tiny as these the graph beside them weighs as much."""
    return (artifact.folder / artifact.manifest.weights[-1]).stat().st_size


def short_config(technique: Technique[Any]) -> Any:
    return technique.config_type.model_validate(SHORT.get(technique.name, {}))


def answers(artifact: Artifact, backend_name: str, kind: Kind) -> np.ndarray[Any, Any]:
    backend = BACKENDS.get(backend_name)
    session = backend.load(artifact, backend.options_type.model_validate({"threads": 1}))
    preprocess = load_preprocessor(artifact.manifest.preprocess, artifact.folder)
    return session.run(preprocess(take(tiny.dataset_for(kind.task).validation.samples, np.arange(8))))


@each_technique
def test_it_is_declared(technique: Technique[Any]) -> None:
    assert isinstance(technique.group, Group)
    assert technique.tasks
    assert technique.tasks <= set(Task)
    assert technique.title
    assert technique.summary.endswith(".")
    assert isinstance(technique, ModelTechnique | ArtifactTechnique)
    assert all(isinstance(package, str) for package in technique.packages)


@each_technique
def test_every_parameter_is_explained_and_bounded(technique: Technique[Any]) -> None:
    schema = technique.config_type.model_json_schema()
    for name, field in technique.config_type.model_fields.items():
        facts = schema["properties"][name]
        assert field.title, f"{name} has no title"
        assert field.description, f"{name} has no description"
        assert "default" in facts, f"{name} has no default"
        if facts["type"] in ("number", "integer") and "enum" not in facts:
            assert facts.keys() & {"minimum", "exclusiveMinimum"}, f"{name} has no lower bound"
            assert facts.keys() & {"maximum", "exclusiveMaximum"}, f"{name} has no upper bound"
        elif facts["type"] != "boolean":
            assert facts["enum"], f"{name} is free text"


@each_technique
def test_defaults_survive_a_round_trip_through_json(technique: Technique[Any]) -> None:
    config = technique.config_type()
    again = technique.config_type.model_validate(json.loads(config.model_dump_json()))
    assert again == config


@each_technique
def test_an_unknown_parameter_is_refused(technique: Technique[Any]) -> None:
    with pytest.raises(ValidationError):
        technique.config_type.model_validate({"no_such_parameter": 1})


@each_technique
def test_its_parameters_cannot_be_changed_afterwards(technique: Technique[Any]) -> None:
    config = technique.config_type()
    if not technique.config_type.model_fields:
        pytest.skip("it has no parameters")
    name, value = next(iter(config))
    with pytest.raises(ValidationError):
        setattr(config, name, value)


@pytest.fixture
def model(kind: Kind, tmp_path: Path) -> TrainedModel:
    """A model read back from a stage's folder, as a technique meets it."""
    made, folder = tiny.untrained(kind, tmp_path), tmp_path / "parent"
    folder.mkdir()
    made.family.save(made, folder)
    return made.family.load(folder)


@pytest.mark.parametrize(("technique", "kind"), pairs(ModelTechnique))
def test_a_model_technique_changes_the_model_and_survives_every_backend(
    technique: ModelTechnique[Any], model: TrainedModel, kind: Kind, tmp_path: Path
) -> None:
    split, before = tiny.dataset_for(kind.task).validation, count_parameters(model.module)
    original = predict(model, split)
    reports: list[float] = []
    changed = technique.apply(model, short_config(technique), tiny.context_for(kind.task, reports))
    if technique.group in (Group.DISTILLATION, Group.PRUNING):
        assert count_parameters(changed.module) < before, "neither fewer parameters nor fewer that are not zero"
    expected = predict(changed, split)
    assert np.isfinite(expected).all()
    assert not np.allclose(expected, original)
    assert reports == sorted(reports)
    assert all(0 <= share <= 1 for share in reports)

    saved = tmp_path / "saved"
    saved.mkdir()
    changed.family.save(changed, saved)
    again = changed.family.load(saved)
    np.testing.assert_allclose(predict(again, split), expected, atol=1e-5)
    for backend in ONE_OF_EACH_FORMAT:
        if kind.task not in backend.tasks or not suits(technique, backend):
            continue
        folder = tmp_path / backend.name
        folder.mkdir()
        artifact = backend.export(again, backend.options_type.model_validate({"threads": 1}), folder)
        np.testing.assert_allclose(answers(artifact, backend.name, kind), expected[:8], atol=1e-4)


@pytest.mark.parametrize(("technique", "kind"), pairs(ArtifactTechnique))
@pytest.mark.parametrize("backend", ONE_OF_EACH_FORMAT, ids=lambda backend: backend.name)
def test_an_artifact_technique_changes_every_format_it_names(
    technique: ArtifactTechnique[Any], kind: Kind, backend: Any, model: TrainedModel, tmp_path: Path
) -> None:
    if backend.format not in technique.formats or kind.task not in backend.tasks:
        pytest.skip(f"{technique.name} does not change {backend.format} artifacts")
    source, target = tmp_path / "artifact", tmp_path / "changed"
    source.mkdir()
    target.mkdir()
    artifact = backend.export(model, backend.options_type.model_validate({"threads": 1}), source)
    untouched = {path.name: path.read_bytes() for path in source.iterdir()}
    changed = technique.apply(artifact, short_config(technique), target, tiny.context_for(kind.task))
    assert {path.name: path.read_bytes() for path in source.iterdir()} == untouched
    assert changed == Artifact.read(target)
    if technique.group is Group.QUANTIZATION and kind.variant != "cnn":  # whose convolutions not all of them change
        assert weights_size(artifact) - weights_size(changed) > 0.15 * 4 * artifact.manifest.parameters
    original, logits = answers(artifact, backend.name, kind), answers(changed, backend.name, kind)
    assert logits.shape == original.shape
    if technique.group is Group.QUANTIZATION:
        assert not np.array_equal(logits, original), "nothing changed"
    else:
        np.testing.assert_allclose(logits, original, atol=1e-3)
    assert np.abs(logits - original).max() < 0.5 * np.ptp(original), "nothing is left of the answers"
    assert {path.name for path in target.iterdir()} == set(untouched), "it left files behind"
