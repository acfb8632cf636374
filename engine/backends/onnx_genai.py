"""ONNX Runtime GenAI: a language model as one graph with a fused attention and a KV cache that stays in place."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.backends.base import Backend, BackendOptions, Generator, Inputs, OperatorTime, Session, manifest_of, no_such
from engine.backends.lookup import with_lookup
from engine.errors import ExportError, MeasurementError
from engine.models.base import Artifact, TrainedModel
from engine.models.preprocess import TOKENIZER_FILE
from engine.spec import Task

GRAPH_FILE, DATA_FILE, CONFIG_FILE = "model.onnx", "model.onnx.data", "genai_config.json"
_BUILD_TIMEOUT_S = 1800
_TOKENIZER_CONFIG = '{"tokenizer_class": "PreTrainedTokenizerFast"}'


class OnnxGenaiOptions(BackendOptions):
    """Options of ONNX Runtime GenAI."""


class OnnxGenerator:
    """A loaded graph with the settings of its cache."""

    def __init__(self, model: Any, facts: dict[str, Any]) -> None:
        self._model, self._facts = model, facts
        self._cached_tokens = 0
        self._generator: Any = None

    def logits(self, sequences: Sequence[NDArray[np.int64]]) -> Iterator[NDArray[np.float32]]:
        """Yield ``(length, vocabulary)`` for each sequence, one after the other."""
        for sequence in sequences:
            generator = self._begin(sequence, 1)
            answers: NDArray[np.float32] = generator.get_output("logits")[0]
            yield answers.astype(np.float32, copy=False)

    def stream(self, ids: NDArray[np.int64], count: int) -> Iterator[int]:
        """Yield the most likely next token, ``count`` times."""
        generator = self._begin(ids, count)
        for _ in range(count):
            generator.generate_next_token()
            token = int(generator.get_next_tokens()[0])
            yield token
            if generator.is_done() and generator.token_count() < self._cached_tokens:
                generator.append_tokens(np.asarray([token], dtype=np.int32))  # an end of text is a token like any other

    def stream_together(self, ids: NDArray[np.int64], count: int) -> Iterator[list[int]]:
        """Yield the most likely next token of every prompt, ``count`` times.

        What ends a text is not said before the end: the runtime would fill an ended answer up instead of going on.
        """
        import onnxruntime_genai

        self._cached_tokens = ids.shape[0] * (ids.shape[1] + count)
        settings = onnxruntime_genai.GeneratorParams(self._model)
        length = ids.shape[1] + count
        settings.set_search_options(max_length=length, min_length=length, do_sample=False, batch_size=ids.shape[0])
        generator = onnxruntime_genai.Generator(self._model, settings)
        generator.append_tokens(ids.astype(np.int32))
        for _ in range(count):
            generator.generate_next_token()
            following: list[int] = generator.get_next_tokens().tolist()
            yield following

    def begin(self, ids: NDArray[np.int64], room: int) -> int:
        """Read a prompt into a new cache; return the most likely next token."""
        self._generator = self._begin(ids, room)
        return int(self._generator.get_output("logits")[0, -1].argmax())

    def extend(self, tokens: Sequence[int]) -> list[int]:
        """Read these tokens; return the most likely next one after each of them."""
        self._generator.append_tokens(np.asarray(tokens, dtype=np.int32))
        following: list[int] = self._generator.get_output("logits")[0].argmax(axis=-1).tolist()
        return following

    def forget(self, tokens: int) -> None:
        """Drop so many tokens from the end of the cache."""
        self._generator.rewind_to(self._generator.token_count() - tokens)

    def _begin(self, ids: NDArray[np.int64], count: int) -> Any:
        """Return a generator that has read ``ids`` and has room for ``count`` tokens more."""
        import onnxruntime_genai

        self._cached_tokens = len(ids) + count
        settings = onnxruntime_genai.GeneratorParams(self._model)
        settings.set_search_options(max_length=self._cached_tokens, do_sample=False)
        generator = onnxruntime_genai.Generator(self._model, settings)
        generator.append_tokens(ids.astype(np.int32))
        return generator

    def numbers(self) -> dict[str, float]:
        """Return the bytes of the cache that was set aside for the last response."""
        decoder = self._facts["model"]["decoder"]
        values = decoder["num_hidden_layers"] * decoder["num_key_value_heads"] * decoder["head_size"]
        return {"kv_cache_bytes": float(2 * 4 * values * self._cached_tokens)}


class OnnxGenai(Backend[OnnxGenaiOptions]):
    """The CPU execution provider under ONNX Runtime's own generation loop."""

    name = "onnxruntime-genai"
    title = "ONNX Runtime GenAI"
    summary = "A language model as one fused graph; three times as fast as eager, and few-bit weights pay in full."
    format = "genai"
    tasks = frozenset({Task.TEXT_GENERATION})
    options_type = OnnxGenaiOptions

    distributions = ("onnxruntime-genai", "onnxruntime", "onnx")
    extra = "genai"

    def try_options(self) -> dict[str, tuple[str, ...]]:
        """Load the library with everything it links to; it computes nothing without a whole model."""
        import onnxruntime_genai

        onnxruntime_genai.set_log_options(enabled=False)
        return {"device": ("cpu",)}

    def export(self, model: TrainedModel, options: OnnxGenaiOptions, folder: Path) -> Artifact:
        """Let the runtime's own model builder write the graph, in 32 bits and without asking the hub."""
        with TemporaryDirectory() as scratch:
            source = Path(scratch) / "source"
            source.mkdir()
            model.family.save(model, source)
            _declare(source, type(model.module).__name__)
            _build(source, Path(scratch) / "built", Path(scratch) / "cache")
            for name in (GRAPH_FILE, DATA_FILE, CONFIG_FILE):
                shutil.move(Path(scratch) / "built" / name, folder / name)
        for name, path in model.preprocess_files.items():
            shutil.copyfile(path, folder / name)
        return Artifact.write(folder, manifest_of(model, self.format, (GRAPH_FILE, DATA_FILE)))

    def load(self, artifact: Artifact, options: OnnxGenaiOptions) -> Session:
        """Refuse: there is nothing to classify with."""
        raise MeasurementError(f"{self.title} generates text and does nothing else. Choose another backend.")

    def load_generator(self, artifact: Artifact, options: OnnxGenaiOptions) -> Generator:
        """Load the graph with the thread count set: left alone, ONNX Runtime takes half of the CPUs."""
        import onnxruntime_genai

        if options.device != "cpu":
            raise no_such(self.title, "device", options.device, ["cpu"])
        session = {"intra_op_num_threads": options.threads, "inter_op_num_threads": 1, "log_severity_level": 3}
        try:
            facts = json.loads((artifact.folder / CONFIG_FILE).read_text("utf-8"))
            config = onnxruntime_genai.Config(str(artifact.folder))
            config.overlay(json.dumps({"model": {"decoder": {"session_options": session}}}))
            return with_lookup(OnnxGenerator(onnxruntime_genai.Model(config), facts), artifact)
        except Exception as error:  # the runtime's own exceptions share no base class
            raise MeasurementError(f"ONNX Runtime GenAI refused the model ({error}).") from error

    def profile(
        self, artifact: Artifact, options: OnnxGenaiOptions, queries: Sequence[Inputs], scratch: Path
    ) -> list[OperatorTime]:
        """Return the kernel times of single decoding steps, from ONNX Runtime's profiler on the same graph."""
        from engine.backends.onnx_steps import profile_steps

        facts = json.loads((artifact.folder / CONFIG_FILE).read_text("utf-8"))
        return profile_steps(artifact.folder / GRAPH_FILE, facts, options.threads, queries, scratch)


def _declare(source: Path, architecture: str) -> None:
    """Add what the builder looks for in a folder and ours do not need."""
    config = json.loads((source / "config.json").read_text("utf-8"))
    config["architectures"] = [architecture]
    (source / "config.json").write_text(json.dumps(config), "utf-8")
    if (source / TOKENIZER_FILE).is_file():
        (source / "tokenizer_config.json").write_text(_TOKENIZER_CONFIG, "utf-8")


def _build(source: Path, target: Path, cache: Path) -> None:
    """Run the builder as a program; it has no function that would do the same.

    Raises:
        ExportError: with its last words.
    """
    command = [sys.executable, "-m", "onnxruntime_genai.models.builder", "-i", str(source), "-m", "any"]
    command += ["-o", str(target), "-p", "fp32", "-e", "cpu", "-c", str(cache), "--extra_options", "hf_token=false"]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=_BUILD_TIMEOUT_S,
            check=False,
            env={**os.environ, "HF_HUB_OFFLINE": "1"},  # it would ask the hub for half a minute
        )
    except subprocess.TimeoutExpired:
        raise ExportError(f"The model builder took longer than {_BUILD_TIMEOUT_S} s. Choose a smaller model.") from None
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise ExportError(f"ONNX Runtime GenAI cannot build this model ({last}). Choose the torch backend.")
