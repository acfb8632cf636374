"""The contract of a model family, and the records that flow through the stages of a run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from engine.datasets.base import Dataset
from engine.models.preprocess import PreprocessSpec
from engine.spec import Frozen, Task

if TYPE_CHECKING:
    import torch
    from torch import nn

MANIFEST = "artifact.json"


class ModelFacts(Frozen):
    """What is known of a model without loading it; ``None`` where it is not."""

    family: str
    layers: int | None = None
    width: int | None = None
    heads: int | None = None


class FineTuneSettings(Frozen):
    """How a model of a family is trained on a data set unless the person says otherwise."""

    epochs: float
    batch_size: int
    learning_rate: float
    weight_decay: float = 0.01
    autocast_bf16: bool = False


@dataclass
class TrainedModel:
    """A PyTorch model with what is needed to feed, save and export it."""

    module: nn.Module
    family: ModelFamily
    preprocess: PreprocessSpec
    preprocess_files: dict[str, Path] = field(default_factory=dict)
    """Files the preprocessing needs, by the name they are stored under."""


@dataclass(frozen=True)
class TrainingContext:
    """What a model technique may use: data, seed, a way to report progress. Never the test split."""

    dataset: Dataset
    seed: int
    report: Callable[[float, str], None]
    """Called with the share done and a short text."""


class Manifest(Frozen):
    """``artifact.json``: what a backend needs to know to load an artifact."""

    format: str
    family: str
    weights: tuple[str, ...]
    """Files that hold the graph and the weights; their sizes make the size on disk."""
    parameters: int
    nonzero_parameters: int
    preprocess: PreprocessSpec
    input_names: tuple[str, ...]
    lowering: tuple[tuple[str, str], ...] = ()
    """Steps to repeat when a PyTorch artifact is loaded, as (technique, its parameters in JSON)."""


@dataclass(frozen=True)
class Artifact:
    """A folder that a backend can load; complete as soon as it exists."""

    folder: Path
    manifest: Manifest

    @classmethod
    def read(cls, folder: Path) -> Artifact:
        """Open a folder written by :meth:`write`."""
        return cls(folder, Manifest.model_validate_json((folder / MANIFEST).read_text("utf-8")))

    @classmethod
    def write(cls, folder: Path, manifest: Manifest) -> Artifact:
        """Complete a folder whose files are in place by writing its manifest."""
        (folder / MANIFEST).write_text(manifest.model_dump_json(indent=1), "utf-8")
        return cls(folder, manifest)

    @property
    def size_bytes(self) -> int:
        """Return the bytes of graph and weights on disk, without the tokenizer."""
        return sum((self.folder / name).stat().st_size for name in self.manifest.weights)


class ModelFamily(ABC):
    """How models of one architecture are made, fed, saved, shrunk and exported; stateless.

    A family is code; a catalog entry that uses it is data.
    """

    name: ClassVar[str]
    task: ClassVar[Task]
    input_names: ClassVar[tuple[str, ...]]
    fine_tuning: ClassVar[FineTuneSettings]

    @abstractmethod
    def facts(self, variant: str, source: Path | None) -> ModelFacts:
        """Read layers, width and heads from the configuration alone."""

    @abstractmethod
    def create(self, variant: str, source: Path | None, dataset: Dataset, seed: int) -> tuple[TrainedModel, bool]:
        """Return the untuned model and whether its head already fits ``dataset``.

        Args:
            variant: which architecture of the family (``"mlp"``, ``"cnn"``), empty where the source says.
            source: folder with configuration and safetensors; ``None`` to start from random weights.

        Raises:
            WeightsError: if the files are damaged or of a refused format.
        """

    @abstractmethod
    def save(self, model: TrainedModel, folder: Path) -> None:
        """Write configuration, weights (safetensors) and preprocessing files; any shapes, pruned ones too."""

    @abstractmethod
    def load(self, folder: Path) -> TrainedModel:
        """Read what :meth:`save` wrote.

        Raises:
            WeightsError: if the files are damaged.
        """

    @abstractmethod
    def logits(self, module: nn.Module, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """Return ``(batch, classes)`` logits."""

    @abstractmethod
    def student(self, model: TrainedModel, layers: int | None, width: float, seed: int) -> TrainedModel:
        """Return a smaller model that starts from the teacher's own weights where shapes allow.

        Args:
            layers: how many of the teacher's layers to keep, evenly spaced; ``None`` keeps all.
            width: share of the hidden units to keep in each layer, in (0, 1].
        """

    @abstractmethod
    def prune_units(
        self,
        model: TrainedModel,
        shares: dict[Literal["heads", "ffn", "channels"], float],
        score: Callable[[nn.Module], None] | None,
    ) -> TrainedModel:
        """Remove the least important units so that shapes really shrink.

        Args:
            shares: share of the units to remove, by kind; kinds the family does not have are ignored.
            score: runs data through the module and leaves gradients in its parameters, for first-order Taylor
                importance; ``None`` for importance by magnitude.
        """

    @abstractmethod
    def dynamic_axes(self) -> dict[str, dict[int, str]]:
        """Return which axes of inputs and output may vary, as :func:`torch.onnx.export` takes them."""
