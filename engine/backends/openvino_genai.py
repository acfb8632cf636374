"""OpenVINO GenAI: a language model as one graph with a cache of its own, under Intel's generation loop."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.backends.base import Backend, Generator, Inputs, OperatorTime, Session, manifest_of, no_such
from engine.backends.lookup import with_lookup
from engine.backends.openvino import PRECISIONS, OpenVinoOptions, node_times
from engine.backends.openvino_state import convert
from engine.errors import MeasurementError
from engine.models.base import Artifact, TrainedModel
from engine.quiet import without_telemetry
from engine.spec import Task

GRAPH_FILE, WEIGHTS_FILE = "openvino_model.xml", "openvino_model.bin"
CONFIG_FILE = "config.json"
_BYTES_OF_A_FLOAT = 4
_UNPACKING = ("Convert", "Multiply", "Subtract", "Reshape", "Transpose")
"""What stands between packed weights and the product that reads them."""


class OpenVinoGenaiOptions(OpenVinoOptions):
    """Options of OpenVINO GenAI."""


class OpenVinoGenerator:
    """A loaded graph: answers by the runtime's own loop, and steps and logits by the graph alone.

    Args:
        folder: of the graph.
        settings: of its compilation, as OpenVINO names them.
        cache_value_bytes: of all keys and values of one token.
    """

    def __init__(self, folder: Path, settings: dict[str, Any], cache_value_bytes: float) -> None:
        self._folder, self._settings, self._bytes = folder, settings, cache_value_bytes
        self._pipeline: Any = None
        self._request: Any = None
        self._used = 0

    def logits(self, sequences: Sequence[NDArray[np.int64]]) -> Iterator[NDArray[np.float32]]:
        """Yield ``(length, vocabulary)`` for each sequence, one after the other."""
        for sequence in sequences:
            self._clear()
            yield self._read(sequence[None])[0].copy()

    def stream(self, ids: NDArray[np.int64], count: int) -> Iterator[int]:
        """Yield the most likely next token, ``count`` times, as the runtime's loop says it."""
        import openvino
        import openvino_genai

        self._used = len(ids) + count
        said: SimpleQueue[int | None] = SimpleQueue()

        class Ear(openvino_genai.StreamerBase):  # type: ignore[misc]
            """Is told each token by the runtime."""

            def write(self, token: int | list[int]) -> Any:
                for one in token if isinstance(token, list) else [token]:
                    said.put(one)
                return openvino_genai.StreamingStatus.RUNNING

            def end(self) -> None:
                """Nothing is left to be told."""

        settings = openvino_genai.GenerationConfig()
        settings.max_new_tokens, settings.ignore_eos, settings.do_sample = count, True, False
        given = openvino_genai.TokenizedInputs(
            openvino.Tensor(np.ascontiguousarray(ids[None])), openvino.Tensor(np.ones((1, len(ids)), dtype=np.int64))
        )

        def answer() -> None:
            try:
                self._loop().generate(given, settings, Ear())
            finally:
                said.put(None)

        with ThreadPoolExecutor(1) as aside:
            answered = aside.submit(answer)
            while (token := said.get()) is not None:
                yield token
            answered.result()

    def stream_together(self, ids: NDArray[np.int64], count: int) -> Iterator[list[int]]:
        """Yield the most likely next token of every prompt, ``count`` times; the runtime's loop tells of one alone."""
        self._clear()
        given = ids
        for _ in range(count):
            given = self._read(given)[:, -1:].argmax(axis=-1)
            following: list[int] = given[:, 0].tolist()
            yield following
        self._used *= len(ids)

    def begin(self, ids: NDArray[np.int64], room: int) -> int:
        """Read a prompt into an empty cache; return the most likely next token."""
        self._clear()
        return int(self._read(ids[None])[0, -1].argmax())

    def extend(self, tokens: Sequence[int]) -> list[int]:
        """Read these tokens; return the most likely next one after each of them."""
        following: list[int] = self._read(np.asarray([tokens], dtype=np.int64))[0].argmax(axis=-1).tolist()
        return following

    def forget(self, tokens: int) -> None:
        """Drop so many tokens from the end of the cache."""
        import openvino

        self._used -= tokens
        for state in self._graph().query_state():
            state.state = openvino.Tensor(np.ascontiguousarray(state.state.data[:, :, : self._used]))

    def numbers(self) -> dict[str, float]:
        """Return the bytes of keys and values of the last response."""
        return {"kv_cache_bytes": self._bytes * self._used}

    def _loop(self) -> Any:
        """Return the runtime's pipeline, loaded when it is first asked."""
        import openvino_genai

        if self._pipeline is None:
            self._pipeline = openvino_genai.LLMPipeline(str(self._folder), "CPU", **self._settings)
        return self._pipeline

    def load(self) -> None:
        """Load what answers, which belongs to the cold start."""
        self._loop()

    def _graph(self) -> Any:
        """Return the graph's request, compiled when it is first asked."""
        from openvino import Core

        if self._request is None:
            compiled = Core().compile_model(str(self._folder / GRAPH_FILE), "CPU", self._settings)
            self._request = compiled.create_infer_request()
        return self._request

    def _clear(self) -> None:
        self._graph().reset_state()
        self._used = 0

    def _read(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """Read ``(batch, new)`` ids behind those in the cache; return the logits after each."""
        request = self._graph()
        request.infer(inputs_of(ids, self._used))
        self._used += ids.shape[1]
        found: NDArray[np.float32] = request.get_tensor("logits").data
        return found


class OpenVinoGenai(Backend[OpenVinoGenaiOptions]):
    """Intel's runtime for language models."""

    name = "openvino-genai"
    title = "OpenVINO GenAI"
    summary = "A language model compiled by Intel's runtime; first tokens come soon, and weights of NNCF's forms pay."
    format = "openvino-genai"
    tasks = frozenset({Task.TEXT_GENERATION})
    options_type = OpenVinoGenaiOptions
    distributions = ("openvino-genai", "openvino", "nncf")
    extra = "openvino-genai"

    def try_options(self) -> dict[str, tuple[str, ...]]:
        """Load the library with everything it links to; it computes nothing without a whole model."""
        import openvino_genai

        openvino_genai.GenerationConfig()
        return {"device": ("cpu",)}

    def export(self, model: TrainedModel, options: OpenVinoGenaiOptions, folder: Path) -> Artifact:
        """Trace the model into a graph of 32 bits whose cache is its own state."""
        without_telemetry()
        import openvino

        openvino.save_model(convert(model), str(folder / GRAPH_FILE), compress_to_fp16=False)
        module: Any = model.module
        (folder / CONFIG_FILE).write_text(module.config.to_json_string(use_diff=False), "utf-8")
        for name, path in model.preprocess_files.items():
            shutil.copyfile(path, folder / name)
        return Artifact.write(folder, manifest_of(model, self.format, (GRAPH_FILE, WEIGHTS_FILE)))

    def load(self, artifact: Artifact, options: OpenVinoGenaiOptions) -> Session:
        """Refuse: there is nothing to classify with."""
        raise MeasurementError(f"{self.title} generates text and does nothing else. Choose another backend.")

    def load_generator(self, artifact: Artifact, options: OpenVinoGenaiOptions) -> Generator:
        """Compile the graph for the processor; keys and values stay floats, which the runtime would pack unasked."""
        if options.device != "cpu":
            raise no_such(self.title, "device", options.device, ["cpu"])
        generator = OpenVinoGenerator(artifact.folder, _settings(options), _BYTES_OF_A_FLOAT * _values(artifact))
        try:
            generator.load()
        except RuntimeError as error:
            raise MeasurementError(f"OpenVINO GenAI refused the model ({error}).") from error
        return with_lookup(generator, artifact)

    def profile(
        self, artifact: Artifact, options: OpenVinoGenaiOptions, queries: Sequence[Inputs], scratch: Path
    ) -> list[OperatorTime]:
        """Return the times of the compiled graph's nodes in single decoding steps."""
        from openvino import Core

        core, settings = Core(), _settings(options) | {"PERF_COUNT": True}
        graph = core.read_model(str(artifact.folder / GRAPH_FILE))
        sizes = {node.get_friendly_name(): _constant_bytes(node) for node in graph.get_ops()}
        steps = [inputs_of(np.asarray(query["input_ids"], dtype=np.int64), 0) for query in queries]
        times = node_times(core.compile_model(graph, "CPU", settings), steps, lambda request: request.reset_state())
        return [time._replace(size_bytes=sizes.get(time.name, 0)) for time in times]


def inputs_of(ids: NDArray[np.int64], used: int) -> dict[str, NDArray[np.generic]]:
    """Return the graph's inputs for ``(batch, new)`` ids behind so many tokens in the cache."""
    rows, new = ids.shape
    return {
        "input_ids": np.ascontiguousarray(ids),
        "attention_mask": np.ones((rows, used + new), dtype=np.int64),
        "position_ids": np.tile(np.arange(used, used + new), (rows, 1)),
        "beam_idx": np.arange(rows, dtype=np.int32),
    }


def _settings(options: OpenVinoGenaiOptions) -> dict[str, Any]:
    """Return the settings of a compilation, with no precision chosen behind our back."""
    settings: dict[str, Any] = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": PRECISIONS[options.precision],
        "KV_CACHE_PRECISION": "f32",
    }
    return settings | ({"INFERENCE_NUM_THREADS": options.threads} if options.threads else {})


def _constant_bytes(node: Any) -> int:
    """Return the bytes of the constants a node reads, those it unpacks first among them."""
    bytes_read = 0
    for place in range(node.get_input_size()):
        source = node.input_value(place).get_node()
        if source.get_type_name() == "Constant":
            bytes_read += int(source.get_byte_size())
        elif source.get_type_name() in _UNPACKING:
            bytes_read += _constant_bytes(source)
    return bytes_read


def _values(artifact: Artifact) -> float:
    """Return how many keys and values a token leaves in the cache."""
    config = json.loads((artifact.folder / CONFIG_FILE).read_text("utf-8"))
    width = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    return float(2 * config["num_hidden_layers"] * config["num_key_value_heads"] * width)
