from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.techniques.blockwise import pack, products
from engine.techniques.int4_affine import group_weights, pack_affine, parts

onnx = pytest.importorskip("onnx")
SIZE = 32


def grid_weights(outputs: int, inputs: int) -> NDArray[np.float32]:
    """Return weights as a file of Q4_1 holds them: a scale and an offset a group, all levels from 0 to 15 there."""
    random = np.random.default_rng(0)
    q = random.integers(0, 16, size=(outputs, inputs // SIZE, SIZE))
    q[..., 0], q[..., 1] = 0, 15
    scale = random.uniform(0.01, 0.02, size=q.shape[:2])[..., None]
    offset = -scale * random.uniform(4, 11, size=q.shape[:2])[..., None]
    return (scale * q + offset).reshape(outputs, inputs).astype(np.float32)


def graph_of(*weights: NDArray[np.float32]) -> Any:
    """Return a graph that multiplies one input by each of the weights."""
    from onnx import TensorProto, helper, numpy_helper

    inputs = weights[0].shape[1]
    nodes = [helper.make_node("MatMul", ["x", f"w{i}"], [f"y{i}"], name=f"/product{i}") for i in range(len(weights))]
    graph = helper.make_graph(
        nodes,
        "products",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", inputs])],
        [helper.make_tensor_value_info(f"y{i}", TensorProto.FLOAT, ["n", len(w)]) for i, w in enumerate(weights)],
        [numpy_helper.from_array(np.ascontiguousarray(w.T), f"w{i}") for i, w in enumerate(weights)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def answers(model: Any, x: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    import onnxruntime

    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    found: list[NDArray[np.float32]] = session.run(None, {"x": x})
    return found


def error(found: NDArray[np.float32], right: NDArray[np.float32]) -> float:
    return float(np.linalg.norm(found - right) / np.linalg.norm(right))


def test_weights_on_a_grid_of_sixteen_levels_are_kept_exactly() -> None:
    weights = grid_weights(5, 96)
    groups = group_weights(weights, SIZE)
    steps = groups.q.astype(np.float32) - groups.zero[..., None]
    back = (groups.scale[..., None] * steps + groups.rest[..., None]).reshape(weights.shape)
    np.testing.assert_allclose(back, weights, atol=1e-6)


def test_a_group_of_equal_weights_is_kept() -> None:
    groups = group_weights(np.full((1, SIZE), 0.3, dtype=np.float32), SIZE)
    value = groups.scale * (groups.q[0, 0] - groups.zero.astype(np.float32)) + groups.rest
    np.testing.assert_allclose(value, 0.3, atol=1e-6)


@pytest.mark.parametrize("inputs", [96, 1056], ids=["odd groups", "more groups than one holds"])
def test_products_lose_far_less_than_with_whole_zero_points(inputs: int) -> None:
    weights = grid_weights(64, inputs)
    x = np.random.default_rng(1).normal(size=(7, inputs)).astype(np.float32)
    right = x @ weights.T
    exact, whole = graph_of(weights), graph_of(weights)
    pack_affine(exact, products(exact), SIZE)
    whole, _ = pack(whole, dict.fromkeys(products(whole), 4), SIZE, symmetric=False)
    lost = error(answers(exact, x)[0], right)
    assert lost < 0.02, "inputs of eight bits lose this much"
    assert lost < error(answers(whole, x)[0], right) / 4


def test_products_of_one_input_share_its_sums() -> None:
    first, second = grid_weights(64, 64), grid_weights(32, 64)
    model = graph_of(first, second)
    pack_affine(model, products(model), SIZE)
    kinds = [node.op_type for node in model.graph.node]
    assert kinds == ["MatMul", "Concat", "MatMulNBits", "MatMulNBits"]
    assert not {"w0", "w1"} & {constant.name for constant in model.graph.initializer}
    x = np.random.default_rng(2).normal(size=(3, 64)).astype(np.float32)
    for found, weights in zip(answers(model, x), (first, second), strict=True):
        assert error(found, x @ weights.T) < 0.02


def test_other_products_stay() -> None:
    model = graph_of(grid_weights(64, 64), grid_weights(32, 64))
    pack_affine(model, ["/product1"], SIZE)
    assert products(model) == ["/product0", "x/group_sums"]


def test_inputs_of_an_mlp_keep_whole_zero_points_unless_asked() -> None:
    bits = {"/l.0/qkv_proj/MatMul": 4, "/l.0/up_proj/MatMul": 4, "/l.0/down_proj/MatMul": 4, "/lm_head/MatMul": 8}
    head, up = ["/lm_head/MatMul"], ["/l.0/up_proj/MatMul"]
    others = ["/l.0/qkv_proj/MatMul", "/l.0/down_proj/MatMul"]
    assert parts(bits, everywhere=False) == (head, up, others)
    eight, four, exact = parts(bits, everywhere=True)
    assert (eight, four, set(exact)) == (head, [], {*others, *up})
