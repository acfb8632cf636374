"""What compression can be chosen; the order of registration is the order in a default stack."""

from typing import Any

from engine.registry import Registry
from engine.techniques.base import Technique

TECHNIQUES: Registry[Technique[Any]] = Registry("technique")
