"""What an inference process computes, called as a function."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine import inference
from engine.backends import BACKENDS
from engine.errors import UnknownNameError
from engine.measure.energy import Counter
from engine.measure.jobs import InferenceJob, write_samples
from engine.models.training import predict
from engine.spec import CLASSIFICATION, Choice
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


@pytest.mark.parametrize("backend", [one.name for one in tiny.usable_backends() if one.tasks & CLASSIFICATION])
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


class Device:
    """A session and its clock: a query is handed over at once and is answered when the device has caught up.

    Whoever looks at the clock uses up a nanosecond, so that waiting for it ends.
    """

    def __init__(self, *costs_ns: int) -> None:
        self.now, self.costs, self.asked = 0, iter(costs_ns), 0

    def perf_counter_ns(self) -> int:
        self.now += 1
        return self.now

    def run(self, inputs: dict[str, Any]) -> Any:
        self.asked += 1
        return np.asarray([[inputs["x"][0]]])

    def synchronize(self) -> None:
        self.now += next(self.costs)


@pytest.mark.parametrize("share", [0.1, 0.5, 2.0])
def test_a_slowed_session_takes_the_asked_share_longer(share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device(1_000_000, 250_000)
    monkeypatch.setattr(inference, "time", device)
    slowed = inference.Slowed(device, share)
    for cost in (1_000_000, 250_000):
        begin = device.now
        assert slowed.run({"x": np.asarray([7.0])}).tolist() == [[7.0]]
        assert device.now - begin == pytest.approx(cost * (1 + share), abs=5)
        slowed.synchronize()
    assert device.asked == 2, "it spins, it does not ask twice"


@pytest.mark.parametrize("mode", ["time", "agree"])
@pytest.mark.parametrize("slowdown", [0.0, 0.25])
def test_only_a_job_that_asks_for_it_is_slowed(
    mode: str, slowdown: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shares: list[float] = []

    def slow(session: Any, share: float) -> Any:
        shares.append(share)
        return session

    monkeypatch.setattr(inference, "Slowed", slow)
    inference.run(make_job(tmp_path, mode=mode, batch_size=7, min_iterations=1, slowdown=slowdown))
    assert shares == ([slowdown] if slowdown else [])


@pytest.mark.parametrize(("iterations", "expected"), [(1, 3), (4, 6)])
def test_two_timers_take_turns_on_the_same_queries(iterations: int, expected: int, tmp_path: Path) -> None:
    arrays = inference.run(make_job(tmp_path, mode="agree", batch_size=3, min_iterations=iterations))
    assert set(arrays) == {"run_ns", "timeit_ns"}
    assert len(arrays["run_ns"]) == len(arrays["timeit_ns"]) == expected, "whole passes over three batches"
    assert (arrays["run_ns"] > 0).all()
    assert (arrays["timeit_ns"] > 0).all()


def test_what_was_seen_of_the_machine_is_in_the_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    readings = iter([1.0, 4.5])
    monkeypatch.setattr(inference, "counters", lambda device: [Counter(f"made up {device}", lambda: next(readings))])
    arrays = inference.run(make_job(tmp_path, mode="time", batch_size=1, min_iterations=8))
    assert len(arrays["run_ns"]) == 14
    assert len(arrays["yardstick_ns"]) == 2, "one reading a pass"
    assert arrays["migrations_per_s"].shape == ()
    assert float(arrays["energy_j_per_query"]) == pytest.approx(3.5 / 14)
    assert str(arrays["energy_source"]) == "made up cpu"
    assert float(arrays["cpu_s_per_query"]) > 0


def test_energy_that_cannot_be_read_is_not_a_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference, "counters", lambda device: [])
    arrays = inference.run(make_job(tmp_path, mode="time", batch_size=7, min_iterations=1))
    assert np.isnan(arrays["energy_j_per_query"])
    assert str(arrays["energy_source"]) == ""


def test_an_unknown_backend_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError):
        inference.run(make_job(tmp_path).model_copy(update={"backend": Choice(name="gone")}))


def test_a_batch_that_the_samples_do_not_fill_is_not_reported(tmp_path: Path) -> None:
    scenario = Choice(name="offline", params={"largest_batch": 32})
    arrays = inference.run(make_job(tmp_path, mode="time", scenario=scenario))
    assert set(arrays["batch"].tolist()) == {1, 2, 4}, "there are 7 samples"
