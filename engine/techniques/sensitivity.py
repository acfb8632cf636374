"""Accuracy-aware quantization: operators that cost more accuracy than allowed stay in floating point."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.datasets.base import Split
from engine.datasets.files import take
from engine.errors import ExportError
from engine.models.base import Artifact, TrainingContext
from engine.techniques.base import copy_beside_weights

ANY_LOSS = 100.0
"""This many points of accuracy cannot be lost by anything but all of it: nothing is held back."""
SENSITIVITY_FILE = "sensitivity.json"
RANKED_SAMPLES = 128

Quantize = Callable[[Path, Sequence[str] | None], None]
"""Writes the quantized form of the graph of that file name; of these nodes only, or of all that it knows."""


def quantize_within(
    artifact: Artifact,
    folder: Path,
    quantize: Quantize,
    nodes: Mapping[str, str],
    *,
    max_loss: float,
    context: TrainingContext,
) -> None:
    """Quantize as many of the nodes as the allowed loss lets, the least sensitive first.

    Args:
        artifact: the graphs as they are.
        folder: where the quantized graphs go, under the same names.
        nodes: names of the nodes that could be quantized, with the file name of their graph.
        max_loss: points of accuracy on the validation split; :data:`ANY_LOSS` quantizes all without a look.

    Raises:
        ExportError: if even one quantized operator costs more than that.
    """
    for name in artifact.manifest.weights:
        quantize(folder / name, None)
    if max_loss >= ANY_LOSS:
        return
    judge = _Judge(artifact, context)
    if judge.points_lost(folder) <= max_loss:
        context.note(f"all {len(nodes)} operators are quantized; together they stay within {max_loss:g} points")
    else:
        _hold_back(artifact, folder, quantize, nodes, _Bound(max_loss, judge, context))


class _Bound(NamedTuple):
    """How much may be lost, and who measures it."""

    max_loss: float
    judge: _Judge
    context: TrainingContext


def _hold_back(artifact: Artifact, folder: Path, quantize: Quantize, nodes: Mapping[str, str], bound: _Bound) -> None:
    """Write the graphs with the most sensitive nodes in floating point, as few as the bound lets.

    A node's sensitivity is the mean squared change of the logits of validation samples when it alone is quantized. The
    number of nodes that stay in floating point is then found by bisection on the accuracy of the whole model.
    """
    max_loss, judge, context = bound

    def write(target: Path, only: Sequence[str]) -> None:
        for name in artifact.manifest.weights:
            if own := [node for node in only if nodes[node] == name]:
                quantize(target / name, own)
            else:
                shutil.copyfile(artifact.folder / name, target / name)

    with tempfile.TemporaryDirectory() as scratch:
        trial = Path(scratch)
        copy_beside_weights(artifact, trial)
        errors: dict[str, float] = {}
        for number, node in enumerate(nodes, start=1):
            write(trial, [node])
            errors[node] = judge.error(trial)
            context.report(number / (len(nodes) + 1), f"sensitivity of operator {number} of {len(nodes)}")
        ranked = sorted(nodes, key=lambda node: -errors[node])

        def is_good_enough(kept: int) -> bool:
            write(trial, ranked[kept:])
            return judge.points_lost(trial) <= max_loss

        kept = _fewest(len(ranked), is_good_enough)
    if kept == len(ranked):
        raise ExportError(
            f"Not one operator can be quantized without losing more than {max_loss:g} points of accuracy on the "
            "validation split. Allow a larger max_loss."
        )
    write(folder, ranked[kept:])
    (folder / SENSITIVITY_FILE).write_text(json.dumps({"errors": errors, "kept": ranked[:kept]}), "utf-8")
    context.note(f"{kept} of {len(ranked)} operators stay in floating point, to lose {max_loss:g} points at most")


def _fewest(count: int, is_enough: Callable[[int], bool]) -> int:
    """Return the smallest number from 1 to ``count`` that is enough, by bisection; ``count`` itself always is."""
    low, high = 1, count
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if is_enough(middle) else (middle + 1, high)
    return low


class _Judge:
    """Scores graphs on the validation split against the graph they were made from."""

    def __init__(self, artifact: Artifact, context: TrainingContext) -> None:
        self._manifest, self._scores, self._split = artifact.manifest, context.scores, context.dataset.validation
        few = np.arange(min(RANKED_SAMPLES, len(self._split)))
        self._few = Split(take(self._split.samples, few), self._split.labels[few])
        self._reference = context.scores(artifact, self._split)

    def points_lost(self, folder: Path) -> float:
        """Return how many points of accuracy the graph in ``folder`` loses."""
        logits = self._scores(Artifact(folder, self._manifest), self._split)
        return 100 * (self._accuracy(self._reference) - self._accuracy(logits))

    def error(self, folder: Path) -> float:
        """Return the mean squared change of the logits of a few samples."""
        logits = self._scores(Artifact(folder, self._manifest), self._few)
        return float(np.square(logits - self._reference[: len(logits)]).mean())

    def _accuracy(self, logits: NDArray[np.float32]) -> float:
        return float((logits.argmax(axis=1) == self._split.labels).mean())
