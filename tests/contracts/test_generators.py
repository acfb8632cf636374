"""What every backend that generates text must do: answer as the PyTorch module does, token by token."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.backends import BACKENDS
from engine.backends.base import Backend, Generator
from engine.backends.torch_text import TorchGenerator
from engine.errors import MeasurementError, WeightsError
from engine.models.base import Artifact, TrainedModel
from engine.models.prompts import load_tokenizer
from engine.spec import Task
from engine.techniques.prompt_lookup import PromptLookup, PromptLookupConfig
from tests import tiny_lm

IDS = np.asarray([5, 40, 7, 100, 31, 8, 200, 9], dtype=np.int64)
COUNT = 24
END_OF_TEXT = 2


def able() -> list[Any]:
    """Return the backends that generate; what is not installed is skipped, with the reason."""
    found = []
    for backend in BACKENDS:
        if Task.TEXT_GENERATION in backend.tasks:
            capability = backend.capabilities()
            marks = [] if capability.available else [pytest.mark.skip(reason=capability.reason)]
            found.append(pytest.param(backend, id=backend.name, marks=marks))
    return found


each_generator = pytest.mark.parametrize("backend", able())


def options(backend: Backend[Any]) -> Any:
    return backend.options_type.model_validate({"threads": 1})


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> TrainedModel:
    return tiny_lm.loaded(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, model: TrainedModel) -> dict[str, Artifact]:
    """The tiny model in the form of every backend that is installed; built once, because some take seconds."""
    artifacts = {}
    for backend in BACKENDS:
        if Task.TEXT_GENERATION in backend.tasks and backend.capabilities().available:
            folder = tmp_path_factory.mktemp(backend.name)
            artifacts[backend.name] = backend.export(model, options(backend), folder)
    return artifacts


def generator(backend: Backend[Any], built: dict[str, Artifact]) -> Generator:
    return backend.load_generator(built[backend.name], options(backend))


@each_generator
def test_an_artifact_says_what_it_is(backend: Backend[Any], built: dict[str, Artifact], model: TrainedModel) -> None:
    artifact = built[backend.name]
    assert artifact == Artifact.read(artifact.folder)
    assert artifact.manifest.format == backend.format
    assert artifact.manifest.family == "causal-lm"
    assert artifact.size_bytes > 4 * artifact.manifest.parameters * 0.9
    assert load_tokenizer(artifact.folder).decode(load_tokenizer(artifact.folder).encode("the cat")) == "the cat"


@each_generator
def test_it_says_the_tokens_of_the_module(
    backend: Backend[Any], built: dict[str, Artifact], model: TrainedModel
) -> None:
    expected = list(TorchGenerator(model).stream(IDS, COUNT))
    assert END_OF_TEXT in expected[:-1], "the model of this test goes on behind an end of text"
    assert list(generator(backend, built).stream(IDS, COUNT)) == expected


@each_generator
def test_several_prompts_are_answered_together_as_each_alone(backend: Backend[Any], built: dict[str, Artifact]) -> None:
    loaded = generator(backend, built)
    prompts = np.stack([IDS, IDS[::-1], np.roll(IDS, 3)])
    together = list(zip(*loaded.stream_together(prompts, COUNT), strict=True))
    assert len(together) == len(prompts)
    for prompt, answer in zip(prompts, together, strict=True):
        alone = list(loaded.stream(prompt, COUNT))
        end = alone.index(END_OF_TEXT) if END_OF_TEXT in alone else COUNT
        assert list(answer[:end]) == alone[:end]
        assert len(answer) == COUNT


@each_generator
def test_an_answer_does_not_remember_the_one_before(backend: Backend[Any], built: dict[str, Artifact]) -> None:
    loaded = generator(backend, built)
    alone = list(loaded.stream(IDS[:3], 5))
    list(loaded.stream(IDS, COUNT))
    assert list(loaded.stream(IDS[:3], 5)) == alone


@each_generator
def test_logits_are_those_of_the_module(backend: Backend[Any], built: dict[str, Artifact], model: TrainedModel) -> None:
    sequences = [IDS[:2], IDS, IDS[:5]]
    mine = list(generator(backend, built).logits(sequences))
    theirs = list(TorchGenerator(model).logits(sequences))
    for one, other, sequence in zip(mine, theirs, sequences, strict=True):
        assert one.dtype == np.float32
        assert one.shape[0] == len(sequence)
        # llama.cpp keeps keys and values in 16 bits by itself.
        np.testing.assert_allclose(one, other, atol=5e-2 if backend.name == "llama-cpp" else 2e-3)


@each_generator
def test_the_cache_is_weighed_after_an_answer(backend: Backend[Any], built: dict[str, Artifact]) -> None:
    loaded = generator(backend, built)
    list(loaded.stream(IDS, COUNT))
    head = tiny_lm.HIDDEN // tiny_lm.HEADS
    values = 2 * tiny_lm.LAYERS * tiny_lm.KV_HEADS * head
    bytes_of_a_value = 2 if backend.name == "llama-cpp" else 4
    tokens = loaded.numbers()["kv_cache_bytes"] / (bytes_of_a_value * values)
    assert len(IDS) + COUNT - 1 <= tokens <= len(IDS) + COUNT


@each_generator
def test_a_step_can_be_profiled(backend: Backend[Any], built: dict[str, Artifact], tmp_path: Path) -> None:
    steps = [{"input_ids": IDS[None, :1]}, {"input_ids": IDS[None, 1:2]}]
    try:
        times = backend.profile(built[backend.name], options(backend), steps, tmp_path)
    except MeasurementError as error:
        assert "no profiler" in str(error)
        return
    assert sum(time.seconds for time in times) > 0
    assert {time.kind for time in times} & {"MatMul", "FullyConnected", "aten::mm", "aten::addmm"}
    # A kernel that was compiled from several layers tells none of them.
    assert sum(time.size_bytes for time in times) > 0 or backend.name == "torch-compile"


@each_generator
def test_a_damaged_artifact_is_refused_with_a_sentence(
    backend: Backend[Any], model: TrainedModel, built: dict[str, Artifact], tmp_path: Path
) -> None:
    for path in built[backend.name].folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / built[backend.name].manifest.weights[0]).write_bytes(b"nothing of the kind")
    with pytest.raises((MeasurementError, WeightsError), match=r"refused|cannot be read"):
        backend.load_generator(Artifact.read(tmp_path), options(backend))


def test_what_generates_nothing_says_so(built: dict[str, Artifact]) -> None:
    with pytest.raises(MeasurementError, match="ONNX Runtime does not generate text"):
        BACKENDS.get("onnxruntime").load_generator(built["torch"], options(BACKENDS.get("torch")))


@each_generator
def test_guessing_says_the_same_tokens(backend: Backend[Any], built: dict[str, Artifact], tmp_path: Path) -> None:
    changed = PromptLookup().apply(
        built[backend.name], PromptLookupConfig(words=2, guesses=3), tmp_path, tiny_lm.context()
    )
    loaded = backend.load_generator(changed, options(backend))
    again = np.tile(IDS[:4], 3)
    for prompt in (IDS, again):
        assert list(loaded.stream(prompt, COUNT)) == list(generator(backend, built).stream(prompt, COUNT))
    assert 0 <= loaded.numbers()["acceptance_rate"] <= 1
