"""What is made of the processes of a run: what each side occupies, what text generation adds, what is kept raw."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.analysis import tokens
from engine.answering import Answering
from engine.datasets.base import Split
from engine.datasets.files import take
from engine.measure.jobs import write_samples
from engine.measure.paired import Timed
from engine.models.base import Artifact
from engine.results import Footprint, Metric, NumericalCheck
from engine.scenarios.base import Seconds

KEPT_PER_PROCESS = 2000
"""Raw samples kept of each process; of more, every n-th, while the statistics are of all."""


def draw_samples(asking: Answering, split: Split, count: int, seed: int, path: Path) -> None:
    """Write so many samples of a split, chosen at random, for inference processes to read; all if there are fewer."""
    chosen = np.random.default_rng(seed).permutation(len(split))[:count]
    write_samples(path, asking.written(take(split.samples, chosen)))


def footprint_of(artifact: Artifact, timed: Timed) -> Footprint:
    """Return what one side occupies."""
    return Footprint(
        size_bytes=artifact.size_bytes,
        parameters=artifact.manifest.parameters,
        nonzero_parameters=artifact.manifest.nonzero_parameters,
        peak_memory_bytes=timed.peak_memory_bytes,
        load_s=timed.median("load_s"),
        first_call_s=timed.median("first_call_s"),
        cpu_s_per_query=timed.median("cpu_s_per_query"),
        energy_j_per_query=timed.energy_j_per_query,
        energy_source=timed.energy_source,
    )


def generation_of(timed: Timed, check: NumericalCheck | None = None) -> dict[str, Metric]:
    """Return what only text generation has, of one side; nothing for a classifier."""
    if any("token_ns" not in report.arrays for report in timed.reports):
        return {}
    requests = {int(report.arrays["requests"]) for report in timed.reports if "requests" in report.arrays}
    found = tokens.token_metrics(timed.seconds("token_ns"), max(requests, default=1))
    for name in ("kv_cache_bytes", "acceptance_rate"):
        values = [
            float(np.median(np.asarray(report.arrays[name], np.float64)))
            for report in timed.reports
            if name in report.arrays
        ]
        if values:
            found[name] = Metric(value=float(np.median(values)))
    if check is not None:
        found["next_token_agreement"] = Metric(value=check.agreement, n=check.samples)
    return found


def raw_arrays(
    latency: list[Seconds], predictions: list[NDArray[np.int64]], labels: NDArray[np.int64]
) -> dict[str, NDArray[np.generic]]:
    """Return what is kept for every finished run, in small types."""
    small = np.uint8 if labels.max(initial=0) < 256 else np.uint16
    arrays: dict[str, NDArray[np.generic]] = {
        "labels": labels.astype(small),
        "predictions": predictions[0].astype(np.int16),
        "baseline_predictions": predictions[1].astype(np.int16),
    }
    for name, seconds in zip(("candidate", "baseline"), latency, strict=True):
        kept = [samples[:: len(samples) // KEPT_PER_PROCESS + 1] for samples in seconds]
        arrays[f"{name}_latency_s"] = np.concatenate(kept).astype(np.float32)
        arrays[f"{name}_process"] = np.repeat(np.arange(len(kept)), [len(s) for s in kept]).astype(np.uint8)
    return arrays
