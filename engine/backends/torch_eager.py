"""PyTorch eager: the reference that every speed-up is measured against."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engine.backends.base import (
    Backend,
    BackendOptions,
    Generator,
    Inputs,
    OperatorTime,
    Session,
    manifest_of,
    no_such,
)
from engine.backends.lookup import with_lookup
from engine.backends.torch_text import TorchGenerator
from engine.models import FAMILIES
from engine.models.base import Artifact, TrainedModel
from engine.models.weights_file import WEIGHTS_FILE
from engine.spec import Task

if TYPE_CHECKING:
    import torch
    from torch import nn

_MARK = "layer:"


class TorchOptions(BackendOptions):
    """Options of PyTorch eager."""


class TorchSession:
    """A PyTorch module ready to answer, without autograd."""

    def __init__(self, model: TrainedModel, device: str = "cpu") -> None:
        self._module, self._family, self._device = model.module.eval().to(device), model.family, device

    def run(self, inputs: Inputs) -> NDArray[np.float32]:
        """Return ``(batch, classes)`` logits."""
        import torch

        with torch.inference_mode():
            tensors = {name: torch.from_numpy(array).to(self._device) for name, array in inputs.items()}
            logits: NDArray[np.float32] = self._family.logits(self._module, tensors).float().cpu().numpy()
            return logits

    def synchronize(self) -> None:
        """Wait for a GPU; operators of a CPU have ended when they return."""
        import torch

        kind = self._device.partition(":")[0]
        if kind != "cpu":
            getattr(torch, kind).synchronize()


class TorchEager(Backend[TorchOptions]):
    """PyTorch without any compilation."""

    name = "torch"
    title = "PyTorch eager"
    summary = "The reference: flexible, every operator one call; int8 rarely helps here."
    format = "torch"
    tasks = frozenset(Task)
    options_type = TorchOptions
    distributions = ("torch",)
    takes_split_models = True

    def try_options(self) -> dict[str, tuple[str, ...]]:
        """Add two numbers on every device that PyTorch sees."""
        import torch

        answered = (device for device in _devices() if float((torch.ones(1, device=device) + 1).item()) == 2)
        return {"device": tuple(answered)}

    def export(self, model: TrainedModel, options: TorchOptions, folder: Path) -> Artifact:
        """Save the model as it is."""
        model.family.save(model, folder)
        return Artifact.write(folder, manifest_of(model, self.format, (WEIGHTS_FILE,)))

    def load(self, artifact: Artifact, options: TorchOptions) -> Session:
        """Build the module; steps that PyTorch repeats in memory are taken by the techniques that wrote them."""
        return TorchSession(loaded(artifact, options), options.device)

    def load_generator(self, artifact: Artifact, options: TorchOptions) -> Generator:
        """Build the module."""
        return with_lookup(TorchGenerator(loaded(artifact, options)), artifact)

    def profile(
        self, artifact: Artifact, options: TorchOptions, queries: Sequence[Inputs], scratch: Path
    ) -> list[OperatorTime]:
        """Return each operator's own time, without that of the operators it calls, by the layer that called it."""
        from torch.profiler import ProfilerActivity, profile

        model = loaded(artifact, options)
        session = TorchSession(model, options.device)
        session.run(queries[0])
        with _marked(model.module), profile(activities=[ProfilerActivity.CPU]) as profiler:
            for inputs in queries:
                session.run(inputs)
        return operator_times(profiler.events(), _bytes_by_layer(model.module), len(queries))

    def layer_errors(
        self, artifact: Artifact, parent: Artifact, queries: Sequence[Inputs], scratch: Path
    ) -> dict[str, float]:
        """Compare what layers of the same name and shape put out."""
        mine, theirs = (FAMILIES.get(one.manifest.family).load(one.folder) for one in (artifact, parent))
        squares: dict[str, tuple[float, float]] = {}
        with _outputs(mine.module) as ours, _outputs(theirs.module) as others:
            for inputs in queries:
                TorchSession(mine).run(inputs)
                TorchSession(theirs).run(inputs)
                for name in ours.keys() & others.keys():
                    one, other = ours[name].double(), others[name].double()
                    if one.shape == other.shape:
                        apart, size = squares.get(name, (0.0, 0.0))
                        squares[name] = (
                            apart + float((one - other).square().sum()),
                            size + float(other.square().sum()),
                        )
        return {name: float((apart / size) ** 0.5) for name, (apart, size) in squares.items() if size}


def loaded(artifact: Artifact, options: BackendOptions) -> TrainedModel:
    """Read an artifact with the thread count set.

    Raises:
        MeasurementError: if this machine has no such device.
    """
    import torch

    if options.device not in _devices():
        raise no_such("PyTorch", "device", options.device, _devices())
    if options.threads:
        torch.set_num_threads(options.threads)
    return FAMILIES.get(artifact.manifest.family).load(artifact.folder)


def _devices() -> list[str]:
    """Return the devices that PyTorch sees; of several GPUs each by its number, the first also by its kind alone."""
    import torch

    several = [f"cuda:{number}" for number in range(1, torch.cuda.device_count())]
    cuda = ["cuda", *several] if torch.cuda.is_available() else []
    return ["cpu", *cuda, *(["mps"] if torch.backends.mps.is_available() else [])]


def _leaves(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield the layers that consist of no others, by name."""
    for name, layer in module.named_modules():
        if name and not any(layer.children()):
            yield name, layer


@contextmanager
def _marked(module: nn.Module) -> Iterator[None]:
    """Let the profiler see which layer is at work."""
    import torch

    open_marks: list[Any] = []

    def enter(name: str) -> Callable[..., None]:
        def mark(layer: nn.Module, given: Any) -> None:
            mark_of_layer: Any = torch.profiler.record_function(f"{_MARK}{name}")
            open_marks.append(mark_of_layer.__enter__())

        return mark

    def leave(layer: nn.Module, given: Any, output: Any) -> None:
        open_marks.pop().__exit__(None, None, None)

    with ExitStack() as hooks:
        for name, layer in _leaves(module):
            hooks.callback(layer.register_forward_pre_hook(enter(name)).remove)
            hooks.callback(layer.register_forward_hook(leave).remove)
        yield


@contextmanager
def _outputs(module: nn.Module) -> Iterator[dict[str, torch.Tensor]]:
    """Keep what each layer put out in the last forward pass."""
    import torch

    kept: dict[str, torch.Tensor] = {}

    def keeper(name: str) -> Callable[..., None]:
        def keep(layer: nn.Module, given: Any, output: Any) -> None:
            if isinstance(output, torch.Tensor):
                kept[name] = output

        return keep

    with ExitStack() as hooks:
        for name, layer in _leaves(module):
            hooks.callback(layer.register_forward_hook(keeper(name)).remove)
        yield kept


def operator_times(events: Any, sizes: Mapping[str, int], queries: int) -> list[OperatorTime]:
    """Add events up by layer and operator, in the order in which they were first seen."""
    spent: dict[tuple[str, str], tuple[float, int]] = {}
    for event in events:
        if event.name.startswith(_MARK):
            continue
        key = (_layer_of(event), event.name)
        seconds, calls = spent.get(key, (0.0, 0))
        spent[key] = (seconds + event.self_cpu_time_total / 1e6, calls + 1)
    left = dict(sizes)  # a layer's bytes are told once, with its first operator
    return [
        OperatorTime(layer, kind, seconds / queries, calls / queries, left.pop(layer, 0))
        for (layer, kind), (seconds, calls) in spent.items()
    ]


def _layer_of(event: Any) -> str:
    """Return the layer that called an operator; what no layer called is of the model itself."""
    while event is not None:
        if event.name.startswith(_MARK):
            return str(event.name).removeprefix(_MARK)
        event = event.cpu_parent
    return "between layers"


def _bytes_by_layer(module: nn.Module) -> dict[str, int]:
    """Return the bytes of each layer's own weights."""
    return {name: sum(tensor.nbytes for tensor in layer.parameters(recurse=False)) for name, layer in _leaves(module)}
