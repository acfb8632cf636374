"""From what a person asked to a complete, checked :class:`~engine.spec.ExperimentSpec`."""

from collections.abc import Sequence

from engine.spec import Choice, Effort, ExperimentSpec, Task


def resolve(
    *,
    model: str,
    dataset: str | None = None,
    task: Task | str | None = None,
    techniques: Sequence[Choice] = (),
    backend: Choice | None = None,
    effort: Effort | str = Effort.QUICK,
    batch_size: int = 1,
    seed: int = 0,
) -> ExperimentSpec:
    """Check names, bounds and combinations, and write every default out.

    Raises:
        RequestError: with one sentence that says what to change.
    """
    raise NotImplementedError
