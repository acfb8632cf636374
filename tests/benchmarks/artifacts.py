"""What benchmarks share: an artifact with certain techniques, and its answers."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.backends import BACKENDS
from engine.datasets import load_dataset
from engine.datasets.base import Split
from engine.datasets.files import take
from engine.models.base import Artifact
from engine.models.preprocess import load_preprocessor
from engine.preparation import Builder
from engine.resolve import resolve
from engine.spec import ExperimentSpec
from engine.stages import Stage, StageCache
from engine.studies import parse_choice

Note = Callable[[Stage], Stage]


@contextmanager
def _announced(spec: ExperimentSpec, name: str) -> Iterator[Note]:
    sys.stderr.write(f"  {spec.label()}, seed {spec.seed}: {name}\n")
    yield lambda stage: stage


def prepared(model: str, techniques: Sequence[str], *, seed: int = 0, backend: str = "onnxruntime") -> Artifact:
    """Return our artifact of a model with these techniques; what was built before comes from the cache."""
    steps = [parse_choice(technique) for technique in techniques]
    spec = resolve(model=model, backend=parse_choice(backend), techniques=steps, seed=seed)
    dataset = load_dataset(spec.dataset)
    builder = Builder(spec, dataset, StageCache(), partial(_announced, spec), lambda share, text: None)
    return Artifact.read(builder.candidate().stage.folder)


def answers(artifact: Artifact, split: Split, backend: str = "onnxruntime") -> NDArray[np.float32]:
    """Return an artifact's logits, one sample at a time."""
    chosen: Any = BACKENDS.get(backend)
    session = chosen.load(artifact, chosen.options_type())
    preprocess = load_preprocessor(artifact.manifest.preprocess, artifact.folder)
    return np.concatenate([session.run(preprocess(take(split.samples, np.array([i])))) for i in range(len(split))])
