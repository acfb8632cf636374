"""The contract of a backend: a runtime on a device with its options."""

import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import ClassVar, Generic, Literal, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, JsonValue

from engine.environments import OwnEnvironment
from engine.errors import MeasurementError, UnavailableError
from engine.models.base import Artifact, Manifest, TrainedModel
from engine.models.weights_file import count_parameters
from engine.results import Capability
from engine.spec import CLASSIFICATION, Frozen, Task

Inputs = dict[str, NDArray[np.generic]]
"""One batch by input name, for example ``{"input_ids": (batch, seq) int64}`` or ``{"image": (batch, 1, 28, 28)}``."""


FOUND_BY_TRYING: dict[str, JsonValue] = {"found_by_trying": True}
"""Marks an option whose values are not known before a machine was tried; see :meth:`Backend.try_options`."""


class BackendOptions(Frozen):
    """Base of a backend's options; fields as in :class:`engine.techniques.base.TechniqueConfig`.

    Every backend has ``threads`` and ``device``; :func:`engine.resolve.resolve` fills ``threads=0`` ("all") in.
    """

    threads: int = Field(
        default=0, ge=0, le=256, title="Threads", description="Threads within an operator; 0 takes every core"
    )
    device: str = Field(
        default="cpu",
        pattern=r"^[a-z0-9_]+(:[0-9]+)?$",
        max_length=32,
        title="Device",
        description="Where it runs: cpu, or what this machine was found to have",
        json_schema_extra=FOUND_BY_TRYING,
    )
    affinity: Literal["each", "together", "free"] = Field(
        default="each",
        title="Affinity",
        description="Hold each busy thread on a core of its own (each), all of them on as many cores as there are "
        "threads (together), or leave them to the scheduler on every core (free)",
        json_schema_extra={"unwritten": True},
    )


O = TypeVar("O", bound=BackendOptions)  # noqa: E741 - the usual letter would be ambiguous, this one is scoped


class Session(Protocol):
    """A loaded artifact, ready to answer."""

    def run(self, inputs: Inputs) -> NDArray[np.float32]:
        """Return the logits, shape ``(batch, classes)``, of one batch."""

    def synchronize(self) -> None:
        """Wait until all work that was queued on the device has ended; returns at once on a CPU."""


class Part(Protocol):
    """One of the two parts of a model that was cut in two."""

    def run(self, inputs: Inputs) -> Inputs:
        """Return what this part puts out for one batch, by name, with what it was given, which the other may need."""


class Generator(Protocol):
    """A loaded language model, ready to continue token ids."""

    def logits(self, sequences: Sequence[NDArray[np.int64]]) -> Iterator[NDArray[np.float32]]:
        """Yield, for each sequence of ids in its order, ``(length, vocabulary)`` logits of what follows each token."""

    def stream(self, ids: NDArray[np.int64], count: int) -> Iterator[int]:
        """Yield ``count`` tokens, each the most likely one, as soon as it is known; an end of text does not end it."""

    def stream_together(self, ids: NDArray[np.int64], count: int) -> Iterator[list[int]]:
        """Answer several prompts of one length at once, greedily.

        Args:
            ids: ``(prompts, length)``.
            count: tokens of each answer; an end of text does not end it.

        Yields:
            The next token of every answer, ``count`` times.
        """

    def numbers(self) -> dict[str, float]:
        """Return what else is known of the last response: ``kv_cache_bytes``, and ``acceptance_rate`` of drafts."""


class OperatorTime(NamedTuple):
    """What one operator of a loaded artifact costs in one query, as the runtime's own profiler tells it."""

    name: str
    """Of this very node, with the layer it comes from where the runtime kept that."""
    kind: str
    """What it does, ``"MatMulInteger"`` or ``"aten::addmm"``."""
    seconds: float
    calls: float
    size_bytes: int
    """Of the constants it reads."""
    provider: str = ""
    """What computed it, where a runtime spreads a graph over several; empty where there is one."""


class Backend(ABC, Generic[O]):
    """A runtime with its options; stateless, one instance in the registry."""

    name: ClassVar[str]
    title: ClassVar[str]
    summary: ClassVar[str]
    """One line: what it is and when it helps."""
    format: ClassVar[str]
    """The artifact format it loads."""
    tasks: ClassVar[frozenset[Task]] = CLASSIFICATION
    """What it can do: answer with a class (:meth:`load`), or generate text (:meth:`load_generator`)."""
    options_type: type[O]
    export_options: ClassVar[frozenset[str]] = frozenset()
    """Names of the options that change the exported artifact; the others act when it is loaded."""
    distributions: ClassVar[tuple[str, ...]]
    """The packages it needs, as pip names them; the first one's version is the backend's."""
    takes_split_models: ClassVar[bool] = False
    """Whether it can run a model that early exit has cut in two."""
    extra: ClassVar[str | None] = None
    """The optional dependency group that brings these packages; ``None`` where every installation has them."""
    requirements: ClassVar[tuple[str, ...]] = ()
    """Pins that conflict with ours, as pip takes them: it then lives in an environment of its own."""

    @property
    def environment(self) -> OwnEnvironment | None:
        """The environment of its own, made or not; ``None`` for a backend that lives in ours."""
        return OwnEnvironment(self.name, self.requirements) if self.requirements else None

    @property
    def python(self) -> Path:
        """The interpreter of every process that probes it, exports for it or runs it.

        Raises:
            UnavailableError: if its environment is not made.
        """
        if self.environment is None:
            return Path(sys.executable)
        if not self.environment.is_made:
            raise UnavailableError(f"{self.title} cannot run here: {self.capabilities().reason}")
        return self.environment.python

    @property
    def is_here(self) -> bool:
        """Whether this very process can load it, if it is installed."""
        return self.environment is None or self.environment.is_here

    def capabilities(self) -> Capability:
        """Say what this machine can do, without loading the runtime."""
        if self.environment is not None:
            return self._in_own_environment(self.environment)
        try:
            found, *_ = [version(name) for name in self.distributions]
        except PackageNotFoundError as error:
            wanted = f"'subsecond[{self.extra}]'" if self.extra else " ".join(self.distributions)
            return Capability(
                backend=self.name, available=False, reason=f"{error.name} is not installed: pip install {wanted}"
            )
        return Capability(backend=self.name, available=True, version=found, devices=("cpu",))

    def _in_own_environment(self, environment: OwnEnvironment) -> Capability:
        """Say whether its environment is made."""
        found = environment.version_of(self.distributions[0])
        if found is None:
            reason = f"it needs an environment of its own: subsecond backend install {self.name}"
            return Capability(backend=self.name, available=False, reason=reason)
        return Capability(backend=self.name, available=True, version=found, devices=("cpu",))

    @abstractmethod
    def try_options(self) -> dict[str, tuple[str, ...]]:
        """Load the runtime, compute something small on each device, and return those that answered.

        Returns:
            The values found under the names of the options they are for: ``{"device": ("cpu", "cuda")}``.

        Raises:
            Exception: whatever the runtime raises where it does not run at all.
        """

    @abstractmethod
    def export(self, model: TrainedModel, options: O, folder: Path) -> Artifact:
        """Write ``model`` into the empty ``folder`` in this backend's format.

        Raises:
            ExportError: if an operator cannot be expressed.
        """

    @abstractmethod
    def load(self, artifact: Artifact, options: O) -> Session:
        """Load an artifact; called in a fresh process whose threads were set before.

        Raises:
            MeasurementError: if the runtime refuses the artifact.
        """

    def load_generator(self, artifact: Artifact, options: O) -> Generator:
        """Load a language model; called in a fresh process whose threads were set before.

        Raises:
            MeasurementError: if the runtime refuses the artifact.
        """
        raise MeasurementError(f"{self.title} does not generate text. Choose another backend.")

    def cut(self, artifact: Artifact, folder: Path) -> tuple[Artifact, Artifact] | None:
        """Write a model as two that run one after the other; ``None`` where the runtime or the model has no such way.

        Args:
            artifact: what is cut.
            folder: an empty folder, for one folder each.
        """
        return None

    def load_part(self, artifact: Artifact, options: O) -> Part:
        """Load what :meth:`cut` wrote.

        Raises:
            MeasurementError: if the runtime refuses it.
        """
        raise MeasurementError(f"{self.title} does not run models in parts.")

    @abstractmethod
    def profile(self, artifact: Artifact, options: O, queries: Sequence[Inputs], scratch: Path) -> list[OperatorTime]:
        """Return what each operator costs in a query, the mean over ``queries``, in the order of execution.

        Profiling slows down, so these times say where the time goes, never how long a query takes.

        Args:
            scratch: an empty folder for the profiler's own files.
        """

    def operators_in_file(self, artifact: Artifact) -> int | None:
        """Return how many operators the graph has on disk, before the runtime rewrites it; ``None`` without a graph."""
        return None

    def layer_errors(
        self, artifact: Artifact, parent: Artifact, queries: Sequence[Inputs], scratch: Path
    ) -> dict[str, float]:
        """Return how far values inside an artifact are from those of what it was made of, by their names.

        Each is the root mean square of the difference over that of the parent's values. Empty where a runtime does not
        let us look inside.
        """
        return {}


def no_such(title: str, what: str, wanted: str, found: Sequence[str]) -> MeasurementError:
    """Return the error for a device, or the like, that this machine does not have."""
    return MeasurementError(f"{title} has no {what} '{wanted}' here; it has {', '.join(found) or 'none'}. Choose that.")


def input_names(model: TrainedModel) -> tuple[str, ...]:
    """Return the inputs this very model takes; not every encoder of a family knows token types."""
    names = model.family.input_names
    return names if model.preprocess.token_type_ids else tuple(name for name in names if name != "token_type_ids")


def manifest_of(model: TrainedModel, artifact_format: str, weights: tuple[str, ...]) -> Manifest:
    """Describe the artifact that a model was exported to; ``weights`` are the files of graph and weights."""
    parameters, nonzero = count_parameters(model.module)
    heads, head_width = model.family.heads(model.module)
    return Manifest(
        format=artifact_format,
        family=model.family.name,
        weights=weights,
        parameters=parameters,
        nonzero_parameters=nonzero,
        preprocess=model.preprocess,
        input_names=input_names(model),
        heads=heads,
        head_width=head_width,
        exit_threshold=getattr(model.module, "exit_threshold", None),
    )
