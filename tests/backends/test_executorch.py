"""ExecuTorch: batches above its bound, and its profiler."""

from pathlib import Path

import numpy as np
import pytest

from engine.backends.base import BackendOptions
from engine.backends.executorch import MOST_ROWS, ExecuTorch, ExecuTorchSession
from engine.models.base import Artifact
from engine.models.preprocess import load_preprocessor
from tests import tiny
from tests.tiny import Kind

FOUND = ExecuTorch().capabilities()
needs_executorch = pytest.mark.skipif(not FOUND.available, reason=FOUND.reason)


class FakeProgram:
    """Answers each row with the sum of its values, and keeps the sizes of the batches it was asked."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def load_method(self, name: str) -> "FakeProgram":
        assert name == "forward"
        return self

    def execute(self, tensors: list) -> list:
        self.sizes.append(len(tensors[0]))
        return [tensors[0].sum(dim=1, keepdim=True)]


def test_a_larger_batch_is_answered_in_parts_and_in_order() -> None:
    program = FakeProgram()
    rows = np.arange(2 * (MOST_ROWS + 5), dtype=np.float32).reshape(-1, 2)
    logits = ExecuTorchSession(program, ["image"]).run({"image": rows})
    assert program.sizes == [MOST_ROWS, 5]
    np.testing.assert_array_equal(logits, rows.sum(axis=1, keepdims=True))


@needs_executorch
def test_its_profiler_names_what_xnnpack_computes_and_what_is_left(tmp_path: Path) -> None:
    folder, scratch = tmp_path / "artifact", tmp_path / "scratch"
    folder.mkdir()
    scratch.mkdir()
    backend, kind = ExecuTorch(), Kind("encoder")
    artifact: Artifact = backend.export(tiny.untrained(kind, tmp_path), BackendOptions(threads=1), folder)
    prepare = load_preprocessor(artifact.manifest.preprocess, artifact.folder)
    queries = [prepare([text]) for text in tiny.dataset_for(kind.task).validation.samples[:6]]
    times = backend.profile(artifact, BackendOptions(threads=1), queries, scratch)
    assert any(time.kind.startswith("native_layer_norm") and time.kind.endswith(" (portable)") for time in times)
    assert len({time.name for time in times}) == len(times), "each node has a name of its own"
    products = [time for time in times if time.kind.startswith("Fully Connected")]
    assert len(products) == 2 * 6 + 2, "six in each of two layers, pooler and classifier"
    assert all(time.calls == 1 for time in times)
    assert all(time.seconds >= 0 for time in times)
    assert 0 < sum(time.seconds for time in times) < 5
