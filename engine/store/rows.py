"""Between records and rows: what is written for a spec, a result or an array, and how it is read back."""

import io
import json
import zlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError
from sqlalchemy import RowMapping

from engine.errors import SchemaError
from engine.results import Failure, Metric, RunRecord, RunResult, StageRecord, Status
from engine.spec import ExperimentSpec

Values = dict[str, Any]


def document(record: BaseModel) -> str:
    """Return a record as JSON that reads back equal; NaN stays NaN, which pydantic's own writer turns into null."""
    return json.dumps(record.model_dump(mode="json"), separators=(",", ":"))


def new_run(spec: ExperimentSpec, study: str | None, priority: int, now: datetime) -> Values:
    """Return the columns of a run that was just asked for."""
    return {
        "fingerprint": spec.fingerprint,
        "spec": spec.canonical_json(),
        "study": study,
        "status": Status.QUEUED,
        "priority": priority,
        "attempt": 0,
        "cancel_requested": False,
        "created_at": now,
        "stage_message": "",
        "task": spec.task.value,
        "model": spec.model,
        "dataset": spec.dataset,
        "techniques": " + ".join(choice.label() for choice in spec.techniques),
        "backend": spec.backend.label(),
        "effort": spec.effort.value,
        "warnings": "[]",
    }


def run_record(row: RowMapping, stages: Sequence[StageRecord]) -> RunRecord:
    """Return the frozen view of a row of ``runs`` and its stages.

    Raises:
        SchemaError: if a document in the row cannot be read.
    """
    try:
        return RunRecord(
            id=row["id"],
            fingerprint=row["fingerprint"],
            spec=ExperimentSpec.model_validate_json(row["spec"]),
            status=row["status"],
            study=row["study"],
            created_at=row["created_at"],
            started_at=row["started_at"],
            finished_at=row["finished_at"],
            attempt=row["attempt"],
            cancel_requested=row["cancel_requested"],
            stage=row["stage"],
            progress=row["progress"],
            stage_message=row["stage_message"],
            stages=tuple(stages),
            result=None if row["result"] is None else RunResult.model_validate_json(row["result"]),
            error=None if row["error"] is None else Failure.model_validate_json(row["error"]),
        )
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise SchemaError(
            f"run {row['id']} cannot be read by this release (at '{where}'); update Subsecond."
        ) from error


def metric_rows(run_id: int, metrics: Mapping[str, Metric]) -> list[Values]:
    """Return one row of ``metrics`` for each number."""
    return [
        {
            "run_id": run_id,
            "name": name,
            "value": metric.value,
            "lo": metric.ci95[0] if metric.ci95 else None,
            "hi": metric.ci95[1] if metric.ci95 else None,
            "n": metric.n,
        }
        for name, metric in metrics.items()
    ]


def stage_row(run_id: int, position: int, stage: StageRecord) -> Values:
    """Return the row of the stage that ended as the ``position``-th of its run."""
    return {"run_id": run_id, "position": position, **stage.model_dump()}


def array_row(run_id: int, name: str, array: NDArray[np.generic]) -> Values:
    """Return an array as a compressed ``.npy`` file, with its type and shape beside it for people.

    Raises:
        ValueError: for an array of Python objects, which only a pickle could hold.
    """
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return {
        "run_id": run_id,
        "name": name,
        "dtype": array.dtype.str,
        "shape": json.dumps(array.shape),
        "data": zlib.compress(buffer.getvalue(), level=6),
    }


def array_of(data: bytes) -> NDArray[np.generic]:
    """Return the array of a row of ``arrays``.

    Raises:
        SchemaError: if the bytes are damaged.
    """
    try:
        array: NDArray[np.generic] = np.load(io.BytesIO(zlib.decompress(data)), allow_pickle=False)
    except (zlib.error, ValueError, EOFError) as error:
        raise SchemaError(
            f"a raw array in the database is damaged ({error}); restore the database from a copy."
        ) from error
    return array
