"""What goes through the pipe between two parts of a model."""

import io

import numpy as np

from engine.measure.stream import received, send


def test_what_is_sent_arrives_whole_and_in_order() -> None:
    messages = [
        {"state": np.arange(6, dtype=np.float32).reshape(2, 3), "mask": np.ones((2, 4), dtype=np.int64)},
        {"state": np.zeros((0, 3), dtype=np.float16)},
        {},
    ]
    pipe = io.BytesIO()
    for message in messages:
        send(pipe, message)
    pipe.seek(0)
    for expected, found in zip(messages, received(pipe), strict=True):
        assert list(expected) == list(found)
        for name, array in expected.items():
            np.testing.assert_array_equal(found[name], array)
            assert found[name].dtype == array.dtype


def test_views_are_sent_as_what_they_show() -> None:
    pipe, view = io.BytesIO(), np.arange(12).reshape(3, 4).T[::2]
    send(pipe, {"view": view})
    pipe.seek(0)
    (found,) = received(pipe)
    np.testing.assert_array_equal(found["view"], view)


def test_a_broken_end_ends_it() -> None:
    pipe = io.BytesIO()
    send(pipe, {"a": np.ones(3)})
    cut = io.BytesIO(pipe.getvalue() + b"\x01")
    assert len(list(received(cut))) == 1
