"""The real worker on the real encoder, through queue, service, executor and store."""

import numpy as np
import pytest

from engine.executors.local import LocalExecutor
from engine.measure.environment import machine_id
from engine.resolve import resolve
from engine.results import RunRecord, Status
from engine.service import Service
from engine.spec import Choice, ExperimentSpec
from engine.store.store import Store

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]

TEST_SENTENCES = 1411


def execute(store: Store, specs: list[ExperimentSpec]) -> list[RunRecord]:
    ids = store.enqueue(specs)
    service = Service(store, LocalExecutor(store.runs_folder), machine_id=machine_id())
    service.run(until_final=ids)
    return [store.run(number) for number in ids]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, RunRecord, RunRecord]:
    """Two runs of one study: the exported encoder, and the same with int8."""
    store = Store(tmp_path_factory.mktemp("encoder") / "runs.db")
    backend = Choice(name="onnxruntime")
    plain = resolve(model="minilm-l6", backend=backend)
    quantized = resolve(model="minilm-l6", backend=backend, techniques=[Choice(name="int8-dynamic")])
    first, second = execute(store, [plain, quantized])
    for record in (first, second):
        assert record.status is Status.DONE, record.error
    return store, first, second


def test_the_encoder_is_fine_tuned_well(finished: tuple[Store, RunRecord, RunRecord]) -> None:
    result = finished[1].result
    assert result is not None
    accuracy = result.baseline.metrics["accuracy"]
    assert accuracy.value is not None
    assert accuracy.value >= 0.845
    assert accuracy.n == TEST_SENTENCES


def test_an_export_keeps_the_answers(finished: tuple[Store, RunRecord, RunRecord]) -> None:
    result = finished[1].result
    assert result is not None
    assert result.numerical_check is not None
    assert result.numerical_check.max_abs_difference < 1e-3
    assert result.accuracy_change.agreement >= 0.999


def test_int8_is_small_and_nearly_as_accurate(finished: tuple[Store, RunRecord, RunRecord]) -> None:
    result = finished[2].result
    assert result is not None
    assert result.footprint.size_bytes < 0.3 * result.baseline.footprint.size_bytes
    assert abs(result.accuracy_change.value) <= 0.015
    assert 0 < result.accuracy_change.flips < 0.1 * TEST_SENTENCES
    assert result.footprint.peak_memory_bytes
    assert result.baseline.footprint.peak_memory_bytes
    assert result.footprint.peak_memory_bytes < result.baseline.footprint.peak_memory_bytes


def test_numbers_carry_their_uncertainty(finished: tuple[Store, RunRecord, RunRecord]) -> None:
    result = finished[2].result
    assert result is not None
    assert result.speedup.pairs == result.latency.processes == 3
    assert result.speedup.ci95 is not None
    assert result.speedup.ci95[0] < result.speedup.value < result.speedup.ci95[1]
    assert result.latency.n >= 300
    assert result.latency.p50_ms is not None
    assert result.latency_with_preprocessing.p50_ms is not None
    assert result.latency.p50_ms < result.latency_with_preprocessing.p50_ms


def test_no_teacher_is_trained_twice(finished: tuple[Store, RunRecord, RunRecord]) -> None:
    result = finished[2].result
    assert result is not None
    cached = {stage.name for stage in result.stages if stage.cached}
    assert {"fine-tune", "export baseline", "export", "score baseline"} <= cached
    assert "time" not in cached


def test_raw_data_agree_with_the_summary(finished: tuple[Store, RunRecord, RunRecord]) -> None:
    store, _, record = finished
    assert record.result is not None
    arrays = store.raw(record.id).arrays
    labels, predictions, reference = (arrays[name] for name in ("labels", "predictions", "baseline_predictions"))
    assert np.mean(predictions == labels) == pytest.approx(record.result.metrics["accuracy"].value)
    flips = np.sum((predictions == labels) != (reference == labels))
    assert flips == record.result.accuracy_change.flips
    median_ms = np.median(arrays["candidate_latency_s"].astype(float)) * 1e3
    assert median_ms == pytest.approx(record.result.latency.p50_ms, rel=1e-3)


def test_stages_add_up_to_the_run(finished: tuple[Store, RunRecord, RunRecord]) -> None:
    record = finished[2]
    assert record.result is not None
    assert record.started_at is not None
    assert record.finished_at is not None
    whole_s = (record.finished_at - record.started_at).total_seconds()
    assert 0 < sum(stage.seconds for stage in record.result.stages) < whole_s
