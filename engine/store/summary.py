"""The light row of tables and plots."""

from dataclasses import dataclass
from datetime import datetime

from engine.results import Metric, Status


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
    metrics: dict[str, Metric]


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
