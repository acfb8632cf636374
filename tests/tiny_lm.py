"""A language model so small that a test can run it in a moment: a random Llama with a tokenizer made here."""

from pathlib import Path
from typing import Any

import numpy as np

from engine.datasets.base import Dataset, Question, Split
from engine.models import FAMILIES
from engine.models.base import TrainedModel, TrainingContext
from engine.spec import Task

SEED = 0
LAYERS, HIDDEN, HEADS, KV_HEADS, INNER, POSITIONS = 3, 64, 4, 2, 128, 256
ANIMALS = ("cat", "dog", "bird", "fish", "horse", "mouse")


def questions(count: int, choices: int = 4) -> tuple[list[Question], np.ndarray[Any, np.dtype[np.int64]]]:
    """Return questions about animals with so many continuations each; a single one is always right."""
    generator = np.random.default_rng(SEED)
    made = []
    for number in range(count):
        chosen = generator.choice(ANIMALS, size=choices, replace=False)
        made.append(
            Question(
                context=f"Question: Which animal is number {number} of them all?\nAnswer:",
                choices=tuple(f" the {name}" for name in chosen),
            )
        )
    labels = generator.integers(0, choices, count) if choices > 1 else np.ones(count, dtype=np.int64)
    return made, labels.astype(np.int64)


def dataset(choices: int = 4) -> Dataset:
    """Return tiny questions: 24 train, 12 validation, 18 test."""
    made, labels = questions(54, choices)
    cuts = (slice(0, 24), slice(24, 36), slice(36, None))
    parts = [Split(made[cut], labels[cut]) for cut in cuts]
    classes = tuple("ABCDEFGH"[:choices]) if choices > 1 else ("wrong", "right")
    return Dataset("tiny-questions", Task.TEXT_GENERATION, classes, *parts, content_hash="q" * 64)


def folder(place: Path, *, tied: bool = True) -> Path:
    """Write a random Llama of three layers with its tokenizer as a Hugging Face folder."""
    import torch
    from safetensors.torch import save_file
    from transformers import LlamaConfig, LlamaForCausalLM

    place.mkdir(parents=True, exist_ok=True)
    tokenizer = _tokenizer()
    torch.manual_seed(SEED)
    config = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=HIDDEN,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=KV_HEADS,
        intermediate_size=INNER,
        max_position_embeddings=POSITIONS,
        tie_word_embeddings=tied,
        initializer_range=0.3,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
    )
    module = LlamaForCausalLM(config)
    state = {name: tensor.contiguous() for name, tensor in module.state_dict().items()}
    if tied:
        del state["lm_head.weight"]
    save_file(state, place / "model.safetensors")
    config.architectures = ["LlamaForCausalLM"]
    (place / "config.json").write_text(config.to_json_string())
    tokenizer.save(str(place / "tokenizer.json"))
    (place / "tokenizer_config.json").write_text(
        '{"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}'
    )
    return place


def _tokenizer() -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<pad>", "<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([question.context for question in questions(20)[0]], trainer)
    return tokenizer


def loaded(place: Path, *, tied: bool = True) -> TrainedModel:
    """Return the tiny model as its family makes it."""
    model, _ = FAMILIES.get("causal-lm").create("", folder(place, tied=tied), dataset(), SEED)
    return model


def context() -> TrainingContext:
    """Return what a technique may use, of tiny data."""
    return TrainingContext(dataset(), SEED, lambda share, text: None)
