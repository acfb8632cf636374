"""Finished runs as a store would list them, without a store."""

from dataclasses import dataclass
from types import MappingProxyType

from engine.results import Metric, RunRecord, flat_metrics
from tests.dashboard.samples import sample_records


@dataclass(frozen=True)
class Row:
    """A finished run of a table or plot."""

    id: int
    model: str
    techniques: str
    backend: str
    context_key: str | None
    metrics: MappingProxyType[str, Metric]
    study: str | None = None
    warnings: tuple[str, ...] = ()


def row_of(record: RunRecord) -> Row:
    result = record.result
    if result is None:
        raise LookupError(f"run {record.id} has no result")
    return Row(
        id=record.id,
        model=record.spec.model,
        techniques=" + ".join(choice.label() for choice in record.spec.techniques),
        backend=record.spec.backend.name,
        context_key=result.context.key,
        metrics=MappingProxyType(flat_metrics(result)),
    )


def text_rows() -> list[Row]:
    return [row_of(record) for record in sample_records() if record.spec.model == "minilm-l6"]
