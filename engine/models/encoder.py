"""Transformer encoders with a classification head, in Hugging Face's form (BERT, DistilBERT, RoBERTa and alike)."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.datasets.base import Dataset
from engine.errors import InvalidValueError, WeightsError
from engine.models import depth
from engine.models.base import FineTuneSettings, ModelFacts, ModelFamily, Prunable, TrainedModel
from engine.models.config_file import CONFIG_FILE, count, counts, read_config_file, read_model_config
from engine.models.early_exit import has_way_out, with_way_out
from engine.models.preprocess import TOKENIZER_FILE, PreprocessSpec
from engine.models.weights_file import WEIGHTS_FILE, load_into, read_weights, save_weights
from engine.quiet import quiet_libraries
from engine.spec import Task

if TYPE_CHECKING:
    import torch
    from torch import nn

PREPROCESS_FILE = "preprocess.json"
_QKV = ({"query", "key", "value"}, {"q_lin", "k_lin", "v_lin"}, {"q_proj", "k_proj", "v_proj"})
_WIDTH_KEYS = ("hidden_size", "intermediate_size", "dim", "hidden_dim")
_MAX_LENGTH = 128


class EncoderFamily(ModelFamily):
    """A pretrained encoder with a sequence classification head."""

    name = "encoder"
    task = Task.TEXT_CLASSIFICATION
    input_names = ("input_ids", "attention_mask", "token_type_ids")

    def fine_tuning(self, variant: str) -> FineTuneSettings:
        """Return the usual settings of encoders, two epochs in bfloat16."""
        return FineTuneSettings(epochs=2, batch_size=32, learning_rate=5e-5, autocast_bf16=True)

    def facts(self, variant: str, source: Path | None) -> ModelFacts:
        """Read ``config.json``; unknown until the weights were fetched."""
        if source is None or not (source / CONFIG_FILE).is_file():
            return ModelFacts(family=self.name)
        config = read_config_file(source)
        return ModelFacts(
            family=self.name,
            layers=count(config, "num_hidden_layers", "n_layers"),
            width=count(config, "hidden_size", "dim"),
            heads=count(config, "num_attention_heads", "n_heads"),
            widths=counts(config, _WIDTH_KEYS),
        )

    def create(self, variant: str, source: Path | None, dataset: Dataset, seed: int) -> tuple[TrainedModel, bool]:
        """Return the pretrained encoder; its head fits if it was saved with as many classes."""
        import torch

        if source is None:
            raise WeightsError("An encoder starts from pretrained weights; name a folder, a hub id or a catalog model.")
        torch.manual_seed(seed)
        config = read_model_config(source)
        names = [str(name) for name in (config.id2label or {}).values()]
        config.num_labels = len(dataset.classes)
        module = _new_module(config)
        state = _with_prefix(read_weights(source / WEIGHTS_FILE), module)
        head = {name for name in module.state_dict() if name.startswith(("classifier", "pre_classifier", "score"))}
        head_fits = all(name in state and state[name].shape == module.state_dict()[name].shape for name in head)
        fresh = module.state_dict()
        allowed = head | {name for name in fresh if "pooler" in name or name.endswith("position_ids")}
        load_into(
            module,
            {
                name: state.get(name, tensor) if name not in head or head_fits else tensor
                for name, tensor in fresh.items()
                if name in state or name in allowed
            },
        )
        tokenizer = source / TOKENIZER_FILE
        if not tokenizer.is_file():
            raise WeightsError(f"'{source.name}' has no {TOKENIZER_FILE}. Save its fast tokenizer into the folder.")
        spec = PreprocessSpec(
            kind="text",
            max_length=min(_MAX_LENGTH, getattr(config, "max_position_embeddings", _MAX_LENGTH) - 2),
            pad_id=config.pad_token_id or 0,
            token_type_ids=getattr(config, "type_vocab_size", 0) > 1,
        )
        fits = head_fits and len(names) == len(dataset.classes)
        return TrainedModel(module, self, spec, {TOKENIZER_FILE: tokenizer}), fits

    def save(self, model: TrainedModel, folder: Path) -> None:
        """Write configuration, weights, tokenizer and preprocessing."""
        module: Any = model.module
        if has_way_out(module):
            module.config.early_exit = {"after": module.exit_after, "threshold": module.exit_threshold}
        (folder / CONFIG_FILE).write_text(module.config.to_json_string(use_diff=False), "utf-8")
        (folder / PREPROCESS_FILE).write_text(model.preprocess.model_dump_json(), "utf-8")
        save_weights(model.module, folder / WEIGHTS_FILE)
        for name, path in model.preprocess_files.items():
            shutil.copyfile(path, folder / name)

    def load(self, folder: Path) -> TrainedModel:
        """Read a folder of :meth:`save`."""
        config = read_model_config(folder)
        module = _new_module(config)
        if way_out := getattr(config, "early_exit", None):
            module = _in_two(module, way_out["after"], way_out["threshold"])
        load_into(module, read_weights(folder / WEIGHTS_FILE))
        self.settle(module)
        spec = PreprocessSpec.model_validate_json((folder / PREPROCESS_FILE).read_text("utf-8"))
        return TrainedModel(module.eval(), self, spec, {TOKENIZER_FILE: folder / TOKENIZER_FILE})

    def logits(self, module: nn.Module, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """Return ``(batch, classes)``."""
        answer: Any = module(**inputs)
        logits: torch.Tensor = answer if has_way_out(module) else answer.logits
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

    def attentions(self, module: nn.Module) -> list[nn.Module]:
        """Return the attention of each transformer layer."""
        return [attention for attention, _ in _attentions(module)]

    def with_exit(self, model: TrainedModel, after: int, threshold: float) -> TrainedModel:
        """Cut between two transformer layers; the way out looks at the first token, as the pooler does."""
        count = len(self.blocks(model.module))
        after = after or count // 2
        if not 1 <= after < count:
            raise InvalidValueError(f"A way out after {after} of {count} layers leaves nothing to skip.")
        split = copy.copy(model)
        split.module = _in_two(model.module, after, threshold)
        return split

    def state_axes(self) -> list[dict[int, str]]:
        """Return the axes of hidden states and attention mask."""
        return [{0: "batch", 1: "sequence"}, {0: "batch", 1: "sequence"}]

    def prunable(self, module: nn.Module) -> Prunable:
        """Return attention heads and feed-forward neurons; the residual stream stays."""
        from torch import nn

        heads: dict[nn.Module, int] = {}
        for attention, projections in _attentions(module):
            heads |= dict.fromkeys(projections, projections[0].out_features // _head_size(attention))
        inner: list[nn.Module] = []
        frozen: list[nn.Module] = [layer for layer in module.modules() if isinstance(layer, nn.Linear)]
        for block in self.blocks(module):
            width = max(layer.out_features for layer in block.modules() if isinstance(layer, nn.Linear))
            names = ("intermediate.dense", "lin1", "fc1")
            inner += [
                layer
                for name, layer in block.named_modules()
                if isinstance(layer, nn.Linear)
                and (name.endswith(names) or layer.out_features == width > layer.in_features)
            ]
        free = {id(layer) for layer in [*heads, *inner]}
        return Prunable(
            {"heads": list(heads), "ffn": inner, "channels": []}, heads, [x for x in frozen if id(x) not in free]
        )

    def heads(self, module: nn.Module) -> tuple[int, int]:
        """Return the heads of the first layer; pruning leaves as many in each."""
        attention, projections = _attentions(module)[0]
        width = _head_size(attention)
        return projections[0].out_features // width, width

    def settle(self, module: nn.Module) -> None:
        """Repeat the head counts where an attention module keeps them as attributes."""
        for attention, projections in _attentions(module):
            count = projections[0].out_features // _head_size(attention)
            values = {"num_attention_heads": count, "n_heads": count, "num_heads": count}
            for key, value in (values | {"all_head_size": projections[0].out_features}).items():
                if hasattr(attention, key):
                    setattr(attention, key, value)

    def dynamic_axes(self) -> dict[str, dict[int, str]]:
        """Return the batch and sequence axes."""
        axes = {name: {0: "batch", 1: "sequence"} for name in self.input_names}
        return axes | {"logits": {0: "batch"}}


def _new_module(config: Any) -> Any:
    """Return a classifier of that configuration with random weights, its attention in the exportable form."""
    quiet_libraries()
    from transformers import AutoModelForSequenceClassification

    make: Any = AutoModelForSequenceClassification
    try:
        return make.from_config(config, attn_implementation="eager")
    except ValueError as error:
        raise WeightsError(f"'{config.model_type}' is no encoder for text classification ({error}).") from error


def _with_prefix(state: dict[str, Any], module: Any) -> dict[str, Any]:
    """Return the tensors under the names the classifier uses; a bare encoder lacks its prefix."""
    prefix = f"{module.base_model_prefix}."
    if any(name.startswith(prefix) for name in state):
        return state
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


def _in_two(module: Any, after: int, threshold: float) -> Any:
    """Return a copy of a classifier with a way out after so many layers."""
    import torch
    from torch import nn

    class Front(nn.Module):
        """Embeddings and the first layers."""

        def __init__(self, base: nn.Module) -> None:
            super().__init__()
            self.base = base

        def forward(self, **inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return self.base(**inputs).last_hidden_state, inputs["attention_mask"]

    class Passed(nn.Module):
        """Stands where embeddings were: what comes in are hidden states already."""

        def forward(self, *args: Any, **named: Any) -> torch.Tensor:
            values = (*args, *named.values())
            return next(value for value in values if isinstance(value, torch.Tensor) and value.ndim == 3)

    class Back(nn.Module):
        """The last layers and the classifier."""

        def __init__(self, classifier: nn.Module) -> None:
            super().__init__()
            self.classifier = classifier

        def forward(self, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.classifier(inputs_embeds=hidden, attention_mask=mask).logits
            return logits

    class FirstToken(nn.Module):
        """The state of the token that stands for the whole text."""

        def forward(self, hidden: torch.Tensor) -> torch.Tensor:
            return hidden[:, 0]

    front, back = copy.deepcopy(module.base_model), copy.deepcopy(module)
    _, layers = depth.layer_stack(front)
    depth.put_layers(front, list(layers)[:after])
    _, layers = depth.layer_stack(back)
    depth.put_layers(back, list(layers)[after:])
    if getattr(front, "pooler", None) is not None:
        front.pooler = None
    back.base_model.embeddings = Passed()
    width = module.config.hidden_size
    way_out = nn.Sequential(
        FirstToken(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, module.config.num_labels)
    )
    split: Any = with_way_out(Front(front), Back(back), way_out, after, threshold)
    split.config = module.config
    return split


def _attentions(module: Any) -> list[tuple[Any, list[Any]]]:
    """Return attention modules with their query, key and value projections."""
    found = []
    for child in module.modules():
        names = dict(child.named_children())
        found += [(child, [names[name] for name in sorted(group)]) for group in _QKV if group <= names.keys()]
    return found


def _head_size(attention: Any) -> int:
    """Return the width of one head, which pruning whole heads leaves as it is."""
    for name in ("attention_head_size", "head_dim"):
        if hasattr(attention, name):
            return int(getattr(attention, name))
    return int(attention.dim // attention.n_heads)
