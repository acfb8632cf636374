"""What travels between a run and its inference processes."""

from pathlib import Path

import numpy as np
import pytest

from engine.measure.jobs import InferenceJob, read_samples, save_arrays, write_samples
from engine.measure.timing import Plan
from engine.spec import Choice


@pytest.mark.parametrize("samples", [["a", "", "ä longer text \u2603"], ["only one"]])
def test_texts_come_back_as_they_were(samples: list[str], tmp_path: Path) -> None:
    write_samples(tmp_path / "samples.npz", samples)
    assert read_samples(tmp_path / "samples.npz") == samples


def test_images_come_back_as_they_were(tmp_path: Path) -> None:
    images = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    write_samples(tmp_path / "samples.npz", images)
    again = read_samples(tmp_path / "samples.npz")
    assert isinstance(again, np.ndarray)
    assert again.dtype == np.uint8
    np.testing.assert_array_equal(again, images)


def test_arrays_appear_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "raw.npz"
    save_arrays(path, {"a": np.arange(3), "b": np.asarray(1.5)})
    with np.load(path, allow_pickle=False) as file:
        assert file["a"].tolist() == [0, 1, 2]
        assert float(file["b"]) == 1.5
    whole = path.read_bytes()
    with pytest.raises(ValueError, match="allow_pickle"):
        save_arrays(path, {"a": np.array([object()], dtype=object)})
    assert path.read_bytes() == whole


def test_a_job_survives_its_file_and_carries_the_plan(tmp_path: Path) -> None:
    job = InferenceJob(
        mode="time",
        artifact=tmp_path,
        backend=Choice(name="torch", params={"threads": 1}),
        samples=tmp_path / "s.npz",
        output=tmp_path / "o.npz",
        batch_size=2,
        cores=(1,),
        min_iterations=5,
        min_seconds=0.5,
        warmup_seconds=0.1,
        pairs=3,
    )
    assert InferenceJob.model_validate_json(job.model_dump_json()) == job
    assert job.plan == Plan(pairs=3, min_iterations=5, min_seconds=0.5, warmup_seconds=0.1)
