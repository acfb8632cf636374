"""What is kept of the raw numbers of a run."""

import numpy as np
from numpy.typing import NDArray

from engine.measure.paired import Timed
from engine.models.base import Artifact
from engine.results import Footprint
from engine.scenarios.base import Seconds

KEPT_PER_PROCESS = 2000
"""Raw samples kept of each process; of more, every n-th, while the statistics are of all."""


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
