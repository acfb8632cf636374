"""Documents and arrays, there and back."""

import numpy as np
import pytest

from engine.errors import SchemaError
from engine.results import Failure, Metric, Status
from engine.store import rows
from engine.store.store import Store
from tests.fakes import make_result, make_spec


def test_a_document_keeps_what_is_not_a_number() -> None:
    document = rows.document(Metric(value=float("nan"), ci95=(float("-inf"), 1.0)))
    back = Metric.model_validate_json(document)
    assert back.value is not None
    assert np.isnan(back.value)
    assert back.ci95 == (float("-inf"), 1.0)


@pytest.mark.parametrize(
    "array",
    [np.arange(6, dtype=np.int8).reshape(2, 3), np.zeros((0, 4)), np.float32(2.5), np.array(["a", "bc"])],
    ids=["matrix", "empty", "scalar", "text"],
)
def test_an_array_reads_back_equal(array: np.ndarray) -> None:
    row = rows.array_row(1, "x", np.asarray(array))
    back = rows.array_of(row["data"])
    assert (back.dtype.str, str(list(back.shape))) == (row["dtype"], row["shape"])
    np.testing.assert_array_equal(back, array)


def test_a_damaged_array_is_refused() -> None:
    data = rows.array_row(1, "x", np.arange(100))["data"]
    with pytest.raises(SchemaError, match="damaged"):
        rows.array_of(data[:-20])


def test_metrics_without_an_interval_have_no_bounds() -> None:
    (row,) = rows.metric_rows(1, {"speedup": Metric(value=2.0)})
    assert row == {"run_id": 1, "name": "speedup", "value": 2.0, "lo": None, "hi": None, "n": None}


def test_a_run_of_another_release_is_named_with_the_place(store: Store) -> None:
    (run_id,) = store.enqueue([make_spec()])
    spoil(store, run_id)
    with pytest.raises(SchemaError, match=f"run {run_id} cannot be read by this release \\(at 'colour'\\)"):
        store.run(run_id)


def test_an_unreadable_run_does_not_block_the_queue(store: Store) -> None:
    spoilt, healthy = store.enqueue([make_spec(0), make_spec(1)])
    spoil(store, spoilt)
    claimed = store.claim("a")
    assert claimed is not None
    assert claimed.id == healthy
    assert store.statuses([spoilt]) == {spoilt: Status.FAILED}


def test_an_unknown_error_survives_as_it_is(store: Store) -> None:
    store.enqueue([make_spec()])
    store.claim("a")
    failure = Failure(stage="é", kind="X", message="line\nline \x00 '\"")
    store.fail(1, "a", failure)
    assert store.run(1).error == failure


def test_a_whole_result_is_a_small_document() -> None:
    assert len(rows.document(make_result())) < 8_000


def spoil(store: Store, run_id: int) -> None:
    """Give a run a spec as a later release might write it."""
    with store._database.write() as connection:
        connection.exec_driver_sql("UPDATE runs SET spec = json_set(spec, '$.colour', 'red') WHERE id = ?", (run_id,))
