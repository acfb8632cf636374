"""What is asked: the immutable, versioned description of one experiment and of a study of many."""

import hashlib
import json
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Scalar = bool | int | float | str


class Task(StrEnum):
    """What a model is for; decides which datasets, metrics and techniques fit."""

    IMAGE_CLASSIFICATION = "image-classification"
    TEXT_CLASSIFICATION = "text-classification"
    TEXT_GENERATION = "text-generation"


CLASSIFICATION = frozenset({Task.IMAGE_CLASSIFICATION, Task.TEXT_CLASSIFICATION})
"""The tasks whose answer is one of a few classes."""


class Effort(StrEnum):
    """How many fresh process pairs a timing is worth (3, 5 or 10)."""

    QUICK = "quick"
    STANDARD = "standard"
    RIGOROUS = "rigorous"


class Frozen(BaseModel):
    """Base of every record that crosses a module boundary: immutable, and strict about unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Choice(Frozen):
    """One entry of a registry with its parameters, for example ``int8-dynamic:per_channel=true``."""

    name: str
    params: dict[str, Scalar] = Field(default_factory=dict)

    def label(self) -> str:
        """Return ``name`` or ``name(key=value, ...)``, as shown beside a point."""
        if not self.params:
            return self.name
        return f"{self.name}({', '.join(f'{key}={value}' for key, value in self.params.items())})"


SINGLE_STREAM = Choice(name="single-stream")
RESPONSE = Choice(name="response")
"""How text generation is timed unless a person says otherwise."""


class ExperimentSpec(Frozen):
    """One experiment, complete: every default is written out, so that equal work has an equal fingerprint.

    Build it with :func:`engine.resolve.resolve`, which checks names and bounds and fills in the defaults.
    """

    version: Literal[1] = 1
    task: Task
    model: str = Field(description="catalog name, hub id or local folder")
    dataset: str = Field(description="catalog name, or FILE:text=COLUMN,label=COLUMN")
    techniques: tuple[Choice, ...] = ()
    backend: Choice
    effort: Effort = Effort.QUICK
    scenario: Choice = SINGLE_STREAM
    batch_size: int = Field(default=1, ge=1, le=1024)
    seed: int = Field(default=0, ge=0, le=2**31 - 1)

    def canonical_json(self) -> str:
        """Return the one JSON text of this spec: sorted keys, no white space.

        The single stream is left out, so that experiments from before there were scenarios keep their fingerprints.
        """
        left_out = {"scenario"} if self.scenario == SINGLE_STREAM else set()
        document = self.model_dump(mode="json", exclude=left_out)
        return json.dumps(document, sort_keys=True, separators=(",", ":"))

    @property
    def fingerprint(self) -> str:
        """Return the sha256 of the canonical form, as 64 hexadecimal digits."""
        return hashlib.sha256(self.canonical_json().encode()).hexdigest()

    def label(self) -> str:
        """Return what tells this run from its neighbours: ``"prune-structured + int8-dynamic · onnxruntime"``."""
        stack = " + ".join(choice.name for choice in self.techniques) or "no technique"
        return f"{stack} · {self.backend.name}"

    @property
    def is_baseline(self) -> bool:
        """Tell whether this is the reference itself: no technique, PyTorch eager."""
        return not self.techniques and self.backend.name == "torch"


class Study(Frozen):
    """A named list of experiments, as written in a study file or made from a grid."""

    name: str = Field(min_length=1, max_length=100)
    experiments: tuple[ExperimentSpec, ...]
    left_out: tuple[str, ...] = Field(default=(), description="why others of the file cannot be run on this machine")
