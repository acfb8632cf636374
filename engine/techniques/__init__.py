"""What compression can be chosen; the order of registration is the order in a default stack."""

from typing import Any

from engine.registry import Registry
from engine.techniques.base import Technique
from engine.techniques.distill import Distill
from engine.techniques.int8_dynamic import Int8Dynamic
from engine.techniques.prune_magnitude import PruneMagnitude
from engine.techniques.prune_structured import PruneStructured

TECHNIQUES: Registry[Technique[Any]] = Registry("technique")
TECHNIQUES.add(Distill())
TECHNIQUES.add(PruneStructured())
TECHNIQUES.add(PruneMagnitude())
TECHNIQUES.add(Int8Dynamic())
