"""Models and data sets so small that a test can train, cut and export them in a moment; random, made from a config."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine.datasets.base import Dataset, Split
from engine.datasets.files import take
from engine.models import FAMILIES
from engine.models.base import Artifact, TrainedModel, TrainingContext
from engine.models.preprocess import load_preprocessor
from engine.spec import Task

SEED = 0
LAYERS, HIDDEN, HEADS, INNER = 2, 32, 4, 64
POSITIONS = 66
GOOD = ("good", "great", "fine", "lovely")
BAD = ("bad", "awful", "poor", "dull")
FILLER = ("the", "film", "was", "a", "story", "with", "actors", "and", "music", "on", "some", "evenings")
CLASSES = ("negative", "positive")


@dataclass(frozen=True)
class Kind:
    """An architecture of a family, with the data it is fed here."""

    family: str
    variant: str = ""

    @property
    def task(self) -> Task:
        return FAMILIES.get(self.family).task

    def __str__(self) -> str:
        return self.variant or self.family


KINDS = (Kind("vision", "mlp"), Kind("vision", "cnn"), Kind("encoder"))


def texts(count: int, seed: int = SEED) -> tuple[list[str], np.ndarray[Any, np.dtype[np.int64]]]:
    """Return sentences of 4 to 20 words; the class is told by three of them."""
    generator = np.random.default_rng(seed)
    labels = np.arange(count, dtype=np.int64) % 2
    sentences = []
    for label in labels:
        telling = generator.choice(GOOD if label else BAD, size=3)
        words = [*telling, *generator.choice(FILLER, size=generator.integers(1, 17))]
        generator.shuffle(words)
        sentences.append(" ".join(words))
    return sentences, labels


def text_dataset(train: int = 64, other: int = 24) -> Dataset:
    """Return sentences whose sentiment a few words tell."""
    sentences, labels = texts(train + 2 * other)
    return Dataset(
        "tiny-texts", Task.TEXT_CLASSIFICATION, CLASSES, *_split(sentences, labels, train, other), content_hash="t" * 64
    )


def image_dataset(train: int = 64, other: int = 24, classes: int = 3) -> Dataset:
    """Return random images, brighter in another third for each class."""
    generator = np.random.default_rng(SEED)
    count = train + 2 * other
    labels = np.arange(count, dtype=np.int64) % classes
    images = generator.integers(0, 120, size=(count, 28, 28), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[9 * label : 9 * (label + 1)] += 130
    names = tuple(f"class {number}" for number in range(classes))
    return Dataset(
        "tiny-images", Task.IMAGE_CLASSIFICATION, names, *_split(images, labels, train, other), content_hash="i" * 64
    )


def _split(samples: Any, labels: Any, train: int, other: int) -> tuple[Split, Split, Split]:
    cuts = (slice(0, train), slice(train, train + other), slice(train + other, None))
    first, second, third = (Split(samples[cut], labels[cut]) for cut in cuts)
    return first, second, third


def dataset_for(task: Task) -> Dataset:
    """Return tiny data of a task."""
    return image_dataset() if task is Task.IMAGE_CLASSIFICATION else text_dataset()


def encoder_folder(folder: Path, *, classes: Sequence[str] = CLASSES, head: bool = True) -> Path:
    """Write a random two-layer BERT with its tokenizer as a Hugging Face folder.

    Args:
        folder: where to write; made if needed.
        classes: names of the head's classes.
        head: with a classification head, or the bare encoder.
    """
    import torch
    from safetensors.torch import save_file
    from transformers import BertConfig, BertForSequenceClassification

    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _tokenizer()
    config = BertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=HIDDEN,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        intermediate_size=INNER,
        max_position_embeddings=POSITIONS,
        id2label=dict(enumerate(classes)),
        label2id={name: number for number, name in enumerate(classes)},
        initializer_range=0.1,
    )
    torch.manual_seed(SEED)
    module = BertForSequenceClassification(config)
    saved = module if head else module.bert
    save_file({name: tensor.contiguous() for name, tensor in saved.state_dict().items()}, folder / "model.safetensors")
    config.architectures = ["BertForSequenceClassification" if head else "BertModel"]
    (folder / "config.json").write_text(config.to_json_string())
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def _tokenizer() -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    vocabulary = {
        word: number for number, word in enumerate(("[PAD]", "[UNK]", "[CLS]", "[SEP]", *GOOD, *BAD, *FILLER))
    }
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return tokenizer


def untrained(kind: Kind, folder: Path, dataset: Dataset | None = None) -> TrainedModel:
    """Return a random model of a kind, as its family makes it."""
    source = encoder_folder(folder / "source") if kind.family == "encoder" else None
    model, _ = FAMILIES.get(kind.family).create(kind.variant, source, dataset or dataset_for(kind.task), SEED)
    model.module.eval()
    return model


def context_for(task: Task, reports: list[float] | None = None) -> TrainingContext:
    """Return what a model technique may use, of tiny data; shares of progress are added to ``reports``."""
    return TrainingContext(
        dataset_for(task),
        SEED,
        lambda share, _: (reports if reports is not None else []).append(share),
        scores=scores_of,
    )


def usable_backends() -> list[Any]:
    """Return the backends that are installed and can be loaded by this very process."""
    from engine.backends import BACKENDS

    return [backend for backend in BACKENDS if backend.is_here and backend.capabilities().available]


def scores_of(artifact: Artifact, split: Split) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return an artifact's logits, one sample at a time, from the first backend that loads it."""
    backend = next(backend for backend in usable_backends() if backend.format == artifact.manifest.format)
    session = backend.load(artifact, backend.options_type.model_validate({"threads": 1}))
    preprocess = load_preprocessor(artifact.manifest.preprocess, artifact.folder)
    return np.concatenate([session.run(preprocess(take(split.samples, np.array([i])))) for i in range(len(split))])


def reviews_csv(path: Path, count: int = 80, *, labels: Sequence[str] = CLASSES, split: bool = False) -> Path:
    """Write sentences with string labels, and with a split column if asked."""
    sentences, numbers = texts(count)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["review", "mood", *(["part"] if split else [])])
        for row, (sentence, number) in enumerate(zip(sentences, numbers, strict=True)):
            part = ("train", "train", "train", "validation", "test")[row // 2 % 5]
            writer.writerow([sentence, labels[number], *([part] if split else [])])
    return path


def reviews_reference(path: Path, *, split: bool = False) -> str:
    """Return how a person names such a file."""
    return f"{path}:text=review,label=mood{',split=part' if split else ''}"
