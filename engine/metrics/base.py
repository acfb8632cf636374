"""The contract of a metric: its direction, unit and the sentence that explains it."""

from typing import Literal

from engine.spec import Frozen, Task


class MetricInfo(Frozen):
    """One number of a result, by the name under which the store and the CSV keep it."""

    name: str
    title: str
    description: str
    unit: str = ""
    direction: Literal["minimize", "maximize"] | None = None
    """Which way is better; ``None`` where neither is."""
    tasks: frozenset[Task] = frozenset(Task)
    quality: bool = False
    """Whether it says how good the answers are (an accuracy axis) rather than what they cost."""

    @property
    def is_share(self) -> bool:
        """Tell whether it is a share of samples, so that a point means the same anywhere on its scale."""
        return self.quality and self.direction == "maximize"
