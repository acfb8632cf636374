"""LiteRT: what it is given, found out without its runtime."""

from pathlib import Path

import numpy as np
import pytest

from engine.backends.litert import LiteRt, LiteRtSession, fitted, length_of
from engine.errors import MeasurementError
from engine.models.base import Artifact
from tests import tiny
from tests.tiny import Kind


class FakeInterpreter:
    """Graphs that answer with what they were given."""

    def __init__(self, *names: str) -> None:
        self.names = names
        self.asked: list[tuple[str, dict[str, np.ndarray]]] = []

    def get_signature_list(self) -> dict[str, None]:
        return dict.fromkeys(self.names)

    def get_signature_runner(self, name: str) -> object:
        def run(**inputs: np.ndarray) -> dict[str, np.ndarray]:
            self.asked.append((name, inputs))
            return {"output_0": np.full((1, 2), len(self.asked), dtype=np.float64)}

        return run


def texts(*lengths: int) -> dict[str, np.ndarray]:
    longest = max(lengths)
    mask = np.array([[1] * length + [0] * (longest - length) for length in lengths])
    return {"input_ids": mask * 7 + (1 - mask) * 9, "attention_mask": mask}


def test_a_text_is_filled_up_with_the_pad_token_and_masked() -> None:
    filled = fitted(texts(3), 5, pad_id=9)
    assert filled["input_ids"].tolist() == [[7, 7, 7, 9, 9]]
    assert filled["attention_mask"].tolist() == [[1, 1, 1, 0, 0]]
    assert {array.dtype for array in filled.values()} == {np.dtype(np.int32)}
    assert fitted(texts(3), 2, pad_id=9)["input_ids"].tolist() == [[7, 7]]


def test_each_text_of_a_batch_goes_into_the_shortest_graph_that_takes_it() -> None:
    interpreter = FakeInterpreter("tokens_32", "tokens_16")
    logits = LiteRtSession(interpreter, pad_id=9).run(texts(4, 20, 16, 17))
    assert [name for name, _ in interpreter.asked] == ["tokens_16", "tokens_32", "tokens_16", "tokens_32"]
    assert [inputs["input_ids"].shape for _, inputs in interpreter.asked] == [(1, 16), (1, 32), (1, 16), (1, 32)]
    assert [int(inputs["attention_mask"].sum()) for _, inputs in interpreter.asked] == [4, 20, 16, 17]
    assert logits.tolist() == [[1, 1], [2, 2], [3, 3], [4, 4]]
    assert logits.dtype == np.float32


def test_images_are_answered_one_after_another() -> None:
    interpreter = FakeInterpreter("image")
    logits = LiteRtSession(interpreter, pad_id=0).run({"image": np.zeros((3, 1, 28, 28), dtype=np.float32)})
    assert [inputs["image"].shape for _, inputs in interpreter.asked] == [(1, 1, 28, 28)] * 3
    assert logits.shape == (3, 2)


@pytest.mark.parametrize(("name", "length"), [("tokens_128", 128), ("image", 0)])
def test_a_graph_tells_its_length_by_its_name(name: str, length: int) -> None:
    assert length_of(name) == length


def test_it_says_that_it_cannot_be_profiled(tmp_path: Path) -> None:
    model = tiny.untrained(Kind("vision", "mlp"), tmp_path)
    model.family.save(model, tmp_path)
    with pytest.raises(MeasurementError, match="no profiler"):
        LiteRt().profile(Artifact(tmp_path, None), LiteRt.options_type(), [], tmp_path)
