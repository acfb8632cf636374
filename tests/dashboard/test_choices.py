from typing import Any

import pytest

from dashboard import choices
from engine.backends import BACKENDS
from engine.spec import Task
from engine.techniques import TECHNIQUES
from tests.dashboard.samples import sample_machine
from tests.fakes import make_machine

ONNX = BACKENDS.get("onnxruntime")
INT8 = TECHNIQUES.get("int8-dynamic")


def like(technique: Any, **changes: Any) -> Any:
    """Return a technique that differs from a real one in class variables only."""
    return type("Changed", (type(technique),), changes)()


def test_everything_that_fits_can_be_chosen() -> None:
    assert choices.why_not_technique(INT8, Task.TEXT_CLASSIFICATION, ONNX, []) is None
    known = choices.capabilities([sample_machine()])
    assert choices.why_not_backend(ONNX, known, Task.TEXT_CLASSIFICATION) is None


def test_another_task_is_said() -> None:
    only_images = like(INT8, tasks=frozenset({Task.IMAGE_CLASSIFICATION}))
    assert (
        choices.why_not_technique(only_images, Task.TEXT_CLASSIFICATION, ONNX, [])
        == "Works on images; choose such a model."
    )


def test_a_missing_package_is_said_with_the_command() -> None:
    needy = like(INT8, packages=("no-such-distribution",))
    reason = choices.why_not_technique(needy, Task.TEXT_CLASSIFICATION, ONNX, [])
    assert reason == "Needs no-such-distribution: pip install no-such-distribution"


def test_a_format_nothing_here_loads_is_said() -> None:
    for_others = like(INT8, formats=frozenset({"torch"}))
    reason = choices.why_not_technique(for_others, Task.TEXT_CLASSIFICATION, ONNX, [])
    assert reason is not None
    assert "choose PyTorch eager" in reason


def test_rivals_of_one_group_exclude_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TECHNIQUES._entries, "rival", like(INT8, name="rival", title="Another int8"))
    reason = choices.why_not_technique(INT8, Task.TEXT_CLASSIFICATION, ONNX, ["rival"])
    assert reason == "Cannot be combined with Another int8; switch that off first."
    assert choices.why_not_technique(INT8, Task.TEXT_CLASSIFICATION, ONNX, ["int8-dynamic", "distill"]) is None


def test_what_cuts_a_model_in_two_excludes_what_needs_it_whole() -> None:
    static = TECHNIQUES.get("int8-static")
    reason = choices.why_not_technique(static, Task.TEXT_CLASSIFICATION, ONNX, ["early-exit"])
    assert reason == "Cannot be combined with Early exit; switch that off first."
    early = TECHNIQUES.get("early-exit")
    assert choices.why_not_technique(early, Task.TEXT_CLASSIFICATION, ONNX, ["int8-dynamic", "fuse"]) is None


def test_what_a_machine_lacks_is_taken_from_its_own_description() -> None:
    known = choices.capabilities([make_machine()])
    assert choices.why_not_backend(ONNX, known, Task.TEXT_CLASSIFICATION) == "pip install onnxruntime"


def test_what_a_machine_has_never_heard_of_is_not_offered() -> None:
    known = choices.capabilities([make_machine()])
    reason = choices.why_not_backend(BACKENDS.get("openvino"), known, Task.IMAGE_CLASSIFICATION)
    assert reason == "The engine that ran here last did not know it; start the engine anew."


def test_without_a_description_this_machine_is_asked() -> None:
    assert set(choices.capabilities([])) == set(BACKENDS.names())


def test_every_group_of_techniques_has_a_title() -> None:
    assert set(choices.techniques_by_group()) <= set(choices.GROUP_TITLES)
