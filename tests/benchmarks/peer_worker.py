"""Times and scores one model file: ``python peer_worker.py onnx|openvino MODEL QUERIES.npz OUTPUT.npz THREADS PASSES``.

It stands alone, because it runs in the environment of each peer: NumPy and the runtime are all it imports.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

WARM_UP_PASSES = 2
Feeds = dict[str, Any]


def main(arguments: list[str]) -> None:
    """Write ``seconds (passes, timed queries)`` and ``logits (scored queries, classes)``."""
    kind, model, queries, output = arguments[:4]
    threads, passes = map(int, arguments[4:])
    run = {"onnx": onnx, "openvino": openvino}[kind](model, threads)
    with np.load(queries, allow_pickle=False) as file:
        timed, scored = (unpack(file, part) for part in ("timed", "scored"))
    for _ in range(WARM_UP_PASSES):
        for feeds in timed:
            run(feeds)
    seconds = np.empty((passes, len(timed)))
    for row in range(passes):
        for column, feeds in enumerate(timed):
            started = time.perf_counter()
            run(feeds)
            seconds[row, column] = time.perf_counter() - started
    logits = np.concatenate([run(feeds) for feeds in scored]) if scored else np.empty((0, 0))
    np.savez(Path(output), seconds=seconds, logits=logits)


def unpack(file: Any, part: str) -> list[Feeds]:
    """Return queries of one sample each: rows are cut from flat arrays at their ends."""
    ends = file[f"{part}_ends"]
    names = [name.removeprefix(f"{part}:") for name in file.files if name.startswith(f"{part}:")]
    columns = {name: np.split(file[f"{part}:{name}"], ends[:-1]) for name in names}
    return [{name: columns[name][row][None] for name in names} for row in range(len(ends))]


def onnx(model: str, threads: int) -> Callable[[Feeds], Any]:
    """Load a graph on ONNX Runtime."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads, settings.inter_op_num_threads = threads, 1
    settings.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, settings, providers=["CPUExecutionProvider"])
    known = {node.name for node in session.get_inputs()}
    return lambda feeds: session.run(None, {name: array for name, array in feeds.items() if name in known})[0]


def openvino(model: str, threads: int) -> Callable[[Feeds], Any]:
    """Load a model on OpenVINO, tuned for the latency of one query."""
    from openvino import Core

    compiled = Core().compile_model(model, "CPU", {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads})
    request = compiled.create_infer_request()
    known = {name for port in compiled.inputs for name in port.get_names()}

    def run(feeds: Feeds) -> Any:
        request.infer({name: array for name, array in feeds.items() if name in known})
        return request.get_output_tensor(0).data.copy()

    return run


if __name__ == "__main__":
    main(sys.argv[1:])
