"""Causal language models in Hugging Face's form or as GGUF (Llama, Qwen, GPT-2 and alike)."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.datasets.base import Dataset
from engine.errors import WeightsError
from engine.models import depth, gguf_file
from engine.models.base import FineTuneSettings, ModelFacts, ModelFamily, Prunable, TrainedModel
from engine.models.config_file import CONFIG_FILE, count, counts, read_config_file, read_model_config
from engine.models.preprocess import TOKENIZER_FILE, PreprocessSpec
from engine.models.prompts import TEMPLATE_FILE
from engine.models.weights_file import WEIGHTS_FILE, is_quantized, load_into, read_weights, save_weights
from engine.quiet import quiet_libraries
from engine.spec import Task

if TYPE_CHECKING:
    import torch
    from torch import nn

PREPROCESS_FILE = "preprocess.json"
_WIDTH_KEYS = ("hidden_size", "intermediate_size", "n_embd", "n_inner")
_BYTES_OF_A_FLOAT = 4


class CausalLMFamily(ModelFamily):
    """A pretrained decoder that continues texts; nothing is trained before it is compressed."""

    name = "causal-lm"
    task = Task.TEXT_GENERATION
    input_names = ("input_ids", "attention_mask")
    first_stage = "unpack weights"

    def fine_tuning(self, variant: str) -> FineTuneSettings:
        """Return the settings of recovery after a cut; a model is never fine-tuned to a data set."""
        return FineTuneSettings(epochs=1, batch_size=8, learning_rate=5e-5, autocast_bf16=True)

    def facts(self, variant: str, source: Path | None) -> ModelFacts:
        """Read ``config.json``; unknown until the weights were fetched, and for a GGUF until it is unpacked."""
        if source is None or not (source / CONFIG_FILE).is_file():
            return ModelFacts(family=self.name)
        config = read_config_file(source)
        return ModelFacts(
            family=self.name,
            layers=count(config, "num_hidden_layers", "n_layer"),
            width=count(config, "hidden_size", "n_embd"),
            heads=count(config, "num_attention_heads", "n_head"),
            widths=counts(config, _WIDTH_KEYS),
            positions=count(config, "max_position_embeddings", "n_positions"),
        )

    def create(self, variant: str, source: Path | None, dataset: Dataset, seed: int) -> tuple[TrainedModel, bool]:
        """Return the pretrained model in 32 bits; it fits every data set of its task."""
        if source is None:
            raise WeightsError("A language model starts from pretrained weights; name a folder, a hub id or a model.")
        gguf_file.check_memory(source)
        if gguf_file.find(source):
            return self._from_gguf(source), True
        config = read_model_config(source)
        module = _new_module(config)
        state = {name: tensor.float() for name, tensor in read_weights(source / WEIGHTS_FILE).items()}
        _load(module, _with_prefix(state, module))
        files = {name: source / name for name in (TOKENIZER_FILE, TEMPLATE_FILE) if (source / name).is_file()}
        if TOKENIZER_FILE not in files:
            raise WeightsError(f"'{source.name}' has no {TOKENIZER_FILE}. Save its fast tokenizer into the folder.")
        return TrainedModel(module, self, _preprocess(config), files), True

    def _from_gguf(self, source: Path) -> TrainedModel:
        """Unpack a GGUF; the tokenizer inside it is written beside the cached weights, the file itself is kept."""
        module, files = gguf_file.unpack(source)
        return TrainedModel(module, self, _preprocess(module.config), files)

    def save(self, model: TrainedModel, folder: Path) -> None:
        """Write configuration, weights, tokenizer and preprocessing; tied weights once."""
        module: Any = model.module
        (folder / CONFIG_FILE).write_text(module.config.to_json_string(use_diff=False), "utf-8")
        (folder / PREPROCESS_FILE).write_text(model.preprocess.model_dump_json(), "utf-8")
        with _head_left_out(module):
            save_weights(module, folder / WEIGHTS_FILE)
        for name, path in model.preprocess_files.items():
            shutil.copyfile(path, folder / name)

    def load(self, folder: Path) -> TrainedModel:
        """Read a folder of :meth:`save`."""
        config = read_model_config(folder)
        module = _new_module(config)
        _load(module, read_weights(folder / WEIGHTS_FILE))
        spec = PreprocessSpec.model_validate_json((folder / PREPROCESS_FILE).read_text("utf-8"))
        files = {name: folder / name for name in (TOKENIZER_FILE, TEMPLATE_FILE) if (folder / name).is_file()}
        return TrainedModel(module.eval(), self, spec, files)

    def logits(self, module: nn.Module, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """Return ``(batch, sequence, vocabulary)``."""
        answer: Any = module(**inputs, use_cache=False)
        logits: torch.Tensor = answer.logits
        return logits

    def keep_layers(self, model: TrainedModel, layers: int) -> TrainedModel:
        """Keep evenly spaced layers, the last one among them."""
        return self.with_layers(model, depth.evenly_spaced(len(self.blocks(model.module)), layers))

    def with_layers(self, model: TrainedModel, chosen: Sequence[int]) -> TrainedModel:
        """Return a copy with the chosen layers."""
        return replace(model, module=depth.with_layers(model.module, chosen))

    def blocks(self, module: nn.Module) -> list[nn.Module]:
        """Return the transformer layers."""
        return list(depth.layer_stack(module)[1])

    def prunable(self, module: nn.Module) -> Prunable:
        """Return nothing: gated feed-forward layers and shared keys are cut by no technique yet."""
        from torch import nn

        frozen: list[nn.Module] = [layer for layer in module.modules() if isinstance(layer, nn.Linear)]
        return Prunable({"heads": [], "ffn": [], "channels": []}, {}, frozen)

    def heads(self, module: nn.Module) -> tuple[int, int]:
        """Return attention heads of a layer and the width of one."""
        config: Any = module.config
        count = int(config.num_attention_heads)
        return count, int(getattr(config, "head_dim", None) or config.hidden_size // count)

    def dynamic_axes(self) -> dict[str, dict[int, str]]:
        """Return the batch and sequence axes."""
        axes = {name: {0: "batch", 1: "sequence"} for name in self.input_names}
        return axes | {"logits": {0: "batch", 1: "sequence"}}


def _preprocess(config: Any) -> PreprocessSpec:
    """Describe how prompts become ids; the window is the longest sequence the model has seen positions for."""
    window = getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None) or 2048
    return PreprocessSpec(kind="text", max_length=int(window), token_type_ids=False)


def _new_module(config: Any) -> Any:
    """Return a causal model of that configuration whose weights are still to be loaded."""
    quiet_libraries()
    from transformers import AutoModelForCausalLM
    from transformers.initialization import no_init_weights

    make: Any = AutoModelForCausalLM
    config.dtype = None
    try:
        with no_init_weights():  # drawing 134 million random numbers would count as the model's cold start
            return make.from_config(config, attn_implementation="sdpa")
    except ValueError as error:
        raise WeightsError(f"'{config.model_type}' is no causal language model ({error}).") from error


@contextmanager
def _head_left_out(module: Any) -> Iterator[None]:
    """Take the output layer's weight away while it is stored, where it is the embedding's under a second name."""
    head = module.get_output_embeddings()
    if head.weight is not module.get_input_embeddings().weight:
        yield
        return
    weight = head.weight
    del head.weight
    try:
        yield
    finally:
        head.weight = weight


def _load(module: Any, state: dict[str, torch.Tensor]) -> None:
    """Load weights, those that are tied from the one that was stored."""
    tied = bool(getattr(module.config, "tie_word_embeddings", False))
    head, embedding = module.get_output_embeddings(), module.get_input_embeddings()
    names = {id(layer): name for name, layer in module.named_modules()}
    head_name, embedding_name = (f"{names[id(layer)]}.weight" for layer in (head, embedding))
    if tied and head_name not in state and embedding_name in state:
        state = {**state, head_name: state[embedding_name]}
    load_into(module, state)
    if tied and not is_quantized(head.weight):
        head.weight = embedding.weight


def _with_prefix(state: dict[str, Any], module: Any) -> dict[str, Any]:
    """Return the tensors under the names of the whole model; a bare decoder lacks its prefix."""
    prefix = f"{module.base_model_prefix}."
    if any(name.startswith(prefix) for name in state):
        return state
    return {name if name.startswith("lm_head") else f"{prefix}{name}": tensor for name, tensor in state.items()}
