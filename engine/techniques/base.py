"""The contract of a technique: one compression step with its parameters."""

import shutil
from abc import ABC, abstractmethod
from enum import StrEnum
from pathlib import Path
from typing import ClassVar, Generic, TypeVar

from engine.models.base import Artifact, ModelFacts, TrainedModel, TrainingContext
from engine.spec import CLASSIFICATION, Choice, Frozen, Task


class Group(StrEnum):
    """The families of compression, as the pages show them."""

    DISTILLATION = "distillation"
    PRUNING = "pruning"
    GRAPH = "graph"
    QUANTIZATION = "quantization"
    ADAPTIVE = "adaptive"


class TechniqueConfig(Frozen):
    """Base of a technique's parameters.

    Every field carries ``title``, ``description`` and bounds (and a unit in ``json_schema_extra={"unit": ...}`` where
    it has one); the form, the CLI help, the README table and the contract tests follow from them.
    """


C = TypeVar("C", bound=TechniqueConfig)


class Technique(ABC, Generic[C]):
    """One compression step.

    A *model technique* (:class:`ModelTechnique`) changes the PyTorch model before it is exported; an *artifact
    technique* (:class:`ArtifactTechnique`) changes what the backend will load. All model techniques of a stack come
    before its artifact techniques.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    summary: ClassVar[str]
    """One line: what it does and when it helps."""
    group: ClassVar[Group]
    config_type: type[C]
    tasks: ClassVar[frozenset[Task]] = CLASSIFICATION
    packages: ClassVar[tuple[str, ...]] = ()
    """Distributions that must be installed, by their names on the package index."""
    exclusive: ClassVar[bool] = False
    """Whether a stack may hold at most one technique of this group."""
    formats: ClassVar[frozenset[str] | None] = None
    """Artifact formats on which it can be carried out, for example ``{"onnx", "torch"}``; ``None`` for all."""

    splits_model: ClassVar[bool] = False
    """Whether the model consists of several graphs after it; it is then the last technique on the model."""
    needs_whole_model: ClassVar[bool] = False
    """Whether it can be carried out on a model of one graph only."""

    def check(self, config: C, facts: ModelFacts) -> None:
        """Refuse parameters that cannot work on this model, before anything runs.

        Raises:
            InvalidValueError: with what to change.
        """


class ModelTechnique(Technique[C]):
    """A technique on the PyTorch model; its result is cached by content and shared by all runs."""

    @abstractmethod
    def apply(self, model: TrainedModel, config: C, context: TrainingContext) -> TrainedModel:
        """Return the compressed model; ``model`` itself may be changed in place.

        Raises:
            TrainingError: if recovery or distillation diverges.
        """

    def completed_by(self, config: C) -> tuple[Choice, ...]:
        """Return the artifact techniques that have to follow the export to make good what was trained for."""
        return ()


class ArtifactTechnique(Technique[C]):
    """A technique on the exported artifact; the backend's format decides how it is carried out."""

    formats: ClassVar[frozenset[str]]

    @abstractmethod
    def apply(self, artifact: Artifact, config: C, folder: Path, context: TrainingContext) -> Artifact:
        """Write the transformed artifact into the empty ``folder`` and return it; ``artifact`` stays as it is.

        Raises:
            ExportError: if the format's own tool refuses.
        """


def copy_whole(artifact: Artifact, folder: Path) -> None:
    """Copy every file of an artifact into ``folder``, for a technique that changes its manifest only."""
    for path in artifact.folder.iterdir():
        if path.is_file():
            shutil.copyfile(path, folder / path.name)


def copy_beside_weights(artifact: Artifact, folder: Path) -> None:
    """Copy what an artifact holds beside its graph and weights, the tokenizer for example, into ``folder``."""
    artifact.copy_beside_weights(folder)
