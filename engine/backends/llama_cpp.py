"""llama.cpp: a language model as one GGUF file, on kernels of ggml's own for weights of a few bits.

Its threads spin while they wait for each other: with others at work on the same cores it loses far more than its share.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from engine.backends.base import Backend, BackendOptions, Generator, Inputs, OperatorTime, Session, manifest_of, no_such
from engine.backends.lookup import Draft, SpeculativeGenerator, with_lookup
from engine.errors import MeasurementError
from engine.models import gguf_writing
from engine.models.base import Artifact, TrainedModel
from engine.spec import Task

MODEL_FILE, CONFIG_FILE = "model.gguf", "config.json"
_ROOM = 256
"""The cache grows by so many tokens, ggml's own granularity."""
_BITS = {16: "GGML_TYPE_F16", 8: "GGML_TYPE_Q8_0", 4: "GGML_TYPE_Q4_0"}
_BYTES = {16: 2.0, 8: 34 / 32, 4: 18 / 32}
"""Of a cached value, with its share of the block's scale."""


class LlamaCppOptions(BackendOptions):
    """Options of llama.cpp."""

    repack: bool = Field(
        default=False,
        title="Repack",
        description="Lay the weights out anew for the widest kernels (AMX and alike) when loading; some builds crash",
    )


class LlamaGenerator:
    """A loaded file; its context is made anew when a longer text comes.

    Args:
        path: the GGUF.
        config: the model's, as transformers writes it.
        threads: for prompts and single tokens alike.
        cache_bits: of a cached key or value.
        repack: whether the weights are laid out anew for wider kernels.
    """

    def __init__(
        self, path: Path, config: dict[str, Any], threads: int, *, cache_bits: int = 16, repack: bool = False
    ) -> None:
        import llama_cpp

        self._api: Any = llama_cpp
        self._config, self._threads, self._cache_bits = config, threads, cache_bits
        self._context: Any = None
        self._room = self._used = 0
        self._texts = 1
        _silence(self._api)
        settings = self._api.llama_model_default_params()
        settings.n_gpu_layers = 0
        settings.use_extra_bufts = repack
        self._model = self._api.llama_model_load_from_file(str(path).encode(), settings)
        if not self._model:
            raise MeasurementError("llama.cpp refused the model: the file is damaged or of an unknown kind.")
        self._vocabulary = self._api.llama_vocab_n_tokens(self._api.llama_model_get_vocab(self._model))

    def logits(self, sequences: Sequence[NDArray[np.int64]]) -> Iterator[NDArray[np.float32]]:
        """Yield ``(length, vocabulary)`` for each sequence, one after the other."""
        for sequence in sequences:
            self._clear(len(sequence))
            yield self._read(sequence.tolist(), every=True).copy()

    def stream(self, ids: NDArray[np.int64], count: int) -> Iterator[int]:
        """Yield the most likely next token, ``count`` times."""
        token = self.begin(ids, count)
        yield token
        for _ in range(count - 1):
            token = int(self._read([token], every=False)[0].argmax())
            yield token

    def stream_together(self, ids: NDArray[np.int64], count: int) -> Iterator[list[int]]:
        """Yield the most likely next token of every prompt, ``count`` times."""
        prompts, length = ids.shape
        self._clear(prompts * (length + count), prompts)
        given = [row.tolist() for row in ids]
        for number in range(count):
            place = 0 if number == 0 else length + number - 1
            following: list[int] = self._read_rows(given, place).argmax(axis=1).tolist()
            yield following
            given = [[token] for token in following]

    def begin(self, ids: NDArray[np.int64], room: int) -> int:
        """Read a prompt into an empty cache; return the most likely next token."""
        self._clear(len(ids) + room)
        return int(self._read(ids.tolist(), every=False)[0].argmax())

    def extend(self, tokens: Sequence[int]) -> list[int]:
        """Read these tokens; return the most likely next one after each of them."""
        following: list[int] = self._read(tokens, every=True).argmax(axis=1).tolist()
        return following

    def forget(self, tokens: int) -> None:
        """Drop so many tokens from the end of the cache."""
        self._used -= tokens
        self._api.llama_memory_seq_rm(self._api.llama_get_memory(self._context), 0, self._used, -1)

    def numbers(self) -> dict[str, float]:
        """Return the bytes of the cache that the last response filled."""
        config = self._config
        width = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
        values = 2 * config["num_hidden_layers"] * config["num_key_value_heads"] * width
        return {"kv_cache_bytes": values * _BYTES[self._cache_bits] * self._used}

    def _clear(self, room: int, texts: int = 1) -> None:
        """Empty the cache, after making it large enough for so many tokens of so many texts."""
        if room > self._room or texts > self._texts:
            self._room, self._texts = -(-max(room, self._room) // _ROOM) * _ROOM, max(texts, self._texts)
            self._context = self._new_context()
        self._api.llama_memory_clear(self._api.llama_get_memory(self._context), False)
        self._used = 0

    def _new_context(self) -> Any:
        if self._context is not None:
            self._api.llama_free(self._context)
        settings = self._api.llama_context_default_params()
        settings.n_ctx = settings.n_batch = settings.n_ubatch = self._room
        settings.n_seq_max, settings.kv_unified = self._texts, True
        settings.n_threads = settings.n_threads_batch = self._threads
        settings.type_k = settings.type_v = getattr(self._api, _BITS[self._cache_bits])
        if self._cache_bits < 16:
            settings.flash_attn_type = self._api.LLAMA_FLASH_ATTN_TYPE_ENABLED  # others cannot read packed values
        settings.no_perf = True
        context = self._api.llama_init_from_model(self._model, settings)
        if not context:
            raise MeasurementError(
                f"llama.cpp could not set a cache for {self._room} tokens aside. Choose a shorter prompt or answer, or "
                "leave the packing of the cache out."
            )
        return context

    def _read(self, tokens: Sequence[int], *, every: bool) -> NDArray[np.float32]:
        """Read tokens behind those in the cache; return the logits after each, or after the last one only."""
        last = len(tokens) - 1
        return self._decode(
            [(token, self._used + place, 0, every or place == last) for place, token in enumerate(tokens)]
        )

    def _read_rows(self, texts: Sequence[Sequence[int]], start: int) -> NDArray[np.float32]:
        """Read as many tokens of each of several texts, from position ``start`` on; return the logits at their ends."""
        return self._decode(
            [
                (token, start + place, text, place == len(tokens) - 1)
                for text, tokens in enumerate(texts)
                for place, token in enumerate(tokens)
            ]
        )

    def _decode(self, entries: Sequence[tuple[int, int, int, bool]]) -> NDArray[np.float32]:
        """Read tokens, each with its position, its text and whether logits are wanted; return those, row by row."""
        batch = self._api.llama_batch_init(len(entries), 0, 1)
        try:
            batch.n_tokens = len(entries)
            for place, (token, position, text, wanted) in enumerate(entries):
                batch.token[place] = token
                batch.pos[place] = position
                batch.n_seq_id[place] = 1
                batch.seq_id[place][0] = text
                batch.logits[place] = wanted
            code = self._api.llama_decode(self._context, batch)
        finally:
            self._api.llama_batch_free(batch)
        if code:
            raise MeasurementError(f"llama.cpp could not read {len(entries)} tokens (code {code}). Choose fewer.")
        self._used += len(entries)
        rows = sum(wanted for *_, wanted in entries)
        found: NDArray[np.float32] = np.ctypeslib.as_array(
            self._api.llama_get_logits(self._context), shape=(rows, self._vocabulary)
        )
        return found


class LlamaCpp(Backend[LlamaCppOptions]):
    """ggml's CPU kernels under a loop of our own."""

    name = "llama-cpp"
    title = "llama.cpp"
    summary = "A language model as one GGUF; reads four-bit files as they were published, so nothing is rounded twice."
    format = "gguf"
    tasks = frozenset({Task.TEXT_GENERATION})
    options_type = LlamaCppOptions
    distributions = ("llama-cpp-python",)
    extra = "llama-cpp"

    def try_options(self) -> dict[str, tuple[str, ...]]:
        """Load the library; it computes nothing without a whole model."""
        import llama_cpp

        llama_cpp.llama_backend_init()
        return {"device": ("cpu",)}

    def export(self, model: TrainedModel, options: LlamaCppOptions, folder: Path) -> Artifact:
        """Write the weights in 32 bits, and beside them the tokenizer, which the file leaves out."""
        module: Any = model.module
        gguf_writing.write(module, folder / MODEL_FILE)
        (folder / CONFIG_FILE).write_text(module.config.to_json_string(use_diff=False), "utf-8")
        for name, path in model.preprocess_files.items():
            shutil.copyfile(path, folder / name)
        return Artifact.write(folder, manifest_of(model, self.format, (MODEL_FILE,)))

    def load(self, artifact: Artifact, options: LlamaCppOptions) -> Session:
        """Refuse: there is nothing to classify with."""
        raise MeasurementError(f"{self.title} generates text and does nothing else. Choose another backend.")

    def load_generator(self, artifact: Artifact, options: LlamaCppOptions) -> Generator:
        """Map the file into memory."""
        if options.device != "cpu":
            raise no_such(self.title, "device", options.device, ["cpu"])
        manifest = artifact.manifest
        config = json.loads((artifact.folder / CONFIG_FILE).read_text("utf-8"))
        load = partial(
            LlamaGenerator,
            threads=options.threads or 1,
            cache_bits=manifest.cache_bits or 16,
            repack=options.repack,
        )
        generator = load(artifact.folder / MODEL_FILE, config)
        if not manifest.draft_guesses:
            return with_lookup(generator, artifact)
        smaller = config | {"num_hidden_layers": manifest.draft_layers}
        draft = Draft(load(artifact.folder / manifest.weights[1], smaller))
        return SpeculativeGenerator(generator, draft, manifest.draft_guesses)

    def profile(
        self, artifact: Artifact, options: LlamaCppOptions, queries: Sequence[Inputs], scratch: Path
    ) -> list[OperatorTime]:
        """Refuse: the library tells no operator's time."""
        raise MeasurementError("llama.cpp's library has no profiler, so it cannot be said where its time goes.")


_SILENT: list[Any] = []
"""Holds the callback that swallows messages; ctypes frees what nothing refers to."""


def _silence(api: Any) -> None:
    """Let the library say nothing: what goes wrong is told by its return values."""
    if not _SILENT:
        _SILENT.append(api.llama_log_callback(lambda level, text, user_data: None))
        api.llama_log_set(_SILENT[0], None)
