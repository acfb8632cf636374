"""The light row of tables and plots."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from engine.results import Metric, Status


class Numbers(Mapping[str, Metric]):
    """The metrics of a run by name; each becomes a record when it is asked for, because a page asks for few of them.

    Args:
        rows: value, both ends of the interval and sample size by name.
    """

    __slots__ = ("_made", "_rows")

    def __init__(self, rows: Mapping[str, tuple[float | None, float | None, float | None, int | None]]) -> None:
        self._rows = rows
        self._made: dict[str, Metric] = {}

    def __getitem__(self, name: str) -> Metric:
        made = self._made.get(name)
        if made is None:
            value, low, high, count = self._rows[name]
            made = Metric(value=value, ci95=None if low is None or high is None else (low, high), n=count)
            self._made[name] = made
        return made

    def __contains__(self, name: object) -> bool:
        return name in self._rows

    def get(self, name: str, default: Any = None) -> Any:
        """Return a metric, or the default where there is none, without the cost of an exception."""
        return self[name] if name in self._rows else default

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One row of a table or plot: cheap to read by the thousand, no result document is parsed."""

    id: int
    fingerprint: str
    study: str | None
    status: Status
    task: str
    model: str
    dataset: str
    techniques: str
    """Labels joined by ``" + "``, empty for none."""
    backend: str
    """Label with its options, ``"onnxruntime(threads=2)"``."""
    effort: str
    context_key: str | None
    machine: str | None
    created_at: datetime
    finished_at: datetime | None
    warnings: tuple[str, ...]
    """Warning codes."""
    metrics: Mapping[str, Metric]


@dataclass(frozen=True, slots=True)
class Names:
    """What runs can be filtered by."""

    models: tuple[str, ...]
    backends: tuple[str, ...]
    """Without options."""
    studies: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Duration:
    """How long one finished run took from its start to its end."""

    task: str
    model: str
    techniques: str
    backend: str
    effort: str
    seconds: float
