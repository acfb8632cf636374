"""GGUF files of our own: what another reader finds in them, and that four bits lose nothing of what four bits held."""

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch

from engine.errors import ExportError
from engine.models import gguf_file, gguf_writing
from tests import tiny_lm


def written(place: Path, *, tied: bool = True) -> tuple[Path, Any]:
    model = tiny_lm.loaded(place / "source", tied=tied)
    gguf_writing.write(model.module, place / "model.gguf")
    return place / "model.gguf", model


@pytest.mark.parametrize("tied", [True, False])
def test_another_reader_finds_the_same_weights(tmp_path: Path, tied: bool) -> None:
    path, model = written(tmp_path, tied=tied)
    found = {tensor.name: tensor for tensor in gguf.GGUFReader(str(path)).tensors}
    assert ("output.weight" in found) is not tied
    state = model.module.state_dict()
    np.testing.assert_array_equal(found["token_embd.weight"].data, state["model.embed_tokens.weight"].numpy())
    np.testing.assert_array_equal(found["blk.1.ffn_up.weight"].data, state["model.layers.1.mlp.up_proj.weight"].numpy())
    assert len(found) == len(state) - tied


def test_rows_of_queries_are_turned_as_the_converter_turns_them() -> None:
    rows = np.arange(8, dtype=np.float32).reshape(8, 1)
    assert gguf_writing.rotated_rows(rows, 2).ravel().tolist() == [0, 2, 1, 3, 4, 6, 5, 7]


def test_what_was_in_four_bits_is_found_again_to_the_last_bit(tmp_path: Path) -> None:
    path, _ = written(tmp_path)
    forms = dict.fromkeys(gguf_writing.matrices(path), "Q4_1")
    assert gguf_writing.repack(path, tmp_path / "four.gguf", forms.__getitem__) == len(forms)
    once = {tensor.name: tensor for tensor in gguf.GGUFReader(str(tmp_path / "four.gguf")).tensors}
    name = "blk.0.ffn_down.weight"
    values = gguf.quants.dequantize(once[name].data, once[name].tensor_type)
    again = gguf.quants.quantize(values, gguf.GGMLQuantizationType.Q4_1)
    np.testing.assert_allclose(
        gguf.quants.dequantize(again, gguf.GGMLQuantizationType.Q4_1), values, atol=2e-3 * np.abs(values).max()
    )
    assert (tmp_path / "four.gguf").stat().st_size < 0.3 * path.stat().st_size


def test_a_product_that_is_no_whole_number_of_blocks_is_refused(tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(str(tmp_path / "odd.gguf"), "llama")
    writer.add_tensor("blk.0.ffn_up.weight", np.ones((4, 48), dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(ExportError, match=r"48 inputs .* blocks of 32"):
        gguf_writing.repack(tmp_path / "odd.gguf", tmp_path / "new.gguf", lambda name: "Q8_0")


def test_an_architecture_that_has_no_form_is_refused(tmp_path: Path) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    module = GPT2LMHeadModel(GPT2Config(n_layer=1, n_embd=32, n_head=2, vocab_size=64))
    with pytest.raises(ExportError, match=r"'gpt2'.*Choose another backend"):
        gguf_writing.write(module, tmp_path / "model.gguf")
    assert torch.is_tensor(module.lm_head.weight)


def test_the_file_is_found_like_any_gguf(tmp_path: Path) -> None:
    path, _ = written(tmp_path)
    assert gguf_file.find(tmp_path) == path


def test_some_layers_are_kept_under_new_numbers(tmp_path: Path) -> None:
    path, model = written(tmp_path)
    gguf_writing.keep_layers(path, tmp_path / "draft.gguf", [0, 2])
    reader = gguf.GGUFReader(str(tmp_path / "draft.gguf"))
    found = {tensor.name: tensor for tensor in reader.tensors}
    assert reader.fields["llama.block_count"].contents() == 2
    assert not any(name.startswith("blk.2.") for name in found)
    second = model.module.state_dict()["model.layers.2.mlp.up_proj.weight"].numpy()
    np.testing.assert_array_equal(found["blk.1.ffn_up.weight"].data, second)
