import pytest

from dashboard.plan import PAIRS, steps
from engine.resolve import resolve
from engine.spec import Choice, Effort


def test_model_techniques_come_before_the_export_and_artifact_techniques_after() -> None:
    spec = resolve(
        model="fashion-mlp",
        techniques=[Choice(name="prune-magnitude"), Choice(name="int8-dynamic")],
        backend=Choice(name="onnxruntime"),
    )
    said = steps(spec)
    assert said[0].startswith("Load Fashion MLP")
    assert said[1].startswith("Magnitude pruning: sparsity 0.5, scope global")
    assert said[2].startswith("Bring it into the form that ONNX Runtime loads")
    assert said[3].startswith("Dynamic int8: per channel on")
    assert "one query at a time" in said[4]


@pytest.mark.parametrize("effort", list(Effort))
def test_effort_is_said_in_process_pairs(effort: Effort) -> None:
    spec = resolve(model="fashion-mlp", effort=effort, batch_size=8)
    assert any(f"{PAIRS[effort]} pairs of fresh processes" in step and "8 queries" in step for step in steps(spec))
