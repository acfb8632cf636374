"""Many runs from one form: every combination of the values a person gives."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from engine.errors import RequestError
from engine.resolve import resolve
from engine.spec import Choice, Effort, ExperimentSpec, Scalar

MOST_RUNS = 2000


@dataclass(frozen=True)
class Request:
    """What was chosen in the form."""

    model: str
    dataset: str
    techniques: tuple[Choice, ...]
    backend: Choice
    effort: Effort
    scenario: Choice
    seed: int = 0


@dataclass(frozen=True)
class Variation:
    """A parameter and the values it takes: ``"prune-magnitude.sparsity"``, ``"seed"``."""

    name: str
    values: tuple[Scalar, ...]


@dataclass(frozen=True)
class Expansion:
    """Every experiment of a grid, and why some combinations cannot be."""

    specs: tuple[ExperimentSpec, ...]
    refusals: tuple[str, ...] = ()
    too_many: int = field(default=0)
    """How many there would be where that is more than can be queued at once."""


def expand(request: Request, variations: Sequence[Variation]) -> Expansion:
    """Return every combination once; those that cannot be are told in a sentence each."""
    given = [variation for variation in variations if variation.values]
    count = 1
    for variation in given:
        count *= len(variation.values)
    if count > MOST_RUNS:
        return Expansion((), too_many=count)
    specs: dict[str, ExperimentSpec] = {}
    refusals: dict[str, None] = {}
    for values in itertools.product(*(variation.values for variation in given)):
        chosen = dict(zip((variation.name for variation in given), values, strict=True))
        try:
            spec = resolve(**_arguments(request, chosen))
        except RequestError as error:
            refusals[str(error)] = None
        else:
            specs[spec.fingerprint] = spec
    return Expansion(tuple(specs.values()), tuple(refusals))


def parameters(request: Request) -> list[str]:
    """Return the names of everything that may be varied."""
    techniques = [f"{choice.name}.{name}" for choice in request.techniques for name in choice.params]
    backend = [f"{request.backend.name}.{name}" for name in request.backend.params]
    return [*techniques, *backend, "seed"]


def parse_values(text: str) -> tuple[Scalar, ...]:
    """Read values between commas as YAML does: ``0.3, 0.5`` are numbers, ``true`` is a switch, the rest is text."""
    return tuple(dict.fromkeys(_scalar(part.strip()) for part in text.split(",") if part.strip()))


def _scalar(text: str) -> Scalar:
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        return text
    return value if isinstance(value, bool | int | float | str) else text


def _arguments(request: Request, chosen: dict[str, Scalar]) -> dict[str, Any]:
    return {
        "model": request.model,
        "dataset": request.dataset,
        "techniques": [_varied(choice, chosen) for choice in request.techniques],
        "backend": _varied(request.backend, chosen),
        "effort": request.effort,
        "scenario": request.scenario,
        "seed": chosen.get("seed", request.seed),
    }


def _varied(choice: Choice, chosen: dict[str, Scalar]) -> Choice:
    given = {name: chosen.get(f"{choice.name}.{name}", value) for name, value in choice.params.items()}
    return Choice(name=choice.name, params=given)
