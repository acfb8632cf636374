"""The contract of a scenario: how queries arrive, and which number says what that is worth."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from engine.measure.paired import Timed
from engine.measure.timing import Plan, Query
from engine.measure.turns import Clock, Turns
from engine.results import OfflineResult, ServerResult
from engine.spec import CLASSIFICATION, Frozen, Task

Arrays = Mapping[str, NDArray[np.generic]]
Seconds = list[NDArray[np.float64]]
"""One array of seconds for each process."""


class ScenarioOptions(Frozen):
    """Base of a scenario's options; fields as in :class:`engine.techniques.base.TechniqueConfig`."""


O = TypeVar("O", bound=ScenarioOptions)  # noqa: E741 - the usual letter would be ambiguous, this one is scoped


@dataclass(frozen=True)
class Bench:
    """What a scenario has to time with, inside the process of one side."""

    queries: Callable[[int], Sequence[Query[Any]]]
    """Returns whole batches of the size asked for, none where the samples do not fill one; of the run's size for 0."""
    plan: Plan
    clock: Clock
    sleep: Callable[[float], None]
    between: Callable[[], None]
    seed: int
    turns: Turns | None = None


@dataclass(frozen=True)
class Reading:
    """What the processes of one side say, in the terms that all scenarios share."""

    latency: Seconds
    """Time of a query (of a whole batch, where several make one)."""
    latency_with_preprocessing: Seconds
    pace: Seconds
    """Seconds a sample; its inverse is the throughput."""
    cost: Seconds
    """What the speed-up compares: less is faster."""
    queries: int | None = None
    """How many different queries ``cost`` passed over, the same on both sides; ``None`` where it made no passes."""


class Scenario(ABC, Generic[O]):
    """One way for queries to arrive; stateless, one instance in the registry."""

    name: ClassVar[str]
    title: ClassVar[str]
    summary: ClassVar[str]
    options_type: type[O]
    tries_layouts: ClassVar[bool] = False
    """Whether it asks how many samples a second all cores serve, however the work is spread over them."""
    tasks: ClassVar[frozenset[Task]] = CLASSIFICATION
    headline: ClassVar[str] = "latency_p50_ms"
    """The metric that says what a variant costs, and the first axis of a plot."""

    @abstractmethod
    def label(self, options: O) -> str:
        """Return what must be equal before two runs may share a plot, for example ``"offline, batches to 32"``."""

    @abstractmethod
    def time(self, bench: Bench, options: O) -> Arrays:
        """Time inside the process: ``run_ns``, ``whole_ns``, ``warmup_ns`` and what else :meth:`read` needs."""

    @abstractmethod
    def read(self, timed: Timed, batch_size: int, options: O) -> Reading:
        """Return what the processes of one side say.

        Raises:
            MeasurementError: if they do not answer the question, with what to change.
        """

    def samples_needed(self, batch_size: int, options: O, samples: int) -> int:
        """Return how many samples of the data set to draw from; ``samples`` are enough for single queries."""
        return samples * batch_size

    def check(self, options: O, positions: int | None) -> None:
        """Refuse options that cannot work on a model, before anything runs.

        Args:
            options: of this scenario.
            positions: tokens that a sequence may have; ``None`` where that is not known or does not matter.

        Raises:
            InvalidValueError: with what to change.
        """

    def plan(self, plan: Plan) -> Plan:
        """Return how much timing an effort stands for here."""
        return plan

    def offline(self, candidate: Timed, baseline: Timed) -> OfflineResult | None:
        """Return what only the offline scenario says."""
        return None

    def server(self, candidate: Timed, baseline: Timed, options: O) -> ServerResult | None:
        """Return what only the server scenario says."""
        return None
