"""Causal language models: what is read, kept, cut and written, and what PyTorch's greedy decoding says."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine.answering import Generating
from engine.backends.torch_text import TorchGenerator
from engine.errors import WeightsError
from engine.models import find_model
from engine.models.weights_file import WEIGHTS_FILE, count_parameters, read_weights
from engine.spec import Task
from tests import tiny_lm


def reference(place: Path) -> Any:
    """Return the model as transformers itself loads it."""
    from transformers import AutoModelForCausalLM

    make: Any = AutoModelForCausalLM
    return make.from_pretrained(str(place), dtype=torch.float32).eval()


IDS = np.asarray([5, 40, 7, 100, 31, 8, 200, 9], dtype=np.int64)


@pytest.mark.parametrize("tied", [True, False])
def test_greedy_tokens_and_logits_are_those_of_transformers(tmp_path: Path, tied: bool) -> None:
    model = tiny_lm.loaded(tmp_path, tied=tied)
    theirs = reference(tmp_path)
    generator = TorchGenerator(model)
    expected = theirs.generate(
        torch.from_numpy(IDS)[None], max_new_tokens=20, min_new_tokens=20, do_sample=False, eos_token_id=None
    )
    assert list(generator.stream(IDS, 20)) == expected[0, len(IDS) :].tolist()
    with torch.inference_mode():
        logits = theirs(torch.from_numpy(IDS)[None]).logits[0].numpy()
    short, whole = generator.logits([IDS[:3], IDS])
    np.testing.assert_allclose(whole, logits, atol=1e-4)
    np.testing.assert_allclose(short, logits[:3], atol=1e-4, err_msg="what fills a batch up was seen")


def test_the_cache_holds_keys_and_values_of_every_token(tmp_path: Path) -> None:
    generator = TorchGenerator(tiny_lm.loaded(tmp_path))
    assert generator.numbers() == {}
    assert len(list(generator.stream(IDS, 5))) == 5
    head = tiny_lm.HIDDEN // tiny_lm.HEADS
    tokens = len(IDS) + 4  # the last one was never put in
    assert generator.numbers()["kv_cache_bytes"] == 2 * tiny_lm.LAYERS * tiny_lm.KV_HEADS * head * tokens * 4


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("half", [True, False])
def test_what_is_saved_is_read_back(tmp_path: Path, tied: bool, half: bool) -> None:
    model = tiny_lm.loaded(tmp_path / "source", tied=tied)
    if half:
        model.module.to(torch.bfloat16)
    saved = tmp_path / "saved"
    saved.mkdir()
    model.family.save(model, saved)
    again = model.family.load(saved)
    assert count_parameters(again.module) == count_parameters(model.module)
    assert next(again.module.parameters()).dtype == (torch.bfloat16 if half else torch.float32)
    assert ("lm_head.weight" in read_weights(saved / WEIGHTS_FILE)) is not tied
    assert list(TorchGenerator(again).stream(IDS, 12)) == list(TorchGenerator(model).stream(IDS, 12))


def test_layers_that_are_left_keep_their_places_in_the_cache(tmp_path: Path) -> None:
    model = tiny_lm.loaded(tmp_path / "source")
    smaller = model.family.with_layers(model, [0, 2])
    saved = tmp_path / "saved"
    saved.mkdir()
    model.family.save(smaller, saved)
    again = model.family.load(saved)
    assert len(again.family.blocks(again.module)) == 2
    assert len(model.family.blocks(model.module)) == 3
    step_by_step = list(TorchGenerator(again).stream(IDS, 8))
    whole: list[int] = []
    for _ in range(8):  # without a cache
        (logits,) = TorchGenerator(smaller).logits([np.asarray([*IDS, *whole], dtype=np.int64)])
        whole.append(int(logits[-1].argmax()))
    assert step_by_step == whole


def test_facts_are_read_from_the_configuration(tmp_path: Path) -> None:
    entry = find_model(str(tiny_lm.folder(tmp_path)))
    assert (entry.task, entry.family) == (Task.TEXT_GENERATION, "causal-lm")
    facts = tiny_lm.loaded(tmp_path).family.facts("", tmp_path)
    assert (facts.layers, facts.heads, facts.positions) == (tiny_lm.LAYERS, tiny_lm.HEADS, tiny_lm.POSITIONS)
    assert facts.widths == (tiny_lm.HIDDEN, tiny_lm.INNER)


def test_a_hub_id_is_for_what_a_person_says(tmp_path: Path) -> None:
    assert find_model("some/model", Task.TEXT_GENERATION).family == "causal-lm"
    assert find_model("some/model").family == "encoder"


def test_a_file_that_is_no_gguf_is_refused_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "broken.gguf").write_bytes(b"GGUF\x03\x00\x00\x00 and then nothing of the kind" * 3)
    family = tiny_lm.FAMILIES.get("causal-lm")
    with pytest.raises(WeightsError, match=r"'broken\.gguf' cannot be read"):
        family.create("", tmp_path, tiny_lm.dataset(), 0)


def written_gguf(path: Path, architecture: str) -> Path:
    """Write a GGUF of one small tensor."""
    import gguf

    writer = gguf.GGUFWriter(str(path), architecture)
    writer.add_name("made by a test")
    writer.add_tensor("one.weight", np.zeros((4, 4), dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_a_gguf_of_an_unknown_architecture_is_refused_with_a_sentence(tmp_path: Path) -> None:
    written_gguf(tmp_path / "odd.gguf", "no-such-architecture")
    with pytest.raises(WeightsError, match=r"'odd\.gguf' cannot be read .*no-such-architecture.* known architecture"):
        tiny_lm.FAMILIES.get("causal-lm").create("", tmp_path, tiny_lm.dataset(), 0)


def test_two_ggufs_in_a_folder_are_one_too_many(tmp_path: Path) -> None:
    for name in ("one.gguf", "two.gguf"):
        written_gguf(tmp_path / name, "llama")
    with pytest.raises(WeightsError, match="holds 2 GGUF files"):
        tiny_lm.FAMILIES.get("causal-lm").create("", tmp_path, tiny_lm.dataset(), 0)


def test_weights_that_would_not_fit_into_memory_are_refused_before_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Memory:
        available = 1000

    tiny_lm.folder(tmp_path)
    monkeypatch.setattr("psutil.virtual_memory", Memory)
    with pytest.raises(WeightsError, match="GB are free"):
        tiny_lm.FAMILIES.get("causal-lm").create("", tmp_path, tiny_lm.dataset(), 0)


def test_scores_of_a_module_are_log_likelihoods(tmp_path: Path) -> None:
    model, data = tiny_lm.loaded(tmp_path), tiny_lm.dataset()
    scores = Generating().scores_of_model(model, data.validation)
    assert scores.shape == (12, 4, 2)
    assert (scores[..., 0] < 0).all()
    assert set(np.unique(scores[..., 1])) <= {0.0, 1.0}
    assert 150 < Generating().rows_of_model(model, data.validation).shape[0] <= 200
    assert Generating().flops(model, data.validation) > 2 * tiny_lm.LAYERS * tiny_lm.HIDDEN * tiny_lm.INNER * 3
