"""What runtimes can be chosen."""

from typing import Any

from engine.backends.base import Backend
from engine.backends.onnx_genai import OnnxGenai
from engine.backends.onnx_runtime import OnnxRuntime
from engine.backends.torch_eager import TorchEager
from engine.registry import Registry

BACKENDS: Registry[Backend[Any]] = Registry("backend")
BACKENDS.add(TorchEager())
BACKENDS.add(OnnxRuntime())
BACKENDS.add(OnnxGenai())
