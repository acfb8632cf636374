"""What an inference process computes, called as a function."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine import inference
from engine.backends import BACKENDS
from engine.errors import UnknownNameError
from engine.measure.jobs import InferenceJob, write_samples
from engine.models.training import predict
from engine.spec import Choice
from tests import tiny
from tests.tiny import Kind


def make_job(folder: Path, backend: str = "torch", **changes: Any) -> InferenceJob:
    """Export a tiny encoder and return a job on its test split."""
    artifact = folder / "artifact"
    artifact.mkdir()
    runtime = BACKENDS.get(backend)
    runtime.export(tiny.untrained(Kind("encoder"), folder), runtime.options_type(), artifact)
    write_samples(folder / "samples.npz", tiny.text_dataset(other=7).test.samples)
    values: dict[str, Any] = {
        "mode": "score",
        "artifact": artifact,
        "backend": Choice(name=backend, params={"threads": 1}),
        "samples": folder / "samples.npz",
        "output": folder / "answer.npz",
        "batch_size": 1,
        "cores": None,
    }
    return InferenceJob(**values | changes)


@pytest.mark.parametrize("backend", BACKENDS.names())
@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_every_sample_is_scored_in_order_by_any_batch(backend: str, batch_size: int, tmp_path: Path) -> None:
    logits = inference.run(make_job(tmp_path, backend, batch_size=batch_size))["logits"]
    expected = predict(tiny.untrained(Kind("encoder"), tmp_path / "again"), tiny.text_dataset(other=7).test)
    assert logits.shape == (7, 2)
    np.testing.assert_allclose(logits, expected, atol=1e-4)


def test_timing_passes_over_all_samples_and_keeps_the_cold_start_apart(tmp_path: Path) -> None:
    arrays = inference.run(make_job(tmp_path, mode="time", batch_size=3, min_iterations=4))
    assert len(arrays["run_ns"]) == len(arrays["whole_ns"]) == 6, "two passes over three batches"
    assert len(arrays["warmup_ns"]) == 0
    assert float(arrays["load_s"]) > 0
    assert float(arrays["first_call_s"]) > 0
    assert (arrays["whole_ns"] > arrays["run_ns"]).all(), "tokenising takes time"


def test_an_unknown_backend_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError):
        inference.run(make_job(tmp_path).model_copy(update={"backend": Choice(name="gone")}))
