"""Reading and writing a module's weights as safetensors, whatever its layers' shapes have become."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import WeightsError
from engine.quiet import quiet_libraries

if TYPE_CHECKING:
    import torch
    from torch import nn

WEIGHTS_FILE = "model.safetensors"


def save_weights(module: nn.Module, path: Path) -> None:
    """Write all parameters and buffers of ``module`` to ``path``; quantized tensors as their integer parts."""
    from safetensors.torch import save_file

    state, metadata = module.state_dict(), None
    if any(is_quantized(tensor) for tensor in state.values()):
        from torchao.prototype.safetensors.safetensors_support import flatten_tensor_state_dict

        state, metadata = flatten_tensor_state_dict(state)
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, str(path), metadata=metadata)


def is_quantized(tensor: torch.Tensor) -> bool:
    """Tell whether a tensor is one of torchao's, which holds integers behind the interface of a float."""
    return type(tensor).__module__.startswith("torchao.")


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a safetensors file.

    Raises:
        WeightsError: if it is missing or damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"The weights '{path.name}' cannot be read ({error}). Fetch or make them again.") from error
    if "tensor_names" in metadata:
        quiet_libraries()
        from torchao.prototype.safetensors.safetensors_support import unflatten_tensor_state_dict

        state, _ = unflatten_tensor_state_dict(state, metadata)
    return state


def load_into(module: nn.Module, state: dict[str, torch.Tensor]) -> None:
    """Load ``state`` into ``module``, giving its layers the shapes that the tensors have.

    Raises:
        WeightsError: if names are missing.
    """
    import torch
    from torch import nn

    halves = (torch.float16, torch.bfloat16)
    for name, layer in module.named_modules():
        for key in ("weight", "bias", "running_mean", "running_var"):
            tensor, current = state.get(f"{name}.{key}"), getattr(layer, key, None)
            if tensor is None or current is None or tensor.shape == current.shape:
                continue
            fresh = tensor.clone()
            setattr(layer, key, nn.Parameter(fresh) if isinstance(current, nn.Parameter) else fresh)
        if isinstance(layer, nn.Linear):
            layer.out_features, layer.in_features = layer.weight.shape
        elif isinstance(layer, nn.Conv2d):
            layer.out_channels, layer.in_channels = layer.weight.shape[0], layer.weight.shape[1] * layer.groups
        elif isinstance(layer, nn.BatchNorm2d):
            layer.num_features = layer.weight.shape[0]
    keeps_type = any(is_quantized(tensor) or tensor.dtype in halves for tensor in state.values())
    missing, _ = module.load_state_dict(state, strict=False, assign=keeps_type)
    if missing:
        raise WeightsError(f"The weights lack {len(missing)} tensors, '{missing[0]}' first. Fetch or make them again.")


def count_parameters(module: nn.Module) -> tuple[int, int]:
    """Return the number of parameters and of those that are not zero."""
    parameters = list(module.parameters())
    return sum(p.numel() for p in parameters), sum(int(p.count_nonzero()) for p in parameters)
