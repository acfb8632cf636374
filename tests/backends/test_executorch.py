"""ExecuTorch: batches above its bound, and its profiler."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from engine.backends.base import BackendOptions
from engine.backends.executorch import MOST_ROWS, ExecuTorch, ExecuTorchSession
from engine.models.base import Artifact
from engine.models.preprocess import load_preprocessor
from tests import tiny
from tests.tiny import Kind

ROOT = Path(__file__).parents[2]
FOUND = ExecuTorch().capabilities()
needs_executorch = pytest.mark.skipif(not FOUND.available, reason=FOUND.reason)


class FakeProgram:
    """Answers each row with the sum of its values, and keeps the sizes of the batches it was asked."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def load_method(self, name: str) -> "FakeProgram":
        assert name == "forward"
        return self

    def __call__(self, tensors: list) -> list:
        self.sizes.append(len(tensors[0]))
        return [tensors[0].sum(dim=1, keepdim=True)]


def test_a_larger_batch_is_answered_in_parts_and_in_order() -> None:
    program = FakeProgram()
    rows = np.arange(2 * (MOST_ROWS + 5), dtype=np.float32).reshape(-1, 2)
    logits = ExecuTorchSession(program, ["image"]).run({"image": rows})
    assert program.sizes == [MOST_ROWS, 5]
    np.testing.assert_array_equal(logits, rows.sum(axis=1, keepdims=True))


@needs_executorch
def test_running_does_not_import_the_exporter(tmp_path: Path) -> None:
    folder = tmp_path / "artifact"
    folder.mkdir()
    ExecuTorch().export(tiny.untrained(Kind("vision", "mlp"), tmp_path), BackendOptions(threads=1), folder)
    program = (
        "import sys\nfrom pathlib import Path\nimport numpy as np\n"
        "from engine.backends.executorch import ExecuTorch\nfrom engine.models.base import Artifact\n"
        f"session = ExecuTorch().load(Artifact.read(Path({str(folder)!r})), ExecuTorch.options_type(threads=1))\n"
        "print(session.run({'image': np.zeros((2, 1, 28, 28), np.float32)}).shape)\n"
        "print([name for name in ('executorch.exir', 'torchao', 'transformers') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.splitlines() == ["(2, 3)", "[]"]


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
