"""What runtimes can be chosen."""

from typing import Any

from engine.backends.base import Backend
from engine.registry import Registry

BACKENDS: Registry[Backend[Any]] = Registry("backend")
