"""How long runs are going to take, from how long their like took before."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Protocol

from engine.spec import Effort, ExperimentSpec

MOST_ALIKE = 30
PARAMETERS = re.compile(r"\([^()]*\)")


class PastRun(Protocol):
    """What is needed of a finished run to guess at another one's length; the store's durations have it."""

    @property
    def task(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def techniques(self) -> str: ...
    @property
    def effort(self) -> str: ...
    @property
    def seconds(self) -> float: ...


@dataclass(frozen=True)
class Estimate:
    """How long runs will take together, one after the other."""

    seconds: float
    known: int
    """Of how many runs something alike was measured; the others are left out of the sum."""
    runs: int

    @property
    def is_complete(self) -> bool:
        """Tell whether every run could be guessed at."""
        return self.known == self.runs


def estimate(specs: Sequence[ExperimentSpec], past: Sequence[PastRun]) -> Estimate:
    """Guess the length of each run from the median of those most like it, the newest first in ``past``.

    Most alike are runs of the same model, techniques and effort; then of the same model and effort; then those of the
    same task, scaled by the number of process pairs of their efforts.
    """
    guesses = [guess for spec in specs if (guess := _guess(spec, past)) is not None]
    return Estimate(sum(guesses), len(guesses), len(specs))


def _guess(spec: ExperimentSpec, past: Sequence[PastRun]) -> float | None:
    stack = " + ".join(choice.name for choice in spec.techniques)
    steps: tuple[Callable[[PastRun], bool], ...] = (
        lambda run: run.model == spec.model and run.effort == spec.effort and _stack(run) == stack,
        lambda run: run.model == spec.model and run.effort == spec.effort,
        lambda run: run.model == spec.model,
        lambda run: run.task == spec.task,
    )
    for alike in steps:
        seconds = [run.seconds * _scale(run, spec.effort) for run in past if alike(run)][:MOST_ALIKE]
        if seconds:
            return median(seconds)
    return None


def _stack(run: PastRun) -> str:
    return PARAMETERS.sub("", run.techniques)


def _scale(run: PastRun, effort: Effort) -> float:
    """Return how much longer another effort takes; timing is most of a run whose stages are cached."""
    pairs = {Effort.QUICK: 3, Effort.STANDARD: 5, Effort.RIGOROUS: 10}
    return pairs[effort] / pairs[Effort(run.effort)] if run.effort in pairs else 1.0
