"""What runtimes can be chosen."""

from typing import Any

from engine.backends.base import Backend
from engine.backends.executorch import ExecuTorch
from engine.backends.litert import LiteRt
from engine.backends.llama_cpp import LlamaCpp
from engine.backends.onnx_genai import OnnxGenai
from engine.backends.onnx_runtime import OnnxRuntime
from engine.backends.openvino import OpenVino
from engine.backends.openvino_genai import OpenVinoGenai
from engine.backends.torch_compile import TorchCompile
from engine.backends.torch_eager import TorchEager
from engine.backends.torch_xla import TorchXla
from engine.registry import Registry

BACKENDS: Registry[Backend[Any]] = Registry("backend")
BACKENDS.add(TorchEager())
BACKENDS.add(TorchCompile())
BACKENDS.add(OnnxRuntime())
BACKENDS.add(OpenVino())
BACKENDS.add(OnnxGenai())
BACKENDS.add(OpenVinoGenai())
BACKENDS.add(LlamaCpp())
BACKENDS.add(LiteRt())
BACKENDS.add(ExecuTorch())
BACKENDS.add(TorchXla())
