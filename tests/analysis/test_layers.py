"""Layers from the names that runtimes give to operators and values."""

import pytest

from engine.analysis.layers import layer_effects, layer_of


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("/inner/bert/encoder/layer.0/output/dense/MatMul", "bert.encoder.layer.0.output.dense"),
        ("/inner/bert/encoder/layer.0/output/dense/MatMul_quant", "bert.encoder.layer.0.output.dense"),
        ("/inner/conv1/Conv_output_0", "conv1"),
        ("/inner/Softmax", "outside any layer"),
        ("Attention_3", "Attention_3"),
        ("bert.encoder.layer.0.output.dense", "bert.encoder.layer.0.output.dense"),
    ],
)
def test_a_layer_is_read_from_a_name(name: str, layer: str) -> None:
    assert layer_of(name) == layer


def test_operators_are_added_up_by_layer_in_their_order() -> None:
    operators = [
        ("/inner/b/MatMul", "MatMul", 0.003, 400),
        ("/inner/b/Add", "Add", 0.001, 4),
        ("/inner/a/MatMul", "MatMul", 0.004, 100),
    ]
    first, second = layer_effects(
        operators, {"/inner/b/Add_output_0": 0.1, "/inner/b/x": 0.3}, {"/inner/a/MatMul": 2.0}
    )
    assert (first.name, first.kinds, first.size_bytes) == ("b", "MatMul, Add", 404)
    assert (first.ms, first.share) == (pytest.approx(4), pytest.approx(0.5))
    assert (first.error, first.sensitivity) == (0.3, None)
    assert (second.name, second.error, second.sensitivity) == ("a", None, 2.0)


def test_nothing_seen_is_nothing_shown() -> None:
    assert layer_effects([], {}, {}) == ()
