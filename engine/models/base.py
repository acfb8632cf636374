"""The contract of a model family, and the records that flow through the stages of a run."""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from engine.datasets.base import Dataset, Split
from engine.errors import InvalidValueError, TrainingError
from engine.models.preprocess import Preprocessor, PreprocessSpec
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
    flops: float | None = None
    """Floating-point operations of one typical sample."""
    widths: tuple[int, ...] = ()
    """Inputs of its matrix products."""
    positions: int | None = None
    """Tokens that a sequence may have."""
    exits: int | None = None
    """Places, one after each of the first layers, at which a sample could leave early."""


class FineTuneSettings(Frozen):
    """How a model of a family is trained on a data set unless the person says otherwise."""

    epochs: float
    batch_size: int
    learning_rate: float
    weight_decay: float = 0.01
    autocast_bf16: bool = False
    label_smoothing: float = 0.0
    way_out_rate: float = 20.0
    """How many times the learning rate a way out is given, which starts from nothing in a model that is fitted."""
    flip: bool = False
    """Mirror half of the images, at random."""


@dataclass
class TrainedModel:
    """A PyTorch model with what is needed to feed, save and export it."""

    module: nn.Module
    family: ModelFamily
    preprocess: PreprocessSpec
    preprocess_files: dict[str, Path] = field(default_factory=dict)
    """Files the preprocessing needs, by the name they are stored under."""
    preprocessor: Preprocessor | None = None
    """Filled in at first use."""


def _no_other(seed: int) -> TrainedModel:
    raise TrainingError(f"There is no model fitted with seed {seed} to learn from. Ask for one teacher only.")


def _no_scores(artifact: Artifact, split: Split) -> NDArray[np.float32]:
    raise TrainingError(f"There is no backend here to score '{artifact.folder.name}' on. Leave max_loss at 100.")


@dataclass(frozen=True)
class TrainingContext:
    """What a model technique may use: data, seed, a way to report progress. Never the test split."""

    dataset: Dataset
    seed: int
    report: Callable[[float, str], None]
    """Called with the share done and a short text."""
    note: Callable[[str], None] = field(default=lambda text: None)
    """Called with a short text that belongs to the record of this step, what a search found for example."""
    scores: Callable[[Artifact, Split], NDArray[np.float32]] = field(default=_no_scores)
    """Returns an artifact's logits, ``(n, classes)``, from the backend it is for, one sample at a time."""
    another: Callable[[int], TrainedModel] = field(default=_no_other)
    """Returns the uncompressed model fitted with another seed; kept, so that no two runs fit it twice."""


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
    heads: int = 0
    """Attention heads in a layer, 0 where there are none; what fuses attention has to know."""
    head_width: int = 0
    lookup_words: int = 0
    """Longest run of tokens that is looked up in the text so far, where a language model guesses."""
    lookup_guesses: int = 0
    """Tokens it guesses at once; 0 for none."""
    draft_guesses: int = 0
    """Tokens that a part of its own layers drafts at once; 0 for none."""
    draft_layers: int = 0
    cache_bits: int = 0
    """Bits of a cached key or value of a language model; 0 for what the runtime does by itself."""
    exit_threshold: float | None = None
    """Confidence from which a sample leaves after the first of two graphs; ``None`` for a model of one graph."""


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

    def copy_beside_weights(self, folder: Path) -> None:
        """Copy what lies beside graph and weights, the tokenizer for example, into ``folder``."""
        for path in self.folder.iterdir():
            if path.name not in self.manifest.weights:
                shutil.copyfile(path, folder / path.name)

    @property
    def size_bytes(self) -> int:
        """Return the bytes of graph and weights on disk, without the tokenizer."""
        return sum((self.folder / name).stat().st_size for name in self.manifest.weights)


UnitKind = Literal["heads", "ffn", "channels"]


@dataclass(frozen=True)
class Prunable:
    """The layers of a model whose output units may be removed without touching its interface."""

    layers: dict[UnitKind, list[nn.Module]]
    """Linear and convolution layers by kind; for heads the query, key and value projections."""
    heads: dict[nn.Module, int]
    """Number of heads by projection."""
    frozen: list[nn.Module]
    """Layers whose output width must stay: the residual stream and the classifier."""


class ModelFamily(ABC):
    """How models of one architecture are made, fed, saved, shrunk and exported; stateless.

    A family is code; a catalog entry that uses it is data.
    """

    name: ClassVar[str]
    task: ClassVar[Task]
    input_names: ClassVar[tuple[str, ...]]
    first_stage: ClassVar[str] = "fine-tune"
    """What the stage is called that makes a model out of fetched weights."""

    def variant(self, module: nn.Module) -> str:
        """Return which architecture of the family a module is; empty where there is but one."""
        return ""

    @abstractmethod
    def fine_tuning(self, variant: str) -> FineTuneSettings:
        """Return how a variant is trained by default."""

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
    def keep_layers(self, model: TrainedModel, layers: int) -> TrainedModel:
        """Return a copy with only ``layers`` of the repeated layers, evenly spaced, the last one among them.

        Raises:
            InvalidValueError: if the architecture has no repeated layers, or not more than that.
        """

    @abstractmethod
    def with_layers(self, model: TrainedModel, chosen: Sequence[int]) -> TrainedModel:
        """Return a copy with only the chosen ones of the repeated layers, in their order.

        Raises:
            InvalidValueError: if the architecture has no repeated layers.
        """

    def blocks(self, module: nn.Module) -> list[nn.Module]:
        """Return the repeated layers in order; none if the architecture has none."""
        return []

    def attentions(self, module: nn.Module) -> list[nn.Module]:
        """Return the modules, one a repeated layer, whose second output is ``(batch, heads, sequence, sequence)``."""
        return []

    @abstractmethod
    def prunable(self, module: nn.Module) -> Prunable:
        """Return which units may be removed, for :func:`engine.models.structured.prune_units`."""

    def heads(self, module: nn.Module) -> tuple[int, int]:
        """Return attention heads in a layer and the width of one; zeros where there are none."""
        return 0, 0

    def settle(self, module: nn.Module) -> None:
        """Bring attributes that repeat a shape (a head count, say) in line with the layers, after those changed."""
        return

    def with_exit(self, model: TrainedModel, after: int, threshold: float) -> TrainedModel:
        """Return a copy with a way out (see :mod:`engine.models.early_exit`) after so many layers, 0 for half of them.

        Raises:
            InvalidValueError: if there is no layer before or after it.
        """
        raise InvalidValueError("Samples cannot leave this model early. Leave early-exit out.")

    def state_axes(self) -> list[dict[int, str]]:
        """Return which axes may vary of what the front half of a model with a way out hands to the back half."""
        return []

    @abstractmethod
    def dynamic_axes(self) -> dict[str, dict[int, str]]:
        """Return which axes of inputs and output may vary, as :func:`torch.onnx.export` takes them."""
