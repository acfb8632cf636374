"""Where the time of one decoding step goes, told by ONNX Runtime's profiler on a generation graph."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.backends import onnx_layers
from engine.backends.base import Inputs, OperatorTime
from engine.backends.onnx_runtime import OnnxRuntimeOptions, open_session, operator_times
from engine.errors import MeasurementError


def profile_steps(
    graph: Path, facts: dict[str, Any], threads: int, queries: Sequence[Inputs], scratch: Path
) -> list[OperatorTime]:
    """Return what each operator costs in a step: one token in, with nothing before it.

    Args:
        graph: built by ONNX Runtime GenAI.
        facts: its ``genai_config.json``.
        threads: within an operator.
        queries: inputs of one token each.
        scratch: an empty folder for the profiler's own files.

    Raises:
        MeasurementError: if the runtime refuses the graph.
    """
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.log_severity_level = 3
    settings.enable_profiling = True
    settings.profile_file_prefix = str(scratch / "profile")
    session = open_session(graph, OnnxRuntimeOptions(threads=threads), settings)
    for inputs in queries:
        try:
            session.run(None, _feeds(session, facts, inputs["input_ids"]))
        except Exception as error:  # onnxruntime's own exceptions share no base class
            raise MeasurementError(f"ONNX Runtime cannot profile this graph ({error}).") from error
    times = operator_times(Path(session.end_profiling()), onnx_layers.bytes_by_node(graph), len(queries))
    return [time._replace(provider="") for time in times]  # there is but one, and nobody chose it


def _feeds(session: Any, facts: dict[str, Any], ids: NDArray[np.generic]) -> dict[str, NDArray[np.generic]]:
    """Return the inputs of a first step: an empty cache, and whatever else the graph asks for."""
    decoder = facts["model"]["decoder"]
    empty = (1, decoder["num_key_value_heads"], 0, decoder["head_size"])
    known: dict[str, NDArray[np.generic]] = {
        "input_ids": ids,
        "attention_mask": np.ones_like(ids),
        "position_ids": np.zeros_like(ids),
    }
    names = [node.name for node in session.get_inputs()]
    return {name: known.get(name, np.zeros(empty, dtype=np.float32)) for name in names}
